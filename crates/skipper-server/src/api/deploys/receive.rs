//! `POST /v1/deploy`.

use std::sync::Arc;

use axum::{Extension, body::Bytes, extract::State, response::Response};
use http::{HeaderMap, StatusCode, header};
use skipper_core::{
    Sha256,
    actor::Provenance,
    name::{ReleaseName, TenantName},
    release::PreviewOf,
    time::Timestamp,
};
use skipper_store::{Alias, Begun, Claim, IntentAccepted, Once, StoredAnswer};
use tracing::warn;

use super::{
    id,
    outside::Outside,
    proof::{Delivery, Proof, signer},
    read,
    sender::caller,
    ticket,
    wire::{DeployAccepted, DeployRequest},
};
use crate::{
    api::{idempotency, observe::Ids},
    app::App,
    error::{Code, Error},
    verb::{self, Caller, deploy},
};

/// Deepest that a body may be nested.
const MAX_DEPTH: usize = 32;

/// Deploys an app. Either `X-Slip-Signature: sha256=HEX` is the HMAC-SHA256 of the body by the app's key, or by the server's
/// where the app has none; then the same body within five minutes is answered as the first was. Or it is signed in the form of
/// Standard Webhooks by the same keys (`webhook-id`, `webhook-timestamp`, `webhook-signature`); then the same id is. Or a token
/// of the issuer that the server trusts is the bearer; it is good for one delivery. Under an idempotency key it is one request as
/// long as keys are remembered, however it is signed.
#[utoipa::path(post, path = "/v1/deploy", tag = "deploys", request_body = DeployRequest, responses((status = 202, body = DeployAccepted)))]
pub(super) async fn receive(
    State(app): State<App>,
    Extension(ids): Extension<Ids>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Error> {
    let proof = Proof::of(&headers)?;
    let request = parse(&body)?;
    let verified = proof.verify(&app, &request.app, &body).await;
    let delivery = verified.inspect_err(|error| refused(&app, &request.app, error))?;
    let keep = app.retention.idempotency_keys;
    let alias = idempotency::key_of(&headers)?.map(|key| Alias { actor: caller(&delivery), key, keep });
    let Delivery { sender, id, known, signed_at, by, trigger } = delivery;
    let fingerprint = Sha256::of(&body);
    let named = request.preview.as_ref().zip(ReleaseName::new(&request.app).ok());
    let preview = named.map(|(preview, app)| PreviewOf { app, id: preview.id.clone(), sha: None });
    let desk = Arc::new(Desk::of(app.clone(), &headers, preview.as_ref()).await);
    let find = async || {
        if let Some(Alias { actor, key, .. }) = &alias
            && let Some(response) = repeated(&desk, actor, key, fingerprint, "key").await?
        {
            return Ok(Some(response));
        }
        repeated(&desk, &sender, &id, fingerprint, trigger).await
    };
    let _turn = app.webhooks.same(&sender, &id).await;
    if let Some(response) = find().await? {
        return Ok(response);
    }
    let caller = Caller {
        provenance: Provenance {
            actor: signer(by),
            trigger: trigger.to_owned(),
            request: ids.request,
            correlation: ids.correlation,
        },
        idempotency: Some(Once::Claim(Claim {
            actor: sender.clone(),
            key: id.clone(),
            fingerprint,
            keep: known,
            alias: alias.clone(),
            answer: {
                let desk = Arc::clone(&desk);
                Arc::new(move |accepted| desk.answer(accepted))
            },
        })),
    };
    match carry_out(&app, &caller, request, signed_at).await {
        Ok(accepted) => idempotency::respond(desk.answer(&accepted)),
        Err(error) => {
            // Another server may have been faster, and what is refused now be what it did.
            app.store.settled().await;
            find().await?.ok_or(error)
        }
    }
}

/// The answer of before, where the delivery came before.
async fn repeated(
    desk: &Desk,
    sender: &str,
    id: &str,
    fingerprint: Sha256,
    trigger: &str,
) -> Result<Option<Response>, Error> {
    let tenant = TenantName::default_tenant();
    let begun = idempotency::find(&desk.app, &tenant, sender, id, fingerprint).await;
    let begun = begun.map_err(|error| match error.code() {
        Code::IdempotencyMismatch if trigger == "oidc" => {
            Error::new(Code::Unauthenticated, "the token was used for another delivery already (`jti`)")
                .hint("ask the issuer for a new one")
        }
        _ => error,
    });
    match begun? {
        None | Some(Begun::New(_)) => Ok(None),
        Some(Begun::Done(answer)) => idempotency::replay(answer).map(Some),
        Some(Begun::InProgress) => Err(idempotency::still_running()),
        // By a server of before, which began its keys.
        Some(Begun::Accepted(holder, rollout)) => {
            let accepted = desk.app.store.intent_get(rollout).await?;
            let response = idempotency::respond(desk.answer(&accepted))?;
            idempotency::keep(&desk.app, &holder, response).await.map(Some)
        }
    }
}

/// Read before anybody knows who sent it: nothing may grow with how deep it is.
fn parse(body: &[u8]) -> Result<DeployRequest, Error> {
    let wrong = |text: String| Error::new(Code::BadRequest, format!("invalid JSON: {text}"));
    if is_deeper(body, MAX_DEPTH) {
        return Err(wrong(format!("nested deeper than {MAX_DEPTH}")));
    }
    serde_json::from_slice(body).map_err(|cause| wrong(cause.to_string()))
}

/// Whether brackets outside of texts are nested deeper than that.
fn is_deeper(json: &[u8], most: usize) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > most {
            return true;
        }
    }
    false
}

/// Somebody should hear of it, but not of each.
fn refused(app: &App, name: &str, error: &Error) {
    let is_known = app.apps.get().is_some_and(|apps| apps.get(name).is_some());
    if error.code() == Code::Unauthenticated
        && let Some(more) = app.webhooks.complains()
    {
        let name = if is_known { name } else { "(unknown)" };
        warn!(app = name, unreported = more, "a webhook was refused: {error}");
    }
}

async fn carry_out(
    app: &App,
    caller: &Caller,
    request: DeployRequest,
    signed_at: Option<Timestamp>,
) -> Result<IntentAccepted, Error> {
    let bad = |text: String| Error::new(Code::BadRequest, text);
    let apps = app.apps.get().ok_or_else(|| deploy::unknown(&request.app))?;
    let image = &deploy::configured(&apps, &request.app)?.image;
    if let Some(given) = request.image.as_ref().filter(|given| *given != image) {
        let given: String = given.chars().take(300).collect();
        return Err(bad(format!("image mismatch: expected '{image}', got '{given}'")));
    }
    let wanted = deploy::Wanted {
        app: request.app,
        tag: request.tag,
        images: request.images,
        preview: request.preview.map(|preview| (preview.id, preview.sha)),
        force: request.force,
        signed_at,
    };
    verb::deploy::accept(app, caller, wanted).await
}

/// Answers accepted deploys, however far they are by now.
pub(super) struct Desk {
    app: App,
    office: ticket::Office,
    /// Where the preview will be that is asked for.
    preview_url: Option<String>,
}

impl Desk {
    /// For whoever sent a request with these headers, for that preview or the app itself.
    pub(super) async fn of(app: App, headers: &HeaderMap, preview: Option<&PreviewOf>) -> Self {
        let mut preview_url = None;
        if let Some(host) = preview.and_then(|preview| verb::previews::host(&app, preview)) {
            let tls = app.resolver.serves_tls(&host).await;
            preview_url = Some(Outside::of(&app).await.url(&host, tls));
        }
        Self { office: ticket::Office::of(&app, headers).await, app, preview_url }
    }

    /// As it is remembered.
    pub(super) fn answer(&self, accepted: &IntentAccepted) -> StoredAnswer {
        let preview = accepted.revision.as_ref().and_then(|revision| read::preview_of(&revision.source));
        let tag = accepted.revision.as_ref().and_then(read::tag_of);
        let accepted = DeployAccepted {
            deploy_id: id::of(accepted.rollout.id),
            app: preview.map_or_else(|| accepted.release.name.to_string(), |preview| preview.app.to_string()),
            tag: tag.unwrap_or_default(),
            status: "accepted".to_owned(),
            preview_url: self.preview_url.clone().filter(|_| preview.is_some()),
            status_url: self.office.status_url(accepted.rollout.id),
        };
        StoredAnswer {
            status: StatusCode::ACCEPTED.as_u16(),
            headers: vec![(header::CONTENT_TYPE.to_string(), "application/json".to_owned())],
            body: serde_json::to_vec(&accepted).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_count_outside_of_texts() {
        assert!(!is_deeper(br#"{"a":["[[[[","\"[[[[",{}]}"#, 3));
        assert!(is_deeper(br#"{"a":[{}]}"#, 2));
        let deep = "[".repeat(MAX_DEPTH + 1);
        assert!(is_deeper(deep.as_bytes(), MAX_DEPTH) && !is_deeper(&deep.as_bytes()[1..], MAX_DEPTH));
    }
}
