//! Tickets: whoever started a deploy can watch it, and do nothing else, with nothing but the address it was answered.
//!
//! A ticket is the HMAC of the deploy's id; it is stored nowhere, and never in a log: those have paths without their query.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, Uri, header, uri::Authority};
use skipper_core::{
    actor::{Actor, Role},
    id::{RolloutId, TokenId},
    name::TenantName,
};

use super::id;
use crate::{
    app::App,
    error::{Code, Error},
    webhooks::ticket_key,
};

/// Tells a ticket from other tokens.
const PREFIX: &str = "dps_";
const PATH: &str = "/v1/deploys/";

/// Who asks by a ticket, in the query or as bearer; `None` where there is none.
///
/// # Errors
///
/// There is one, and it is not for this deploy.
pub(in crate::api) async fn ticket(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<Option<Actor>, Error> {
    let query = uri.query().unwrap_or_default();
    let mut in_query = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "token");
    let given = match in_query.next() {
        Some((_, token)) => token.into_owned(),
        None => {
            let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.split_once(' '));
            let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
            match bearer.map(|(_, token)| token.trim()).filter(|token| token.starts_with(PREFIX)) {
                Some(token) => token.to_owned(),
                None => return Ok(None),
            }
        }
    };
    let refused = || Error::new(Code::Unauthenticated, "the token is not good for this deploy");
    let asked = uri.path().strip_prefix(PATH).and_then(id::parse).ok_or_else(refused)?;
    let mac = given.strip_prefix(PREFIX).and_then(|text| BASE64.decode(text).ok()).ok_or_else(refused)?;
    mac_of(keyed(app).await?, asked).verify_slice(&mac).map_err(|_| refused())?;
    Ok(Some(Actor::Token {
        id: TokenId::from_uuid(uuid::Uuid::nil()),
        name: format!("ticket of {}", id::of(asked)),
        role: Role::Viewer,
        tenant: Some(TenantName::default_tenant()),
    }))
}

/// Writes tickets for whoever sent a request.
pub(super) struct Office {
    /// `None` while there is no key to make one with.
    key: Option<Hmac<sha2::Sha256>>,
    base: String,
}

impl Office {
    pub(super) async fn of(app: &App, headers: &HeaderMap) -> Self {
        let key = match keyed(app).await {
            Ok(key) => Some(key),
            Err(error) => {
                tracing::warn!(error = %error.chain(), "a deploy is answered without its status_url");
                None
            }
        };
        Self { key, base: base(app, headers).unwrap_or_default() }
    }

    /// The address of a deploy with its ticket.
    pub(super) fn status_url(&self, rollout: RolloutId) -> Option<String> {
        let mac = mac_of(self.key.clone()?, rollout);
        let ticket = BASE64.encode(mac.finalize().into_bytes());
        Some(format!("{}{PATH}{}?token={PREFIX}{ticket}", self.base, id::of(rollout)))
    }
}

async fn keyed(app: &App) -> Result<Hmac<sha2::Sha256>, Error> {
    Ok(Hmac::new_from_slice(ticket_key(app).await?).expect("HMAC takes keys of any length"))
}

fn mac_of(mut keyed: Hmac<sha2::Sha256>, rollout: RolloutId) -> Hmac<sha2::Sha256> {
    keyed.update(id::of(rollout).as_bytes());
    keyed
}

/// Where the API is to whoever asked: the address that is configured, else the Host they sent. It only goes into their own
/// answer, so that nobody is led astray by it but who wrote it.
fn base(app: &App, headers: &HeaderMap) -> Option<String> {
    if let Some(public) = app.apps.get().and_then(|apps| apps.server().public_url(app.caddy.state().is_some())) {
        return Some(public);
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let host = text("host").filter(|host| !host.contains('@')).and_then(|host| host.parse::<Authority>().ok())?;
    // A proxy says that it was spoken to by TLS; the API itself is not.
    let first = |list: &str| list.split(',').next().unwrap_or_default().trim().eq_ignore_ascii_case("https");
    let scheme = if text("x-forwarded-proto").is_some_and(first) { "https" } else { "http" };
    Some(format!("{scheme}://{host}"))
}
