//! `/v1/work-orders`: what nodes were asked to do.

use axum::{Json, extract::State};
use serde::Deserialize;
use serde_json::{Value, json};
use skipper_core::{
    fleet::OrderStatus,
    id::OrderId,
    name::{NodeName, TenantName},
};

use crate::{
    api::extract::{self, Path, Query},
    app::App,
    error::{Code, Error},
    verb::{
        Caller,
        orders::{self, Wanted},
    },
};

/// Which orders.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only a node's.
    #[serde(default)]
    node: Option<String>,
    /// Only a tenant's.
    #[serde(default)]
    tenant: Option<String>,
    /// Only those that are so far: `pending`, `active`, `succeeded`, `failed`, `expired`, `superseded`.
    #[serde(default)]
    status: Option<String>,
    /// Only those made before that one.
    #[serde(default)]
    before: Option<String>,
    /// At most so many; 100 when absent.
    #[serde(default)]
    limit: Option<u32>,
}

/// Lists work orders, newest first, without their secrets.
#[utoipa::path(get, path = "/v1/work-orders", tag = "fleet", params(ListQuery), responses((status = 200, body = Value)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Value>, Error> {
    let status = query.status.as_deref().map(|word| {
        OrderStatus::parse(word).ok_or_else(|| Error::new(Code::Invalid, format!("`status`: there is no `{word}`")))
    });
    let wanted = Wanted {
        node: query.node.map(|name| extract::name_of(NodeName::new(name))).transpose()?,
        tenant: query.tenant.map(|name| extract::name_of(TenantName::new(name))).transpose()?,
        status: status.transpose()?,
        before: query.before.map(|id| extract::valid("before", id.parse::<OrderId>())).transpose()?,
        limit: query.limit,
    };
    Ok(Json(json!({"work_orders": orders::list(&app, &caller, &wanted).await?})))
}

/// Shows a work order without its secrets.
#[utoipa::path(get, path = "/v1/work-orders/{id}", tag = "fleet", params(("id" = String, Path, description = "The order")), responses((status = 200, body = Value)))]
pub(super) async fn get(State(app): State<App>, caller: Caller, Path(id): Path<String>) -> Result<Json<Value>, Error> {
    let unknown = || Error::new(Code::OrderNotFound, "there is no such work order");
    let order = orders::get(&app, &caller, id.parse().map_err(|_| unknown())?).await?;
    Ok(Json(serde_json::to_value(order).map_err(|error| Error::internal(error.to_string()))?))
}
