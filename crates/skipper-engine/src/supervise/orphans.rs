//! What bears our labels and nobody owns.

use std::collections::HashMap;

use serde_json::json;
use skipper_core::{
    deployment::DeploymentId,
    port::{Error as PortError, Found, Platform},
    rollout::Instances,
    spec::Target,
};
use tokio::time::timeout;
use tracing::{info, warn};

use super::{stored, sweep::Swept, tell::event};
use crate::engine::Shared;

/// Something found in this many sweeps in a row is removed: once could be a deployment that is just going.
const GRACE: u8 = 2;

/// Counts how often each suspect was found.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    suspects: HashMap<(Target, DeploymentId, Option<u32>), u8>,
}

impl Orphans {
    /// Whether something was found that is to be looked at again soon.
    pub(super) fn is_suspicious(&self) -> bool {
        !self.suspects.is_empty()
    }

    pub(super) async fn look(&mut self, shared: &Shared, swept: &Swept) {
        if !swept.complete {
            return;
        }
        let bound = shared.config.tuning.observe_bound;
        let mut found_now: HashMap<(Target, DeploymentId, Option<u32>), u8> = HashMap::new();
        for (target, platform) in shared.config.platforms.iter() {
            let Ok(Ok(found)) = timeout(bound, platform.list(bound)).await else { continue };
            for found in found {
                for suspect in suspects(shared, swept, &found).await {
                    let key = (target.clone(), found.id.clone(), suspect);
                    let times = self.suspects.get(&key).copied().unwrap_or(0).saturating_add(1);
                    if times < GRACE {
                        found_now.insert(key, times);
                        continue;
                    }
                    if let Err(error) = remove(shared, platform.as_ref(), swept, &found.id, suspect).await {
                        warn!(error = error.chain(), deployment = %found.id, "an orphan was not removed");
                        found_now.insert(key, times);
                    }
                }
            }
        }
        self.suspects = found_now;
    }
}

/// `None` for the whole deployment, `Some` for an instance that is not wanted.
async fn suspects(shared: &Shared, swept: &Swept, found: &Found) -> Vec<Option<u32>> {
    match swept.known.get(&found.id) {
        Some(known) => {
            found.instances.iter().filter(|index| !known.instances.contains(index)).map(|index| Some(*index)).collect()
        }
        // It may have come after the sweep had read.
        None => match stored(shared.config.store.knows(&found.id)).await {
            Ok(false) => vec![None],
            _ => Vec::new(),
        },
    }
}

async fn remove(
    shared: &Shared,
    platform: &dyn Platform,
    swept: &Swept,
    id: &DeploymentId,
    instance: Option<u32>,
) -> Result<(), PortError> {
    let store = &shared.config.store;
    let bound = shared.config.tuning.observe_bound;
    let Some(index) = instance else {
        platform.remove_orphan(id, bound).await?;
        info!(deployment = %id, "removed an orphan");
        return stored(store.tell(vec![event(shared, "orphan.removed", None, json!({"deployment": id}))])).await;
    };
    let Some(known) = swept.known.get(id) else { return Ok(()) };
    let Some(generation) = stored(store.supervise(known.release)).await? else { return Ok(()) };
    let lives = stored(store.live_of(known.release)).await?;
    let Some(live) = lives.iter().find(|live| live.deployment.id == *id) else { return Ok(()) };
    if live.instances.contains(&index) {
        return Ok(());
    }
    let only = Instances { from: index, to: index.saturating_add(1) };
    let grace = live.deployment.app.stop.grace.duration() + bound;
    platform.retire(&live.deployment, only, false, generation, grace).await?;
    info!(deployment = %id, instance = index, "removed an instance that nobody wants");
    let data = json!({"what": format!("instance {index} of {id} ran and was not wanted; it was removed")});
    stored(store.tell(vec![event(shared, "drift.found", Some(&live.deployment), data)])).await
}
