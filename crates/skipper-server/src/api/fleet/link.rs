//! What an agent opens so that its node can be asked something.

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use serde::Deserialize;
use skipper_core::secret::SecretValue;
use skipper_source::fleet::PROTOCOL;

use super::{
    Agent,
    node::{OLDEST, PROTOCOLS, speaks},
};
use crate::{
    api::extract::{Path, Query},
    app::App,
    auth,
    error::{Code, Error},
    fleet::{Asked, UPGRADE, serve_link},
};

/// How an agent asks for a link.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LinkQuery {
    /// The agent's run, as it calls itself.
    #[serde(default)]
    instance: Option<String>,
}

/// Turns the connection into a link, by which this server asks the node: `Upgrade: skipper-link/1` with `Connection: Upgrade`, and from the
/// answer 101 on HTTP/2 in which the agent answers. The newest link of a node wins.
#[utoipa::path(get, path = "/v1/nodes/{node}/link", tag = "fleet", params(("node" = String, Path, description = "The node"), LinkQuery), responses((status = 101, description = "The connection is a link from here on")))]
pub(super) async fn link(
    State(app): State<App>,
    agent: Agent,
    Path(node): Path<String>,
    Query(query): Query<LinkQuery>,
    mut request: Request,
) -> Result<Response, Error> {
    let node = agent.of(&node)?;
    speaks(request.headers())?;
    let token = auth::node::bearer(request.headers()).map(|token| SecretValue::new(token.to_owned()));
    let (true, Some(upgrade), Some(token)) =
        (asks(request.headers()), request.extensions_mut().remove::<OnUpgrade>(), token)
    else {
        let what = format!("a link is asked for by HTTP/1.1 with `Connection: Upgrade` and `Upgrade: {UPGRADE}`");
        return Err(Error::new(Code::BadRequest, what)
            .hint("a proxy on the way may have taken them out: have it pass upgrades on, as for WebSockets"));
    };
    if let Some(place) = &*app.tended_by.borrow() {
        let what = format!("the server {place} tends what runs; a link to this one would be of no use");
        return Err(Error::new(Code::ShuttingDown, what).hint("ask that server"));
    }
    if app.stop.is_cancelled() {
        return Err(Error::new(Code::ShuttingDown, "the server is shutting down and takes no links"));
    }
    let instance = query.instance.filter(|text| !text.is_empty()).map(|text| text.chars().take(64).collect());
    app.tasks.spawn(serve_link(app.clone(), Asked { node, instance, token }, upgrade));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(UPGRADE));
    if let Ok(spoken) = HeaderValue::from_str(&format!("{OLDEST}-{PROTOCOL}")) {
        headers.insert(PROTOCOLS, spoken);
    }
    Ok(response)
}

fn asks(headers: &HeaderMap) -> bool {
    let has = |name: header::HeaderName, word: &str| {
        let texts = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        texts.flat_map(|text| text.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
    };
    has(header::CONNECTION, "upgrade") && has(header::UPGRADE, UPGRADE)
}
