//! `/v1/deployments/{tenant}/apply`, and whether the control plane is well.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use skipper_core::{name::TenantName, rollout::Rollout};
use skipper_store::IntentAccepted;
use utoipa::ToSchema;

use crate::{
    api::extract::{self, Path},
    app::App,
    error::Error,
    fleet::shown,
    verb::{
        Caller,
        apply::{self, Applied, Terms},
        fleet,
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
#[utoipa::path(post, path = "/v1/deployments/{tenant}/apply", tag = "fleet", params(("tenant" = String, Path, description = "The tenant")), request_body = Way, responses((status = 200, body = Value), (status = 202, body = Value)))]
pub(super) async fn apply(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    extract::Json(body): extract::Json<Way>,
) -> Result<Response, Error> {
    let tenant = extract::name_of(TenantName::new(tenant))?;
    let applied = Box::pin(apply::apply(&app, &caller, &tenant, &body.rollout)).await?;
    Ok(answer(&applied))
}

/// How to go from node to node, where that is to be other than the tenant's resource says.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object, as {\"rollout\": …}")]
pub(super) struct Way {
    /// What is not said in it stays as the resource has it.
    #[serde(default)]
    #[schema(value_type = WayTerms)]
    rollout: Terms,
}

/// The same, and where to.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object, as {\"revision\": 3}")]
pub(super) struct Back {
    /// The revision to go back to; the one that served before where none is named.
    #[serde(default)]
    revision: Option<u64>,
    /// What is not said in it stays as the resource has it.
    #[serde(default)]
    #[schema(value_type = WayTerms)]
    rollout: Terms,
}

/// Terms of a rollout over several nodes, as they are written.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is what is read as `Terms`, for the description alone")]
struct WayTerms {
    /// Sizes of waves: numbers of nodes, shares, or what is left.
    #[schema(value_type = Option<Vec<Value>>, example = json!([1, "10%", "rest"]))]
    waves: Option<Vec<Value>>,
    /// Most nodes that may be unavailable at a time: a number or a share.
    #[schema(value_type = Option<Value>, example = json!("25%"))]
    max_unavailable: Option<Value>,
    /// What a bad node means to the others: `stop`, `roll-back` or `continue`.
    #[schema(example = "stop")]
    on_failure: Option<String>,
}

/// How far each of a tenant's nodes is: the revision it runs, its state, its last order.
#[utoipa::path(get, path = "/v1/deployments/{tenant}", tag = "fleet", params(("tenant" = String, Path, description = "The tenant")), responses((status = 200, body = Value)))]
pub(super) async fn status(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
) -> Result<Json<Value>, Error> {
    let tenant = extract::name_of(TenantName::new(tenant))?;
    let seen = Box::pin(fleet::status(&app, &caller, &tenant)).await?;
    let nodes = seen.nodes.iter().map(|node| {
        json!({
            "node": node.name,
            "wave": node.wave,
            "revision": node.revision,
            "state": node.state.as_str(),
            "health": node.health.as_str(),
            "order": node.order.as_ref().map(|order| order.id),
            "order_status": node.order.as_ref().map(|order| order.status),
            "message": node.message,
        })
    });
    let rollout = seen.rollout.as_ref().map(|rollout| {
        json!({"id": rollout.id, "verb": rollout.verb, "to": rollout.to, "phase": rollout.phase.name(), "cause": rollout.phase.cause()})
    });
    Ok(Json(json!({
        "tenant": tenant,
        "release": seen.release.name,
        "revision": seen.release.serving,
        "wanted": seen.wanted,
        "whole": seen.is_whole(),
        "rollout": rollout,
        "waves": seen.waves,
        "nodes": nodes.collect::<Vec<_>>(),
    })))
}

/// What an apply would do, wave by wave; nothing is stored.
#[utoipa::path(post, path = "/v1/deployments/{tenant}/plan", tag = "fleet", params(("tenant" = String, Path, description = "The tenant")), request_body = Way, responses((status = 200, body = Value)))]
pub(super) async fn plan(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    extract::Json(body): extract::Json<Way>,
) -> Result<Json<Value>, Error> {
    let tenant = extract::name_of(TenantName::new(tenant))?;
    let Some(planned) = Box::pin(fleet::preview(&app, &caller, &tenant, &body.rollout)).await? else {
        return Ok(Json(json!({"tenant": tenant, "unchanged": true, "waves": []})));
    };
    let waves = fleet::waves(&planned.plan);
    let waves = waves.into_iter().map(|(nodes, steps)| json!({"nodes": nodes, "steps": steps}));
    let limits = planned.plan.waves.as_ref();
    let steps = planned.plan.steps.iter();
    let steps = steps
        .map(|s| json!({"app": s.app, "target": s.target, "action": s.action.name(), "what": s.action.to_string()}));
    Ok(Json(json!({
        "tenant": tenant,
        "unchanged": false,
        "revision": planned.prepared.number(),
        "plan": planned.plan.hash().to_string(),
        "on_failure": limits.map(|waves| waves.on_failure),
        "max_unavailable": limits.and_then(|waves| waves.most),
        "waves": waves.collect::<Vec<_>>(),
        "steps": steps.collect::<Vec<_>>(),
        "diff": planned.diff,
    })))
}

/// Goes on to what was last wanted, with the nodes that are not there yet; answers as the apply does.
#[utoipa::path(post, path = "/v1/deployments/{tenant}/converge", tag = "fleet", params(("tenant" = String, Path, description = "The tenant")), request_body = Way, responses((status = 200, body = Value), (status = 202, body = Value)))]
pub(super) async fn converge(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    extract::Json(body): extract::Json<Way>,
) -> Result<Response, Error> {
    let tenant = extract::name_of(TenantName::new(tenant))?;
    Ok(answer(&Box::pin(fleet::converge(&app, &caller, &tenant, &body.rollout)).await?))
}

/// Takes every node back to what served before; answers as the apply does.
#[utoipa::path(post, path = "/v1/deployments/{tenant}/roll-back", tag = "fleet", params(("tenant" = String, Path, description = "The tenant")), request_body = Back, responses((status = 200, body = Value), (status = 202, body = Value)))]
pub(super) async fn roll_back(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    extract::Json(body): extract::Json<Back>,
) -> Result<Response, Error> {
    let tenant = extract::name_of(TenantName::new(tenant))?;
    Ok(answer(&Box::pin(fleet::roll_back(&app, &caller, &tenant, body.revision, &body.rollout)).await?))
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
