//! `/v1/deployments/{tenant}/apply`, and whether the control plane is well.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use skipper_core::{name::TenantName, rollout::Rollout};
use skipper_store::IntentAccepted;

use crate::{
    api::extract::{self, Path},
    app::App,
    error::Error,
    fleet::shown,
    verb::{
        Caller,
        apply::{self, Applied},
    },
};

/// Says that it answers.
#[utoipa::path(get, path = "/v1/health", tag = "fleet", responses((status = 200, body = Value)))]
pub(super) async fn health(State(app): State<App>) -> Json<Value> {
    let tended_by = app.tended_by.borrow().clone();
    Json(
        json!({"status": "ok", "version": env!("CARGO_PKG_VERSION"), "role": if tended_by.is_some() { "standby" } else { "active" }}),
    )
}

/// Applies a tenant's resource. Answers the work order of the first node, with the ids of all; a tenant that is as it should be
/// is answered by 200 with `"unchanged": true`.
#[utoipa::path(post, path = "/v1/deployments/{tenant}/apply", tag = "fleet", params(("tenant" = String, Path, description = "The tenant")), responses((status = 200, body = Value), (status = 202, body = Value)))]
pub(super) async fn apply(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<Response, Error> {
    let tenant = extract::name_of(TenantName::new(tenant))?;
    let applied = Box::pin(apply::apply(&app, &caller, &tenant)).await?;
    Ok(answer(&applied))
}

/// The answer to an apply that was stored before the server died and was never answered.
pub(in crate::api) async fn answer_again(app: &App, accepted: IntentAccepted) -> Result<Response, Error> {
    Ok(answer(&apply::again(app, accepted).await?))
}

fn answer(applied: &Applied) -> Response {
    let first = applied.orders.first().map(|order| serde_json::to_value(shown(order)).unwrap_or_default());
    let mut body = match first {
        Some(Value::Object(order)) => order,
        _ => serde_json::Map::new(),
    };
    body.insert("tenant".to_owned(), json!(applied.tenant));
    body.insert("revision".to_owned(), json!(applied.revision));
    body.insert("rollout".to_owned(), json!(applied.rollout.as_ref().map(|rollout| rollout.id)));
    body.insert("orders".to_owned(), json!(applied.orders.iter().map(|order| order.id).collect::<Vec<_>>()));
    body.insert("unchanged".to_owned(), json!(applied.rollout.is_none()));
    let status = if applied.rollout.is_some() { StatusCode::ACCEPTED } else { StatusCode::OK };
    let mut response = (status, Json(Value::Object(body))).into_response();
    if let Some(location) = applied.rollout.as_ref().and_then(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

fn location(rollout: &Rollout) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("/v1/rollouts/{}", rollout.id)).ok()
}
