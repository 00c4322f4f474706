use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, UPGRADE},
};
use serde_json::json;
use tokio::time;

use super::{
    lifecycle::{self, App},
    options::Ready,
    stream, websocket,
};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Longest that `/slow` waits.
const MAX_SLOW: Duration = Duration::from_secs(600);

/// Longest line that `/log` writes.
const MAX_LINE: usize = 4096;

/// Answers one request.
pub(super) async fn answer(
    app: Arc<App>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    if !app.options.latency.is_zero() {
        time::sleep(app.options.latency).await;
    }
    let query = Query::of(request.uri().query().unwrap_or_default());
    let mut response = match request.uri().path() {
        "/" => text(StatusCode::OK, super::HELP),
        "/greeting" => greeting(&app),
        "/about" => about(&app),
        "/health" | "/actuator/health" => health(&app),
        "/echo" => echo_request(peer, request).await,
        "/env" => env(&app, &query),
        "/count" => count(&app),
        "/log" => log(&query),
        "/slow" => {
            time::sleep(Duration::from_millis(query.number("ms").unwrap_or(100)).min(MAX_SLOW)).await;
            greeting(&app)
        }
        "/fail" => fail(&query),
        "/download" => download(&query),
        "/upload" => upload(request).await,
        "/events" => events(&app, &query),
        "/ws" => upgrade(&app, request),
        _ => text(StatusCode::NOT_FOUND, "no such path; / lists what there is\n"),
    };
    if let Ok(version) = HeaderValue::from_str(&app.options.version) {
        response.headers_mut().insert("x-sample-version", version);
    }
    Ok(response)
}

/// The values after the question mark, as they were written: no path here takes one that needs decoding.
struct Query<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Query<'a> {
    fn of(query: &'a str) -> Self {
        Self(query.split('&').filter_map(|pair| pair.split_once('=')).collect())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.parse().ok()
    }
}

fn full(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn text(status: StatusCode, body: impl Into<String>) -> Response<Body> {
    full(status, "text/plain; charset=utf-8", body.into())
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    full(status, "application/json", body.to_string())
}

fn greeting(app: &App) -> Response<Body> {
    let percent = u64::from(app.options.fail_percent);
    let asked = app.greeted.fetch_add(1, Ordering::Relaxed);
    // Spread evenly instead of by chance, so that a test can count.
    if (asked + 1) * percent / 100 > asked * percent / 100 {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "failing, as it was told\n");
    }
    text(StatusCode::OK, app.options.greeting.clone())
}

fn about(app: &App) -> Response<Body> {
    if let Some(said) = &app.options.about {
        return text(StatusCode::OK, said.clone());
    }
    json(
        StatusCode::OK,
        &json!({
            "name": "sample",
            "version": app.options.version,
            "pid": std::process::id(),
            "uptime_ms": u64::try_from(app.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        }),
    )
}

fn health(app: &App) -> Response<Body> {
    let up = app.started.elapsed();
    let ready = match app.options.ready_after {
        Ready::Never => false,
        Ready::After(after) => up >= after,
    };
    let broken = app.options.unhealthy_after.is_some_and(|after| up >= after);
    let file_there = app.options.health_file.as_ref().is_none_or(|file| file.exists());
    let (status, word) = if ready && !broken && file_there {
        (StatusCode::OK, "UP")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "OUT_OF_SERVICE")
    };
    json(status, &json!({ "status": word }))
}

async fn echo_request(peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let mut headers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in &head.headers {
        headers.entry(name.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    let Ok(bytes) = drain(body).await else { return text(StatusCode::BAD_REQUEST, "the body broke off\n") };
    json(
        StatusCode::OK,
        &json!({
            "method": head.method.as_str(),
            "uri": head.uri.to_string(),
            "version": format!("{:?}", head.version),
            "peer": peer.to_string(),
            "headers": headers,
            "body_bytes": bytes,
        }),
    )
}

fn env(app: &App, query: &Query<'_>) -> Response<Body> {
    let name = query.0.get("name").copied().unwrap_or_default();
    // Only what the starter listed: an environment holds secrets.
    if !app.options.show_env.iter().any(|shown| shown == name) {
        return text(StatusCode::FORBIDDEN, "not among --sample.show-env\n");
    }
    match std::env::var(name) {
        Ok(value) => text(StatusCode::OK, value),
        Err(_) => text(StatusCode::NOT_FOUND, "not set\n"),
    }
}

fn count(app: &App) -> Response<Body> {
    let Some(folder) = &app.options.data_dir else {
        return text(StatusCode::NOT_FOUND, "no --sample.data-dir or DATA_DIR\n");
    };
    match lifecycle::count(folder) {
        Ok(number) => text(StatusCode::OK, number.to_string()),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{}: {error}\n", folder.display())),
    }
}

fn log(query: &Query<'_>) -> Response<Body> {
    let line: String = query.0.get("line").copied().unwrap_or_default().chars().take(MAX_LINE).collect();
    if query.0.get("to").copied() == Some("stderr") {
        eprintln!("{line}");
    } else {
        println!("{line}");
    }
    text(StatusCode::OK, "")
}

fn fail(query: &Query<'_>) -> Response<Body> {
    let status = query
        .number("status")
        .and_then(|code| u16::try_from(code).ok())
        .and_then(|code| StatusCode::from_u16(code).ok())
        .filter(|status| status.as_u16() >= 200)
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    text(status, "failing, as it was asked\n")
}

fn download(query: &Query<'_>) -> Response<Body> {
    let total = query.number("bytes").unwrap_or(1024 * 1024);
    let rate = query.number("rate").unwrap_or(0);
    let mut response = Response::new(StreamBody::new(stream::download(total, rate)).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(total));
    response
}

async fn upload(request: Request<Incoming>) -> Response<Body> {
    match drain(request.into_body()).await {
        Ok(bytes) => json(StatusCode::OK, &json!({ "bytes": bytes })),
        Err(_) => text(StatusCode::BAD_REQUEST, "the body broke off\n"),
    }
}

async fn drain(mut body: Incoming) -> Result<u64, hyper::Error> {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame?.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok(bytes)
}

fn events(app: &Arc<App>, query: &Query<'_>) -> Response<Body> {
    let every = Duration::from_millis(query.number("ms").unwrap_or(1000).max(1));
    let count = query.number("count").unwrap_or(u64::MAX);
    let mut response = Response::new(StreamBody::new(stream::events(Arc::clone(app), every, count)).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

fn upgrade(app: &Arc<App>, mut request: Request<Incoming>) -> Response<Body> {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let asks = header("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
    let Some(key) = header("sec-websocket-key").filter(|_| asks) else {
        return text(StatusCode::UPGRADE_REQUIRED, "a WebSocket handshake is expected\n");
    };
    let accept = websocket::accept_key(key);
    let app = Arc::clone(app);
    app.tasks.clone().spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(&mut request).await {
            // The peer may leave without a word.
            stream::echo(app, upgraded).await.ok();
        }
    });
    let mut response = text(StatusCode::SWITCHING_PROTOCOLS, "");
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        headers.insert("sec-websocket-accept", accept);
    }
    response
}
