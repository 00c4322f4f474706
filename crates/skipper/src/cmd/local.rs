//! Packages on this machine: read, checked, and brought to the server when a verb is given a path.

use std::path::{Path, PathBuf};

use skipper_core::Sha256;
use skipper_server::api::own::wire::PackageView;
use skipper_source::{Archive, Built, Package, Renderer};

use super::Context;
use crate::{
    client::Call,
    failure::{Doing as _, Exit, Failure},
};

/// The repository that people upload to.
pub(crate) const LOCAL_REPOSITORY: &str = "local";

/// Largest archive that is read: the server takes no larger one either.
const MAX_ARCHIVE: u64 = 256 << 20;

/// A package on this machine.
#[derive(Debug)]
pub(crate) struct Local {
    /// What it holds.
    pub(crate) package: Package,
    /// The bytes, where it is a zip.
    zip: Option<Vec<u8>>,
    /// Where it is.
    full: PathBuf,
}

/// Reads a package from a folder or a zip; by its own format, or to be rendered by that renderer.
///
/// # Errors
///
/// What the file system says, or what is wrong with the package.
pub(crate) fn read(context: &Context, path: &Path, renderer: Option<Renderer>) -> Result<Local, Failure> {
    let full = context.surroundings.resolve(path);
    let meta = std::fs::metadata(&full).map_err(|error| {
        Failure::new(Exit::NotFound, format!("there is no package at {}: {error}", path.display()))
            .hint("name a folder with a package.yml, or a zip; `skipper package create NAME` makes one")
    })?;
    let unreadable = |error| Failure::error(format!("{}: {}", path.display(), crate::failure::chain(&error)));
    if meta.is_dir() {
        let package = Package::from_dir(&full, renderer).map_err(unreadable)?;
        return Ok(Local { package, zip: None, full });
    }
    if meta.len() > MAX_ARCHIVE {
        return Err(Failure::error(format!("{} is larger than {} MiB", path.display(), MAX_ARCHIVE >> 20)));
    }
    let bytes = std::fs::read(&full).doing(|| format!("read {}", path.display()))?;
    let package = Package::of_zip(&bytes, renderer).map_err(unreadable)?;
    Ok(Local { package, zip: Some(bytes), full })
}

/// A package ready to be sent: a folder is zipped, a zip stays as it is, so that its digest is that of the file.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn pack(context: &Context, path: &Path) -> Result<Built, Failure> {
    let local = read(context, path, None)?;
    match &local.zip {
        Some(bytes) => built(&local, path, bytes.clone()),
        None => build(&local, path),
    }
}

/// Zips a package. The zip of a package of the field stays as it is, since other programs read it by the letter.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn build(local: &Local, path: &Path) -> Result<Built, Failure> {
    if let Some(archive) = local.package.native() {
        return skipper_source::build(archive).map_err(|faults| faulty(path, &faults));
    }
    if let Some(bytes) = &local.zip {
        return built(local, path, bytes.clone());
    }
    let unreadable = |error| Failure::error(format!("{}: {}", path.display(), crate::failure::chain(&error)));
    let archive = Archive::from_dir(&local.full).map_err(unreadable)?;
    let metadata = local.package.metadata().map_err(|faults| faulty(path, &faults))?;
    built(local, path, archive.to_zip(&format!("{}-{}", metadata.name, metadata.version)))
}

fn built(local: &Local, path: &Path, bytes: Vec<u8>) -> Result<Built, Failure> {
    let metadata = local.package.metadata().map_err(|faults| faulty(path, &faults))?;
    Ok(Built { metadata, sha256: Sha256::of(&bytes), bytes })
}

/// Findings as an error.
pub(crate) fn faulty(path: &Path, faults: &impl std::fmt::Display) -> Failure {
    Failure::error(format!("the package at {} has faults\n{faults}", path.display()))
}

/// Findings that are no errors, one a line.
pub(crate) fn warnings(context: &Context, findings: &[skipper_source::Finding]) {
    let mut said = std::collections::BTreeSet::new();
    for text in findings.iter().map(ToString::to_string) {
        // Several documents may have the same fault.
        if said.insert(text.clone()) {
            context.out.note(&text);
        }
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
