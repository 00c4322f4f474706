use std::net::SocketAddr;

use http::{HeaderMap, Uri, header};
use skipper_core::{
    Sha256,
    actor::{Actor, Role},
    id::TokenId,
    secret::SecretValue,
};
use subtle::ConstantTimeEq as _;

use super::judge;
use crate::{
    app::App,
    error::{Code, Error},
};

/// Longer ones cannot be ours, and are not hashed.
const MAX_TOKEN: usize = 1024;

/// Says who asks. A token that is sent must be good, also where none would be needed.
///
/// # Errors
///
/// [`Code::Unauthenticated`], with the reason and what to do.
pub(crate) async fn authenticate(
    app: &App,
    peer: Option<SocketAddr>,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Actor, Error> {
    let mut credentials = headers.get_all(header::AUTHORIZATION).iter();
    let Some(given) = credentials.next() else {
        return without_token(app, peer, uri, headers).await;
    };
    let wrong = || {
        Error::new(Code::Unauthenticated, "the token is not known, has expired, or was revoked")
            .hint("`skipper token create` makes one; the server's ADMIN_TOKEN works as well")
    };
    let token = given.to_str().ok().and_then(bearer).filter(|_| credentials.next().is_none());
    let Some(token) = token.filter(|token| token.len() <= MAX_TOKEN) else {
        return Err(Error::new(Code::Unauthenticated, "the Authorization header is not `Bearer TOKEN`"));
    };
    if app.admin_token.as_ref().is_some_and(|admin| same(token, admin)) {
        return Ok(configured());
    }
    app.store.token_authenticate(token).await?.map(|token| token.actor()).ok_or_else(wrong)
}

fn bearer(text: &str) -> Option<&str> {
    let (scheme, token) = text.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The bearer of the token that the configuration names.
fn configured() -> Actor {
    Actor::Token {
        id: TokenId::from_uuid(uuid::Uuid::nil()),
        name: "ADMIN_TOKEN".to_owned(),
        role: Role::Admin,
        tenant: None,
    }
}

/// Compares by hash and in constant time, so that not even the length shows.
fn same(given: &str, expected: &SecretValue) -> bool {
    let hash = |text: &str| Sha256::of(text.as_bytes()).to_string();
    hash(given).as_bytes().ct_eq(hash(expected.expose()).as_bytes()).into()
}

async fn without_token(app: &App, peer: Option<SocketAddr>, uri: &Uri, headers: &HeaderMap) -> Result<Actor, Error> {
    let needed = Error::new(Code::Unauthenticated, "a token is needed")
        .hint("send `Authorization: Bearer TOKEN`; the command line takes it from --token or SKIPPER_TOKEN");
    if app.admin_token.is_some() || app.store.token_any().await? {
        return Err(needed);
    }
    match judge(peer, uri, headers) {
        Ok(()) => Ok(Actor::Local),
        Err(reason) => {
            let detail =
                format!("without a token only requests from this machine itself are let in: {}", reason.reason());
            Err(Error::new(Code::Unauthenticated, detail)
                .hint("start the server with ADMIN_TOKEN, or make a token on its machine with `skipper token create`"))
        }
    }
}
