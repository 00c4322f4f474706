use axum::{
    extract::State,
    response::{Response, sse::Event as SseEvent},
};
use futures::{Stream, stream};
use http::HeaderMap;
use serde::Deserialize;
use skipper_core::name::{ReleaseName, TenantName};
use skipper_store::EventFilter;
use tokio::sync::watch;
use utoipa::IntoParams;

use super::{
    page, view,
    wire::{EventPage, EventView, VerifyView},
};
use crate::{
    api::{
        extract::{Query, TenantQuery, name_of},
        sse,
    },
    app::App,
    error::Error,
    verb::{self, Caller},
};

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Whose; everybody's that the token may know of when absent.
    tenant: Option<String>,
    /// Only of this release (of tenant `default`, where none is named).
    release: Option<String>,
    /// Only those with a higher number.
    after: Option<String>,
    /// At most this many, up to 500; 50 when absent.
    limit: Option<u32>,
}

/// Lists events, oldest first.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(ListQuery), responses((status = 200, body = EventPage)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<EventPage>, Error> {
    let filter = filter(&caller, query.tenant, query.release)?;
    let limit = page::limit(query.limit)?;
    let after = page::cursor(query.after.as_ref())?.unwrap_or(0);
    let found = verb::events::list(&app, &filter, after, limit).await?;
    let next = found.last().map(|last| last.seq.to_string());
    Ok(axum::Json(EventPage { items: found.iter().map(view::event).collect(), next }))
}

fn filter(caller: &Caller, tenant: Option<String>, release: Option<String>) -> Result<EventFilter, Error> {
    let tenant = tenant.map(TenantName::new).map(name_of).transpose()?;
    let release = release.map(ReleaseName::new).map(name_of).transpose()?;
    verb::events::filter(caller, tenant, release)
}

/// Which events, from where on.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamQuery {
    /// Whose; everybody's that the token may know of when absent.
    tenant: Option<String>,
    /// Only of this release.
    release: Option<String>,
    /// Only those with a higher number; what comes from now on when absent. `Last-Event-ID` is stronger.
    after: Option<u64>,
}

/// Sends events as they happen (server-sent events; the type is the event's kind, the id its number).
#[utoipa::path(get, path = "/v1/events/stream", tag = "events", params(StreamQuery, ("Last-Event-ID" = Option<u64>, Header, description = "Go on after this event")), responses((status = 200, content_type = "text/event-stream", body = EventView)))]
pub(super) async fn stream(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let filter = filter(&caller, query.tenant, query.release)?;
    let resumed = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let after = match page::cursor(resumed.filter(|id| !id.is_empty()).as_ref())?.or(query.after) {
        Some(after) => after,
        None => app.store.events_head().await?,
    };
    Ok(sse::answer(&app, follow(app.clone(), filter, after)))
}

/// Read at once; a slow reader holds no more than this in memory.
const BATCH: u32 = 100;

struct Follow {
    app: App,
    filter: EventFilter,
    after: u64,
    head: watch::Receiver<u64>,
    batch: std::vec::IntoIter<EventView>,
}

fn follow(app: App, filter: EventFilter, after: u64) -> impl Stream<Item = SseEvent> + Send {
    let head = app.store.events_subscribe();
    stream::unfold(Follow { app, filter, after, head, batch: Vec::new().into_iter() }, next)
}

async fn next(mut follow: Follow) -> Option<(SseEvent, Follow)> {
    loop {
        if let Some(event) = follow.batch.next() {
            follow.after = event.seq;
            return Some((sse::event(&event.kind, &event).id(event.seq.to_string()), follow));
        }
        // Marked before reading: what is committed during the read wakes the next wait.
        follow.head.mark_unchanged();
        let found = verb::events::list(&follow.app, &follow.filter, follow.after, BATCH).await.ok()?;
        if found.is_empty() {
            follow.head.changed().await.ok()?;
        } else {
            follow.batch = found.iter().map(view::event).collect::<Vec<_>>().into_iter();
        }
    }
}

/// Walks the whole chain of events and says whether it is intact.
#[utoipa::path(get, path = "/v1/events/verify", tag = "events", params(TenantQuery), responses((status = 200, body = VerifyView)))]
pub(super) async fn verify(
    State(app): State<App>,
    caller: Caller,
    _query: Query<TenantQuery>,
) -> Result<axum::Json<VerifyView>, Error> {
    Ok(axum::Json(view::verify(verb::events::verify(&app, &caller).await?)))
}
