//! What a request is called: whose key it is, and what makes the request what it is.

use axum::body::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use skipper_core::{Sha256, actor::Actor, name::TenantName};

use crate::{
    api::{
        deploys, fleet,
        table::{Access, BodyKind, Meta},
    },
    app::App,
    error::{Code, Error},
};

/// Both names are read; the second is what agents of the MVP send.
const KEYS: [HeaderName; 2] =
    [HeaderName::from_static("idempotency-key"), HeaderName::from_static("x-idempotency-key")];
/// What the key of fingerprints is made for.
const FINGERPRINTS: &str = "fingerprints of requests";

/// Whose key it is, and which: two callers never get each other's answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) tenant: TenantName,
    pub(super) actor: String,
    pub(super) key: String,
}

impl Name {
    /// `None` where nobody has shown yet who asks: the handler refuses, or looks for itself.
    pub(super) async fn of(app: &App, meta: &Meta, parts: &Parts, key: String) -> Result<Option<Self>, Error> {
        if let Some(actor) = parts.extensions.get::<Actor>() {
            let tenant = actor.tenant().cloned().unwrap_or_else(TenantName::default_tenant);
            return Ok(Some(Self { tenant, actor: identity(actor), key }));
        }
        let sender = match meta.access {
            Access::SignedOr(_) => deploys::sender(app, &parts.uri, &parts.headers).await,
            Access::Signed => fleet::enrolling(app, &parts.uri, &parts.headers).await?,
            _ => return Err(Error::internal("the route is not guarded")),
        };
        Ok(sender.map(|actor| Self { tenant: TenantName::default_tenant(), actor, key }))
    }
}

/// The key that a request brings along.
///
/// # Errors
///
/// There are several different ones, or it is none.
pub(in crate::api) fn key_of(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let given: Vec<&HeaderValue> = KEYS.iter().flat_map(|name| headers.get_all(name)).collect();
    let Some(first) = given.first() else { return Ok(None) };
    if given.iter().any(|other| other != first) {
        return Err(Error::new(Code::BadRequest, "the request has several different idempotency keys"));
    }
    let text = first.to_str().map(str::trim).unwrap_or_default();
    if text.is_empty() || text.len() > 255 || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Error::new(Code::BadRequest, "an idempotency key has 1 to 255 visible ASCII characters"));
    }
    Ok(Some(text.to_owned()))
}

fn identity(actor: &Actor) -> String {
    match actor {
        // Those that the configuration names have no id of their own.
        Actor::Token { id, name, role, .. } if id.uuid().is_nil() => format!("configured:{}:{name}", role.as_str()),
        Actor::Token { id, .. } => format!("token:{id}"),
        other => other.to_string(),
    }
}

/// What makes a request the same: method, path with query, content type and body. Where the body is a secret, nobody without
/// the sealing key can try out which one it was.
pub(super) async fn fingerprint(app: &App, meta: &Meta, parts: &Parts, body: &Bytes) -> Result<Sha256, Error> {
    let content_type = parts.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut bytes = Vec::with_capacity(body.len() + 128);
    for part in [parts.method.as_str().as_bytes(), target.as_bytes(), content_type, body] {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    if meta.body != BodyKind::Secret {
        return Ok(Sha256::of(&bytes));
    }
    let key = app.store.key_for(FINGERPRINTS).await?;
    let bytes = zeroize::Zeroizing::new(bytes);
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&*key).expect("HMAC takes keys of any length");
    mac.update(&bytes);
    Ok(Sha256::of(&mac.finalize().into_bytes()))
}
