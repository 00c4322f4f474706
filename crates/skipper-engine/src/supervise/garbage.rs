//! What was kept for revisions that nobody can go back to any more, and what else of ours nothing uses.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::json;
use skipper_core::{
    port::{Error as PortError, Garbage, Kept, Platform},
    spec::Target,
    time::Timestamp,
};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::{stored, tell::event};
use crate::{config::GarbageSettings, engine::Shared};

/// Longest that one platform may take in one pass; what is not done then is done in the next.
const PASS: Duration = Duration::from_secs(60);
/// Most resources that one platform loses in one pass.
const MOST: usize = 50;
/// What was asked for so lately stays: a rollout may be about to store that it needs it.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// Collects again and again.
pub(super) async fn collect(shared: &Arc<Shared>) {
    let settings = shared.config.tuning.garbage;
    let Some(every) = settings.every else { return std::future::pending().await };
    loop {
        sleep(every).await;
        let own = shared.config.platforms.iter().map(|(target, platform)| (target.clone(), Arc::clone(platform)));
        for (target, platform) in own.chain(shared.config.platforms.elsewhere()) {
            if let Err(error) = pass(shared, settings, &target, platform.as_ref()).await {
                // It may be down; whoever needs it is told so by others.
                debug!(platform = %target, error = error.chain(), "nothing is cleared away");
            }
        }
    }
}

async fn pass(
    shared: &Shared,
    settings: GarbageSettings,
    target: &Target,
    platform: &dyn Platform,
) -> Result<(), PortError> {
    let bound = shared.config.tuning.observe_bound;
    let late = |_| PortError::new(skipper_core::port::ErrorKind::Unknown, "no-answer", "the platform does not answer");
    // First what is there and then who needs it: what comes in between is needed by somebody who was asked.
    let Some(kept) = timeout(bound, platform.kept(bound)).await.unwrap_or_else(|late_| Err(late(late_)))? else {
        return Ok(());
    };
    let garbage = garbage(shared, settings, &kept).await?;
    let clearing = platform.clear(&garbage, PASS);
    let cleared = timeout(PASS + bound, clearing).await.unwrap_or_else(|late_| Err(late(late_)))?;
    if cleared.is_empty() {
        return Ok(());
    }
    let digests: Vec<String> = cleared.resources.iter().map(|digest| format!("sha256:{digest}")).collect();
    info!(platform = %target, images = digests.len(), bytes = cleared.bytes, "cleared away what no revision needs");
    let data = json!({
        "platform": target,
        "images": digests,
        "removed": cleared.removed,
        "bytes": cleared.bytes,
        "networks": cleared.networks,
    });
    let told = stored(shared.config.store.tell(vec![event(shared, "garbage.removed", None, data)])).await;
    if let Err(error) = told {
        warn!(error = error.chain(), "it cannot be told what was cleared away");
    }
    Ok(())
}

async fn garbage(shared: &Shared, settings: GarbageSettings, kept: &Kept) -> Result<Garbage, PortError> {
    let store = &shared.config.store;
    let mut garbage = Garbage { idle: settings.keep.min(IDLE), limit: MOST, ..Garbage::default() };
    if !kept.own.is_empty() {
        let since = shared.config.clock.now() - settings.keep;
        let needed = stored(store.needed(settings.revisions.max(1), since)).await?;
        garbage.resources = &kept.own - &needed;
    }
    if !kept.unowned.is_empty() {
        let ever: BTreeSet<_> = stored(store.needed(u32::MAX, Timestamp::default())).await?;
        garbage.adopted = &kept.unowned & &ever;
    }
    Ok(garbage)
}
