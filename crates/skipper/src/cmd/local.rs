//! Packages on this machine: read, checked, and brought to the server when a verb is given a path.

use std::path::Path;

use skipper_core::Sha256;
use skipper_server::api::own::wire::PackageView;
use skipper_source::{Archive, Built};

use super::Context;
use crate::{
    client::Call,
    failure::{Doing as _, Exit, Failure},
};

/// The repository that people upload to.
pub(crate) const LOCAL_REPOSITORY: &str = "local";

/// Largest archive that is read: the server takes no larger one either.
const MAX_ARCHIVE: u64 = 256 << 20;

/// Reads a package from a folder or a zip.
///
/// # Errors
///
/// What the file system says, or what is wrong with the package.
pub(crate) fn read(context: &Context, path: &Path) -> Result<Archive, Failure> {
    open(context, path).map(|(archive, _)| archive)
}

/// The same, with the bytes of a zip.
fn open(context: &Context, path: &Path) -> Result<(Archive, Option<Vec<u8>>), Failure> {
    let full = context.surroundings.resolve(path);
    let meta = std::fs::metadata(&full).map_err(|error| {
        Failure::new(Exit::NotFound, format!("there is no package at {}: {error}", path.display()))
            .hint("name a folder with a package.yml, or a zip; `skipper package create NAME` makes one")
    })?;
    let unreadable = |error| Failure::error(format!("{}: {}", path.display(), crate::failure::chain(&error)));
    if meta.is_dir() {
        return Archive::from_dir(&full).map(|archive| (archive, None)).map_err(unreadable);
    }
    if meta.len() > MAX_ARCHIVE {
        return Err(Failure::error(format!("{} is larger than {} MiB", path.display(), MAX_ARCHIVE >> 20)));
    }
    let bytes = std::fs::read(&full).doing(|| format!("read {}", path.display()))?;
    Archive::from_zip(&bytes).map(|archive| (archive, Some(bytes))).map_err(unreadable)
}

/// A package ready to be sent: a folder is zipped, a zip stays as it is, so that its digest is that of the file.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn pack(context: &Context, path: &Path) -> Result<Built, Failure> {
    let (archive, zip) = open(context, path)?;
    let built = build(&archive, path)?;
    Ok(match zip {
        Some(bytes) => Built { sha256: Sha256::of(&bytes), bytes, ..built },
        None => built,
    })
}

/// Zips a package.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn build(archive: &Archive, path: &Path) -> Result<Built, Failure> {
    skipper_source::build(archive).map_err(|faults| faulty(path, &faults))
}

/// Findings as an error.
pub(crate) fn faulty(path: &Path, faults: &impl std::fmt::Display) -> Failure {
    Failure::error(format!("the package at {} has faults\n{faults}", path.display()))
}

/// Findings that are no errors, one a line.
pub(crate) fn warnings(context: &Context, findings: &[skipper_source::Finding]) {
    for finding in findings {
        context.out.note(&finding.to_string());
    }
}

/// Brings a package to the local repository. The same archive that is there already is used as it is; another one under
/// the same version is refused, because a version that was released never changes.
///
/// # Errors
///
/// What is wrong with the package, or what the server says.
pub(crate) async fn upload(context: &Context, path: &Path, repository: &str) -> Result<(PackageView, bool), Failure> {
    let built = pack(context, path)?;
    let (name, version) = (built.metadata.name.as_str(), built.metadata.version.clone());
    let client = context.client()?;
    let there = Call::get(&["v1", "packages", repository, name, &version]);
    match client.ask::<PackageView>(&there).await {
        Ok(package) if package.sha256.as_deref() == Some(&built.sha256.to_string()) => return Ok((package, false)),
        Ok(_) => {
            return Err(Failure::error(format!(
                "{repository} has a {name} {version} already, with other content than {}",
                path.display()
            ))
            .hint(format!(
                "raise `version` in package.yml, or remove the old one with `skipper package remove \
                 {repository}/{name} {version}` if no release uses it"
            )));
        }
        Err(failure) if failure.exit == Exit::NotFound => {}
        Err(failure) => return Err(failure),
    }
    let call = Call::post(&["v1", "packages"]).query("repository", repository).bytes("application/zip", built.bytes);
    Ok((client.ask(&call).await?, true))
}
