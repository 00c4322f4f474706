//! Publishing and removing packages by the rules of Spring's API: a version is there once, what a package is called must be
//! what is inside, and a name goes with all its versions.

use skipper_core::{
    name::{PackageName, ReleaseName, TenantName},
    policy::Action,
    release::Door,
};
use skipper_source::Package;

use super::{
    Caller, find,
    packages::{self, Entry},
};
use crate::{
    app::App,
    error::{Code, Error},
};

/// Most versions of one name that are looked at.
const VERSIONS: u32 = 1000;

/// A package, and what it is said to be.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Where to.
    pub repository: String,
    /// The name that it must have inside.
    pub name: String,
    /// The version that it must have inside.
    pub version: String,
    /// The zip.
    pub bytes: Vec<u8>,
}

/// Publishes a package that is not there yet.
///
/// # Errors
///
/// [`Code::RepositoryNotFound`], [`Code::RepositoryReadOnly`]; [`Code::PackageExists`], whatever is in it;
/// [`Code::NameInUse`] when it is called otherwise inside; [`Code::PackageInvalid`].
///
/// # Cancel safety
///
/// Safe to drop: it is published as a whole or not at all.
pub async fn publish(app: &App, caller: &Caller, wanted: Publish) -> Result<Entry, Error> {
    caller.may_all(Action::ManagePackages)?;
    let Publish { repository, name, version, bytes } = wanted;
    let listed = packages::writable(app, &repository).await?;
    if let Ok(known) = PackageName::new(name.clone())
        && app.store.package_get(&listed, &known, &version).await?.is_some()
    {
        return Err(Error::new(
            Code::PackageExists,
            format!("package {name} {version} is in repository `{repository}` already"),
        ));
    }
    let (bytes, said) = inside(bytes).await?;
    if said != (name.clone(), version.clone()) {
        let (inner, number) = said;
        let message = format!(
            "Package definition in the request [{name}:{version}] differs from one inside the package.yml [{inner}:{number}]"
        );
        return Err(Error::new(Code::NameInUse, message));
    }
    packages::upload(app, caller, &repository, bytes).await
}

/// What a package calls itself.
async fn inside(bytes: Vec<u8>) -> Result<(Vec<u8>, (String, String)), Error> {
    let reading = tokio::task::spawn_blocking(move || {
        let package = Package::from_zip(&bytes)
            .map_err(|wrong| Error::new(Code::PackageInvalid, format!("the package cannot be read: {wrong}")))?;
        let metadata = package.metadata().map_err(|faults| {
            crate::error::package_faults(Code::PackageInvalid, "the package is not valid", &faults)
        })?;
        Ok((bytes, (metadata.name.to_string(), metadata.version.clone())))
    });
    reading.await.map_err(Error::internal)?
}

/// Removes every version of a package.
///
/// # Errors
///
/// As [`removable`].
///
/// # Cancel safety
///
/// Dropping it may leave some versions there and others not; remove again.
pub async fn remove_all(app: &App, caller: &Caller, name: &str) -> Result<(), Error> {
    let all = removable(app, caller, name, None).await?;
    remove(app, caller, all).await
}

/// Removes versions that [`removable`] found.
///
/// # Errors
///
/// [`Code::PackageInUse`] when a release has come to use one meanwhile.
///
/// # Cancel safety
///
/// As [`remove_all`].
pub async fn remove(app: &App, caller: &Caller, all: Vec<Entry>) -> Result<(), Error> {
    for entry in all {
        packages::remove(app, caller, entry.repository.as_str(), entry.name.as_str(), &entry.version).await?;
    }
    Ok(())
}

/// Every version of a package, where all of them can go: they are in a repository that is written to, and no release that
/// is not deleted is made of one, other than `except`.
///
/// # Errors
///
/// [`Code::PackageNotFound`]; [`Code::RepositoryReadOnly`] with the repository's name as its hint; [`Code::PackageInUse`] with
/// a sentence for each version.
pub async fn removable(
    app: &App,
    caller: &Caller,
    name: &str,
    except: Option<(&TenantName, &ReleaseName)>,
) -> Result<Vec<Entry>, Error> {
    caller.may_all(Action::ManagePackages)?;
    // What is built in too.
    let all: Vec<Entry> = match PackageName::new(name) {
        Ok(known) => app.store.package_versions(None, &known, VERSIONS).await?.into_iter().map(Entry::from).collect(),
        Err(_) => Vec::new(),
    };
    if all.is_empty() {
        return Err(Error::new(Code::PackageNotFound, format!("there is no package `{name}`")));
    }
    for entry in &all {
        if let Err(error) = packages::writable(app, entry.repository.as_str()).await {
            return Err(error.hint(entry.repository.to_string()));
        }
    }
    let users = app.store.package_users(name).await?;
    let mut sentences = Vec::new();
    for entry in &all {
        let active: Vec<&str> = users
            .iter()
            .filter(|user| user.repository == entry.repository.as_str() && user.version == entry.version)
            .filter(|user| except != Some((&user.tenant, &user.release)))
            .map(|user| user.release.as_str())
            .collect();
        if !active.is_empty() {
            sentences.push(format!(
                "Can not delete Package Metadata [{name}:{}] in Repository [{}]. Not all releases of this package have \
                 the status DELETED. Active Releases [{}]",
                entry.version,
                entry.repository,
                active.join(",")
            ));
        }
    }
    if sentences.is_empty() { Ok(all) } else { Err(Error::new(Code::PackageInUse, sentences.join(","))) }
}

/// The package that the version of a release is made of which a delete would take away.
///
/// # Errors
///
/// As [`super::versions::to_delete`].
pub async fn package_of(app: &App, caller: &Caller, tenant: &TenantName, name: &ReleaseName) -> Result<String, Error> {
    let version = super::versions::to_delete(app, caller, tenant, name).await?;
    let release = find::release(app, tenant, name).await?;
    let source = version.stored.made_of.as_ref().unwrap_or(&version.stored.source);
    match source {
        skipper_core::release::Source::Package { name, .. } if release.door == Door::Releases => Ok(name.clone()),
        _ => Err(Error::new(Code::PackageNotFound, format!("release `{name}` was not made of a package"))),
    }
}
