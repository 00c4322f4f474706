//! `/v1/nodes`: the hosts of the fleet, for those who rule them.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use skipper_core::name::NodeName;
use skipper_source::fleet::NodeSpec;

use crate::{
    api::extract::{self, Json, Path, Query},
    app::App,
    error::Error,
    fleet::stamp,
    verb::{Caller, nodes},
};

/// Which nodes.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only those whose name comes after that.
    #[serde(default)]
    after: Option<String>,
    /// At most so many; 1000 when absent.
    #[serde(default)]
    limit: Option<u32>,
}

/// Lists the nodes.
#[utoipa::path(get, path = "/v1/nodes", tag = "fleet", params(ListQuery), responses((status = 200, body = Value)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<Value>, Error> {
    let after = query.after.map(|name| extract::name_of(NodeName::new(name))).transpose()?;
    let limit = query.limit.unwrap_or(1000).clamp(1, 10_000);
    let nodes = nodes::list(&app, &caller, after.as_ref(), limit).await?;
    Ok(axum::Json(json!({"nodes": nodes})))
}

/// A node to be registered.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Registration {
    id: String,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    region: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    rotate_token: bool,
}

/// Registers a node. Its token is in the answer and nowhere else.
#[utoipa::path(post, path = "/v1/nodes", tag = "fleet", request_body = Value, responses((status = 201, body = Value)))]
pub(super) async fn register(
    State(app): State<App>,
    caller: Caller,
    Json(body): Json<Registration>,
) -> Result<Response, Error> {
    let usual = NodeSpec::default();
    let spec =
        NodeSpec { role: body.role.unwrap_or(usual.role), region: body.region, labels: body.labels, cordoned: false };
    let name = extract::name_of(NodeName::new(body.id))?;
    let wanted = nodes::Wanted { name, spec, token: body.token, rotate: body.rotate_token };
    let (node, token) = nodes::register(&app, &caller, wanted).await?;
    let body = axum::Json(json!({"node": node, "token": token.expose()}));
    Ok((StatusCode::CREATED, body).into_response())
}

/// Shows a node.
#[utoipa::path(get, path = "/v1/nodes/{node}", tag = "fleet", params(("node" = String, Path, description = "The node")), responses((status = 200, body = Value)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<axum::Json<Value>, Error> {
    let name = extract::name_of(NodeName::new(name))?;
    Ok(axum::Json(nodes::document(&nodes::get(&app, &caller, &name).await?)))
}

/// Forgets a node. What runs there goes on; its token lets nobody in any more.
#[utoipa::path(delete, path = "/v1/nodes/{node}", tag = "fleet", params(("node" = String, Path, description = "The node")), responses((status = 204)))]
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Error> {
    let name = extract::name_of(NodeName::new(name))?;
    nodes::remove(&app, &caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How a token is replaced.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    #[serde(default)]
    grace_seconds: u64,
}

/// Makes a new token for a node. It is in the answer and nowhere else.
#[utoipa::path(post, path = "/v1/nodes/{node}/rotate-token", tag = "fleet", params(("node" = String, Path, description = "The node")), request_body = Value, responses((status = 200, body = Value)))]
pub(super) async fn rotate(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Json(body): Json<Rotation>,
) -> Result<axum::Json<Value>, Error> {
    let name = extract::name_of(NodeName::new(name))?;
    let (node, token) = nodes::rotate(&app, &caller, &name, Duration::from_secs(body.grace_seconds)).await?;
    Ok(axum::Json(json!({"node": node, "token": token.expose()})))
}

/// Whether a node takes anything new.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cordon {
    #[serde(default = "yes")]
    cordoned: bool,
}

const fn yes() -> bool {
    true
}

/// Lets a node take nothing new, or lets it again.
#[utoipa::path(post, path = "/v1/nodes/{node}/cordon", tag = "fleet", params(("node" = String, Path, description = "The node")), request_body = Value, responses((status = 200, body = Value)))]
pub(super) async fn cordon(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Json(body): Json<Cordon>,
) -> Result<axum::Json<Value>, Error> {
    let name = extract::name_of(NodeName::new(name))?;
    Ok(axum::Json(nodes::document(&nodes::cordon(&app, &caller, &name, body.cordoned).await?)))
}

/// Lets a node take nothing new, and tells how many orders it still has.
#[utoipa::path(post, path = "/v1/nodes/{node}/drain", tag = "fleet", params(("node" = String, Path, description = "The node")), responses((status = 200, body = Value)))]
pub(super) async fn drain(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<axum::Json<Value>, Error> {
    let name = extract::name_of(NodeName::new(name))?;
    let (node, open) = nodes::drain(&app, &caller, &name).await?;
    Ok(axum::Json(json!({"node": node, "open_orders": open})))
}

/// Makes what lets the node's agent fetch its token, once.
#[utoipa::path(post, path = "/v1/nodes/{node}/enrolments", tag = "fleet", params(("node" = String, Path, description = "The node")), responses((status = 201, body = Value)))]
pub(super) async fn enrolment(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Error> {
    let name = extract::name_of(NodeName::new(name))?;
    let (token, ends) = nodes::enrolment(&app, &caller, &name).await?;
    let body = axum::Json(json!({"token": token.expose(), "expires_at": stamp(ends)}));
    Ok((StatusCode::CREATED, body).into_response())
}
