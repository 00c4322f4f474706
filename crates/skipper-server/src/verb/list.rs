//! Lists releases.

use skipper_core::{
    id::ReleaseId,
    name::{ReleaseName, TenantName},
    policy::Action,
    release::Source,
    rollout::Rollout,
};
use skipper_store::{ByMetadata, ListedRelease};

use super::{Caller, find};
use crate::{app::App, error::Error};

/// A release in the list.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The release.
    pub listed: ListedRelease,
    /// The package of the serving, else of the newest revision.
    pub package: Option<Source>,
    /// The open rollout.
    pub rollout: Option<Rollout>,
}

/// What of the list is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Only those whose name holds this text.
    pub q: Option<&'a str>,
    /// Only those of which a document has this key and value in its `metadata`.
    pub metadata: Option<(&'a str, &'a str)>,
    /// Deleted ones too.
    pub deleted: bool,
    /// After this one.
    pub after: Option<&'a ReleaseName>,
    /// At most this many.
    pub limit: u32,
}

/// Releases by name.
///
/// # Errors
///
/// Only the store's.
pub async fn list(app: &App, caller: &Caller, tenant: &TenantName, wanted: Wanted<'_>) -> Result<Vec<Listed>, Error> {
    caller.may(Action::Read, tenant)?;
    let Wanted { q, metadata, deleted, after, limit } = wanted;
    let found = if let Some((key, value)) = metadata {
        let by = ByMetadata { key, value, q, deleted };
        app.timed("release_list_by_metadata", app.store.release_list_by_metadata(tenant, by, after, limit)).await?
    } else if deleted {
        app.timed("release_list_all", app.store.release_list_all(tenant, q, after, limit)).await?
    } else {
        app.timed("release_list", app.store.release_list(tenant, q, after, limit)).await?
    };
    let mut items = Vec::with_capacity(found.len());
    for listed in found {
        let id = listed.release.id;
        let number = listed.release.serving.unwrap_or(listed.release.last_revision);
        let newest = app.store.revision_list(id, Some(number + 1), 1).await?.pop();
        let package = match newest {
            Some(revision) => find::package_of(app, id, &revision.source).await?,
            None => None,
        };
        let rollout = if listed.open.is_some() { open_rollout(app, id).await } else { None };
        items.push(Listed { listed, package, rollout });
    }
    Ok(items)
}

/// The open rollout, if it can be read: one that cannot must not hide every other release.
async fn open_rollout(app: &App, release: ReleaseId) -> Option<Rollout> {
    app.store.rollout_open(release).await.unwrap_or_else(|error| {
        let cause: &dyn std::error::Error = &error;
        tracing::error!(release.id = %release, error = cause, "read the open rollout of a release for the list");
        None
    })
}
