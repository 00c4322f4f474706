use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use skipper_core::{actor::Role, name::TenantName};
use skipper_store::Token;

use super::{
    view::time,
    wire::{NewToken, TokenCreated, TokenList, TokenView},
};
use crate::{
    api::{
        extract::{Json, Path, Query, TenantQuery, id_of, name_of, valid},
        idempotency::Remember,
    },
    app::App,
    config::parse_span,
    error::{Code, Error},
    verb::{self, Caller, tokens::Wanted},
};

/// Lists tokens, without their secrets.
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens", params(TenantQuery), responses((status = 200, body = TokenList)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    _query: Query<TenantQuery>,
) -> Result<axum::Json<TokenList>, Error> {
    let all = verb::tokens::list(&app, &caller).await?;
    Ok(axum::Json(TokenList { items: all.iter().map(shown).collect() }))
}

fn shown(token: &Token) -> TokenView {
    TokenView {
        id: token.id.to_string(),
        name: token.name.clone(),
        role: token.role.as_str().to_owned(),
        tenant: token.tenant.as_ref().map(ToString::to_string),
        created_at: time(token.created_at),
        expires_at: token.expires_at.map(time),
        last_used_at: token.last_used_at.map(time),
    }
}

/// Makes a token. Its secret is shown in this answer and never again.
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", params(TenantQuery), request_body = NewToken, responses((status = 201, body = TokenCreated)))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    _query: Query<TenantQuery>,
    Json(body): Json<NewToken>,
) -> Result<Response, Error> {
    let role = Role::parse(&body.role)
        .ok_or_else(|| Error::new(Code::Invalid, "`role` is `admin`, `operator` or `viewer`"))?;
    let wanted = Wanted {
        name: body.name,
        role,
        tenant: body.tenant.map(TenantName::new).map(name_of).transpose()?,
        expires_in: body.expires_in.map(|span| valid("expires_in", parse_span(&span))).transpose()?,
    };
    let (token, secret) = verb::tokens::create(&app, &caller, wanted).await?;
    let answer = TokenCreated { token: shown(&token), secret: Some(secret.expose().to_owned()) };
    let kept = serde_json::to_vec(&TokenCreated { secret: None, ..answer.clone() }).map_err(Error::internal)?;
    let mut response = (StatusCode::CREATED, axum::Json(answer)).into_response();
    response.extensions_mut().insert(Remember(kept));
    Ok(response)
}

/// Revokes a token for good.
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "tokens", params(("id" = String, Path, description = "The token's id"), TenantQuery), responses((status = 204, description = "It lets nobody in any more")))]
pub(super) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    _query: Query<TenantQuery>,
) -> Result<StatusCode, Error> {
    verb::tokens::revoke(&app, &caller, id_of(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
