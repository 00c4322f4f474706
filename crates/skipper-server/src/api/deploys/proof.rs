//! By what a request shows that it may deploy, and what makes two requests the same delivery.

use std::time::Duration;

use http::{HeaderMap, header};
use skipper_core::{
    Sha256,
    actor::{Actor, Role},
    id::TokenId,
    name::{ReleaseName, TenantName},
    secret::SecretValue,
    time::Timestamp,
};

use super::signature::{self, Signature};
use crate::{
    app::App,
    apps::{Apps, secrets},
    auth::oidc,
    error::{Code, Error},
    standard_webhook::{self, Signed},
    verb::deploy,
};

/// slip's form has neither id nor time: the same bytes within this time are the same delivery.
const SAME: Duration = Duration::from_secs(5 * 60);
/// How far a signed time may be from the server's.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);
/// How long a delivery with an id is known at least: longer than it can be sent again.
const KNOWN: Duration = Duration::from_secs(60 * 60);

/// What a request brings along. The first form that is there counts, and must do by itself.
#[derive(Debug)]
pub(super) enum Proof {
    /// slip's signature; `None` where it cannot be one.
    Slip(Option<Signature>),
    /// The form of Standard Webhooks.
    Standard(Signed),
    /// A token of the issuer that the server trusts.
    Token(String),
}

/// A delivery by somebody who may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    /// Whose ids they are.
    pub(super) sender: String,
    /// The same when it is sent again.
    pub(super) id: String,
    /// How long it is known.
    pub(super) known: Duration,
    /// When it was signed.
    pub(super) signed_at: Option<Timestamp>,
    /// Who sent it, for people.
    pub(super) by: String,
    /// `webhook` or `oidc`.
    pub(super) trigger: &'static str,
}

impl Proof {
    /// # Errors
    ///
    /// There is none, or one that cannot be read.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Error> {
        let refused = |text: String| Error::new(Code::Unauthenticated, text);
        if let Ok(signature) = signature::of(headers) {
            return Ok(Self::Slip(signature));
        }
        let standard = [standard_webhook::ID, standard_webhook::TIMESTAMP, standard_webhook::SIGNATURE];
        if standard.iter().any(|name| headers.contains_key(name)) {
            return Signed::of(headers).map(Self::Standard).map_err(refused);
        }
        let mut bearers = headers.get_all(header::AUTHORIZATION).iter();
        let bearer = bearers.next().and_then(|value| value.to_str().ok()?.split_once(' '));
        let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer") && bearers.next().is_none());
        if let Some((_, token)) = bearer.filter(|(_, token)| oidc::is_jwt(token.trim())) {
            return Ok(Self::Token(token.trim().to_owned()));
        }
        Err(refused("missing X-Slip-Signature header".to_owned()))
    }

    /// Whether whoever sent this may have the text done that slip signs in place of a body.
    pub(super) async fn signs(self, app: &App, name: &str, text: &str) -> Result<Actor, Error> {
        let Delivery { by, .. } = self.verify(app, name, text.as_bytes()).await?;
        Ok(signer(by))
    }

    /// Whether whoever sent this may deploy the app. A stranger learns nothing of which apps there are: only whoever has the
    /// server's key is told that one is not.
    pub(super) async fn verify(self, app: &App, name: &str, body: &[u8]) -> Result<Delivery, Error> {
        let refused = || Error::new(Code::Unauthenticated, "invalid signature");
        let apps = app.apps.get().ok_or_else(refused)?;
        let keys = || keys(app, &apps, name);
        let mut delivery = Delivery {
            sender: format!("webhook:{name}"),
            id: Sha256::of(body).to_string(),
            known: SAME,
            signed_at: None,
            by: "webhook".to_owned(),
            trigger: "webhook",
        };
        let good = match self {
            // Whatever the app, something is computed, so that time tells nothing either.
            Self::Slip(signature) => signature.ok_or_else(refused)?.is_by(&keys().await?, body),
            Self::Standard(signed) => {
                let at = Timestamp::from_micros(signed.at.saturating_mul(1_000_000));
                let now = app.clock.now();
                // Of these two, one is zero.
                if now.since(at).max(at.since(now)) > TOLERANCE {
                    return Err(Error::new(
                        Code::Unauthenticated,
                        "webhook-timestamp is more than five minutes from the server's time",
                    )
                    .hint("sign every attempt anew; look at the clocks of both machines"));
                }
                delivery.id = format!("id:{}", signed.id);
                delivery.known = app.retention.idempotency_keys.max(KNOWN);
                delivery.signed_at = Some(at);
                signed.is_by(&keys().await?, body)
            }
            Self::Token(token) => {
                let refused = |why: String| Error::new(Code::Unauthenticated, why);
                let none = || refused("tokens of other issuers are not taken here (`[auth.oidc]`)".to_owned());
                let trusted = apps.server().oidc.as_ref().ok_or_else(none)?;
                let bindings = match apps.get(name) {
                    Some(Ok(app)) => app.oidc.as_slice(),
                    Some(Err(_)) | None => &[],
                };
                let verified = oidc::verify(app, trusted, bindings, &token).await.map_err(refused)?;
                delivery = Delivery {
                    // Of whatever app: a token is good for one delivery.
                    sender: "oidc".to_owned(),
                    id: verified.id,
                    known: verified.known.max(KNOWN),
                    signed_at: Some(verified.at),
                    by: verified.by,
                    trigger: "oidc",
                };
                true
            }
        };
        if !good {
            return Err(refused());
        }
        if apps.get(name).is_none() {
            // Its file may have been written a moment ago.
            return deploy::look_again(app, name).await.map(|()| delivery);
        }
        deploy::configured(&apps, name).map(|_| delivery)
    }
}

/// The keys of an app's webhooks: those of its file and the secret of that name, or the server's where it has neither.
async fn keys(app: &App, apps: &Apps, name: &str) -> Result<Vec<SecretValue>, Error> {
    let mut own = Vec::new();
    if let Some(Ok(file)) = apps.get(name) {
        own.extend(file.keys.iter().cloned());
    }
    // Also of an app whose file is broken: whoever has its key is told that it is, and nobody else's key becomes good.
    let secret = ReleaseName::new(name).ok().filter(|_| apps.get(name).is_some());
    if let Some(secret) = secret.and_then(|name| secrets::name(&name, secrets::WEBHOOK_KEY)) {
        own.extend(app.store.secret_value(&TenantName::default_tenant(), &secret).await?);
    }
    if own.is_empty() {
        own.extend(apps.secret().cloned());
    }
    Ok(own)
}

/// Whoever has signed.
pub(super) fn signer(name: String) -> Actor {
    let (id, tenant) = (TokenId::from_uuid(uuid::Uuid::nil()), Some(TenantName::default_tenant()));
    Actor::Token { id, name, role: Role::Operator, tenant }
}

/// Whether a request brings a signature along.
pub(in crate::api) fn is_signed(headers: &HeaderMap) -> bool {
    headers.contains_key(signature::HEADER) || headers.contains_key(standard_webhook::SIGNATURE)
}
