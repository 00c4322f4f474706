//! One call of the server, answered.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use serde::Deserialize;
use skipper_core::port::{Error, ErrorKind};
use skipper_platform::remote::{MAX_REQUEST, Reply};

use super::{Reach, projects};
use crate::agent::state::{Agent, lock};

/// A body that may go on for as long as somebody reads it.
pub(super) type Body = UnsyncBoxBody<Bytes, Error>;

/// Why the server ends a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Goodbye {
    /// Another agent has come.
    Replaced,
    /// Nobody asks anything.
    Idle,
    /// The node or its token is not known any more.
    Refused,
    /// The server ends, or is the wrong one; also what a newer server may say.
    #[serde(other)]
    Leaving,
}

/// Answers. What goes wrong is said in the answer.
pub(super) async fn answer(
    agent: &Agent,
    reach: &Arc<Reach>,
    goodbye: &Mutex<Option<Goodbye>>,
    request: Request<Incoming>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    if parts.method != Method::POST {
        let what = format!("{} is not asked here", parts.method);
        return reply(agent, false, Reply::refused(&Error::new(ErrorKind::Permanent, "unknown-method", what)));
    }
    let body = match Limited::new(body, MAX_REQUEST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(cause) => {
            let error = Error::new(ErrorKind::Permanent, "request-unreadable", "the request did not come whole");
            return reply(agent, false, Reply::refused(&error.because(cause)));
        }
    };
    tracing::debug!(path, "the server asks");
    let lasts = path.ends_with("/logs") || path == "/changes";
    let answered = match path {
        "/goodbye" => {
            #[derive(Deserialize)]
            struct Said {
                reason: Goodbye,
            }
            let said = serde_json::from_slice::<Said>(&body).map_or(Goodbye::Leaving, |said| said.reason);
            *lock(goodbye) = Some(said);
            whole(StatusCode::OK, "{}")
        }
        "/projects/logs" => projects::logs(&reach.compose, &body).await,
        "/projects/exec" => projects::exec(&reach.compose, &body).await,
        _ => Box::pin(reach.accounts.desk.answer(path, body)).await,
    };
    reply(agent, lasts, answered)
}

/// An answer in one piece.
pub(super) fn whole(status: StatusCode, text: impl Into<Bytes>) -> Reply {
    let text = text.into();
    Reply { status: status.as_u16(), body: futures::stream::iter([Ok(text)]).boxed() }
}

/// What follows something ends with the agent; everything else comes to its own end.
fn reply(agent: &Agent, lasts: bool, reply: Reply) -> Response<Body> {
    let Reply { status, body } = reply;
    let draining = agent.draining.clone();
    let ends = async move {
        match lasts {
            true => draining.cancelled_owned().await,
            false => std::future::pending().await,
        }
    };
    let frames = body.take_until(Box::pin(ends)).map(|piece| piece.map(Frame::data));
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
