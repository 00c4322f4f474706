use std::path::PathBuf;

use clap::ValueHint;

use super::super::{Context, local};
use crate::{complete, failure::Done};

/// Arguments of `upload`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A version is uploaded once: the same content again changes nothing, other content under the same version is refused.")]
pub(crate) struct Upload {
    /// Folder or zip
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath, required_unless_present = "spring_path")]
    path: Option<PathBuf>,
    #[arg(long = "path", value_name = "PATH", hide = true, conflicts_with = "path")]
    spring_path: Option<PathBuf>,
    /// Repository to upload to
    #[arg(long, value_name = "REPOSITORY", visible_alias = "repo-name", default_value = local::LOCAL_REPOSITORY, add = complete::repositories())]
    repository: String,
}

impl Upload {
    pub(crate) async fn run(self, context: &Context) -> Done {
        let path = self.path.or(self.spring_path).unwrap_or_default();
        let (package, fresh) = local::upload(context, &path, &self.repository).await?;
        if context.out.json {
            return context.out.json(&package);
        }
        let said = if fresh { "uploaded" } else { "already there:" };
        context.out.line(&format!(
            "{said} {}/{} {}  sha256:{}",
            package.repository,
            package.name,
            package.version,
            package.sha256.as_deref().unwrap_or_default()
        ))?;
        context.out.next(&format!(
            "install it: `skipper install NAME {} --package-version {}`",
            package.name, package.version
        ));
        Ok(())
    }
}
