use std::{io::Write as _, path::PathBuf};

use clap::ValueHint;

use super::super::{Context, local};
use crate::failure::{Doing as _, Done, writing};

/// Arguments of `package build`.
#[derive(Debug, clap::Args)]
#[command(after_help = "The same package always gives the same bytes.")]
pub(crate) struct Build {
    /// Folder or zip
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    path: PathBuf,
    /// File or folder to write to, `-` for standard output [default: NAME-VERSION.zip here]
    #[arg(long, short, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    output: Option<PathBuf>,
}

impl Build {
    pub(super) fn run(self, context: &Context) -> Done {
        let built = local::build(&local::read(context, &self.path, None)?, &self.path)?;
        let name = format!("{}-{}.zip", built.metadata.name, built.metadata.version);
        let given = self.output.unwrap_or_default();
        if given.as_os_str() == "-" {
            let mut out = std::io::stdout().lock();
            return out.write_all(&built.bytes).and_then(|()| out.flush()).map_err(|error| writing(&error));
        }
        let full = context.surroundings.resolve(&given);
        let (path, shown) = if given.as_os_str().is_empty() || full.is_dir() {
            (full.join(&name), given.join(&name))
        } else {
            (full, given)
        };
        super::download::write_whole(&path, &built.bytes).doing(|| format!("write {}", shown.display()))?;
        if context.out.json {
            return context.out.json(&serde_json::json!({
                "name": built.metadata.name, "version": built.metadata.version.to_string(), "path": shown,
                "sha256": built.sha256, "size": built.bytes.len(),
            }));
        }
        context.out.line(&format!("{}  {}", built.sha256, shown.display()))
    }
}
