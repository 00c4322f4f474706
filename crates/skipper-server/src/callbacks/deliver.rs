//! Tells what waits, and tries again where it failed.

use std::time::Duration;

use futures::future::join_all;
use skipper_store::Callback;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Target,
    send::{Failure, Sender},
    targets,
};
use crate::{api::deploys::heard, app::App};

/// Told at the same time.
const AT_ONCE: u32 = 8;
/// Things told of one deploy before what was told is stored: together far quicker than a claim lasts.
const IN_A_ROW: usize = 3;
/// Longest that one of them may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked while something waits, and while nothing does: another server may have noted it.
const LOOK: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(30);
/// Pauses after each failure; after the last one it is given up, some 28 hours later.
const PAUSES: [Duration; 10] = [
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(2 * 60 * 60),
    Duration::from_secs(4 * 60 * 60),
    Duration::from_secs(8 * 60 * 60),
    Duration::from_secs(12 * 60 * 60),
];

/// Delivers until `stop`.
pub(super) async fn deliver(app: &App, stop: &CancellationToken, news: &Notify) {
    let sender = Sender::default();
    while !stop.is_cancelled() {
        let due = match app.store.callbacks_due(AT_ONCE).await {
            Ok(due) => due,
            Err(error) => {
                warn!(%error, "it cannot be looked now who is to be told of deploys");
                stop.run_until_cancelled(sleep(LOOK)).await;
                continue;
            }
        };
        if due.is_empty() {
            let pause = match app.store.callbacks_next().await {
                Ok(Some(at)) => at.since(app.clock.now()).clamp(Duration::from_millis(20), LOOK),
                Ok(None) | Err(_) => IDLE,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = news.notified() => {}
                () = sleep(pause) => {}
            }
            continue;
        }
        join_all(due.into_iter().map(|callback| one(app, &sender, callback))).await;
    }
}

async fn one(app: &App, sender: &Sender, mut callback: Callback) {
    let mut told = 0;
    let outcome = tell(app, sender, &mut callback, &mut told).await;
    let (again, give_up) = match outcome {
        Ok(()) => (None, false),
        Err(Failure::Nobody) => (None, true),
        Err(Failure::Never(why)) => {
            warn!(rollout.id = %callback.rollout, target = callback.target, "nobody is told of a deploy any more: {why}");
            (None, true)
        }
        Err(Failure::Later(why, asked)) => {
            let attempts = usize::try_from(callback.attempts).unwrap_or(usize::MAX);
            if let Some(pause) = PAUSES.get(attempts) {
                let pause = asked.unwrap_or_default().clamp(*pause, (*pause).max(Duration::from_secs(60 * 60)));
                let target = &callback.target;
                info!(rollout.id = %callback.rollout, target, "a deploy is told of again in {pause:?}: {why}");
                (Some(app.clock.now() + pause), false)
            } else {
                warn!(rollout.id = %callback.rollout, target = callback.target, "telling of a deploy is given up: {why}");
                (None, true)
            }
        }
    };
    if let Err(error) = app.store.callbacks_settle(&callback, told, again, give_up).await {
        // It is told once more then, under the same id.
        debug!(%error, "what was told of a deploy could not be noted");
    }
}

/// Tells what waits of one deploy, in order; what the other side calls it is noted in the callback.
async fn tell(app: &App, sender: &Sender, callback: &mut Callback, told: &mut usize) -> Result<(), Failure> {
    let apps = app.apps.get().ok_or(Failure::Nobody)?;
    // As it is configured now: an address or token that was mended counts.
    let target = targets(&app.apps, &apps, callback.release.as_str())
        .into_iter()
        .find(|target| target.word() == callback.target);
    let target = target.ok_or(Failure::Nobody)?;
    let loaded = match app.store.rollout_load(callback.rollout).await {
        Ok(loaded) => loaded,
        Err(skipper_store::Error::NotFound { .. }) => return Err(Failure::Nobody),
        Err(error) => return Err(Failure::Later(error.to_string(), None)),
    };
    for what in callback.pending.iter().take(IN_A_ROW) {
        let heard = heard(app, &loaded, what);
        let telling = async {
            match &target {
                Target::Hook(hook) => sender.hook(app, hook, &heard).await,
                Target::Github(github) => {
                    let public = apps.server().public_url(app.caddy.state().is_some());
                    sender.github(github, &mut callback.remote, &what.state, &heard, public.as_deref()).await
                }
            }
        };
        let late = |_| Err(Failure::Later(format!("no answer within {PATIENCE:?}"), None));
        timeout(PATIENCE, telling).await.unwrap_or_else(late)?;
        *told += 1;
    }
    Ok(())
}
