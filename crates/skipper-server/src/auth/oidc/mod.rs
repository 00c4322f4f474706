//! Tokens of an issuer of OpenID Connect, in place of a key: GitHub gives one to each job of its workflows.
//!
//! What a token says of itself is looked at before its key is looked up, so that only what could be good makes this server
//! ask anybody anything. A token is good for one delivery: its `jti` is the id of that.

mod claims;
mod jwks;
mod jwt;

use std::time::Duration;

use skipper_core::time::Timestamp;
use skipper_source::app::{Oidc, OidcClaims};

use self::jwt::Token;
pub(crate) use self::{claims::Claims, jwks::KeyCache};
use crate::app::App;

/// Longest token that is looked at.
const MAX_TOKEN: usize = 16 << 10;
/// How far the issuer's clock may be from ours.
const LEEWAY: Duration = Duration::from_secs(60);
/// Longest that a token may be good for: its id is remembered for that long.
const MAX_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// A token that is good, and bound to the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verified {
    /// The token's own id.
    pub(crate) id: String,
    /// Whose it is, for people.
    pub(crate) by: String,
    /// When it was issued.
    pub(crate) at: Timestamp,
    /// How much longer it is good for, leeway included.
    pub(crate) known: Duration,
}

/// Whether a bearer looks like such a token, rather than one of the server's own.
pub(crate) fn is_jwt(bearer: &str) -> bool {
    bearer.starts_with("eyJ") && bearer.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// Verifies a token, and that one of the app's bindings wants it.
///
/// # Errors
///
/// A sentence without anything secret.
pub(crate) async fn verify(app: &App, oidc: &Oidc, bindings: &[OidcClaims], bearer: &str) -> Result<Verified, String> {
    if bearer.len() > MAX_TOKEN {
        return Err(format!("the token is longer than {} KiB", MAX_TOKEN >> 10));
    }
    let token = Token::read(bearer)?;
    let verified = token.claims.judge(oidc, app.clock.now())?;
    let keys = &app.webhooks.oidc;
    let good = |set: &jwks::KeySet| set.verify(&token);
    let found = match keys.of(app, &oidc.keys, false).await?.as_deref().and_then(good) {
        Some(found) => Some(found),
        // An issuer that has a new key is asked again, now and then.
        None => keys.of(app, &oidc.keys, true).await?.as_deref().and_then(good),
    };
    match found {
        None => return Err("the token's key is not one of its issuer's".to_owned()),
        Some(false) => return Err("the token's signature is wrong".to_owned()),
        Some(true) => {}
    }
    // Nobody learns from this which apps there are: one that is not there names no tokens either.
    if !bindings.iter().any(|binding| token.claims.are(binding)) {
        return Err("the token's claims are not what `app.oidc` of the app names".to_owned());
    }
    Ok(verified)
}
