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
A version is uploaded once: the same content again changes nothing, and is refused in the shell and with --path; other content
under the same version is refused everywhere. A zip whose file is called as one of another name or version, as
NAME-VERSION.zip, is refused too.")]
pub(crate) struct Upload {
    /// Folder or zip
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath, required_unless_present = "spring_path")]
    path: Option<PathBuf>,
    /// The same by name: the zip, or the folder
    #[arg(long = "path", value_name = "PATH", hide = true, conflicts_with = "path")]
    spring_path: Option<PathBuf>,
    /// Repository to upload to
    #[arg(long, value_name = "REPOSITORY", visible_alias = "repo-name", default_value = local::LOCAL_REPOSITORY, add = complete::repositories())]
    repository: String,
}

/// Spring's shell takes name and version from the name of the file, so that both must be those of the package. A dash may
/// be part of either.
fn named_alike(context: &Context, path: &Path) -> Result<Option<Failure>, Failure> {
    let stem = path.file_name().and_then(|name| name.to_str()).and_then(stem);
    let Some((name, version)) = stem.and_then(|stem| stem.rsplit_once('-')) else { return Ok(None) };
    let inside = local::pack(context, path)?.metadata;
    let (found, number) = (inside.name.as_str(), inside.version.to_string());
    if stem.is_some_and(|stem| *stem == format!("{found}-{number}")) {
        return Ok(None);
    }
    let text = format!(
        "Package definition in the request [{name}:{version}] differs from one inside the package.yml [{found}:{number}]"
    );
    Ok(Some(Failure::error(text).hint(format!("rename the file to {found}-{number}.zip, or change its package.yml"))))
}

/// `log-sink-1.0.0.zip` without its end; `None` where that is not the name of a package's zip.
fn stem(file: &str) -> Option<&str> {
    let (stem, extension) = file.rsplit_once('.')?;
    let has_both = stem.split_once('-').is_some_and(|(name, version)| !name.is_empty() && !version.is_empty());
    (has_both && extension.eq_ignore_ascii_case("zip")).then_some(stem)
}

impl Upload {
    pub(crate) async fn run(self, context: &Context) -> Done {
        let by_spring = context.out.guide || self.spring_path.is_some();
        let path = self.path.or(self.spring_path).unwrap_or_default();
        if by_spring && !context.surroundings.resolve(&path).exists() {
            return Err(Failure::new(Exit::NotFound, format!("File Not found: {}", path.display())));
        }
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if by_spring && !extension.eq_ignore_ascii_case("zip") && context.surroundings.resolve(&path).is_file() {
            return Err(Failure::error(format!("Extension must be 'zip', not {extension}")));
        }
        if let Some(refused) = named_alike(context, &path)? {
            return Err(refused);
        }
        let (package, fresh) = local::upload(context, &path, &self.repository).await?;
        if by_spring && !fresh {
            return Err(Failure::error(format!(
                "Failed to upload the package. Package [{}:{}] in Repository [{}] already exists.",
                package.name, package.version, package.repository
            )));
        }
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
        if fresh {
            context.out.line(&sentence)?;
        }
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
    fn the_names_of_zips_are_told_from_other_names() {
        for (file, read) in [
            ("log-1.0.0.zip", "log-1.0.0"),
            ("log-sink-2.0.ZIP", "log-sink-2.0"),
            ("log-1.0.0.BUILD-SNAPSHOT.zip", "log-1.0.0.BUILD-SNAPSHOT"),
        ] {
            assert_eq!(stem(file), Some(read));
        }
        for other in ["log.zip", "log-1.0.0", "folder", "-1.0.0.zip", "log-1.0.0.tgz", "log-.zip"] {
            assert_eq!(stem(other), None, "{other}");
        }
    }
}
