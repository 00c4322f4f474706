//! What a release is waiting for, or what broke it.

use skipper_core::{
    event::Event,
    name::{ReleaseName, TenantName},
    rollout::FailureBundle,
};
use skipper_engine::Activity;
use skipper_store::EventFilter;

use super::{Caller, status};
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
    /// What happened last, newest first.
    pub events: Vec<Event>,
}

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
    Ok(Why { status, activity, bundle, events })
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
