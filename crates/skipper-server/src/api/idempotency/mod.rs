//! Idempotency keys: the first answer to a request is the answer to every repetition of it, also while it is still being
//! worked on, and after a restart. One layer in front of the handlers of every door; [`WITHOUT_KEY`] says what it passes over.

mod excepted;
mod named;
mod turns;

use std::time::Duration;

use axum::{
    body::{Body, Bytes, HttpBody as _, to_bytes},
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header, request::Parts};
use skipper_core::{Sha256, name::TenantName, release::Door};
use skipper_store::{Begun, IdempotencyKey, IntentAccepted, StoredAnswer};
use tracing::warn;

pub use excepted::WITHOUT_KEY;
pub(super) use excepted::is_excepted;
use named::Name;
pub(super) use named::key_of;
pub(crate) use turns::Turns;

use super::{
    deploys, fleet, own,
    problem::{Rendered, Unrendered},
    releases,
    table::{Answer, Meta},
};
use crate::{
    app::App,
    error::{Code, Error},
};

/// Marks an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// How often a repetition asks whether the first one, which another server is at, has its answer.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// Longest answer that is kept, in bytes: above what a command may say. What came of an intent is told again from that.
const MAX_ANSWER: u64 = 8 << 20;
/// Headers that are about one transfer of an answer, and not about the answer.
const OF_TRANSFER: [HeaderName; 4] =
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION, header::DATE];

/// Put into a response: what is remembered instead of its body, because that holds a secret.
#[derive(Debug, Clone)]
pub(crate) struct Remember(pub(crate) Vec<u8>);

/// Runs the handler, or answers as before.
pub(crate) async fn run(turns: &Turns, app: &App, meta: &Meta, parts: Parts, body: Bytes, next: Next) -> Response {
    match attempt(turns, app, meta, parts, body, next).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn attempt(
    turns: &Turns,
    app: &App,
    meta: &Meta,
    mut parts: Parts,
    body: Bytes,
    next: Next,
) -> Result<Response, Error> {
    let name = match key_of(&parts.headers)?.filter(|_| meta.takes_key()) {
        Some(key) => Name::of(app, meta, &parts, key).await?,
        None => None,
    };
    let Some(name) = name else {
        return Ok(next.run(Request::from_parts(parts, Body::from(body))).await);
    };
    let fingerprint = named::fingerprint(app, meta, &parts, &body).await?;
    let turn = tokio::time::timeout(app.limits.request_timeout, turns.of(&name, fingerprint));
    let _turn = turn.await.unwrap_or_else(|_| Err(still_running()))?;
    let holder = match begin(app, &name, fingerprint, app.retention.idempotency_keys).await? {
        Begun::Done(answer) => return replay(answer),
        Begun::Accepted(holder, rollout) => {
            let accepted = app.store.intent_get(rollout).await?;
            let response = again(app, meta, &parts, accepted).await?;
            return keep(app, &holder, response).await.map(replayed);
        }
        // `begin` waits until it is something else.
        Begun::InProgress => return Err(still_running()),
        Begun::New(holder) => holder,
    };
    parts.extensions.insert(holder.clone());
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    keep_as(app, &holder, response, meta.answer == Answer::Sealed).await
}

/// The answer to an intent that was accepted, and whose own answer was lost, in the words of its door.
async fn again(app: &App, meta: &Meta, parts: &Parts, accepted: IntentAccepted) -> Result<Response, Error> {
    if meta.path.starts_with("/api/") {
        return Ok(releases::answer_again(app, parts, accepted).await);
    }
    match accepted.release.door {
        Door::Fleet if meta.path.starts_with("/v1/deployments/") => fleet::answer_again(app, accepted).await,
        Door::Deploys if meta.path.starts_with("/v1/apps/") => {
            deploys::answer_again(app, &parts.headers, &accepted).await
        }
        _ => Ok(own::accepted(accepted)),
    }
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

/// Begins, and waits while the first one is at it on another server.
async fn begin(app: &App, name: &Name, fingerprint: Sha256, keep: Duration) -> Result<Begun, Error> {
    let Name { tenant, actor, key } = name;
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
    keep_as(app, holder, response, false).await
}

/// The same; `sealed`: its body holds a secret.
async fn keep_as(app: &App, holder: &IdempotencyKey, response: Response, sealed: bool) -> Result<Response, Error> {
    let final_answer = response.status().is_success() || response.status().is_client_error();
    let (mut parts, body) = response.into_parts();
    let is_refusal = parts.extensions.get::<Unrendered>().is_some() || parts.extensions.get::<Rendered>().is_some();
    // One that is larger is a stream, or of an intent, from which it is told again.
    let fits = body.size_hint().upper().is_some_and(|most| most <= MAX_ANSWER);
    if !final_answer || is_refusal || !fits {
        // Refusals are not remembered: nothing was done, and what was wrong may be put right.
        forget(app, holder).await;
        return Ok(Response::from_parts(parts, body));
    }
    let bytes = match to_bytes(body, usize::try_from(MAX_ANSWER).unwrap_or(usize::MAX)).await {
        Ok(bytes) => bytes,
        Err(cause) => {
            forget(app, holder).await;
            return Err(Error::internal(Box::new(cause)));
        }
    };
    let kept = parts.headers.iter().filter(|(name, _)| !OF_TRANSFER.contains(name));
    let headers = kept.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned()))).collect();
    let remembered = parts.extensions.remove::<Remember>().map_or_else(|| bytes.to_vec(), |Remember(other)| other);
    let answer = StoredAnswer { status: parts.status.as_u16(), headers, body: remembered };
    let finished = if sealed {
        app.store.idempotency_finish_sealed(holder, answer).await
    } else {
        app.store.idempotency_finish(holder, answer).await
    };
    if let Err(error) = finished {
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
    respond(answer).map(replayed)
}

/// Marked as one that the caller may have had before.
fn replayed(mut response: Response) -> Response {
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

/// An answer as it is remembered.
pub(super) fn respond(answer: StoredAnswer) -> Result<Response, Error> {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).map_err(Error::internal)?;
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}
