//! Finds, publishes and removes packages.

use std::sync::Arc;

use serde_json::Value;
use skipper_core::{
    name::{PackageName, PlatformName, RepositoryName},
    policy::Action,
    release::Source,
    spec::Target,
};
use skipper_source::{Package, index, maven_key};
use skipper_store::NewPackage;

use super::{Caller, find};
pub use crate::repository::{Chosen, Cursor, Entry, Listed, Search, Wanted};
use crate::{
    app::App,
    error::{Code, Error, package_faults},
    repository::{metadata_json, words},
};

/// A package with what is inside.
#[derive(Debug, Clone)]
pub struct Detail {
    /// Its entry.
    pub entry: Entry,
    /// Its own values, as YAML text.
    pub values: String,
    /// The schema of its values.
    pub schema: Option<Value>,
    /// Names of its templates.
    pub templates: Vec<String>,
    /// Its readme.
    pub readme: Option<String>,
    /// Releases that serve a revision made of it.
    pub used_by: Vec<String>,
}

/// Releases that are looked at for the users of a package, and users that are named.
const LOOKED_AT: u32 = 1000;
const NAMED: usize = 20;

/// The package that is meant. Rules about who may install are the verb's.
pub(super) async fn choose(app: &App, wanted: &Wanted) -> Result<Chosen, Error> {
    app.resolver.repositories().choose(wanted).await
}

/// Refuses the name of a platform that is not configured.
pub(super) fn known_platform(app: &App, named: Option<&PlatformName>) -> Result<(), Error> {
    let Some(named) = named else { return Ok(()) };
    if app.platforms.get(&Target(named.clone())).is_some() {
        return Ok(());
    }
    // `platform list` of Spring's shell calls the usual one so.
    let usual = |target: &Target| target.0 == app.default_platform && target.0.as_str() == "local";
    let known = app.platforms.iter().map(|(target, _)| match usual(target) {
        true => format!("{target} (or `default`)"),
        false => target.to_string(),
    });
    let known: Vec<String> = known.collect();
    Err(Error::new(Code::PlatformNotFound, format!("there is no platform account `{named}`"))
        .hint(format!("there is {}", known.join(", "))))
}

/// Packages, by page.
///
/// # Errors
///
/// A repository that is named is not there; the policy's and the store's.
pub async fn search(
    app: &App,
    caller: &Caller,
    wanted: &Search,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Vec<Entry>, Error> {
    caller.may_all(Action::Read)?;
    app.resolver.repositories().search(wanted, after, limit).await
}

/// The newest version of a name, if there is one.
///
/// # Errors
///
/// Only the policy's and the store's.
pub async fn newest(app: &App, caller: &Caller, name: &str) -> Result<Option<Entry>, Error> {
    caller.may_all(Action::Read)?;
    let Ok(name) = PackageName::new(name) else { return Ok(None) };
    Ok(app.store.package_latest(None, &name).await?.map(Entry::from))
}

/// The archive of one package.
///
/// # Errors
///
/// There is no such package.
pub async fn archive(app: &App, caller: &Caller, wanted: &Wanted) -> Result<Chosen, Error> {
    caller.may_all(Action::Read)?;
    choose(app, wanted).await
}

/// One package with what is inside.
///
/// # Errors
///
/// There is no such package.
pub async fn get(app: &App, caller: &Caller, wanted: &Wanted) -> Result<Detail, Error> {
    let chosen = archive(app, caller, wanted).await?;
    let used_by = users(app, caller, &chosen.entry).await?;
    let Chosen { entry, bytes, .. } = chosen;
    let reading = tokio::task::spawn_blocking(move || Package::from_zip(&bytes));
    let package = reading.await.map_err(Error::internal)?.map_err(Error::internal)?;
    let text = |file: &skipper_source::archive::File| file.text().map(str::to_owned).unwrap_or_default();
    let native = package.native();
    let schema = native
        .and_then(skipper_source::Archive::schema_file)
        .and_then(|file| skipper_source::values::parse_file(&file.path, &text(file)).ok());
    Ok(Detail {
        values: package.values_text().to_owned(),
        schema,
        templates: package.template_paths(),
        readme: native.and_then(skipper_source::Archive::readme).map(str::to_owned),
        used_by,
        entry,
    })
}

/// Releases of the tenants that the caller may know of.
async fn users(app: &App, caller: &Caller, entry: &Entry) -> Result<Vec<String>, Error> {
    let tenants = match caller.actor().tenant() {
        Some(own) => vec![own.clone()],
        None => app.store.tenant_list().await?,
    };
    let mut users = Vec::new();
    for tenant in tenants {
        for listed in app.store.release_list(&tenant, None, None, LOOKED_AT).await? {
            let release = listed.release;
            let Some(number) = release.serving else { continue };
            let Some(revision) = app.store.revision_list(release.id, Some(number + 1), 1).await?.pop() else {
                continue;
            };
            let made_of = find::package_of(app, release.id, &revision.source).await?;
            if let Some(Source::Package { repository, name, version, .. }) = made_of
                && (repository.as_str(), name.as_str(), &version)
                    == (entry.repository.as_str(), entry.name.as_str(), &entry.version)
            {
                users.push(release.name.to_string());
            }
            if users.len() >= NAMED {
                return Ok(users);
            }
        }
    }
    Ok(users)
}

/// Checks a zip and publishes it. The same version with the same contents again is fine.
///
/// # Errors
///
/// The repository is not there or read-only; the archive is broken; the version is there with other contents.
///
/// # Cancel safety
///
/// Safe to drop: it is published as a whole or not at all.
pub async fn upload(app: &App, caller: &Caller, repository: &str, bytes: Vec<u8>) -> Result<Entry, Error> {
    caller.may_all(Action::ManagePackages)?;
    let repository = writable(app, repository).await?;
    if bytes.is_empty() {
        return Err(Error::new(Code::PackageInvalid, "the body is empty; it must be the zip of a package"));
    }
    let bytes = Arc::new(bytes);
    let checking = tokio::task::spawn_blocking({
        let bytes = Arc::clone(&bytes);
        move || {
            let package = Package::from_zip(&bytes)
                .map_err(|wrong| Error::new(Code::PackageInvalid, format!("the package cannot be read: {wrong}")))?;
            let errors: Vec<_> = package
                .lint()
                .into_iter()
                .filter(|finding| finding.severity == skipper_source::Severity::Error)
                .collect();
            let mut findings = skipper_source::Findings::new();
            findings.extend(errors);
            findings
                .into_result()
                .and_then(|_| package.metadata())
                .map_err(|faults| package_faults(Code::PackageInvalid, "the package is not valid", &faults))
        }
    });
    let metadata = checking.await.map_err(Error::internal)??;
    let (name, version) = (metadata.name.clone(), metadata.version.clone());
    if !index::is_version(&version) {
        return Err(Error::new(
            Code::PackageInvalid,
            format!("`{version}` is not a version that can be part of a file's name"),
        )
        .hint("use letters, digits, and . _ - + ~"));
    }
    let metadata = metadata_json(&metadata);
    let sha256 = skipper_core::Sha256::of(&bytes);
    let new = NewPackage {
        repository: repository.clone(),
        name: name.clone(),
        version: version.clone(),
        version_key: maven_key(&version),
        words: words(&metadata),
        metadata,
        archive: Arc::unwrap_or_clone(bytes),
    };
    match app.store.package_upload(new, &caller.provenance).await {
        Ok(package) => Ok(package.into()),
        Err(error @ skipper_store::Error::PackageExists { .. }) => {
            match app.store.package_get(&repository, &name, &version).await? {
                Some(there) if there.sha256 == Some(sha256) => Ok(there.into()),
                _ => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Removes a package that nothing uses.
///
/// # Errors
///
/// It is not there, is built in, or a release uses it.
///
/// # Cancel safety
///
/// Safe to drop: one transaction.
pub async fn remove(app: &App, caller: &Caller, repository: &str, name: &str, version: &str) -> Result<(), Error> {
    caller.may_all(Action::ManagePackages)?;
    let repository = writable(app, repository).await?;
    let name = PackageName::new(name).map_err(|wrong| Error::new(Code::Invalid, wrong.to_string()))?;
    Ok(app.store.package_remove(&repository, &name, version, &caller.provenance).await?)
}

pub(super) async fn writable(app: &App, repository: &str) -> Result<RepositoryName, Error> {
    let found = app.resolver.repositories().repository(repository).await?;
    if found.writable {
        return Ok(found.name);
    }
    Err(Error::new(Code::RepositoryReadOnly, format!("repository `{repository}` cannot be written to"))
        .hint("use the repository `local`"))
}
