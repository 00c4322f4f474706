//! The full truth about a release: what is stored, and what its platforms say right now.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use futures::future::join_all;
use skipper_core::{
    deployment::{Live, Observed},
    name::{AppName, PlatformName, ReleaseName, TenantName},
    policy::Action,
    release::{Release, Source},
    rollout::{Rollout, plan::Instances},
};
use skipper_engine::ReleaseHealth;

use super::{Caller, edge, find};
use crate::{app::App, caddy::CaddyState, edge::EdgeState, error::Error};

/// Longest a platform or the edge is waited for: a status that says "unknown" at once is worth more than a late one.
pub(super) const LOOK: Duration = Duration::from_secs(2);

/// Everything there is to know about a release now.
#[derive(Debug, Clone)]
pub struct Status {
    /// The release.
    pub release: Release,
    /// The package of the serving, else of the newest revision.
    pub package: Option<Source>,
    /// Free text given with that revision.
    pub description: Option<String>,
    /// What runs and gets requests.
    pub apps: Vec<AppSeen>,
    /// The open rollout.
    pub open: Option<Rollout>,
    /// The one that waits behind it.
    pub waiting: Option<Rollout>,
    /// The newest one, open or not.
    pub latest: Option<Rollout>,
    /// What the open one is doing.
    pub activity: Option<String>,
    /// What supervision has to say.
    pub health: Option<ReleaseHealth>,
    /// Where the server is that tends what runs, when it is another one: only that one sees what runs.
    pub elsewhere: Option<String>,
    /// What the edge says of itself; `None` when it does not answer.
    pub edge: Option<EdgeState>,
    /// The Caddy in front of it.
    pub caddy: Option<CaddyState>,
}

/// One deployment and its instances.
#[derive(Debug, Clone)]
pub struct AppSeen {
    /// As it is stored.
    pub live: Live,
    /// What its platform says of each instance that should be there.
    pub instances: Vec<(u32, Observed)>,
    /// What the edge does with its requests; `None` when it has no routes, or the edge does not answer.
    pub mode: Option<String>,
    /// The host at which its routes are reached, where that is not this server's: a node's address, or its name where nothing is known.
    pub host: Option<String>,
}

/// Looks at everything.
///
/// # Errors
///
/// There is no such release. What a platform does not tell is [`Observed::Unknown`], never an error.
pub async fn status(app: &App, caller: &Caller, tenant: &TenantName, name: &ReleaseName) -> Result<Status, Error> {
    caller.may(Action::Read, tenant)?;
    let release = find::release(app, tenant, name).await?;
    let number = release.serving.unwrap_or(release.last_revision);
    let revision = app.store.revision_list(release.id, Some(number + 1), 1).await?.pop();
    let package = match &revision {
        Some(revision) => find::package_of(app, release.id, &revision.source).await?,
        None => None,
    };
    let latest = app.store.rollout_latest(release.id).await?;
    let open = app.store.rollout_open(release.id).await?;
    let waiting = app.store.rollout_waiting(release.id).await?;
    let live = app.store.live_for_release(release.id).await?;
    let elsewhere = app.tended_by.borrow().clone();
    let (apps, edge) = tokio::join!(look(app, &release, live), edge::seen(app, LOOK));
    Ok(Status {
        package,
        description: revision.and_then(|revision| revision.description),
        apps,
        activity: open.as_ref().and_then(|open| app.engine.activity(open.id)).map(|activity| activity.what),
        health: app.engine.health(release.id),
        open,
        waiting,
        latest,
        elsewhere,
        edge,
        caddy: app.caddy.state(),
        release,
    })
}

/// Asks platforms and edge side by side.
async fn look(app: &App, release: &Release, live: Vec<Live>) -> Vec<AppSeen> {
    let routed = live.iter().any(|live| live.deployment.app.is_routed());
    let modes = async {
        if !routed {
            return BTreeMap::new();
        }
        let asked = tokio::time::timeout(LOOK, app.edge.modes(release.id)).await;
        asked.ok().and_then(Result::ok).unwrap_or_default()
    };
    let observed = join_all(live.into_iter().map(|live| async {
        let instances = observe(app, &live).await;
        (live, instances)
    }));
    let (observed, modes) = tokio::join!(observed, modes);
    let mut apps: Vec<AppSeen> = observed
        .into_iter()
        .map(|(live, instances)| {
            let mode = modes.get(live.deployment.app.name.as_str()).cloned();
            let host = host_of(app, &live.deployment.app.target.0);
            AppSeen { live, instances, mode, host }
        })
        .collect();
    apps.sort_by(|a, b| key(a).cmp(&key(b)));
    apps
}

/// Where the routes of that target are reached, if not here.
fn host_of(app: &App, target: &PlatformName) -> Option<String> {
    let (node, Some(_)) = target.node()? else { return None };
    let address = app.fleet.board().sight(&node).and_then(|sight| sight.address);
    Some(match address {
        None => node.to_string(),
        Some(IpAddr::V4(v4)) => v4.to_string(),
        Some(IpAddr::V6(v6)) => format!("[{v6}]"),
    })
}

/// By name; of several deployments of one application, the newest first.
fn key(app: &AppSeen) -> (&AppName, std::cmp::Reverse<u64>) {
    (&app.live.deployment.app.name, std::cmp::Reverse(app.live.deployment.revision))
}

/// What its platform says of each instance of a deployment that should be there.
pub(super) async fn observe(app: &App, live: &Live) -> Vec<(u32, Observed)> {
    let unknown =
        |reason: String| live.instances.iter().map(|i| (*i, Observed::Unknown { reason: reason.clone() })).collect();
    if let Some(place) = &*app.tended_by.borrow() {
        return unknown(format!("it is tended by the server {place}, which sees it"));
    }
    let Some(platform) = app.platforms.get(live.deployment.target()) else {
        return unknown(format!("platform `{}` is not configured any more", live.deployment.target()));
    };
    let (Some(first), Some(last)) = (live.instances.iter().min(), live.instances.iter().max()) else {
        return Vec::new();
    };
    let range = Instances { from: *first, to: last.saturating_add(1) };
    match tokio::time::timeout(LOOK, platform.observe(&live.deployment, range, LOOK)).await {
        Ok(Ok(seen)) => {
            let by_index: BTreeMap<u32, Observed> = range.range().zip(seen).collect();
            let of = |index: &u32| (*index, by_index.get(index).cloned().unwrap_or(Observed::Absent));
            live.instances.iter().map(of).collect()
        }
        Ok(Err(error)) => unknown(error.chain()),
        Err(_) => unknown(format!("platform `{}` did not answer within {LOOK:?}", live.deployment.target())),
    }
}
