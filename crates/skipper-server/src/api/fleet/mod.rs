//! The door of the fleet: tenants are applied, nodes registered, and agents take their orders and report on them.
//!
//! The paths, headers and shapes are those of the first control plane's users; see docs/fleet.md.

mod apply;
mod enrolling;
mod link;
mod node;
mod nodes;
mod orders;
mod resources;

use axum::extract::FromRequestParts;
use http::request::Parts;
use skipper_core::{
    actor::Actor,
    name::NodeName,
    policy::Action::{Administer, Deploy, Read},
};

pub(in crate::api) use apply::answer_again;
pub(in crate::api) use enrolling::enrolling;

use super::table::{
    Access::{Installation, Node, Owner, Public, Signed, Tenant},
    Row, row,
};
use crate::{
    app::App,
    error::{Code, Error},
};

/// The routes of this door.
pub(crate) fn rows() -> Vec<Row> {
    vec![
        row!(GET "/v1/health" => apply::health, Public),
        row!(GET "/v1/deployments/{tenant}" => apply::status, Owner(Read)),
        row!(POST "/v1/deployments/{tenant}/apply" => apply::apply, Owner(Deploy), Json),
        row!(POST "/v1/deployments/{tenant}/plan" => apply::plan, Owner(Deploy), Json),
        row!(POST "/v1/deployments/{tenant}/converge" => apply::converge, Owner(Deploy), Json),
        row!(POST "/v1/deployments/{tenant}/roll-back" => apply::roll_back, Owner(Deploy), Json),
        row!(GET "/v1/nodes" => nodes::list, Installation(Read)),
        row!(POST "/v1/nodes" => nodes::register, Installation(Administer), Secret, Sealed),
        row!(GET "/v1/nodes/{node}" => nodes::get, Installation(Read)),
        row!(DELETE "/v1/nodes/{node}" => nodes::remove, Installation(Administer)),
        row!(POST "/v1/nodes/{node}/rotate-token" => nodes::rotate, Installation(Administer), Secret, Sealed),
        row!(POST "/v1/nodes/{node}/cordon" => nodes::cordon, Installation(Administer), Json),
        row!(POST "/v1/nodes/{node}/drain" => nodes::drain, Installation(Administer), Json),
        row!(POST "/v1/nodes/{node}/enrolments" => nodes::enrolment, Installation(Administer), Secret, Sealed),
        row!(POST "/v1/nodes/{node}/enrol" => node::enrol, Signed, Secret, Sealed),
        row!(GET "/v1/nodes/{node}/work-orders/next" => node::next, Node, Nothing, Stream),
        row!(GET "/v1/nodes/{node}/link" => link::link, Node, Nothing, Stream),
        row!(POST "/v1/nodes/{node}/heartbeat" => node::heartbeat, Node, Json),
        row!(POST "/v1/work-orders/{id}/result" => node::report, Node, Report),
        row!(GET "/v1/work-orders" => orders::list, Tenant(Read)),
        row!(GET "/v1/work-orders/{id}" => orders::get, Tenant(Read)),
        row!(GET "/v1/resources/{kind}" => resources::list, Tenant(Read)),
        row!(GET "/v1/resources/{kind}/{id}" => resources::get, Tenant(Read)),
        row!(PUT "/v1/resources/{kind}/{id}" => resources::put, Tenant(Deploy), Json),
        row!(DELETE "/v1/resources/{kind}/{id}" => resources::remove, Tenant(Deploy)),
    ]
}

/// Whether the clients of this door know the path, and look for an object `error` in what went wrong.
pub(in crate::api) fn is_known(path: &str) -> bool {
    let Some(rest) = path.strip_prefix("/v1/") else { return false };
    matches!(rest.split('/').next(), Some("health" | "deployments" | "nodes" | "work-orders" | "resources"))
}

/// The node whose agent asks.
pub(super) struct Agent(NodeName);

impl Agent {
    /// The node, when it is the one that the path names.
    fn of(self, named: &str) -> Result<NodeName, Error> {
        if self.0.as_str() == named {
            return Ok(self.0);
        }
        Err(Error::new(Code::Forbidden, format!("the token is that of node `{}`", self.0))
            .hint("AGENT_ID and AGENT_TOKEN belong together"))
    }
}

impl FromRequestParts<App> for Agent {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Error> {
        match parts.extensions.get::<Actor>() {
            Some(Actor::Node { node }) => Ok(Self(node.clone())),
            _ => Err(Error::internal("the route is not guarded")),
        }
    }
}
