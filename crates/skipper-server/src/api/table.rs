//! The one table of routes: the router, the OpenAPI document and the tests of who may do what are all made of it, so that
//! a new route cannot be forgotten in any of them.

use std::any::Any;

use axum::{
    Extension, Router,
    body::Body,
    extract::{DefaultBodyLimit, Request},
    middleware::{self, Next},
    response::IntoResponse as _,
    routing::MethodRouter,
};
use http::{Method, Response, StatusCode, Uri, uri::PathAndQuery};
use skipper_core::policy::Action;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::{RefOr, path::Paths, schema::Schema};

use super::{
    deploys, fleet, guard,
    idempotency::{self, Turns},
    observe, own,
    problem::Rendered,
    releases,
};
use crate::{
    app::App,
    error::{Code, Error},
};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a token.
    Public,
    /// Whoever has signed the body; the handler verifies it.
    Signed,
    /// Whoever may do this to apps, or has signed what is asked as slip's clients do: then the handler verifies it.
    SignedOr(Action),
    /// Whoever may do this to the tenant named in the query.
    Tenant(Action),
    /// The same, and whoever has the ticket of what the path names.
    TenantOrTicket(Action),
    /// Whoever may do this to the tenant that the path names.
    Owner(Action),
    /// Whoever may do this to the whole installation.
    Installation(Action),
    /// A node's agent, by the node's own token.
    Node,
}

/// What a route reads as its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyKind {
    /// Nothing.
    Nothing,
    /// A JSON document of at most `limits.body`.
    Json,
    /// The body of a webhook: at most 64 KiB, and no more than `limits.body`.
    Webhook,
    /// A zip of at most `limits.package`.
    Package,
    /// A JSON document of at most `limits.body`, with a zip of at most `limits.package` in it.
    Plan,
    /// A node's report on an order: a JSON document of at most `limits.body`, repeated as often as the node likes.
    Report,
    /// A secret of at most `limits.secret`; what is kept of it under an idempotency key tells nobody which one it was.
    Secret,
}

/// How long an answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// At most `limits.request_timeout`.
    Whole,
    /// The same; it holds a secret, and is sealed where it is kept under an idempotency key.
    Sealed,
    /// As long as the client listens.
    Stream,
}

/// Calls with a body that change nothing.
const QUESTIONS: [&str; 2] = ["/v1/plans", "/v1/deployments/{tenant}/plan"];

/// What is known of a route beside its handler.
#[derive(Debug, Clone)]
pub(crate) struct Meta {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) body: BodyKind,
    pub(crate) answer: Answer,
    pub(crate) doc: fn() -> Documented,
}

impl Meta {
    /// Whether it changes something.
    pub(crate) fn mutates(&self) -> bool {
        // A plan is a question that needs a body; nothing is stored.
        !matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS) && !QUESTIONS.contains(&self.path)
    }

    /// Whether an idempotency key means anything to it.
    pub(crate) fn takes_key(&self) -> bool {
        self.mutates() && !idempotency::is_excepted(self.path) && self.answer != Answer::Stream
    }
}

/// Schemas and paths of one handler, made only when the document is asked for.
pub(crate) type Documented = (Vec<(String, RefOr<Schema>)>, Paths);

/// A route.
pub(crate) struct Row {
    pub(crate) meta: Meta,
    pub(crate) handler: MethodRouter<App>,
}

/// One row of the table.
macro_rules! row {
    ($method:ident $path:literal => $handler:path, $access:expr $(, $body:ident $(, $answer:ident)?)?) => {
        $crate::api::table::Row {
            meta: $crate::api::table::Meta {
                method: http::Method::$method,
                path: $path,
                access: $access,
                body: $crate::api::table::row!(@body $($body)?),
                answer: $crate::api::table::row!(@answer $($($answer)?)?),
                doc: || {
                    let (schemas, paths, _): (
                        Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>,
                        utoipa::openapi::path::Paths,
                        axum::routing::MethodRouter<$crate::app::App>,
                    ) = utoipa_axum::routes!($handler);
                    (schemas, paths)
                },
            },
            handler: axum::routing::on(
                axum::routing::MethodFilter::$method,
                $handler,
            ),
        }
    };
    (@body) => { $crate::api::table::BodyKind::Nothing };
    (@body $body:ident) => { $crate::api::table::BodyKind::$body };
    (@answer) => { $crate::api::table::Answer::Whole };
    (@answer $answer:ident) => { $crate::api::table::Answer::$answer };
}
pub(crate) use row;

/// One row of a door that describes itself in its own way, and not by OpenAPI.
macro_rules! undescribed {
    ($method:ident $path:literal => $handler:path, $access:expr $(, $body:ident $(, $answer:ident)?)?) => {
        $crate::api::table::Row {
            meta: $crate::api::table::Meta {
                method: http::Method::$method,
                path: $path,
                access: $access,
                body: $crate::api::table::row!(@body $($body)?),
                answer: $crate::api::table::row!(@answer $($($answer)?)?),
                doc: || (Vec::new(), utoipa::openapi::path::Paths::new()),
            },
            handler: axum::routing::on(axum::routing::MethodFilter::$method, $handler),
        }
    };
}
pub(crate) use undescribed;

/// Every route of every door.
pub(crate) fn rows() -> Vec<Row> {
    own::rows().into_iter().chain(deploys::rows()).chain(fleet::rows()).chain(releases::rows()).collect()
}

/// A route, for those who must walk all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path, with parameters in braces.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
}

/// Every route of every door.
#[must_use]
pub fn routes() -> Vec<Route> {
    let info = |row: Row| Route { method: row.meta.method, path: row.meta.path, access: row.meta.access };
    rows().into_iter().map(info).collect()
}

/// Builds the router.
pub(crate) fn router(app: &App) -> Router {
    let mut router = Router::new();
    let turns = Turns::default();
    for Row { meta, handler } in rows() {
        let path = meta.path;
        let guard = guard::Guard::new(app.clone(), meta, turns.clone());
        let guarded = handler.layer(middleware::from_fn_with_state(guard, guard::guard));
        if path.starts_with("/api/") && !path.ends_with('/') {
            let slashed = guarded.clone().layer(middleware::from_fn(without_slash));
            router = router.route(&format!("{path}/"), slashed);
        }
        router = router.route(path, guarded);
    }
    router
        .fallback(nothing_here)
        .method_not_allowed_fallback(method_not_allowed)
        // The guard reads bodies, each within the bound of its route; axum's own would be lower than some of them.
        .layer(DefaultBodyLimit::disable())
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(app.clone(), observe::observe))
        .with_state(app.clone())
}

/// Spring's servers answer a path with a slash at its end as the one without.
async fn without_slash(mut request: Request, next: Next) -> Response<Body> {
    let uri = request.uri();
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let target = format!("{}{query}", uri.path().trim_end_matches('/'));
    let mut parts = uri.clone().into_parts();
    if let Ok(target) = PathAndQuery::try_from(target) {
        parts.path_and_query = Some(target);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    next.run(request).await
}

/// A panic is a fault of ours; it must not take the connection, and with it other requests, along.
#[expect(clippy::needless_pass_by_value, reason = "the layer asks for a function that takes the payload")]
fn panicked(payload: Box<dyn Any + Send>) -> Response<Body> {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned();
    Error::internal(format!("a handler panicked: {text}")).into_response()
}

async fn nothing_here(uri: http::Uri) -> Error {
    let path: String = uri.path().chars().take(200).collect();
    Error::new(Code::NotFound, format!("there is nothing at `{path}`")).hint("`/openapi.json` lists every path")
}

async fn method_not_allowed(method: Method, uri: http::Uri) -> Response<Body> {
    // Spring's servers say what each path takes; the router adds the header.
    if method == Method::OPTIONS && uri.path().starts_with("/api/") {
        return (StatusCode::OK, Extension(Rendered)).into_response();
    }
    if releases::refuses_in_silence(&uri) {
        return (StatusCode::METHOD_NOT_ALLOWED, Extension(Rendered)).into_response();
    }
    let path: String = uri.path().chars().take(200).collect();
    Error::new(Code::MethodNotAllowed, format!("`{path}` does not know {method}"))
        .hint("the Allow header lists the methods it knows")
        .into_response()
}
