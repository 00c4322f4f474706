//! Stops a rollout and has it undone.

use skipper_core::{
    name::{ReleaseName, TenantName},
    policy::Action,
    release::Release,
    rollout::Rollout,
};

use super::{Caller, find};
use crate::{
    app::App,
    error::{Code, Error},
};

/// Asks that the release's rollout be stopped and undone: the one that waits, if there is one, else the open one.
///
/// # Errors
///
/// There is none; it is past the point of no return.
///
/// # Cancel safety
///
/// Safe to drop: the request is stored or not.
pub async fn cancel(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    name: &ReleaseName,
) -> Result<(Release, Rollout), Error> {
    caller.may(Action::Deploy, tenant)?;
    let release = find::release(app, tenant, name).await?;
    let waiting = app.store.rollout_waiting(release.id).await?;
    let open = app.store.rollout_open(release.id).await?;
    let Some(rollout) = waiting.or(open) else {
        return Err(Error::new(Code::NotCancellable, format!("no rollout of release `{name}` is open"))
            .hint(format!("`skipper rollback {name}` goes back to the revision before")));
    };
    app.store.rollout_cancel(rollout.id, &caller.provenance).await?;
    app.engine.wake();
    let rollout = app.store.rollout_get(rollout.id).await?.unwrap_or(rollout);
    Ok((release, rollout))
}
