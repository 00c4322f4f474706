//! Errors as problem details. A handler's error travels in the response's extensions, so that one place renders all of
//! them with the request's id: those of the verbs, of the extractors, and of the router itself.

use std::sync::Arc;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::{deploys, fleet, own::wire::Problem};
use crate::error::{Code, Error};

/// The error of a response that is still to be rendered.
#[derive(Debug, Clone)]
pub(crate) struct Unrendered(pub(crate) Arc<Error>);

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status_of(self.code());
        response.extensions_mut().insert(Unrendered(Arc::new(self)));
        response
    }
}

fn status_of(code: Code) -> StatusCode {
    StatusCode::from_u16(code.status()).expect("the table holds valid status codes")
}

/// Whose clients know a path: what went wrong is told in their way as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clients {
    /// Skipper's own.
    Own,
    /// slip's: a sentence in `error`.
    Slip,
    /// The fleet's: `code`, `message` and `request_id` in `error`.
    Fleet,
}

impl Clients {
    /// Those of a path.
    pub(crate) fn of(path: &str) -> Self {
        if deploys::is_known(path) {
            Self::Slip
        } else if fleet::is_known(path) {
            Self::Fleet
        } else {
            Self::Own
        }
    }
}

/// Renders a response's error, if it has one; anything else with an error status becomes the nearest code.
pub(crate) fn render(response: Response, request_id: &str, clients: Clients) -> Response {
    let (mut parts, body) = response.into_parts();
    let error = match parts.extensions.remove::<Unrendered>() {
        Some(Unrendered(error)) => error,
        None if parts.status.is_client_error() || parts.status.is_server_error() => {
            let is_problem = parts.headers.get(header::CONTENT_TYPE).is_some_and(|t| t == "application/problem+json");
            if is_problem || parts.extensions.get::<Rendered>().is_some() {
                return Response::from_parts(parts, body);
            }
            Arc::new(Error::new(nearest(parts.status), nearest(parts.status).title()))
        }
        None => return Response::from_parts(parts, body),
    };
    parts.status = status_of(error.code());
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    parts.headers.remove(header::CONTENT_LENGTH);
    match error.code() {
        Code::Unauthenticated => {
            parts.headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"skipper\""));
        }
        Code::StoreUnavailable | Code::ShuttingDown => {
            parts.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    let mut problem = problem(&error, request_id);
    problem.error = match clients {
        Clients::Own => None,
        Clients::Slip => Some(json!(problem.detail)),
        Clients::Fleet => {
            let message = match &problem.hint {
                Some(hint) => format!("{} ({hint})", problem.detail),
                None => problem.detail.clone(),
            };
            Some(json!({"code": problem.code, "message": message, "request_id": request_id}))
        }
    };
    let text = serde_json::to_vec(&problem).expect("a problem is always representable as JSON");
    Response::from_parts(parts, Body::from(text))
}

/// Marks an error response whose body is its own: `/readyz` answers 503 with its parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rendered;

/// The wire form.
pub(crate) fn problem(error: &Error, request_id: &str) -> Problem {
    let code = error.code();
    Problem {
        kind: format!("docs/errors/{}.md", code.as_str()),
        title: code.title().to_owned(),
        status: code.status(),
        code: code.as_str().to_owned(),
        detail: error.detail().to_owned(),
        hint: error.advice().map(str::to_owned),
        faults: error.all_faults().to_vec(),
        rollout: error.blocking_rollout().map(|id| id.to_string()),
        error: None,
        request_id: request_id.to_owned(),
    }
}

/// What the router, or a layer of it, meant.
fn nearest(status: StatusCode) -> Code {
    match status {
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::REQUEST_TIMEOUT => Code::RequestTimeout,
        StatusCode::PAYLOAD_TOO_LARGE => Code::BodyTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        StatusCode::UNPROCESSABLE_ENTITY => Code::Invalid,
        status if status.is_client_error() => Code::BadRequest,
        StatusCode::SERVICE_UNAVAILABLE => Code::StoreUnavailable,
        StatusCode::GATEWAY_TIMEOUT => Code::Timeout,
        _ => Code::Internal,
    }
}
