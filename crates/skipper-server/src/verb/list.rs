//! Lists releases.

use skipper_core::{
    name::{ReleaseName, TenantName},
    policy::Action,
    release::Source,
    rollout::Rollout,
};
use skipper_store::ListedRelease;

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

/// Releases by name, after `after`; with `q`, those whose name holds it.
///
/// # Errors
///
/// Only the store's.
pub async fn list(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    q: Option<&str>,
    after: Option<&ReleaseName>,
    limit: u32,
) -> Result<Vec<Listed>, Error> {
    caller.may(Action::Read, tenant)?;
    let mut items = Vec::new();
    for listed in app.timed("release_list", app.store.release_list(tenant, q, after, limit)).await? {
        let id = listed.release.id;
        let number = listed.release.serving.unwrap_or(listed.release.last_revision);
        let newest = app.store.revision_list(id, Some(number + 1), 1).await?.pop();
        let package = match newest {
            Some(revision) => find::package_of(app, id, &revision.source).await?,
            None => None,
        };
        let rollout = if listed.open.is_some() { app.store.rollout_open(id).await? } else { None };
        items.push(Listed { listed, package, rollout });
    }
    Ok(items)
}
