//! What a release is waiting for, or what broke it.

use std::time::Duration;

use futures::future::join_all;
use skipper_core::{
    deployment::Observed,
    event::Event,
    name::{AppName, ReleaseName, TenantName},
    rollout::FailureBundle,
};
use skipper_engine::Activity;
use skipper_store::EventFilter;
use tokio::time::timeout;

use super::{
    Caller,
    status::{self, AppSeen},
};
use crate::{app::App, error::Error};

/// Events that are shown with the answer.
const EVENTS: u32 = 20;

/// The answer's material.
#[derive(Debug, Clone)]
pub struct Why {
    /// Everything about the release now.
    pub status: status::Status,
    /// What its open rollout is doing.
    pub activity: Option<Activity>,
    /// Why the newest rollout failed.
    pub bundle: Option<FailureBundle>,
    /// What runs and does not pass its health check right now.
    pub sick: Vec<Sick>,
    /// Why nothing can be stored now.
    pub unwritable: Option<String>,
    /// What happened last, newest first.
    pub events: Vec<Event>,
}

/// An instance that runs and does not pass its health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sick {
    /// Its application.
    pub app: AppName,
    /// Which instance.
    pub index: u32,
    /// What was answered.
    pub detail: String,
}

/// Longest that health checks may keep the answer waiting.
const PROBES: Duration = Duration::from_secs(3);

/// Gathers it.
///
/// # Errors
///
/// There is no such release.
pub async fn why(app: &App, caller: &Caller, tenant: &TenantName, name: &ReleaseName) -> Result<Why, Error> {
    let status = status::status(app, caller, tenant, name).await?;
    let activity = status.open.as_ref().and_then(|open| app.engine.activity(open.id));
    let failed = status.latest.as_ref().filter(|latest| latest.phase.cause().is_some());
    let bundle = match failed {
        Some(failed) => app.store.bundle_get(failed.id).await?,
        None => None,
    };
    let filter = EventFilter { tenant: Some(tenant.clone()), release: Some(name.clone()) };
    let events = newest(app, &filter).await?;
    let sick = if status.open.is_none() { sick(app, &status.apps).await } else { Vec::new() };
    let unwritable = app.store.writable().await.err().map(|error| error.to_string());
    Ok(Why { status, activity, bundle, sick, unwritable, events })
}

/// Asks everything that runs and serves once, as its own health check would. Nothing follows from it: what is supervised is
/// that processes run. But whoever asks why wants to know.
async fn sick(app: &App, apps: &[AppSeen]) -> Vec<Sick> {
    let serving = apps.iter().filter(|seen| seen.live.weight > 0);
    let running = serving.flat_map(|seen| {
        let running = seen.instances.iter().filter_map(|(index, observed)| match observed {
            Observed::Running(instance) => Some((*index, instance)),
            _ => None,
        });
        running.map(|(index, instance)| (&seen.live.deployment, index, instance))
    });
    let asked = running.map(|(deployment, index, instance)| async move {
        let platform = app.platforms.get(deployment.target())?;
        let detail = match timeout(PROBES, platform.probe(deployment, instance)).await {
            Ok(attempt) if attempt.ok => return None,
            Ok(attempt) => attempt.detail,
            Err(_) => format!("no answer within {PROBES:?}"),
        };
        Some(Sick { app: deployment.app.name.clone(), index, detail })
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// The store lists events forwards. The last ones of a release are looked for in growing stretches before the head, so
/// that a quiet release in a long chain still costs few reads.
async fn newest(app: &App, filter: &EventFilter) -> Result<Vec<Event>, Error> {
    let head = app.store.events_head().await?;
    let mut stretch = 512_u64;
    loop {
        let after = head.saturating_sub(stretch);
        let mut found = Vec::new();
        let mut from = after;
        loop {
            let page = app.store.events_list(from, 1000, filter).await?;
            let full = page.len() == 1000;
            from = page.last().map_or(from, |event| event.seq);
            found.extend(page);
            if found.len() > 2 * EVENTS as usize {
                found.drain(..found.len() - EVENTS as usize);
            }
            if !full {
                break;
            }
        }
        if found.len() >= EVENTS as usize || after == 0 || stretch >= 1 << 20 {
            found.reverse();
            found.truncate(EVENTS as usize);
            return Ok(found);
        }
        stretch *= 32;
    }
}
