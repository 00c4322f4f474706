//! Nodes of the fleet: registers, lists, cordons and removes them, and makes what lets their agents in.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use skipper_core::{actor::Provenance, name::NodeName, policy::Action, time::Timestamp};
use skipper_source::fleet::{NodeLink, NodeResource, NodeSpec, NodeStatus};
use skipper_store::{Answered, Node, OrderFilter, TokenSecret};

use super::Caller;
use crate::{
    app::App,
    error::{Code, Error},
    fleet::{Farewell, SILENT_AFTER, stamp},
};

/// Longest a token that was replaced may go on.
const MAX_GRACE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long an enrolment waits for its agent.
const ENROLMENT: Duration = Duration::from_secs(60 * 60);
/// Longest text that people say of a node.
const MAX_TEXT: usize = 255;
/// By so many of its last orders a tenant's nodes are known.
const MAX_ORDERS: u32 = 1000;
/// Most labels of a node.
const MAX_LABELS: usize = 64;

/// A node that is to be registered.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its name.
    pub name: NodeName,
    /// What is said of it.
    pub spec: NodeSpec,
    /// Its token; one is made when absent.
    pub token: Option<String>,
    /// One that is registered gets a new token.
    pub rotate: bool,
}

/// Registers a node, and makes its token.
///
/// # Errors
///
/// It is registered already, and no new token is asked for; what is said of it is too long.
///
/// # Cancel safety
///
/// A node may be registered without a token then; registering it again makes one.
pub async fn register(app: &App, caller: &Caller, wanted: Wanted) -> Result<(NodeResource, TokenSecret), Error> {
    caller.may_all(Action::Administer)?;
    checked(&wanted.spec)?;
    let there = app.store.node_get(&wanted.name).await?;
    if there.is_some() && !wanted.rotate && !app.store.node_tokens(&wanted.name).await?.is_empty() {
        let message = format!("node `{}` is registered already", wanted.name);
        return Err(Error::new(Code::NodeExists, message).hint(format!(
            "`skipper node rotate-token {}` makes a new token, which locks out the agent that has the old one",
            wanted.name
        )));
    }
    let spec = serde_json::to_value(&wanted.spec).map_err(|error| Error::internal(error.to_string()))?;
    let (node, _) = app.store.node_put(&wanted.name, &spec, &caller.provenance).await?;
    let token = app.store.node_token_create(&wanted.name, wanted.token, Duration::ZERO, &caller.provenance).await?;
    Ok((resource(app, &node), token))
}

/// Stores what is said of a node; one that was not there is registered, without a token.
///
/// # Errors
///
/// What is said is too long.
///
/// # Cancel safety
///
/// Safe to drop: one transaction.
pub async fn put(app: &App, caller: &Caller, name: &NodeName, spec: &NodeSpec) -> Result<NodeResource, Error> {
    caller.may_all(Action::Administer)?;
    checked(spec)?;
    let spec = serde_json::to_value(spec).map_err(|error| Error::internal(error.to_string()))?;
    let (node, _) = app.store.node_put(name, &spec, &caller.provenance).await?;
    Ok(resource(app, &node))
}

fn checked(spec: &NodeSpec) -> Result<(), Error> {
    let long = |text: &str| text.len() > MAX_TEXT || text.contains('\0');
    let texts = spec.labels.iter().flat_map(|(key, value)| [key, value]).chain([&spec.role]).chain(&spec.region);
    if spec.labels.len() > MAX_LABELS || texts.into_iter().any(|text| long(text)) || spec.role.is_empty() {
        let rule = "role, region and labels have at most 255 bytes each, and there are at most 64 labels";
        return Err(Error::new(Code::Invalid, rule));
    }
    Ok(())
}

/// The nodes, by name; for a tenant those that have worked for it.
///
/// # Errors
///
/// Only the policy's and the store's.
pub async fn list(
    app: &App,
    caller: &Caller,
    after: Option<&NodeName>,
    limit: u32,
) -> Result<Vec<NodeResource>, Error> {
    caller.may_all(Action::Read)?;
    let mut nodes = app.store.node_list(after, limit).await?;
    if let Some(tenant) = caller.actor().tenant() {
        let worked = OrderFilter { tenant: Some(tenant), limit: MAX_ORDERS, ..OrderFilter::default() };
        let worked: BTreeSet<NodeName> =
            app.store.order_list(worked).await?.into_iter().map(|order| order.node).collect();
        nodes.retain(|node| worked.contains(&node.name));
    }
    Ok(nodes.iter().map(|node| resource(app, node)).collect())
}

/// A node.
///
/// # Errors
///
/// There is none of that name.
pub async fn get(app: &App, caller: &Caller, name: &NodeName) -> Result<NodeResource, Error> {
    caller.may_all(Action::Read)?;
    let node = known(app, name).await?;
    if let Some(tenant) = caller.actor().tenant() {
        let worked = OrderFilter { node: Some(name), tenant: Some(tenant), limit: 1, ..OrderFilter::default() };
        if app.store.order_list(worked).await?.is_empty() {
            return Err(unknown(name));
        }
    }
    Ok(resource(app, &node))
}

/// Whether a node takes anything new.
///
/// # Errors
///
/// There is none of that name.
///
/// # Cancel safety
///
/// Safe to drop: one transaction.
pub async fn cordon(app: &App, caller: &Caller, name: &NodeName, cordoned: bool) -> Result<NodeResource, Error> {
    caller.may_all(Action::Administer)?;
    let node = known(app, name).await?;
    let spec = NodeSpec { cordoned, ..spec(&node) };
    put(app, caller, name, &spec).await
}

/// Cordons a node, and answers how many orders it still has.
///
/// # Errors
///
/// There is none of that name.
///
/// # Cancel safety
///
/// Safe to drop: one transaction.
pub async fn drain(app: &App, caller: &Caller, name: &NodeName) -> Result<(NodeResource, u64), Error> {
    let node = cordon(app, caller, name, true).await?;
    Ok((node, app.store.order_count_open(name).await?))
}

/// Makes a new token; the one before it goes on for `grace`.
///
/// # Errors
///
/// There is no such node; `grace` is longer than a week.
///
/// # Cancel safety
///
/// Safe to drop: one transaction.
pub async fn rotate(
    app: &App,
    caller: &Caller,
    name: &NodeName,
    grace: Duration,
) -> Result<(NodeResource, TokenSecret), Error> {
    caller.may_all(Action::Administer)?;
    if grace > MAX_GRACE {
        return Err(Error::new(Code::Invalid, "`grace_seconds`: an old token goes on for a week at most"));
    }
    let node = known(app, name).await?;
    let token = app.store.node_token_create(name, None, grace, &caller.provenance).await?;
    Ok((resource(app, &node), token))
}

/// Forgets a node. What its agent runs goes on there; nobody is told of it any more.
///
/// # Errors
///
/// There is none of that name.
///
/// # Cancel safety
///
/// Safe to drop: one transaction.
pub async fn remove(app: &App, caller: &Caller, name: &NodeName) -> Result<(), Error> {
    caller.may_all(Action::Administer)?;
    known(app, name).await?;
    app.store.node_remove(name, &caller.provenance).await?;
    app.fleet.board().remove(name);
    app.fleet.mailroom().remove(name);
    app.fleet.mailroom().ended_any();
    app.fleet.links().close(name, Farewell::Refused);
    app.fleet.forget(name);
    Ok(())
}

/// Makes what lets the node's agent fetch its token, once, within an hour.
///
/// # Errors
///
/// There is no such node.
///
/// # Cancel safety
///
/// Safe to drop: one transaction.
pub async fn enrolment(app: &App, caller: &Caller, name: &NodeName) -> Result<(TokenSecret, Timestamp), Error> {
    caller.may_all(Action::Administer)?;
    known(app, name).await?;
    Ok(app.store.node_enrolment_create(name, ENROLMENT, &caller.provenance).await?)
}

/// Trades an enrolment for the node's token. `answered` is kept with it, for whoever asks again under the same key.
///
/// # Errors
///
/// The same whatever is wrong with it: it is none, another node's, used up, or too old.
///
/// # Cancel safety
///
/// Safe to drop: one transaction.
pub async fn enrol(
    app: &App,
    enrolment: Option<&str>,
    node: &NodeName,
    provenance: &Provenance,
    answered: Option<Answered<'_>>,
) -> Result<TokenSecret, Error> {
    let token = match enrolment {
        Some(enrolment) => app.store.node_enrol(enrolment, node, provenance, answered).await?,
        None => None,
    };
    token.ok_or_else(no_enrolment)
}

/// What is told of an enrolment that is worth nothing.
#[must_use]
pub fn no_enrolment() -> Error {
    Error::new(Code::Unauthenticated, "the enrolment is not known, was used, or has expired")
        .hint("`skipper node enrol` makes another one")
}

async fn known(app: &App, name: &NodeName) -> Result<Node, Error> {
    app.store.node_get(name).await?.ok_or_else(|| unknown(name))
}

fn unknown(name: &NodeName) -> Error {
    Error::new(Code::NodeNotFound, format!("node `{name}` is not registered"))
        .hint(format!("skipper node register --node-id {name}"))
}

fn spec(node: &Node) -> NodeSpec {
    serde_json::from_value(node.spec.clone()).unwrap_or_default()
}

/// A node with what is known of it.
#[must_use]
pub fn resource(app: &App, node: &Node) -> NodeResource {
    let spec = spec(node);
    let sight = app.fleet.board().sight(&node.name);
    let seen = sight.as_ref().map(|sight| sight.at).or(node.last_seen);
    let draining = sight.as_ref().map_or(node.draining, |sight| sight.draining);
    let now = app.clock.now();
    let state = match seen {
        None => "registered",
        Some(at) if now.since(at) > SILENT_AFTER => "silent",
        Some(_) if draining => "draining",
        Some(_) if spec.cordoned => "cordoned",
        Some(_) => "ready",
    };
    let status = NodeStatus {
        last_seen: seen.map(stamp),
        platforms: sight.as_ref().map(|sight| sight.platforms.clone()).unwrap_or_default(),
        agent_version: sight.and_then(|sight| sight.agent_version).or_else(|| node.agent_version.clone()),
        state: state.to_owned(),
        link: app.fleet.link_of(&node.name).map(|(since, instance, edge)| NodeLink {
            since: stamp(since),
            instance,
            edge,
        }),
        trouble: app.fleet.links().doubled(&node.name, now).map(|(one, other)| {
            format!("two agents use the token of this node and take its link from each other: runs {one} and {other}")
        }),
    };
    NodeResource { kind: "node".to_owned(), id: node.name.clone(), spec, status: Some(status) }
}

/// A node's document as JSON.
#[must_use]
pub fn document(node: &NodeResource) -> Value {
    serde_json::to_value(node).unwrap_or_default()
}
