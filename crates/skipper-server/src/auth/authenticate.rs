use std::net::SocketAddr;

use base64::{Engine as _, prelude::BASE64_STANDARD as STANDARD};
use http::{HeaderMap, Uri, header};
use skipper_core::{
    Sha256,
    actor::{Actor, Role},
    id::TokenId,
    secret::SecretValue,
};
use subtle::ConstantTimeEq as _;

use super::{NotLocal, judge, loopback::is_foreign};
use crate::{
    app::App,
    apps::Apps,
    config::User,
    error::{Code, Error},
};

/// In which the fleet's clients send their token.
const ADMIN_HEADER: &str = "x-admin-token";
/// Longer ones cannot be ours, and are not hashed.
const MAX_TOKEN: usize = 1024;
/// Longest `user:password` in base64.
const MAX_BASIC: usize = 4096;

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
        if let Some(token) = headers.get(ADMIN_HEADER) {
            return by_token(app, token.to_str().unwrap_or_default().trim()).await;
        }
        return without_token(app, peer, uri, headers).await;
    };
    let sent = given.to_str().ok().and_then(Credentials::read).filter(|_| credentials.next().is_none());
    let Some(sent) = sent else {
        let message = "the Authorization header is neither `Bearer TOKEN` nor `Basic` with a user and a password";
        return Err(Error::new(Code::Unauthenticated, message));
    };
    if sent.user.is_some() && is_foreign(uri, headers) {
        let message = format!("a password is not taken where {}", NotLocal::Origin.reason());
        return Err(Error::new(Code::Unauthenticated, message));
    }
    if let (Some(name), Some(user)) = (&sent.user, &app.user)
        && user.is(name, &sent.secret)
    {
        return Ok(user.actor());
    }
    match known(app, &sent.secret).await? {
        Some(actor) => Ok(actor),
        None => Err(sent.unknown()),
    }
}

/// Who bears a token that came in the header of the fleet's clients.
async fn by_token(app: &App, token: &str) -> Result<Actor, Error> {
    let sent = Credentials { user: None, secret: token.to_owned() };
    let fits = (1..=MAX_TOKEN).contains(&token.len());
    match if fits { known(app, token).await? } else { None } {
        Some(actor) => Ok(actor),
        None => Err(sent.unknown()),
    }
}

async fn known(app: &App, secret: &str) -> Result<Option<Actor>, Error> {
    if app.admin_token.as_ref().is_some_and(|admin| same(secret, admin)) {
        return Ok(Some(configured("ADMIN_TOKEN")));
    }
    if app.apps.get().as_deref().and_then(Apps::secret).is_some_and(|expected| same(secret, expected)) {
        return Ok(Some(configured("auth.secret")));
    }
    Ok(app.store.token_authenticate(secret).await?.map(|token| token.actor()))
}

/// Whether a user and a password came although nobody may have asked for them: where users are configured a wrong password
/// is refused on every path, as those who know Spring's servers expect it.
pub(crate) fn is_signed(app: &App, headers: &HeaderMap) -> bool {
    let basic = |text: &str| text.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic "));
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    app.user.is_some() && given.any(|value| value.to_str().is_ok_and(basic))
}

/// What was sent: a token, or a user and a password. Clients that know no tokens send one as the password of anybody.
struct Credentials {
    user: Option<String>,
    secret: String,
}

impl Credentials {
    fn read(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(' ')?;
        let rest = rest.trim();
        let sent = if scheme.eq_ignore_ascii_case("bearer") {
            Self { user: None, secret: rest.to_owned() }
        } else if scheme.eq_ignore_ascii_case("basic") && rest.len() <= MAX_BASIC {
            let text = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
            let (user, password) = text.split_once(':')?;
            Self { user: Some(user.to_owned()), secret: password.to_owned() }
        } else {
            return None;
        };
        (!sent.secret.is_empty() && sent.secret.len() <= MAX_TOKEN).then_some(sent)
    }

    /// The same answer whichever of user and password is wrong.
    fn unknown(&self) -> Error {
        match self.user {
            None => Error::new(Code::Unauthenticated, "the token is not known, has expired, or was revoked")
                .hint("`skipper token create` makes one; the server's ADMIN_TOKEN works as well"),
            Some(_) => Error::new(Code::Unauthenticated, "user or password is wrong")
                .hint("a token works as the password of any user; `skipper token create` makes one"),
        }
    }
}

impl User {
    /// Both are compared whatever the first comparison says, so that no name can be tried out by itself.
    fn is(&self, name: &str, password: &str) -> bool {
        let (name, password) = (same(name, &SecretValue::new(self.name.clone())), same(password, &self.password));
        name & password
    }

    fn actor(&self) -> Actor {
        let id = TokenId::from_uuid(uuid::Uuid::nil());
        Actor::Token { id, name: self.name.clone(), role: self.role, tenant: None }
    }
}

/// The bearer of the token that the configuration names.
fn configured(name: &str) -> Actor {
    Actor::Token { id: TokenId::from_uuid(uuid::Uuid::nil()), name: name.to_owned(), role: Role::Admin, tenant: None }
}

/// Compares by hash and in constant time, so that not even the length shows.
fn same(given: &str, expected: &SecretValue) -> bool {
    let hash = |text: &str| Sha256::of(text.as_bytes()).to_string();
    hash(given).as_bytes().ct_eq(hash(expected.expose()).as_bytes()).into()
}

async fn without_token(app: &App, peer: Option<SocketAddr>, uri: &Uri, headers: &HeaderMap) -> Result<Actor, Error> {
    let needed = Error::new(Code::Unauthenticated, "a token is needed")
        .hint("send `Authorization: Bearer TOKEN`; the command line takes it from --token or SKIPPER_TOKEN");
    if app.admin_token.is_some() || app.user.is_some() || app.apps.get().is_some() || app.store.token_any().await? {
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
