//! In front of every handler: who asks, how large the body may be, how long it may take, and that a client which hangs
//! up does not leave half a write.

use std::{error::Error as _, net::SocketAddr, time::Duration};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{Uri, header};
use skipper_core::actor::Actor;
use tracing::Instrument as _;

use super::{
    deploys, extract,
    idempotency::{self, Turns},
    table::{Access, Answer, BodyKind, Meta},
};
use crate::{
    app::App,
    auth,
    error::{Code, Error},
    verb,
};

/// Longest body of a webhook, as slip has it: it is read before anybody knows who sent it.
const WEBHOOK: usize = 64 << 10;

/// The state of the guard of one route.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    app: App,
    meta: std::sync::Arc<Meta>,
    turns: Turns,
}

impl Guard {
    pub(crate) fn new(app: App, meta: Meta, turns: Turns) -> Self {
        Self { app, meta: std::sync::Arc::new(meta), turns }
    }
}

/// The middleware.
pub(crate) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match admit(&guard, request, next).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn admit(guard: &Guard, mut request: Request, next: Next) -> Result<Response, Error> {
    let Guard { app, meta, .. } = guard;
    // Who signs the body itself needs no actor: the handler looks at the signature, and makes one.
    let asked = match meta.access {
        Access::Signed => false,
        Access::SignedOr(_) => !deploys::is_signed(request.headers()),
        Access::Public => auth::is_signed(app, request.headers()),
        // In boxes of their own, as everything here that is over soon: thousands of agents wait in what comes after it, and each
        // has room for all of this as long as it waits.
        Access::TenantOrTicket(_) => match Box::pin(deploys::ticket(app, request.uri(), request.headers())).await? {
            Some(actor) => {
                tracing::Span::current().record("actor", tracing::field::display(&actor));
                request.extensions_mut().insert(actor);
                false
            }
            None => true,
        },
        Access::Node => {
            let actor = Box::pin(auth::node::authenticate(app, request.headers())).await?;
            tracing::Span::current().record("actor", tracing::field::display(&actor));
            request.extensions_mut().insert(actor);
            false
        }
        Access::Installation(_) | Access::Tenant(_) | Access::Owner(_) => true,
    };
    if asked {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        let actor = Box::pin(auth::authenticate(app, peer, request.uri(), request.headers())).await?;
        tracing::Span::current().record("actor", tracing::field::display(&actor));
        permit(meta, &actor, request.uri())?;
        request.extensions_mut().insert(actor);
    }
    let limit = app.limits.request_timeout;
    if meta.body == BodyKind::Nothing && !meta.mutates() {
        return match meta.answer {
            Answer::Stream => Ok(next.run(request).await),
            Answer::Whole | Answer::Sealed => within(limit, next.run(request)).await,
        };
    }
    Box::pin(carry_out(guard, request, next)).await
}

/// What changes something, or has a body.
async fn carry_out(guard: &Guard, request: Request, next: Next) -> Result<Response, Error> {
    let Guard { app, meta, .. } = guard;
    if meta.mutates() && app.stop.is_cancelled() {
        return Err(Error::new(Code::ShuttingDown, "the server is shutting down and takes no new work"));
    }
    let (parts, body) = request.into_parts();
    let bytes = read(app, meta, &parts.headers, body).await?;
    // From here on the work belongs to a tracked task: it goes on when the client hangs up, and shutdown waits for it.
    let run = {
        let Guard { app, meta, turns } = guard.clone();
        async move {
            let response = idempotency::run(&turns, &app, &meta, parts, bytes, next).await;
            if !response.status().is_success() {
                // What it was refused because of is on disk before anybody hears of it.
                app.store.settled().await;
            }
            response
        }
        .in_current_span()
    };
    match app.tasks.spawn(run).await_within(meta, app.limits.request_timeout).await? {
        Ok(response) => Ok(response),
        Err(crashed) => Err(Error::internal(crashed)),
    }
}

/// Refuses by what the table says, before a byte of the body is read. The verb asks the policy again, about the very
/// resource, whichever door it is called through.
fn permit(meta: &Meta, actor: &Actor, uri: &Uri) -> Result<(), Error> {
    match meta.access {
        Access::Public | Access::Signed | Access::Node => Ok(()),
        Access::Owner(action) => {
            let named = owner(meta.path, uri.path()).unwrap_or_default().to_owned();
            verb::permit(actor, action, &extract::tenant(actor, Some(&named))?)
        }
        Access::Installation(action) => verb::permit_all(actor, action),
        Access::Tenant(action) | Access::TenantOrTicket(action) | Access::SignedOr(action) => {
            let named = axum::extract::Query::<AnyTenant>::try_from_uri(uri)
                .map_err(|_| Error::new(Code::BadRequest, "the query cannot be read"))?;
            verb::permit(actor, action, &extract::tenant(actor, named.0.tenant.as_ref())?)
        }
    }
}

/// The segment of the path that names the tenant.
fn owner<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    pattern.split('/').zip(path.split('/')).find(|(part, _)| *part == "{tenant}").map(|(_, given)| given)
}

/// The tenant, whatever else the query holds.
#[derive(Debug, serde::Deserialize)]
struct AnyTenant {
    #[serde(default)]
    tenant: Option<String>,
}

/// Waits for a task as long as the route allows; the task itself goes on.
trait AwaitWithin<T> {
    async fn await_within(self, meta: &Meta, limit: Duration) -> Result<T, Error>;
}

impl<F: Future> AwaitWithin<F::Output> for F {
    async fn await_within(self, meta: &Meta, limit: Duration) -> Result<F::Output, Error> {
        match meta.answer {
            Answer::Stream => Ok(self.await),
            Answer::Whole | Answer::Sealed => within(limit, self).await,
        }
    }
}

async fn within<F: Future>(limit: Duration, future: F) -> Result<F::Output, Error> {
    tokio::time::timeout(limit, future).await.map_err(|_| {
        Error::new(Code::Timeout, format!("no answer was ready within {limit:?}"))
            .hint("look at the state before trying again, or repeat it with the same Idempotency-Key")
    })
}

/// Reads the whole body within its bounds of size and time.
async fn read(app: &App, meta: &Meta, headers: &http::HeaderMap, body: Body) -> Result<Bytes, Error> {
    let most = match meta.body {
        BodyKind::Nothing | BodyKind::Json | BodyKind::Report => app.limits.body,
        BodyKind::Webhook => app.limits.body.min(WEBHOOK),
        BodyKind::Package => app.limits.package,
        // In base64 four bytes stand for three.
        BodyKind::Plan => app.limits.body + app.limits.package.div_ceil(3) * 4,
        BodyKind::Secret => app.limits.secret,
    };
    let too_large = || {
        Error::new(Code::BodyTooLarge, format!("the body may have at most {most} bytes here"))
            .hint("the limits are `limits.body`, `limits.package` and `limits.secret` of skipper.toml")
    };
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > most) {
        return Err(too_large());
    }
    let wait = app.limits.request_timeout;
    match tokio::time::timeout(wait, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(cause)) if is_length_limit(&cause) => Err(too_large()),
        Ok(Err(cause)) => Err(Error::new(Code::BadRequest, "the body broke off").because(cause)),
        Err(_) => Err(Error::new(Code::RequestTimeout, format!("the body did not arrive within {wait:?}"))),
    }
}

fn is_length_limit(error: &axum::Error) -> bool {
    error.source().is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>)
}
