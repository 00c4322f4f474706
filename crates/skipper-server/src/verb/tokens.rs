//! Makes, lists and revokes tokens.

use std::time::Duration;

use skipper_core::{actor::Role, id::TokenId, name::TenantName, policy::Action};
use skipper_store::{NewToken, Token, TokenSecret};

use super::Caller;
use crate::{
    app::App,
    error::{Code, Error},
};

/// A token that is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// For people.
    pub name: String,
    /// What its bearer may do.
    pub role: Role,
    /// The only tenant it may touch.
    pub tenant: Option<TenantName>,
    /// How long it is good for.
    pub expires_in: Option<Duration>,
}

/// Every token that was not revoked, expired ones too.
///
/// # Errors
///
/// Only the policy's and the store's.
pub async fn list(app: &App, caller: &Caller) -> Result<Vec<Token>, Error> {
    caller.may_all(Action::ManageTokens)?;
    let all = app.store.token_list().await?;
    Ok(all.into_iter().filter(|token| token.revoked_at.is_none()).collect())
}

/// Makes a token. Its secret is in the answer and nowhere else.
///
/// # Errors
///
/// The name is empty or too long.
///
/// # Cancel safety
///
/// Safe to drop: one transaction.
pub async fn create(app: &App, caller: &Caller, wanted: Wanted) -> Result<(Token, TokenSecret), Error> {
    caller.may_all(Action::ManageTokens)?;
    if wanted.expires_in.is_some_and(|span| span.is_zero()) {
        return Err(Error::new(Code::Invalid, "`expires_in`: a token must last longer than nothing"));
    }
    let new = NewToken {
        name: wanted.name,
        role: wanted.role,
        tenant: wanted.tenant,
        expires_at: wanted.expires_in.map(|span| app.clock.now() + span),
    };
    Ok(app.store.token_create(new, &caller.provenance).await?)
}

/// Revokes a token for good.
///
/// # Errors
///
/// There is none of that id.
///
/// # Cancel safety
///
/// Safe to drop: one transaction.
pub async fn revoke(app: &App, caller: &Caller, id: TokenId) -> Result<(), Error> {
    caller.may_all(Action::ManageTokens)?;
    app.store.token_revoke(id, &caller.provenance).await?;
    Ok(())
}
