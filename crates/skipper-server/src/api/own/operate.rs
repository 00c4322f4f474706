//! Looking after what runs: logs, counters, holding requests, platforms and the edge.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse as _, Response},
};
use futures::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use skipper_core::name::{AppName, ReleaseName, TenantName};
use tokio::time::Instant;
use utoipa::IntoParams;

use super::{
    view,
    wire::{
        AppStats, EdgeView, ExecRequest, ExecView, HoldRequest, LogLine, MaintenanceRequest, PlatformList, StatsView,
    },
};
use crate::{
    api::{
        extract::{Json, Path, Query, TenantQuery, name_of, tenant, valid},
        sse::KEEP_ALIVE,
    },
    app::App,
    config::parse_span,
    error::Error,
    verb::{self, Caller, logs::Wanted},
};

/// Keeps new requests of a release waiting at the edge, each at most `bound`.
#[utoipa::path(post, path = "/v1/releases/{name}/hold", tag = "operate", params(("name" = String, Path, description = "The release"), TenantQuery), request_body = HoldRequest, responses((status = 204, description = "Requests wait")))]
pub(super) async fn hold(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<TenantQuery>,
    Json(body): Json<HoldRequest>,
) -> Result<StatusCode, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let name = name_of(ReleaseName::new(name))?;
    let bound = valid("bound", parse_span(&body.bound))?;
    verb::hold::hold(&app, &caller, &tenant, &name, bound).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forwards a release's requests again.
#[utoipa::path(post, path = "/v1/releases/{name}/resume", tag = "operate", params(("name" = String, Path, description = "The release"), TenantQuery), responses((status = 204, description = "Requests are forwarded")))]
pub(super) async fn resume(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<TenantQuery>,
) -> Result<StatusCode, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let name = name_of(ReleaseName::new(name))?;
    verb::hold::resume(&app, &caller, &tenant, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Answers a release's requests with 503 and a page.
#[utoipa::path(post, path = "/v1/releases/{name}/maintenance", tag = "operate", params(("name" = String, Path, description = "The release"), TenantQuery), request_body = MaintenanceRequest, responses((status = 204, description = "The page is shown")))]
pub(super) async fn maintenance(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<TenantQuery>,
    Json(body): Json<MaintenanceRequest>,
) -> Result<StatusCode, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let name = name_of(ReleaseName::new(name))?;
    verb::hold::maintenance(&app, &caller, &tenant, &name, body.message).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Runs a command in an instance of what serves, and answers when it has ended.
#[utoipa::path(post, path = "/v1/releases/{name}/exec", tag = "operate", params(("name" = String, Path, description = "The release"), TenantQuery), request_body = ExecRequest, responses((status = 200, body = ExecView)))]
pub(super) async fn exec(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<TenantQuery>,
    Json(body): Json<ExecRequest>,
) -> Result<axum::Json<ExecView>, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let name = name_of(ReleaseName::new(name))?;
    let wanted = verb::exec::Exec {
        app: body.app.map(|app| name_of(AppName::new(app))).transpose()?,
        instance: body.instance,
        container: body.container,
        command: body.command,
        within: body.timeout_ms.map(Duration::from_millis),
    };
    let done = verb::exec::exec(&app, &caller, &tenant, &name, wanted).await?;
    Ok(axum::Json(ExecView {
        app: done.app.to_string(),
        deployment: done.deployment,
        instance: done.instance,
        code: done.code,
        output: done.output,
    }))
}

/// Which lines.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct LogsQuery {
    /// Whose release.
    pub(in crate::api) tenant: Option<String>,
    /// Go on with what comes.
    #[serde(default)]
    follow: bool,
    /// At most this many of the last lines of each instance.
    tail: Option<usize>,
    /// Of this application only.
    app: Option<String>,
    /// Of this instance only.
    instance: Option<u32>,
    /// In pods, of the container of this name only.
    container: Option<String>,
    /// Of this revision only; of one that failed, what is kept: its last lines.
    revision: Option<u64>,
}

/// Sends the output of a release's instances, one JSON document a line.
#[utoipa::path(get, path = "/v1/releases/{name}/logs", tag = "operate", params(("name" = String, Path, description = "The release"), LogsQuery), responses((status = 200, content_type = "application/x-ndjson", body = LogLine)))]
pub(super) async fn logs(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<LogsQuery>,
) -> Result<Response, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let name = name_of(ReleaseName::new(name))?;
    log_lines(&app, &caller, &tenant, &name, query).await
}

/// The output of a release, under whatever name it is asked for.
pub(in crate::api) async fn log_lines(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    name: &ReleaseName,
    query: LogsQuery,
) -> Result<Response, Error> {
    let wanted = Wanted {
        app: query.app.map(AppName::new).map(name_of).transpose()?,
        instance: query.instance,
        container: query.container,
        revision: query.revision,
        tail: query.tail,
        follow: query.follow,
    };
    let lines = verb::logs::logs(app, caller, tenant, name, wanted).await?;
    let (clock, stop, follow) = (app.clock.clone(), app.stop.clone(), query.follow);
    let lines = lines.map(move |line| {
        let mut text = serde_json::to_string(&view::line(&line, clock.now())).unwrap_or_default();
        text.push('\n');
        text
    });
    let bytes = awake(lines, follow).take_until(async move { stop.cancelled().await });
    let bytes = bytes.map(|text| Ok::<_, Infallible>(Bytes::from(text)));
    let mut response = Body::from_stream(bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Adds an empty line whenever nothing was said for a while: for proxies, and because a client that has left is only found
/// out by writing to it.
fn awake(lines: impl Stream<Item = String> + Send + 'static, follow: bool) -> BoxStream<'static, String> {
    if !follow {
        return lines.boxed();
    }
    let state = (Box::pin(lines), tokio::time::interval_at(Instant::now() + KEEP_ALIVE, KEEP_ALIVE));
    stream::unfold(state, |(mut lines, mut silence)| async move {
        tokio::select! {
            line = lines.next() => {
                silence.reset();
                line.map(|line| (line, (lines, silence)))
            }
            _ = silence.tick() => Some(("\n".to_owned(), (lines, silence))),
        }
    })
    .boxed()
}

/// Shows what the edge counted for a release.
#[utoipa::path(get, path = "/v1/releases/{name}/stats", tag = "operate", params(("name" = String, Path, description = "The release"), TenantQuery), responses((status = 200, body = StatsView)))]
pub(super) async fn stats(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<TenantQuery>,
) -> Result<axum::Json<StatsView>, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let name = name_of(ReleaseName::new(name))?;
    let counted = verb::edge::stats(&app, &caller, &tenant, &name).await?;
    let apps = counted.into_iter().filter_map(|(live, stats)| {
        let stats = stats?;
        Some(AppStats {
            app: live.deployment.app.name.to_string(),
            deployment: live.deployment.id.to_string(),
            revision: live.deployment.revision,
            weight: live.weight,
            requests: stats.requests,
            in_flight: stats.in_flight,
            errors: stats.errors,
            p50_ms: stats.p50_ms,
            p99_ms: stats.p99_ms,
        })
    });
    Ok(axum::Json(StatsView { release: name.to_string(), apps: apps.collect() }))
}

/// Lists the configured platform accounts.
#[utoipa::path(get, path = "/v1/platforms", tag = "operate", params(TenantQuery), responses((status = 200, body = PlatformList)))]
pub(super) async fn platforms(
    State(app): State<App>,
    caller: Caller,
    _query: Query<TenantQuery>,
) -> Result<axum::Json<PlatformList>, Error> {
    let all = verb::edge::platforms(&app, &caller).await?;
    let default = app.default_platform.as_str();
    Ok(axum::Json(PlatformList { items: all.into_iter().map(|one| view::platform(one, default)).collect() }))
}

/// Shows the edge.
#[utoipa::path(get, path = "/v1/edge", tag = "operate", params(TenantQuery), responses((status = 200, body = EdgeView)))]
pub(super) async fn edge(
    State(app): State<App>,
    caller: Caller,
    _query: Query<TenantQuery>,
) -> Result<axum::Json<EdgeView>, Error> {
    let caddy = app.caddy.state().map(view::caddy);
    let view = match verb::edge::edge(&app, &caller).await? {
        Ok(state) => EdgeView { reachable: true, error: None, status: state.document, caddy },
        Err(error) => EdgeView { reachable: false, error: Some(error.chain()), status: serde_json::Value::Null, caddy },
    };
    Ok(axum::Json(view))
}
