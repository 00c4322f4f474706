//! Decides from the events what is to be told.

use std::time::Duration;

use skipper_core::{
    event::Event,
    name::TenantName,
    release::Door,
    rollout::{Phase, Verb},
};
use skipper_store::{CallbackNote, Error, EventFilter, Told};
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{ERROR, FAILURE, IN_PROGRESS, INACTIVE, SUCCESS, targets};
use crate::app::App;

/// Events read at a time.
const BATCH: u32 = 200;
/// How long events are let come together before they are read.
const GATHER: Duration = Duration::from_millis(50);
/// The cursor is stored when there is something to tell, and after so many events without.
const LAZY: u64 = 1000;
/// How long it is waited when the store does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Events after which a rollout may have ended.
const ENDS: [&str; 7] = [
    "release.installed",
    "release.upgraded",
    "release.rolled-back",
    "rollout.failed",
    "rollout.cancelled",
    "rollout.superseded",
    "rollout.abandoned",
];

/// Follows the events until `stop`.
pub(super) async fn follow(app: &App, stop: &CancellationToken, news: &Notify) {
    let mut head = app.store.events_subscribe();
    let mut place = None;
    while !stop.is_cancelled() {
        head.mark_unchanged();
        let step = async {
            let at = match place {
                Some(at) => at,
                None => begin(app).await?,
            };
            read(app, at, news).await
        };
        match step.await {
            Ok((next, is_news)) => {
                place = Some(next);
                if !is_news {
                    if !matches!(stop.run_until_cancelled(head.changed()).await, Some(Ok(()))) {
                        return;
                    }
                    // Not once for each of many.
                    stop.run_until_cancelled(sleep(GATHER)).await;
                }
            }
            Err(error) => {
                warn!(%error, "it cannot be found out now who is to be told of deploys");
                place = None;
                stop.run_until_cancelled(sleep(PAUSE)).await;
            }
        }
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The cursor as it is stored.
    stored: u64,
    /// The last event that was read.
    read: u64,
}

/// The first time, nobody is told of what was before.
async fn begin(app: &App) -> Result<Place, Error> {
    if let Some(stored) = app.store.callbacks_cursor().await? {
        return Ok(Place { stored, read: stored });
    }
    let head = app.store.events_head().await?;
    app.store.callbacks_note(None, head, &[]).await?;
    let stored = app.store.callbacks_cursor().await?.unwrap_or(head);
    Ok(Place { stored, read: stored })
}

/// Reads one batch; whether there was anything.
async fn read(app: &App, at: Place, news: &Notify) -> Result<(Place, bool), Error> {
    let events = app.store.events_list(at.read, BATCH, &EventFilter::default()).await?;
    let Some(last) = events.last().map(|event| event.seq) else { return Ok((at, false)) };
    let mut notes = Vec::new();
    for event in &events {
        notes.extend(notes_of(app, event).await?);
    }
    if notes.is_empty() && last - at.stored < LAZY {
        return Ok((Place { read: last, ..at }, true));
    }
    if app.store.callbacks_note(Some(at.stored), last, &notes).await? {
        if !notes.is_empty() {
            news.notify_one();
        }
        return Ok((Place { stored: last, read: last }, true));
    }
    // Another server on the same database was faster.
    Ok((begin(app).await?, true))
}

/// What an event means to whom.
async fn notes_of(app: &App, event: &Event) -> Result<Vec<CallbackNote>, Error> {
    let is_end = ENDS.contains(&event.kind.as_str());
    let is_gone = event.kind == "release.deleted";
    let (Some(tenant), Some(name), Some(id)) = (&event.tenant, &event.release, event.rollout) else {
        return Ok(Vec::new());
    };
    let concerns = is_end || is_gone || event.kind == "rollout.started";
    if !concerns || *tenant != TenantName::default_tenant() {
        return Ok(Vec::new());
    }
    let Some(apps) = app.apps.get() else { return Ok(Vec::new()) };
    let targets = targets(&app.apps, &apps, name.as_str());
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    // What was purged since is told to nobody.
    let Some(rollout) = app.store.rollout_get(id).await? else { return Ok(Vec::new()) };
    let is_ours = app.store.release_get(tenant, name).await?.is_some_and(|release| release.door == Door::Deploys);
    if !is_ours || matches!(rollout.verb, Verb::Scale) || matches!(rollout.verb, Verb::Delete) != is_gone {
        return Ok(Vec::new());
    }
    let state = match (&rollout.phase, is_end) {
        _ if is_gone => None,
        (_, false) => Some(IN_PROGRESS),
        (Phase::Succeeded, true) => Some(SUCCESS),
        (Phase::Failed { .. }, true) => Some(FAILURE),
        (Phase::Superseded, true) => Some(INACTIVE),
        (_, true) => Some(ERROR),
    };
    let note = |word: String| CallbackNote {
        rollout: id,
        release: name.clone(),
        target: word,
        told: state.map(|state| Told { state: state.to_owned(), seq: event.seq, at: event.at }),
        takes_over: is_gone || state == Some(SUCCESS),
        inactive: INACTIVE,
    };
    Ok(targets.iter().map(|target| note(target.word())).collect())
}
