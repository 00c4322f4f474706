//! Around every request: its ids, its span, its line in the log and its count in the metrics.

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use skipper_core::id::RequestId;
use tokio::time::Instant;
use tracing::{Instrument as _, debug, error, info, info_span};

use super::{
    problem::{self, Unrendered},
    releases,
};
use crate::app::App;

/// Names one request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Names the larger job that the caller's request is part of.
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
/// Longer ones are dropped: they go into every event.
const MAX_CORRELATION: usize = 128;

/// What a request is called.
#[derive(Debug, Clone)]
pub(crate) struct Ids {
    pub(crate) request: RequestId,
    pub(crate) correlation: String,
}

/// The middleware. It is the outermost, so that whatever goes wrong inside is rendered, logged and counted.
pub(crate) async fn observe(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let ids = ids_of(&app, request.headers());
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().map(|matched| matched.as_str().to_owned());
    let of = releases::Of::request(&method, request.uri(), request.headers());
    request.extensions_mut().insert(ids.clone());
    let span = info_span!(
        "request",
        request.id = %ids.request,
        correlation.id = %ids.correlation,
        http.method = %method,
        http.path = %path,
        actor = tracing::field::Empty,
    );
    async move {
        let response = next.run(request).await;
        let failure = response.extensions().get::<Unrendered>().cloned();
        let failure = failure.or_else(|| releases::cause(&response).map(Unrendered));
        let mut response = match of {
            Some(of) => of.render(response, app.clock.now()),
            None => problem::render(response, &ids.request.to_string(), problem::Clients::of(&path)),
        };
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, value(&ids.request.to_string()));
        headers.insert(CORRELATION_ID, value(&ids.correlation));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // Answers belong to who asked; one with an ETag may be kept, and must be asked about each time.
        let caching = if headers.contains_key(header::ETAG) { "private, no-cache" } else { "no-store" };
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static(caching));
        let status = response.status();
        let took = started.elapsed();
        app.metrics.request(&method, route.as_deref(), status.as_u16(), took);
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        match failure {
            Some(Unrendered(cause)) if status.is_server_error() => {
                error!(
                    http.status = status.as_u16(),
                    duration_ms,
                    error.code = cause.code().as_str(),
                    "{method} {path}: {}",
                    cause.chain()
                );
            }
            Some(Unrendered(cause)) => {
                debug!(
                    http.status = status.as_u16(),
                    duration_ms,
                    error.code = cause.code().as_str(),
                    "{method} {path}: {}",
                    cause.chain()
                );
            }
            None if method == Method::GET || method == Method::HEAD => {
                debug!(http.status = status.as_u16(), duration_ms, "{method} {path}");
            }
            None => info!(http.status = status.as_u16(), duration_ms, "{method} {path}"),
        }
        response
    }
    .instrument(span)
    .await
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

/// The caller's ids where they are usable. A request id is a UUID here; another form becomes the correlation id.
fn ids_of(app: &App, headers: &HeaderMap) -> Ids {
    let text = |name: &HeaderName| {
        let text = headers.get(name)?.to_str().ok()?.trim();
        let fits = (1..=MAX_CORRELATION).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| text.to_owned())
    };
    let given = text(&REQUEST_ID);
    let parsed = given.as_deref().and_then(|text| text.parse::<RequestId>().ok());
    let request = parsed.unwrap_or_else(|| RequestId::from_uuid(app.ids.next()));
    let correlation =
        text(&CORRELATION_ID).or_else(|| given.filter(|_| parsed.is_none())).unwrap_or_else(|| request.to_string());
    Ids { request, correlation }
}
