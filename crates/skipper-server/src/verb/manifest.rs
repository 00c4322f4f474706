//! Reads one revision and its manifest.

use skipper_core::{
    name::{ReleaseName, TenantName},
    policy::Action,
    release::{Release, Revision},
};

use skipper_store::HistoryEntry;

use super::{Caller, diff::unresolved, find};
use crate::{app::App, error::Error};

/// One revision, with its release and what brought it about.
///
/// # Errors
///
/// There is no such release or revision.
pub async fn revision(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    name: &ReleaseName,
    number: u64,
) -> Result<(Release, Revision, Option<HistoryEntry>), Error> {
    let (release, revision) = found(app, caller, tenant, name, number).await?;
    let history = app.store.history_of(release.id, number).await?;
    Ok((release, revision, history))
}

/// The text of a revision's manifest.
///
/// # Errors
///
/// As [`revision`]; and it may not be resolved yet.
pub async fn manifest(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    name: &ReleaseName,
    number: u64,
) -> Result<String, Error> {
    let (release, revision) = found(app, caller, tenant, name, number).await?;
    revision.manifest.ok_or_else(|| unresolved(&release.name, number))
}

async fn found(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    name: &ReleaseName,
    number: u64,
) -> Result<(Release, Revision), Error> {
    caller.may(Action::Read, tenant)?;
    let release = find::release(app, tenant, name).await?;
    let revision = find::revision(app, &release, number).await?;
    Ok((release, revision))
}
