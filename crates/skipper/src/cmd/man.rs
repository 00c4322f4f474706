use std::path::{Path, PathBuf};

use clap::ValueHint;

use super::Context;
use crate::{
    cli,
    failure::{Doing as _, Done},
};

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
  skipper man | man -l -                      read it
  skipper man ~/.local/share/man/man1         install a page for every verb")]
pub(crate) struct Man {
    /// Folder for a page of every verb [default: print the main page]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(self, context: &Context) -> Done {
        let mut root = cli::command();
        root.build();
        let Some(dir) = self.dir else {
            return context.out.text(&page(root)?);
        };
        let folder = context.surroundings.resolve(&dir);
        std::fs::create_dir_all(&folder).doing(|| format!("create {}", dir.display()))?;
        let written = write_pages(&root, "skipper", &folder)?;
        context.out.line(&format!("wrote {written} pages to {}", dir.display()))
    }
}

fn page(command: clap::Command) -> Result<String, crate::failure::Failure> {
    let mut bytes = Vec::new();
    clap_mangen::Man::new(command).manual("Skipper").render(&mut bytes).doing(|| "write the page".to_owned())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write_pages(command: &clap::Command, name: &str, folder: &Path) -> Result<usize, crate::failure::Failure> {
    let path = folder.join(format!("{name}.1"));
    std::fs::write(&path, page(command.clone().name(name.to_owned()))?)
        .doing(|| format!("write {}", path.display()))?;
    let mut written = 1;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        written += write_pages(sub, &format!("{name}-{}", sub.get_name()), folder)?;
    }
    Ok(written)
}
