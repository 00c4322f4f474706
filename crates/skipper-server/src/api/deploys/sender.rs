//! Whose idempotency key it is where a signature lets in, and answers to intents that are told again.

use axum::response::Response;
use http::{HeaderMap, Uri};
use skipper_store::IntentAccepted;

use super::{
    proof::{Delivery, Proof},
    receive::Desk,
};
use crate::{api::idempotency, app::App, error::Error};

/// Whoever has signed that previews are taken away. `None` where the signature is not good, which the handler says; a delivery
/// (`POST /v1/deploy`) looks for its key itself, once it has read for which app it is.
pub(in crate::api) async fn sender(app: &App, uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let rest = uri.path().strip_prefix("/v1/previews/")?;
    let (name, id) = rest.split_once('/').unwrap_or((rest, "*"));
    let delivery = Proof::of(headers).ok()?.verify(app, name, format!("{name}:{id}").as_bytes()).await.ok()?;
    Some(caller(&delivery))
}

/// By which a sender's keys are known: apart from ids of deliveries, and from those of other senders of the same app.
pub(super) fn caller(delivery: &Delivery) -> String {
    format!("caller:{}:{}", delivery.sender, delivery.by)
}

/// The answer to a deploy or a rollback that was stored before the server died and was never answered.
pub(in crate::api) async fn answer_again(
    app: &App,
    headers: &HeaderMap,
    accepted: &IntentAccepted,
) -> Result<Response, Error> {
    idempotency::respond(Desk::of(app.clone(), headers, None).await.answer(accepted))
}
