//! One deploy as it happens.

use std::{pin::Pin, time::Duration};

use axum::response::{IntoResponse as _, Response, sse::Event as SseEvent};
use futures::{Stream, stream};
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use skipper_core::{event::Event, id::RolloutId};
use tokio::{
    sync::watch,
    time::{Sleep, sleep},
};

use super::{
    read,
    wire::{DeployEvent, DeployView},
};
use crate::{
    api::{own, sse},
    app::App,
    error::{Code, Error},
};

/// Most events of a deploy that are shown at once.
pub(super) const MOST: u32 = 500;
/// Read at once; a slow reader holds no more than this in memory.
const BATCH: u32 = 100;
/// Longest that one answer goes on; whoever listens longer asks again.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// The id of the last event.
const END: &str = "end";

/// One event in the words of this door.
pub(super) fn event(event: &Event) -> DeployEvent {
    let text = |key: &str| event.data.get(key).and_then(Value::as_str).map(str::to_owned);
    DeployEvent {
        id: event.seq,
        at: own::time(event.at),
        event: event.kind.clone(),
        step: text("action"),
        container: text("app"),
        message: text("message").or_else(|| text("what")),
    }
}

/// Whether a stream is asked for, rather than a document.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types =
        accepted.flat_map(|list| list.split(',')).map(|one| one.split(';').next().unwrap_or_default().trim());
    types.any(|media| media.eq_ignore_ascii_case("text/event-stream"))
}

/// The deploy as it happens, from the event on that the client saw last.
pub(super) fn stream(app: &App, id: RolloutId, headers: &HeaderMap) -> Result<Response, Error> {
    let last = headers.get("last-event-id").map(|value| value.to_str().unwrap_or_default());
    let after = match last {
        None | Some("") => 0,
        // Clients ask again for ever unless they are told that this was all.
        Some(END) => return Ok(StatusCode::NO_CONTENT.into_response()),
        Some(text) => text.parse().map_err(|_| {
            Error::new(Code::BadRequest, "Last-Event-ID is not an id of an event of this stream")
                .hint("leave it out to begin with the first one")
        })?,
    };
    Ok(sse::answer(app, follow(app.clone(), id, after)))
}

struct Follow {
    app: App,
    id: RolloutId,
    after: u64,
    head: watch::Receiver<u64>,
    batch: std::vec::IntoIter<DeployEvent>,
    until: Pin<Box<Sleep>>,
    done: bool,
}

fn follow(app: App, id: RolloutId, after: u64) -> impl Stream<Item = SseEvent> + Send {
    let (head, until) = (app.store.events_subscribe(), Box::pin(sleep(LONGEST)));
    stream::unfold(Follow { app, id, after, head, batch: Vec::new().into_iter(), until, done: false }, next)
}

async fn next(mut follow: Follow) -> Option<(SseEvent, Follow)> {
    if follow.done {
        return None;
    }
    loop {
        if let Some(event) = follow.batch.next() {
            follow.after = event.id;
            return Some((sse::event(&event.event, &event).id(event.id.to_string()), follow));
        }
        // Marked before reading: what is committed during the read wakes the next wait.
        follow.head.mark_unchanged();
        // The end is stored together with its event: once it is seen, no event is missing.
        let loaded = follow.app.store.rollout_load(follow.id).await.ok()?;
        let found = follow.app.store.events_of_rollout(follow.id, follow.after, BATCH).await.ok()?;
        if !found.is_empty() {
            follow.batch = found.iter().map(event).collect::<Vec<_>>().into_iter();
        } else if loaded.rollout.phase.is_final() {
            follow.done = true;
            let view: DeployView = read::view(&follow.app, &loaded);
            return Some((sse::event(END, &view).id(END), follow));
        } else {
            tokio::select! {
                changed = follow.head.changed() => changed.ok()?,
                () = &mut follow.until => return None,
            }
        }
    }
}
