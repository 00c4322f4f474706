//! Asks what serves whether it is still healthy, and tells when it is not any more. Nothing is stopped or taken out of the table for
//! it: an answer that stays out says that somebody should look, and not that another start would help.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use serde_json::json;
use skipper_core::{
    deployment::{DeploymentId, Live, Observed},
    spec::Check,
};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{stored, sweep::span, tell::event, ward::Pulse};
use crate::{engine::Shared, step::Censor};

/// Deployments read together.
const PAGE: u32 = 500;
/// Questions at the same time.
const ASKED_AT_ONCE: usize = 16;
/// Slack over the time that a question may take by its own terms.
const SLACK: Duration = Duration::from_secs(5);

/// Asks for ever.
pub(super) async fn feel(shared: &Shared) {
    loop {
        sleep(shared.config.tuning.pulse_every).await;
        let mut after: Option<DeploymentId> = None;
        // What cannot be read now is read the next time.
        while let Ok(page) = stored(shared.config.store.live(after.as_ref(), PAGE)).await {
            let asked =
                page.iter().filter(|live| live.weight > 0 && live.deployment.app.health.check != Check::Running);
            stream::iter(asked).for_each_concurrent(ASKED_AT_ONCE, |live| Box::pin(feel_one(shared, live))).await;
            after = page.last().map(|live| live.deployment.id.clone());
            if u32::try_from(page.len()).is_ok_and(|read| read < PAGE) {
                break;
            }
        }
    }
}

async fn feel_one(shared: &Shared, live: &Live) {
    let deployment = &live.deployment;
    let Some((platform, range)) = shared.config.platforms.get(deployment.target()).zip(span(&live.instances)) else {
        return;
    };
    let bound = shared.config.tuning.observe_bound;
    // What is not there, or not known, is the sweep's.
    let Ok(Ok(seen)) = timeout(bound, platform.observe(deployment, range, bound)).await else { return };
    let health = &deployment.app.health;
    let running = seen.iter().filter_map(|seen| match seen {
        Observed::Running(instance) if live.instances.contains(&instance.index) => Some(instance),
        _ => None,
    });
    let censor = Censor::new(&*shared.config.store, deployment);
    for instance in running {
        let bound = health.timeout.duration() * 2 + SLACK;
        let Ok(attempt) = timeout(bound, platform.probe(deployment, instance)).await else { continue };
        let attempt = if attempt.ok { attempt } else { censor.passed(attempt).await };
        let Some(news) = shared.ward.felt(deployment, instance.index, attempt, health.retries) else { continue };
        let who = format!("instance {} of {}", instance.index, deployment.id);
        let (kind, message) = match news {
            Pulse::Lost(detail) => {
                let message = format!("runs and is not healthy any more: {detail}");
                warn!("{who} {message}");
                ("instance.unhealthy", message)
            }
            Pulse::Found => {
                info!("{who} is healthy again");
                ("instance.healthy", "is healthy again".to_owned())
            }
        };
        let app = &deployment.app.name;
        let data = json!({"deployment": deployment.id, "app": app, "instance": instance.index, "message": message});
        let told = event(shared, kind, Some(deployment), data);
        if let Err(error) = stored(shared.config.store.tell(vec![told])).await {
            warn!(error = error.chain(), "an event of supervision is lost");
        }
        shared
            .board
            .set_health(deployment.release, &shared.ward.health(deployment.release, shared.config.clock.as_ref()));
    }
}
