use std::path::PathBuf;

use clap::ValueHint;
use skipper_core::name::PackageName;

use super::super::Context;
use crate::failure::{Doing as _, Done, Failure};

/// Arguments of `package create`.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Name of the package
    #[arg(value_name = "NAME")]
    name: PackageName,
    /// Folder to make [default: the name]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

impl Create {
    pub(super) fn run(self, context: &Context) -> Done {
        let shown = self.dir.unwrap_or_else(|| PathBuf::from(self.name.as_str()));
        let dir = context.surroundings.resolve(&shown);
        if std::fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Failure::error(format!("{} is not empty; nothing was written", shown.display()))
                .hint("name another folder: skipper package create NAME DIR"));
        }
        for file in skipper_source::scaffold::files(&self.name) {
            let path = dir.join(&file.path);
            let folder = path.parent().unwrap_or(&dir);
            std::fs::create_dir_all(folder).doing(|| format!("create {}", folder.display()))?;
            std::fs::write(&path, &file.bytes).doing(|| format!("write {}", path.display()))?;
        }
        if context.out.json {
            return context.out.json(&serde_json::json!({"name": self.name, "path": shown}));
        }
        context.out.line(&format!("created {}", shown.display()))?;
        let place = shown.display();
        context.out.next(&format!(
            "look at it: `skipper package render {place}`; run it: `skipper install {} ./{place}`",
            self.name
        ));
        Ok(())
    }
}
