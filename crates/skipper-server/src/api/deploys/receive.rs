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
    release::Source,
    secret::SecretValue,
};
use skipper_store::{Begun, IntentAccepted};

use super::{
    id, read,
    signature::{self, Signature},
    wire::{DeployAccepted, DeployRequest},
};
use crate::{
    api::{idempotency, observe::Ids},
    app::App,
    apps::{Apps, secrets},
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
    authorise(&app, signature, &request.app, &body).await?;
    let tenant = TenantName::default_tenant();
    let actor = webhook();
    let hash = Sha256::of(&body);
    let sender = format!("webhook:{}", request.app);
    let holder = match idempotency::begin(&app, &tenant, &sender, &hash.to_string(), hash, SAME).await? {
        Begun::Done(answer) => return idempotency::replay(answer),
        Begun::Accepted(holder, rollout) => {
            let accepted = app.store.intent_get(rollout).await?;
            return idempotency::keep(&app, &holder, answer(&app, &accepted)).await;
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
        Ok(accepted) => answer(&app, &accepted),
        Err(error) => error.into_response(),
    };
    idempotency::keep(&app, &holder, response).await
}

/// Whoever has signed.
pub(super) fn webhook() -> Actor {
    let (id, tenant) = (TokenId::from_uuid(uuid::Uuid::nil()), Some(TenantName::default_tenant()));
    Actor::Token { id, name: "webhook".to_owned(), role: Role::Operator, tenant }
}

/// A stranger learns nothing of which apps there are: only whoever has the server's key is told that one is not.
pub(super) async fn authorise(app: &App, signature: Option<Signature>, name: &str, body: &[u8]) -> Result<(), Error> {
    let refused = || Error::new(Code::Unauthenticated, "invalid signature");
    let apps = app.apps.get().ok_or_else(refused)?;
    let own = keys_of(app, &apps, name).await?;
    // Whatever the app, something is computed, so that time tells nothing either.
    let signature = signature.ok_or_else(refused)?;
    let good = if own.is_empty() { signature.is_by(apps.secret(), body) } else { signature.is_by(&own, body) };
    if good { deploy::configured(&apps, name).map(drop) } else { Err(refused()) }
}

/// The keys of an app's own webhooks: those of its file, and the secret of that name.
async fn keys_of(app: &App, apps: &Apps, name: &str) -> Result<Vec<SecretValue>, Error> {
    let Some(Ok(file)) = apps.get(name) else { return Ok(Vec::new()) };
    let mut keys = file.keys.clone();
    if let Some(secret) = secrets::name(&file.name, secrets::WEBHOOK_KEY) {
        keys.extend(app.store.secret_value(&TenantName::default_tenant(), &secret).await?);
    }
    Ok(keys)
}

async fn carry_out(app: &App, caller: &Caller, request: DeployRequest) -> Result<IntentAccepted, Error> {
    let bad = |text: String| Error::new(Code::BadRequest, text);
    let apps = app.apps.get().ok_or_else(|| deploy::unknown(&request.app))?;
    let image = &deploy::configured(&apps, &request.app)?.image;
    if let Some(given) = request.image.as_ref().filter(|given| *given != image) {
        let given: String = given.chars().take(300).collect();
        return Err(bad(format!("image mismatch: expected '{image}', got '{given}'")));
    }
    check_tag(&request.tag)?;
    let wanted = deploy::Wanted {
        app: request.app,
        tag: request.tag,
        images: request.images,
        preview: request.preview.map(|preview| (preview.id, preview.sha)),
        force: request.force,
    };
    verb::deploy::accept(app, caller, wanted).await
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
pub(super) fn answer(app: &App, accepted: &IntentAccepted) -> Response {
    let source = accepted.revision.as_ref().map(|revision| &revision.source);
    let tag = accepted.revision.as_ref().and_then(|revision| {
        let spec = revision.spec.as_ref();
        read::tag_of_source(&revision.source).or_else(|| spec.and_then(read::tag_of_spec))
    });
    let preview = match source {
        Some(Source::App { preview, .. }) => preview.as_ref(),
        _ => None,
    };
    let accepted = DeployAccepted {
        deploy_id: id::of(accepted.rollout.id),
        app: preview.map_or_else(|| accepted.release.name.to_string(), |preview| preview.app.to_string()),
        tag: tag.unwrap_or_default(),
        status: "accepted".to_owned(),
        preview_url: preview.and_then(|preview| verb::previews::address(app, preview)),
    };
    (StatusCode::ACCEPTED, Json(accepted)).into_response()
}
