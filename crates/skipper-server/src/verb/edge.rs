//! The edge, the platforms, and what the edge counted.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use skipper_core::{
    deployment::Live,
    name::{ReleaseName, TenantName},
    policy::Action,
    port::{DeploymentStats, Description, Error as PortError},
};
use skipper_engine::Elsewhere as _;
use tokio::time::timeout;

use super::{Caller, find};
use crate::{app::App, edge::EdgeState, error::Error};

/// What the edge says of itself, or why it does not answer.
///
/// # Errors
///
/// Only the policy's.
pub async fn edge(app: &App, caller: &Caller) -> Result<Result<EdgeState, PortError>, Error> {
    caller.may_all(Action::Read)?;
    Ok(app.edge.info().await)
}

/// What the edge says of itself, if it answers within that time: a part of an answer that does not wait for it.
pub(crate) async fn seen(app: &App, within: Duration) -> Option<EdgeState> {
    timeout(within, app.edge.info()).await.ok()?.ok()
}

/// Every platform account.
///
/// # Errors
///
/// Only the policy's.
pub async fn platforms(app: &App, caller: &Caller) -> Result<Vec<Description>, Error> {
    caller.may_all(Action::Read)?;
    let mut described = join_all(app.platforms.iter().map(|(_, platform)| platform.describe())).await;
    described.extend(app.fleet.descriptions());
    Ok(described)
}

/// The edge's counters of everything routed of a release; `None` where the edge has none.
///
/// # Errors
///
/// There is no such release.
pub async fn stats(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    name: &ReleaseName,
) -> Result<Vec<(Live, Option<DeploymentStats>)>, Error> {
    caller.may(Action::Read, tenant)?;
    let release = find::release(app, tenant, name).await?;
    let live = app.store.live_for_release(release.id).await?;
    let routed = live.into_iter().filter(|live| live.deployment.app.is_routed());
    Ok(join_all(routed.map(|live| async {
        let router = app.fleet.router(live.deployment.target()).unwrap_or_else(|| Arc::clone(&app.router));
        let stats = router.stats(&live.deployment.id).await.ok();
        (live, stats)
    }))
    .await)
}
