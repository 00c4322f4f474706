//! `POST /v1/deploy`.

use std::time::Duration;

use axum::{
    Extension, Json,
    body::Bytes,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode};
use skipper_core::{
    Sha256,
    actor::{Actor, Provenance, Role},
    id::TokenId,
    name::TenantName,
    secret::SecretValue,
};
use skipper_source::app::Deploy;
use skipper_store::{Begun, IntentAccepted};

use super::{
    id, read,
    signature::{self, Signature},
    wire::{DeployAccepted, DeployRequest},
};
use crate::{
    api::{idempotency, observe::Ids},
    app::App,
    error::{Code, Error},
    verb::{self, Caller, deploy},
};

/// slip's form has neither id nor time: the same bytes within this time are the same delivery.
const SAME: Duration = Duration::from_secs(5 * 60);
/// Longest tag that registries take.
const MAX_TAG: usize = 128;

/// Deploys an app: `X-Slip-Signature: sha256=HEX` is the HMAC-SHA256 of the body by the app's key, or by the server's where
/// the app has none. The same body within five minutes is answered as the first was.
#[utoipa::path(post, path = "/v1/deploy", tag = "deploys", request_body = DeployRequest, responses((status = 202, body = DeployAccepted)))]
pub(super) async fn receive(
    State(app): State<App>,
    Extension(ids): Extension<Ids>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Error> {
    let Ok(signature) = signature::of(&headers) else {
        return Err(Error::new(Code::Unauthenticated, "missing X-Slip-Signature header"));
    };
    let request: DeployRequest = serde_json::from_slice(&body)
        .map_err(|wrong| Error::new(Code::BadRequest, format!("invalid JSON: {wrong}")))?;
    authorise(&app, signature, &request.app, &body)?;
    let tenant = TenantName::default_tenant();
    let actor = Actor::Token {
        id: TokenId::from_uuid(uuid::Uuid::nil()),
        name: "webhook".to_owned(),
        role: Role::Operator,
        tenant: Some(tenant.clone()),
    };
    let hash = Sha256::of(&body);
    let sender = format!("webhook:{}", request.app);
    let holder = match idempotency::begin(&app, &tenant, &sender, &hash.to_string(), hash, SAME).await? {
        Begun::Done(answer) => return idempotency::replay(answer),
        Begun::Accepted(holder, rollout) => {
            let accepted = app.store.intent_get(rollout).await?;
            return idempotency::keep(&app, &holder, answer(&accepted)).await;
        }
        Begun::InProgress => return Err(idempotency::still_running()),
        Begun::New(holder) => holder,
    };
    let caller = Caller {
        provenance: Provenance {
            actor,
            trigger: "webhook".to_owned(),
            request: ids.request,
            correlation: ids.correlation,
        },
        idempotency: Some(holder.clone()),
    };
    let response = match carry_out(&app, &caller, request).await {
        Ok(accepted) => answer(&accepted),
        Err(error) => error.into_response(),
    };
    idempotency::keep(&app, &holder, response).await
}

/// A stranger learns nothing of which apps there are: only whoever has the server's key is told that one is not.
fn authorise(app: &App, signature: Option<Signature>, name: &str, body: &[u8]) -> Result<(), Error> {
    let refused = || Error::new(Code::Unauthenticated, "invalid signature");
    let apps = app.apps.as_deref().ok_or_else(refused)?;
    let global = || apps.secret().into_iter();
    let own: &[SecretValue] = match apps.get(name) {
        Some(Ok(app)) => &app.keys,
        Some(Err(_)) | None => &[],
    };
    // Whatever the app, something is computed, so that time tells nothing either.
    let signature = signature.ok_or_else(refused)?;
    let good = if own.is_empty() { signature.is_by(global(), body) } else { signature.is_by(own, body) };
    if good { deploy::configured(apps, name).map(drop) } else { Err(refused()) }
}

async fn carry_out(app: &App, caller: &Caller, request: DeployRequest) -> Result<IntentAccepted, Error> {
    let bad = |text: String| Error::new(Code::BadRequest, text);
    let apps = app.apps.as_deref().ok_or_else(|| deploy::unknown(&request.app))?;
    let image = &deploy::configured(apps, &request.app)?.image;
    if let Some(given) = request.image.as_ref().filter(|given| *given != image) {
        let given: String = given.chars().take(300).collect();
        return Err(bad(format!("image mismatch: expected '{image}', got '{given}'")));
    }
    check_tag(&request.tag)?;
    if request.preview.is_some() {
        return Err(bad("preview deployments are not to be had on this server yet".to_owned()));
    }
    let deploy = Deploy { tag: request.tag, image: None, images: request.images, preview: None };
    verb::deploy::accept(app, caller, deploy::Wanted { app: request.app, deploy, force: request.force }).await
}

/// Letters, digits, `-`, `_` and `.`, all of ASCII; or a digest.
fn check_tag(tag: &str) -> Result<(), Error> {
    let bad = |text: &str| Err(Error::new(Code::BadRequest, text));
    if tag.is_empty() {
        return bad("tag must not be empty");
    }
    let name = tag.strip_prefix("sha256:").filter(|digest| digest.len() == 64).unwrap_or(tag);
    if tag.len() > MAX_TAG || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        return bad("tag contains invalid characters (allowed: alphanumeric, -, _, .)");
    }
    Ok(())
}

/// The answer to an accepted deploy, however far it is by now.
pub(super) fn answer(accepted: &IntentAccepted) -> Response {
    let tag = accepted.revision.as_ref().and_then(|revision| {
        let spec = revision.spec.as_ref();
        read::tag_of_source(&revision.source).or_else(|| spec.and_then(read::tag_of_spec))
    });
    let accepted = DeployAccepted {
        deploy_id: id::of(accepted.rollout.id),
        app: accepted.release.name.to_string(),
        tag: tag.unwrap_or_default(),
        status: "accepted".to_owned(),
    };
    (StatusCode::ACCEPTED, Json(accepted)).into_response()
}
