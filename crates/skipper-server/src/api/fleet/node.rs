//! What a node's agent calls: it takes its orders, renews them, and reports on them.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Extension,
    extract::{ConnectInfo, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use serde::Deserialize;
use serde_json::{Value, json};
use skipper_core::{
    actor::{Actor, Provenance},
    id::OrderId,
    name::NodeName,
};
use skipper_source::fleet::{Heartbeat, HeartbeatAnswer, LINK_WANTED, PROTOCOL, PROTOCOL_HEADER, Report};
use skipper_store::{Answered, IdempotencyKey, StoredAnswer, TokenSecret};

use super::Agent;
use crate::{
    api::{
        extract::{Json, Path, Query},
        observe::Ids,
    },
    app::App,
    auth,
    error::{Code, Error},
    verb::{nodes, orders},
};

/// Longest an agent may wait for an order: proxies cut what is silent for a minute.
const MAX_WAIT: u64 = 60;
/// Says which versions are spoken here.
pub(super) const PROTOCOLS: HeaderName = HeaderName::from_static("x-skipper-protocols");
/// The oldest of them.
pub(super) const OLDEST: u32 = 1;

/// How an agent asks for work.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct NextQuery {
    /// Seconds to wait for an order; at most 60. Not at all when absent.
    #[serde(default)]
    wait: Option<u64>,
    /// The agent's run, as it calls itself.
    #[serde(default)]
    instance: Option<String>,
}

/// Hands out the node's next order, under a lease: with `wait` the moment there is one.
#[utoipa::path(get, path = "/v1/nodes/{node}/work-orders/next", tag = "fleet", params(("node" = String, Path, description = "The node"), NextQuery), responses((status = 200, body = Value), (status = 204)))]
pub(super) async fn next(
    State(app): State<App>,
    agent: Agent,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    Path(node): Path<String>,
    Query(query): Query<NextQuery>,
) -> Result<Response, Error> {
    let node = agent.of(&node)?;
    speaks(&headers)?;
    let instance = query.instance.filter(|text| !text.is_empty()).map(|text| text.chars().take(64).collect::<String>());
    let address = peer.map(|Extension(ConnectInfo(peer))| peer.ip().to_string());
    let owner = instance.or(address).unwrap_or_else(|| node.to_string());
    let wait = Duration::from_secs(query.wait.unwrap_or(0).min(MAX_WAIT));
    let order = orders::next(&app, &node, &owner, wait).await?;
    let mut response = match order {
        orders::Next::Nothing => StatusCode::NO_CONTENT.into_response(),
        orders::Next::Link => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            let wanted = HeaderValue::from_static("wanted");
            response.headers_mut().insert(HeaderName::from_static(LINK_WANTED), wanted);
            response
        }
        orders::Next::Order(order) => {
            let mut response = axum::Json(&order).into_response();
            let ids = [("x-order-request-id", &order.request_id), ("x-order-correlation-id", &order.correlation_id)];
            for (name, value) in ids {
                if let Ok(value) = HeaderValue::from_str(value) {
                    response.headers_mut().insert(HeaderName::from_static(name), value);
                }
            }
            response
        }
    };
    if let Ok(spoken) = HeaderValue::from_str(&format!("{OLDEST}-{PROTOCOL}")) {
        response.headers_mut().insert(PROTOCOLS, spoken);
    }
    Ok(response)
}

/// Old and new speak to each other as long as they have a version in common; agents that name none speak the first one.
pub(super) fn speaks(headers: &HeaderMap) -> Result<(), Error> {
    let Some(given) = headers.get(PROTOCOL_HEADER) else { return Ok(()) };
    let given = given.to_str().ok().and_then(|text| text.trim().parse::<u32>().ok());
    match given {
        Some(version) if version >= OLDEST => Ok(()),
        _ => Err(Error::new(
            Code::BadRequest,
            format!("versions {OLDEST} to {PROTOCOL} of the agents' protocol are spoken here"),
        )
        .hint("upgrade the agent")),
    }
}

/// Takes a node's sign of life, and renews the leases of its orders.
#[utoipa::path(post, path = "/v1/nodes/{node}/heartbeat", tag = "fleet", params(("node" = String, Path, description = "The node")), request_body = Value, responses((status = 200, body = Value)))]
pub(super) async fn heartbeat(
    State(app): State<App>,
    agent: Agent,
    version: Version,
    Path(node): Path<String>,
    Json(body): Json<Heartbeat>,
) -> Result<Response, Error> {
    let node = agent.of(&node)?;
    let answer: HeartbeatAnswer = orders::heartbeat(&app, &node, &body).await?;
    let mut response = axum::Json(answer).into_response();
    if version <= Version::HTTP_11 {
        // The next one is a quarter of a minute away, and until then a connection costs more than it is worth.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Takes a node's report on an order; the same again is answered alike and changes nothing.
#[utoipa::path(post, path = "/v1/work-orders/{id}/result", tag = "fleet", params(("id" = String, Path, description = "The order")), request_body = Value, responses((status = 200, body = Value)))]
pub(super) async fn report(
    State(app): State<App>,
    Agent(node): Agent,
    Path(id): Path<String>,
    Json(body): Json<Report>,
) -> Result<axum::Json<Value>, Error> {
    let unknown = || Error::new(Code::OrderNotFound, "there is no such work order");
    let id: OrderId = id.parse().map_err(|_| unknown())?;
    let order = orders::report(&app, &node, id, body).await?;
    Ok(axum::Json(json!({"id": order.id, "status": order.status, "generation": order.generation})))
}

/// Trades an enrolment for the node's token.
#[utoipa::path(post, path = "/v1/nodes/{node}/enrol", tag = "fleet", params(("node" = String, Path, description = "The node")), responses((status = 200, body = Value)))]
pub(super) async fn enrol(
    State(app): State<App>,
    Extension(ids): Extension<Ids>,
    key: Option<Extension<IdempotencyKey>>,
    headers: HeaderMap,
    Path(node): Path<String>,
) -> Result<axum::Json<Value>, Error> {
    let node = NodeName::new(node).map_err(|_| nodes::no_enrolment())?;
    let provenance = Provenance {
        actor: Actor::Node { node: node.clone() },
        trigger: "enrol".to_owned(),
        request: ids.request,
        correlation: ids.correlation,
    };
    let told = |token: &TokenSecret| json!({"token": token.expose()});
    // A server that dies right behind its commit would leave a node without its token, and with an enrolment that is used up.
    let kept = |token: &TokenSecret| StoredAnswer {
        status: StatusCode::OK.as_u16(),
        headers: vec![(header::CONTENT_TYPE.to_string(), "application/json".to_owned())],
        body: told(token).to_string().into_bytes(),
    };
    let answered = key.as_ref().map(|Extension(key)| Answered { key, answer: &kept });
    let token = nodes::enrol(&app, auth::node::bearer(&headers), &node, &provenance, answered).await?;
    Ok(axum::Json(told(&token)))
}
