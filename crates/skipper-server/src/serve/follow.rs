//! What follows the store: the engine is woken by what other servers accept, and ended rollouts are counted.

use std::time::Duration;

use skipper_core::id::RolloutId;
use skipper_store::EventFilter;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::app::App;

/// Wakes the engine whenever there may be work, also where another server on the same database accepted it.
pub(super) async fn wake(app: App, stop: CancellationToken) {
    let mut work = app.store.work_subscribe();
    while let Some(Ok(())) = stop.run_until_cancelled(work.changed()).await {
        app.engine.wake();
    }
}

/// Events after which a rollout may have ended.
const ENDS: [&str; 9] = [
    "release.installed",
    "release.upgraded",
    "release.rolled-back",
    "release.scaled",
    "release.deleted",
    "rollout.failed",
    "rollout.cancelled",
    "rollout.superseded",
    "rollout.abandoned",
];
/// Events read at a time.
const BATCH: u32 = 200;
/// How long events are let come together before they are read.
const GATHER: Duration = Duration::from_millis(50);

/// Counts rollouts that end from now on, with their steps.
pub(super) async fn count(app: App, stop: CancellationToken) {
    let mut head = app.store.events_subscribe();
    let mut after = *head.borrow_and_update();
    loop {
        match app.store.events_list(after, BATCH, &EventFilter::default()).await {
            Ok(events) if events.is_empty() => {
                match stop.run_until_cancelled(head.changed()).await {
                    Some(Ok(())) => {}
                    _ => return,
                }
                // Not once for each of many.
                stop.run_until_cancelled(tokio::time::sleep(GATHER)).await;
            }
            Ok(events) => {
                for event in events {
                    after = event.seq;
                    if let Some(rollout) = event.rollout.filter(|_| ENDS.contains(&event.kind.as_str())) {
                        ended(&app, rollout).await;
                    }
                }
            }
            Err(error) => {
                debug!(%error, "events could not be read for the metrics");
                if stop.run_until_cancelled(head.changed()).await.is_none() {
                    return;
                }
            }
        }
    }
}

async fn ended(app: &App, id: RolloutId) {
    // A purged one is gone already, and not worth more than that.
    let Ok(Some(rollout)) = app.store.rollout_get(id).await else { return };
    let Some(finished) = rollout.finished_at.filter(|_| rollout.phase.is_final()) else { return };
    app.metrics.rollout(rollout.verb.as_str(), rollout.phase.name(), finished.since(rollout.created_at));
    let (Some(plan), Ok(steps)) = (&rollout.plan, app.store.steps_get(id).await) else { return };
    for record in steps {
        if let Some(step) = plan.steps.get(record.index as usize) {
            let took = record.updated_at.since(record.started_at);
            app.metrics.step(step.action.name(), record.state.as_str(), took);
        }
    }
}
