use std::path::{Path, PathBuf};

use clap::ValueHint;

use super::super::{Context, local};
use crate::{
    complete,
    failure::{Done, Exit, Failure},
};

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

/// Spring's shell takes name and version from the name of the file, so that both must be those of the package.
fn named_alike(context: &Context, path: &Path) -> Done {
    if !context.surroundings.resolve(path).exists() {
        return Err(Failure::new(Exit::NotFound, format!("File Not found: {}", path.display())));
    }
    let Some((name, version)) = path.file_name().and_then(|name| name.to_str()).and_then(by_file_name) else {
        return Ok(());
    };
    let inside = local::pack(context, path)?.metadata;
    let (found, number) = (inside.name.as_str(), inside.version.to_string());
    if (name.as_str(), version.as_str()) == (found, number.as_str()) {
        return Ok(());
    }
    Err(Failure::error(format!(
        "Package definition in the request [{name}:{version}] differs from one inside the package.yml [{found}:{number}]"
    ))
    .hint("rename the file to NAME-VERSION.zip, as its package.yml has them"))
}

/// `log-sink-1.0.0.zip`: the name before the last dash, the version behind it.
fn by_file_name(file: &str) -> Option<(String, String)> {
    let (name, rest) = file.rsplit_once('-')?;
    let (_, extension) = rest.rsplit_once('.')?;
    if name.is_empty() || !extension.eq_ignore_ascii_case("zip") {
        return None;
    }
    Some((name.to_owned(), rest.replace(&format!(".{extension}"), "")))
}

impl Upload {
    pub(crate) async fn run(self, context: &Context) -> Done {
        let by_spring = context.out.guide || self.spring_path.is_some();
        let path = self.path.or(self.spring_path).unwrap_or_default();
        if by_spring {
            named_alike(context, &path)?;
        }
        let (package, fresh) = local::upload(context, &path, &self.repository).await?;
        if context.out.json {
            return context.out.json(&package);
        }
        let sentence = format!("Package uploaded successfully:[{}:{}]", package.name, package.version);
        if context.out.guide {
            return context.out.line(&sentence);
        }
        let said = if fresh { "uploaded" } else { "already there:" };
        context.out.line(&format!(
            "{said} {}/{} {}  sha256:{}",
            package.repository,
            package.name,
            package.version,
            package.sha256.as_deref().unwrap_or_default()
        ))?;
        context.out.line(&sentence)?;
        context.out.next(&format!(
            "install it: `skipper install NAME {} --package-version {}`",
            package.name, package.version
        ));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_version_are_parted_at_the_last_dash() {
        let read = |file: &str| by_file_name(file).map(|(name, version)| format!("{name} {version}"));
        assert_eq!(read("log-1.0.0.zip").as_deref(), Some("log 1.0.0"));
        assert_eq!(read("log-sink-2.0.zip").as_deref(), Some("log-sink 2.0"));
        assert_eq!(read("log-1.0.0.RELEASE.zip").as_deref(), Some("log 1.0.0.RELEASE"));
        for other in ["log.zip", "log-1.0.0", "folder", "-1.0.0.zip", "log-1.0.0.tgz"] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
