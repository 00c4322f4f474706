//! Reads what was asked of a release.

use skipper_core::{
    name::{ReleaseName, TenantName},
    policy::Action,
};
use skipper_store::HistoryEntry;

use super::{Caller, find};
use crate::{app::App, error::Error};

/// Everything that was asked of a release, newest first, and how it went.
///
/// # Errors
///
/// There is no such release.
pub async fn history(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    name: &ReleaseName,
    limit: u32,
    before: Option<i64>,
) -> Result<Vec<HistoryEntry>, Error> {
    caller.may(Action::Read, tenant)?;
    let release = find::release(app, tenant, name).await?;
    Ok(app.timed("history", app.store.history(release.id, limit, before)).await?)
}
