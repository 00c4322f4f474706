use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use skipper_server::api::own::wire::PackageRef;

use super::{Context, local};
use crate::failure::Failure;

/// What the word for a package means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PackageArg {
    /// A folder or zip on this machine.
    Path(PathBuf),
    /// One the server knows.
    Known(PackageRef),
}

/// Reads `name`, `name@version`, `repository/name`, `./folder`, `file.zip`.
///
/// A bare word is always a name, so that a folder that happens to be called the same changes nothing.
///
/// # Errors
///
/// A version given twice.
pub(crate) fn parse(
    word: &str,
    version: Option<&str>,
    repository: Option<&str>,
    exists: impl Fn(&Path) -> bool,
) -> Result<PackageArg, Failure> {
    let path = Path::new(word);
    let looks_like_path = ["./", "../", "/", "~/"].iter().any(|p| word.starts_with(p))
        || word == "."
        || word == ".."
        || word.ends_with(".zip");
    if looks_like_path || (word.contains('/') && exists(path)) {
        if version.is_some() {
            return Err(Failure::usage(format!("--package-version is for packages on the server; `{word}` is a path"))
                .hint("the version is in its package.yml"));
        }
        return Ok(PackageArg::Path(path.to_owned()));
    }
    let (front, name) = match word.split_once('/') {
        Some((front, name)) => (Some(front), name),
        None => (None, word),
    };
    let (name, at) = match name.split_once('@') {
        Some((name, at)) => (name, Some(at)),
        None => (name, None),
    };
    if let (Some(at), Some(version)) = (at, version)
        && at != version
    {
        return Err(Failure::usage(format!("the version is given twice: {at} and {version}")));
    }
    Ok(PackageArg::Known(PackageRef {
        repository: front.or(repository).map(str::to_owned),
        name: name.to_owned(),
        version: at.or(version).map(str::to_owned),
    }))
}

/// The package as the server knows it; a path is uploaded first.
///
/// # Errors
///
/// What is wrong with the package on this machine, or what the server says.
pub(crate) async fn resolve(
    context: &Context,
    word: &str,
    version: Option<&str>,
    repository: Option<&str>,
) -> Result<PackageRef, Failure> {
    match parse(word, version, repository, |path| context.surroundings.resolve(path).exists())? {
        PackageArg::Known(known) => Ok(known),
        PackageArg::Path(path) => {
            let (package, fresh) = local::upload(context, &path, repository.unwrap_or(local::LOCAL_REPOSITORY)).await?;
            if fresh {
                context.out.note(&format!("uploaded {} {} to {}", package.name, package.version, package.repository));
            }
            Ok(PackageRef { repository: Some(package.repository), name: package.name, version: Some(package.version) })
        }
    }
}

/// The package for a plan: one the server knows, or the zip of one on this machine, in base64. Nothing is uploaded.
///
/// # Errors
///
/// As [`resolve`].
pub(crate) fn for_plan(
    context: &Context,
    word: &str,
    version: Option<&str>,
    repository: Option<&str>,
) -> Result<(Option<PackageRef>, Option<String>), Failure> {
    match parse(word, version, repository, |path| context.surroundings.resolve(path).exists())? {
        PackageArg::Known(known) => Ok((Some(known), None)),
        PackageArg::Path(path) => Ok((None, Some(STANDARD.encode(local::pack(context, &path)?.bytes)))),
    }
}

/// Adds to "there is no such package" that a folder of that name is here, where there is one.
pub(crate) fn or_folder(context: &Context, word: &str, failure: Failure) -> Failure {
    let here = failure.code.as_deref() == Some("package-not-found")
        && Path::new(word).components().count() == 1
        && context.surroundings.resolve(Path::new(word)).join("package.yml").exists();
    if here {
        failure.hint(format!("`{word}` alone is a package of the server; the folder here is `./{word}`"))
    } else {
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &str, expected: &str) {
        let shown = match parse(word, None, None, |path| path == Path::new("here/pkg")).expect("understood") {
            PackageArg::Path(path) => format!("path {}", path.display()),
            PackageArg::Known(p) => {
                format!("{}/{}@{}", p.repository.unwrap_or("*".into()), p.name, p.version.unwrap_or("*".into()))
            }
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_word_is_a_name_and_anything_with_a_path_in_it_a_path() {
        check("hello", "*/hello@*");
        check("hello@1.0.1", "*/hello@1.0.1");
        check("experimental/hello", "experimental/hello@*");
        check("experimental/hello@2.0.0", "experimental/hello@2.0.0");
        check("./hello", "path ./hello");
        check("here/pkg", "path here/pkg");
        check("hello-1.0.0.zip", "path hello-1.0.0.zip");
        check(".", "path .");
    }

    #[test]
    fn two_versions_are_a_contradiction() {
        assert!(parse("hello@1.0.0", Some("2.0.0"), None, |_| false).is_err());
        assert!(parse("hello@1.0.0", Some("1.0.0"), None, |_| false).is_ok());
        assert!(parse("./hello", Some("1.0.0"), None, |_| false).is_err());
    }
}
