//! The server itself: where to go, health, metrics, backup.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, StatusCode, header, request::Parts};
use skipper_core::policy::Action;
use tokio::time::timeout;

use super::wire::{Health, Index, Ready};
use crate::{
    api::{
        extract::{Query, TenantQuery},
        problem::Rendered,
        releases,
    },
    app::App,
    caddy::{CaddyHealth, CaddyState},
    error::Error,
    metrics::count_of,
    verb::{self, Caller},
};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Longest a part is waited for by `/readyz`; what asks gives up after a second or two.
const LOOK: Duration = Duration::from_millis(900);

/// Says what there is, to browsers; sends everybody else to `/api`, where Spring's clients look.
#[utoipa::path(get, path = "/", tag = "server", responses((status = 200, body = Index), (status = 302, description = "To `/api`, for whoever does not accept text/html")))]
pub(super) async fn index(parts: Parts) -> Response {
    if !releases::is_browser(&parts.headers) {
        return (StatusCode::FOUND, [(header::LOCATION, releases::index_of(&parts))]).into_response();
    }
    let links = [
        ("openapi", "/openapi.json"),
        ("health", "/healthz"),
        ("ready", "/readyz"),
        ("metrics", "/metrics"),
        ("releases", "/v1/releases"),
        ("packages", "/v1/packages"),
        ("events", "/v1/events"),
    ];
    axum::Json(Index {
        name: "skipper".to_owned(),
        version: VERSION.to_owned(),
        links: links.map(|(word, path)| (word.to_owned(), path.to_owned())).into(),
    })
    .into_response()
}

/// Says that the process answers.
#[utoipa::path(get, path = "/healthz", tag = "server", responses((status = 200, body = Health)))]
pub(super) async fn healthz() -> axum::Json<Health> {
    axum::Json(Health { status: "ok".to_owned(), version: VERSION.to_owned() })
}

/// Says whether everything that the server needs answers as well.
#[utoipa::path(get, path = "/readyz", tag = "server", responses((status = 200, body = Ready), (status = 503, body = Ready, description = "A part does not answer")))]
pub(super) async fn readyz(State(app): State<App>) -> Response {
    let store = async {
        let both = async {
            app.store.writable().await?;
            app.store.events_head().await
        };
        match timeout(LOOK, both).await {
            Ok(Ok(_)) => "ok".to_owned(),
            // What exactly is wrong is for the log: anybody may ask here.
            Ok(Err(error)) => format!("fails: {}", error.code()),
            Err(_) => "does not answer".to_owned(),
        }
    };
    let edge = async {
        match timeout(LOOK, app.edge.info()).await {
            Ok(Ok(state)) => ("ok".to_owned(), state.certificates()),
            Ok(Err(error)) => (format!("fails: {}", error.code()), None),
            Err(_) => ("does not answer".to_owned(), None),
        }
    };
    // The edge belongs to the server that tends what runs; where that is another one is for those who are let in.
    let standby = app.tended_by.borrow().is_some();
    let edge = async { if standby { ("ok".to_owned(), None) } else { edge.await } };
    let (store, (edge, certificates)) = tokio::join!(store, edge);
    let engine = if standby { "standby" } else { "ok" };
    let server = if app.stop.is_cancelled() { "is shutting down" } else { "ok" };
    let mut parts: BTreeMap<String, String> =
        [("store", store), ("edge", edge), ("engine", engine.to_owned()), ("server", server.to_owned())]
            .map(|(k, v)| (k.to_owned(), v))
            .into();
    let ready = parts.values().all(|state| state == "ok" || state == "standby");
    // Told, but no reason to take the server for one that cannot work.
    parts.extend(certificates.map(|state| ("certificates".to_owned(), state)));
    // What Caddy has goes on without us: no reason to take this server out of service.
    if let Some(caddy) = app.caddy.state() {
        parts.insert("caddy".to_owned(), caddy_part(&caddy).to_owned());
    }
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response = (status, axum::Json(Ready { ready, parts })).into_response();
    response.extensions_mut().insert(Rendered);
    response
}

/// How Caddy stands, as anybody may know it.
const fn caddy_part(caddy: &CaddyState) -> &'static str {
    match caddy.health {
        CaddyHealth::Ok if caddy.left.is_empty() => "ok",
        CaddyHealth::Ok => "degraded: some host names are not led to the edge",
        CaddyHealth::Unknown => "is being asked",
        CaddyHealth::Unreachable { .. } => "degraded: does not answer",
        CaddyHealth::Refuses { .. } => "degraded: refuses its configuration",
    }
}

/// Counters and gauges for Prometheus, those of the edge included.
#[utoipa::path(get, path = "/metrics", tag = "server", params(TenantQuery), responses((status = 200, content_type = "text/plain", body = String)))]
pub(super) async fn metrics(
    State(app): State<App>,
    caller: Caller,
    _query: Query<TenantQuery>,
) -> Result<Response, Error> {
    caller.may_all(Action::Read)?;
    let counts = app.timed("counts", app.store.counts()).await?;
    let mut text = app.metrics.render();
    let gauges = [
        ("skipper_releases", "Releases that are not deleted.", counts.releases),
        ("skipper_rollouts_open", "Rollouts that are open.", counts.open_rollouts),
        ("skipper_deployments", "Deployments that run.", counts.deployments),
        ("skipper_releases_troubled", "Releases that supervision looks after.", app.engine.troubled().len() as u64),
        ("skipper_tasks", "Requests and background work under way.", app.tasks.len() as u64),
    ];
    for (name, help, value) in gauges {
        text.samples(name, "gauge", help, [(Vec::new(), count_of(value))]);
    }
    text.samples("skipper_events_total", "counter", "Events so far.", [(Vec::new(), count_of(counts.events))]);
    let build = vec![("version", VERSION.to_owned())];
    text.samples("skipper_build_info", "gauge", "The server's version.", [(build, 1.0)]);
    if let Some(caddy) = app.caddy.state() {
        let up = if caddy.health == CaddyHealth::Ok { 1.0 } else { 0.0 };
        text.samples(
            "skipper_caddy_up",
            "gauge",
            "Whether Caddy answers and takes what it is told.",
            [(Vec::new(), up)],
        );
        let hosts = [("routed", caddy.hosts), ("left", caddy.left.len())];
        let hosts = hosts.map(|(state, count)| (vec![("state", state.to_owned())], count_of(count as u64)));
        text.samples(
            "skipper_caddy_hosts",
            "gauge",
            "Host names that Caddy leads to the edge, and those it does not.",
            hosts,
        );
        let changes = [(Vec::new(), count_of(caddy.changes))];
        text.samples("skipper_caddy_changes_total", "counter", "Changes of Caddy's configuration.", changes);
    }
    let edge = timeout(LOOK, app.edge.metrics()).await.ok().and_then(Result::ok);
    let up = if edge.is_some() { 1.0 } else { 0.0 };
    text.samples("skipper_edge_up", "gauge", "Whether the edge answers.", [(Vec::new(), up)]);
    let mut text = text.finish();
    text.push_str(&edge.unwrap_or_default());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// Sends a consistent copy of the database, made while the server goes on. The key that seals secrets is not in it.
#[utoipa::path(post, path = "/v1/backup", tag = "server", params(TenantQuery), responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>)))]
pub(super) async fn backup(
    State(app): State<App>,
    caller: Caller,
    _query: Query<TenantQuery>,
) -> Result<Response, Error> {
    let backup = verb::backup::backup(&app, &caller).await?;
    let length = HeaderValue::from(backup.bytes);
    let mut response = Body::from_stream(backup.stream()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, length);
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"skipper-backup.db\""));
    Ok(response)
}
