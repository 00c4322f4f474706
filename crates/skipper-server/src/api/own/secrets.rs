use axum::{body::Bytes, extract::State};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use skipper_core::{
    name::{SecretName, TenantName},
    secret::SecretValue,
};
use skipper_store::SecretInfo;
use utoipa::IntoParams;

use super::{
    view::time,
    wire::{SecretList, SecretValueRequest, SecretView},
};
use crate::{
    api::extract::{Path, Query, TenantQuery, content_type, name_of, tenant},
    app::App,
    error::{Code, Error},
    verb::{self, Caller},
};

/// Lists a tenant's secrets, without their values.
#[utoipa::path(get, path = "/v1/secrets", tag = "secrets", params(TenantQuery), responses((status = 200, body = SecretList)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<TenantQuery>,
) -> Result<axum::Json<SecretList>, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let all = verb::secrets::list(&app, &caller, &tenant).await?;
    Ok(axum::Json(SecretList { items: all.iter().map(|info| shown(info, &tenant)).collect() }))
}

fn shown(info: &SecretInfo, tenant: &TenantName) -> SecretView {
    SecretView {
        name: info.name.to_string(),
        tenant: tenant.to_string(),
        version: info.version,
        used: info.used,
        created_at: time(info.created_at),
        updated_at: time(info.updated_at),
    }
}

/// Sets a secret. The body is the value itself, or with `application/json` a document that holds it.
#[utoipa::path(put, path = "/v1/secrets/{name}", tag = "secrets", params(("name" = String, Path, description = "The secret"), TenantQuery), request_body(content((SecretValueRequest = "application/json"), (String = "text/plain"))), responses((status = 200, body = SecretView)))]
pub(super) async fn set(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<TenantQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<axum::Json<SecretView>, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let name = name_of(SecretName::new(name))?;
    let value = value(&headers, &body)?;
    let info = verb::secrets::set(&app, &caller, &tenant, &name, &value).await?;
    Ok(axum::Json(shown(&info, &tenant)))
}

fn value(headers: &HeaderMap, body: &Bytes) -> Result<SecretValue, Error> {
    match content_type(headers).unwrap_or_default().as_str() {
        "application/json" => serde_json::from_slice::<SecretValueRequest>(body)
            .map(|request| SecretValue::new(request.value))
            // The parser's own words could quote the value.
            .map_err(|_| Error::new(Code::Invalid, "the body is not {\"value\": \"…\"}")),
        "" | "text/plain" | "application/octet-stream" => {
            std::str::from_utf8(body).map(|text| SecretValue::new(text.to_owned())).map_err(|_| {
                Error::new(Code::Invalid, "the value of a secret is UTF-8 text").hint("encode bytes as base64")
            })
        }
        _ => Err(Error::new(Code::UnsupportedMediaType, "this path reads text/plain, or application/json")),
    }
}

/// How a secret is removed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveQuery {
    /// Whose secret.
    tenant: Option<String>,
    /// Also when something runs with it.
    #[serde(default)]
    force: bool,
}

/// Removes a secret with all its versions.
#[utoipa::path(delete, path = "/v1/secrets/{name}", tag = "secrets", params(("name" = String, Path, description = "The secret"), RemoveQuery), responses((status = 204, description = "It is gone")))]
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<RemoveQuery>,
) -> Result<StatusCode, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let name = name_of(SecretName::new(name))?;
    verb::secrets::remove(&app, &caller, &tenant, &name, query.force).await?;
    Ok(StatusCode::NO_CONTENT)
}
