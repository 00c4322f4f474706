//! Idempotency keys: the first answer to a request is the answer to every repetition of it, also while it is still being
//! worked on, and after a restart.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use skipper_core::{Sha256, actor::Actor, name::TenantName, release::Door};
use skipper_store::{Begun, IdempotencyKey, StoredAnswer};
use tracing::warn;

use super::{fleet, own, problem::Unrendered, table::Meta};
use crate::{
    app::App,
    error::{Code, Error},
};

/// Both names are read; the second is what agents of the MVP send.
const KEYS: [HeaderName; 2] =
    [HeaderName::from_static("idempotency-key"), HeaderName::from_static("x-idempotency-key")];
/// Marks an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// How often a repetition asks whether the first one has its answer.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// Answers under a key are small documents; anything larger is a stream and not kept.
const MAX_ANSWER: usize = 1 << 20;

/// Put into a response: what is remembered instead of its body, because that holds a secret.
#[derive(Debug, Clone)]
pub(crate) struct Remember(pub(crate) Vec<u8>);

/// Runs the handler, or answers as before.
pub(crate) async fn run(app: &App, meta: &Meta, parts: Parts, body: Bytes, next: Next) -> Response {
    match attempt(app, meta, parts, body, next).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn attempt(app: &App, meta: &Meta, mut parts: Parts, body: Bytes, next: Next) -> Result<Response, Error> {
    let key = key_of(&parts.headers)?.filter(|_| meta.takes_key());
    let Some(key) = key else {
        return Ok(next.run(Request::from_parts(parts, Body::from(body))).await);
    };
    let actor = parts.extensions.get::<Actor>().cloned().ok_or_else(|| Error::internal("the route is not guarded"))?;
    let tenant = actor.tenant().cloned().unwrap_or_else(TenantName::default_tenant);
    let fingerprint = fingerprint(&parts, &body);
    let holder = match begin(app, &tenant, &identity(&actor), &key, fingerprint, app.retention.idempotency_keys).await?
    {
        Begun::Done(answer) => return replay(answer),
        Begun::Accepted(holder, rollout) => {
            let accepted = app.store.intent_get(rollout).await?;
            let response = match accepted.release.door {
                Door::Fleet if meta.path.starts_with("/v1/deployments/") => fleet::answer_again(app, accepted).await?,
                _ => own::accepted(accepted),
            };
            return keep(app, &holder, response).await;
        }
        // `begin` waits until it is something else.
        Begun::InProgress => return Err(still_running()),
        Begun::New(holder) => holder,
    };
    parts.extensions.insert(holder.clone());
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    keep(app, &holder, response).await
}

fn key_of(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let given: Vec<&HeaderValue> = KEYS.iter().flat_map(|name| headers.get_all(name)).collect();
    let Some(first) = given.first() else { return Ok(None) };
    if given.iter().any(|other| other != first) {
        return Err(Error::new(Code::BadRequest, "the request has several different idempotency keys"));
    }
    let text = first.to_str().map(str::trim).unwrap_or_default();
    if text.is_empty() || text.len() > 255 || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Error::new(Code::BadRequest, "an idempotency key has 1 to 255 visible ASCII characters"));
    }
    Ok(Some(text.to_owned()))
}

/// Keys belong to who sends them: two tokens never get each other's answers.
fn identity(actor: &Actor) -> String {
    match actor {
        Actor::Token { id, .. } => format!("token:{id}"),
        other => other.to_string(),
    }
}

/// What makes a request the same: method, path with query, content type and body.
fn fingerprint(parts: &Parts, body: &Bytes) -> Sha256 {
    let content_type = parts.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut bytes = Vec::with_capacity(body.len() + 128);
    for part in [parts.method.as_str().as_bytes(), target.as_bytes(), content_type, body] {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    Sha256::of(&bytes)
}

/// What is known of a request that begins nothing, but claims its key with what it does; waits while another one is at it
/// that began.
pub(super) async fn find(
    app: &App,
    tenant: &TenantName,
    actor: &str,
    key: &str,
    fingerprint: Sha256,
) -> Result<Option<Begun>, Error> {
    let waiting = async {
        loop {
            match app.store.idempotency_find(tenant, actor, key, fingerprint).await? {
                Some(Begun::InProgress) => tokio::time::sleep(LOOK_EVERY).await,
                found => return Ok(found),
            }
        }
    };
    tokio::time::timeout(app.limits.request_timeout, waiting).await.unwrap_or_else(|_| Err(still_running()))
}

/// Begins, and waits while the first one is at it.
async fn begin(
    app: &App,
    tenant: &TenantName,
    actor: &str,
    key: &str,
    fingerprint: Sha256,
    keep: Duration,
) -> Result<Begun, Error> {
    let waiting = async {
        loop {
            match app.store.idempotency_begin(tenant, actor, key, fingerprint, keep).await? {
                Begun::InProgress => tokio::time::sleep(LOOK_EVERY).await,
                begun => return Ok(begun),
            }
        }
    };
    tokio::time::timeout(app.limits.request_timeout, waiting).await.unwrap_or_else(|_| Err(still_running()))
}

/// What a repetition is told that has waited long enough for the first one.
pub(super) fn still_running() -> Error {
    Error::new(Code::Timeout, "the first request with this idempotency key is still being worked on")
        .hint("repeat it in a moment")
}

/// Remembers an answer that is final. One that a repetition might turn out better frees the key.
pub(super) async fn keep(app: &App, holder: &IdempotencyKey, response: Response) -> Result<Response, Error> {
    let final_answer = response.status().is_success() || response.status().is_client_error();
    let (mut parts, body) = response.into_parts();
    if !final_answer || parts.extensions.get::<Unrendered>().is_some() {
        // Refusals are not remembered: nothing was done, and what was wrong may be put right.
        forget(app, holder).await;
        return Ok(Response::from_parts(parts, body));
    }
    let bytes = match to_bytes(body, MAX_ANSWER).await {
        Ok(bytes) => bytes,
        Err(cause) => {
            forget(app, holder).await;
            return Err(Error::internal(Box::new(cause)));
        }
    };
    let kept = [header::CONTENT_TYPE, header::LOCATION, header::ETAG];
    let headers =
        kept.iter().filter_map(|name| Some((name.to_string(), parts.headers.get(name)?.to_str().ok()?.to_owned())));
    let remembered = parts.extensions.remove::<Remember>().map_or_else(|| bytes.to_vec(), |Remember(other)| other);
    let answer = StoredAnswer { status: parts.status.as_u16(), headers: headers.collect(), body: remembered };
    if let Err(error) = app.store.idempotency_finish(holder, answer).await {
        // The work is done and must be answered; a repetition finds the rollout, or does it again.
        warn!(error = %error, "an answer could not be kept under its idempotency key");
    }
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

async fn forget(app: &App, holder: &IdempotencyKey) {
    if let Err(error) = app.store.idempotency_give_up(holder).await {
        warn!(error = %error, "an idempotency key could not be freed; it is in a minute");
    }
}

/// The answer of before.
pub(super) fn replay(answer: StoredAnswer) -> Result<Response, Error> {
    let mut response = respond(answer)?;
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

/// An answer as it is remembered.
pub(super) fn respond(answer: StoredAnswer) -> Result<Response, Error> {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).map_err(Error::internal)?;
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}
