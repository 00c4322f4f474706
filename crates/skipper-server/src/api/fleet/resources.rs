//! `/v1/resources`: tenants, services and nodes as documents.

use axum::{
    body::Bytes,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::extract::{Path, Query},
    app::App,
    error::Error,
    verb::{
        Caller,
        resources::{self, Kind},
    },
};

/// Which resources.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only those whose id comes after that.
    #[serde(default)]
    after: Option<String>,
    /// At most so many; 1000 when absent.
    #[serde(default)]
    limit: Option<u32>,
}

/// Lists the resources of a kind.
#[utoipa::path(get, path = "/v1/resources/{kind}", tag = "fleet", params(("kind" = String, Path, description = "`node`, `tenant` or `service`"), ListQuery), responses((status = 200, body = Value)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(kind): Path<String>,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<Value>, Error> {
    let kind = Kind::parse(&kind)?;
    let found = resources::list(&app, &caller, kind, &query.after.unwrap_or_default(), query.limit).await?;
    Ok(axum::Json(json!({"kind": kind.as_str(), "resources": found})))
}

/// Shows a resource.
#[utoipa::path(get, path = "/v1/resources/{kind}/{id}", tag = "fleet", params(("kind" = String, Path, description = "`node`, `tenant` or `service`"), ("id" = String, Path, description = "The resource")), responses((status = 200, body = Value)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((kind, id)): Path<(String, String)>,
) -> Result<axum::Json<Value>, Error> {
    Ok(axum::Json(resources::get(&app, &caller, Kind::parse(&kind)?, &id).await?))
}

/// Stores a resource. What it says of its own status means nothing.
#[utoipa::path(put, path = "/v1/resources/{kind}/{id}", tag = "fleet", params(("kind" = String, Path, description = "`node`, `tenant` or `service`"), ("id" = String, Path, description = "The resource")), request_body = Value, responses((status = 200, body = Value), (status = 201, body = Value)))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Path((kind, id)): Path<(String, String)>,
    body: Bytes,
) -> Result<Response, Error> {
    let (document, is_new) = resources::put(&app, &caller, Kind::parse(&kind)?, &id, &body).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, axum::Json(document)).into_response())
}

/// Forgets a resource. What was applied of it goes on running.
#[utoipa::path(delete, path = "/v1/resources/{kind}/{id}", tag = "fleet", params(("kind" = String, Path, description = "`node`, `tenant` or `service`"), ("id" = String, Path, description = "The resource")), responses((status = 204)))]
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path((kind, id)): Path<(String, String)>,
) -> Result<StatusCode, Error> {
    resources::remove(&app, &caller, Kind::parse(&kind)?, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
