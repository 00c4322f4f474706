//! Server-sent events: bounded pauses, comments that keep proxies awake, and an end when the server stops.

use std::{convert::Infallible, time::Duration};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, StreamExt as _};
use http::{HeaderValue, header};

use crate::app::App;

/// Proxies close what is silent for a minute, many of them after 30 seconds.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// An answer that goes on until the stream ends, the client leaves, or the server stops.
pub(crate) fn answer(app: &App, events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let stop = app.stop.clone();
    let events = events.take_until(async move { stop.cancelled().await }).map(Ok::<_, Infallible>);
    let mut response =
        Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive")).into_response();
    // nginx holds back streamed answers unless told not to.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// One event with JSON data.
pub(crate) fn event<T: serde::Serialize>(kind: &str, data: &T) -> Event {
    Event::default().event(kind).json_data(data).expect("wire types are always representable as JSON")
}
