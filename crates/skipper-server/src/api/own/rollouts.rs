use axum::{
    extract::State,
    response::{Response, sse::Event},
};
use futures::{Stream, stream};
use skipper_core::id::RolloutId;
use tokio::sync::watch;

use super::{view, wire::RolloutView};
use crate::{
    api::{
        extract::{Path, Query, TenantQuery, id_of},
        sse,
    },
    app::App,
    error::Error,
    verb::{self, Caller},
};

/// Shows a rollout with its steps, its cause and what is kept of a failure.
#[utoipa::path(get, path = "/v1/rollouts/{id}", tag = "rollouts", params(("id" = String, Path, description = "The rollout"), TenantQuery), responses((status = 200, body = RolloutView)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    _query: Query<TenantQuery>,
) -> Result<axum::Json<RolloutView>, Error> {
    let seen = verb::rollout::rollout(&app, &caller, id_of(&id)?).await?;
    Ok(axum::Json(view::rollout(&seen, app.clock.now())))
}

/// Sends the rollout whenever it changes (server-sent events of type `rollout`), and ends when it is final.
#[utoipa::path(get, path = "/v1/rollouts/{id}/stream", tag = "rollouts", params(("id" = String, Path, description = "The rollout"), TenantQuery), responses((status = 200, content_type = "text/event-stream", body = RolloutView)))]
pub(super) async fn stream(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    _query: Query<TenantQuery>,
) -> Result<Response, Error> {
    let id = id_of(&id)?;
    // Refusals come as such, not within the stream.
    verb::rollout::rollout(&app, &caller, id).await?;
    Ok(sse::answer(&app, changes(app.clone(), caller, id)))
}

/// What a watcher of one rollout has seen so far.
struct Watch {
    app: App,
    caller: Caller,
    id: RolloutId,
    events: watch::Receiver<u64>,
    board: watch::Receiver<u64>,
    last: Option<RolloutView>,
    done: bool,
}

fn changes(app: App, caller: Caller, id: RolloutId) -> impl Stream<Item = Event> + Send {
    // Subscribed before the first look, so that nothing is missed in between.
    let (events, board) = (app.store.events_subscribe(), app.engine.changes());
    stream::unfold(Watch { app, caller, id, events, board, last: None, done: false }, next)
}

async fn next(mut watch: Watch) -> Option<(Event, Watch)> {
    if watch.done {
        return None;
    }
    loop {
        watch.events.mark_unchanged();
        watch.board.mark_unchanged();
        let seen = verb::rollout::rollout(&watch.app, &watch.caller, watch.id).await.ok()?;
        let view = view::rollout(&seen, watch.app.clock.now());
        watch.done = view.finished;
        if watch.last.as_ref().is_none_or(|last| differs(last, &view)) {
            let event = sse::event("rollout", &view);
            watch.last = Some(view);
            return Some((event, watch));
        }
        // Every rollout wakes every watcher; a look at an unchanged one costs a few reads.
        tokio::select! {
            changed = watch.events.changed() => changed.ok()?,
            changed = watch.board.changed() => changed.ok()?,
        }
    }
}

/// Durations of what is under way grow all the time and are no change.
fn differs(a: &RolloutView, b: &RolloutView) -> bool {
    let still = |view: &RolloutView| {
        let mut view = view.clone();
        view.duration_ms = 0;
        view.steps.iter_mut().for_each(|step| step.duration_ms = None);
        view
    };
    still(a) != still(b)
}
