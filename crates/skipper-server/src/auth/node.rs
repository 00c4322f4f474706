//! Agents of nodes: each lets itself in by its node's own token.

use http::{HeaderMap, header};
use skipper_core::{actor::Actor, name::NodeName};

use crate::{
    app::App,
    error::{Code, Error},
};

/// Says which node's agent asks, by its token.
///
/// # Errors
///
/// [`Code::Unauthenticated`].
pub(crate) async fn authenticate(app: &App, headers: &HeaderMap) -> Result<Actor, Error> {
    let token = bearer(headers).ok_or_else(|| refused("a node's token is needed"))?;
    let node = app.store.node_authenticate(token).await?;
    node.map(|node| Actor::Node { node }).ok_or_else(|| refused(NOBODYS))
}

/// Looks again whether a token lets that node's agent in.
///
/// # Errors
///
/// [`Code::Unauthenticated`].
pub(crate) async fn still(app: &App, node: &NodeName, token: &str) -> Result<(), Error> {
    let whose = app.store.node_authenticate(token).await?;
    if whose.as_ref() == Some(node) { Ok(()) } else { Err(refused(NOBODYS)) }
}

const NOBODYS: &str = "the token is not that of a node, has been replaced, or was revoked";

fn refused(what: &str) -> Error {
    Error::new(Code::Unauthenticated, what.to_owned())
        .hint("an agent sends `Authorization: Bearer` with the token that `skipper node register` printed")
}

/// The token that an agent sent.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = match headers.get(header::AUTHORIZATION) {
        Some(value) => {
            let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token)?
        }
        None => headers.get("x-agent-token")?.to_str().ok()?,
    };
    let text = text.trim();
    (1..=1024).contains(&text.len()).then_some(text)
}
