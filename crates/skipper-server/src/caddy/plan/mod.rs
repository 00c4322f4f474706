//! What has to change in Caddy: found and wanted go in, the configuration to load comes out. Pure.
//!
//! What is ours carries an `@id` that begins with `skipper`; everything else is given back as it was found, in its order. Routes go into
//! the server that has the port already, before whatever would take their requests and behind what has a better right to them.

mod document;
mod policy;
mod server;
#[cfg(test)]
mod tests;
mod ways;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use self::{
    document::{put, same, take, weave},
    policy::{WILDCARD_POLICY, policies},
    server::{choose, entry, routes, shape},
    ways::Ways,
};
use super::{
    found::{covers, hosts, id},
    settings::Settings,
};

/// Begins the ids of routes; the host name follows.
const ROUTE: &str = "skipper-";
/// Begins the ids of slip's routes; the name of an app follows.
const SLIP_ROUTE: &str = "slip-";
/// slip's own server.
const SLIP_SERVER: &str = "slip";
/// The id of a server that we made.
const SERVER: &str = "skipper.server";
/// The id of what answers requests for names that nobody has, in that server.
const NOBODY: &str = "skipper.nobody";

/// What should stand in Caddy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) settings: &'a Settings,
    /// Host names of releases, in lower case.
    pub(super) hosts: &'a BTreeSet<String>,
    /// Those that are answered already: only for them a route of slip's, which leads to what serves until then, is replaced.
    pub(super) serving: &'a BTreeSet<String>,
    /// Whether policies with the DNS-01 challenge are asked for. Without its module Caddy refuses everything.
    pub(super) dns: bool,
}

/// A host name that is not in Caddy by us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The name.
    pub host: String,
    /// Why not, and what to do.
    pub why: String,
}

/// How people reach what Caddy leads to the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// With TLS.
    pub tls: bool,
    /// The port.
    pub port: u16,
}

/// What came out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    /// The configuration to load; `None` when everything is as it should be.
    pub(super) load: Option<Value>,
    /// Whether it asks for a certificate by DNS-01 that Caddy has not got a policy for yet.
    pub(super) asks_dns: bool,
    /// Where host names are reached, if there are any.
    pub(super) entry: Option<Entry>,
    /// Host names that have their route.
    pub(super) placed: usize,
    /// Those that have not.
    pub(super) left: Vec<Left>,
    /// Host names that slip's routes have until they are answered behind the edge.
    pub(super) waiting: BTreeSet<String>,
    /// Ids of slip's routes that ours take the place of.
    pub(super) taken_over: Vec<String>,
}

/// A configuration that Caddy would not run with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Caddy's configuration has something at `{0}` that cannot be there")]
pub(super) struct Odd(&'static str);

/// Plans.
///
/// # Errors
///
/// The configuration is not one of Caddy's.
pub(super) fn plan(found: &Value, wanted: Wanted<'_>) -> Result<Plan, Odd> {
    let mut load = found.clone();
    let https = policies(found).to_vec();
    let mut ways = Ways::of(wanted, &https, BTreeMap::new());
    let mut servers = take(&mut load, &["apps", "http", "servers"])?;
    let chosen = choose(&servers, &ways, wanted.settings, found);
    let (mut taken_over, mut waiting) = (BTreeSet::new(), BTreeSet::new());
    if let Some(name) = &chosen {
        let server = servers.entry(name.clone()).or_insert_with(|| json!({ "@id": SERVER, "routes": [] }));
        let refused = ways.refused(name, routes(server));
        // Below a wildcard that somebody else has, each host stands for itself.
        ways = Ways::of(wanted, &https, refused);
        let refused = ways.refused(name, routes(server));
        ways.refused.extend(refused);
        waiting = ways.waiting(routes(server));
    }
    let is_placed = |host: &&String| !ways.refused.contains_key(*host) && !waiting.contains(*host);
    let placed: BTreeSet<String> = ways.routes.keys().filter(is_placed).cloned().collect();
    let mut left: Vec<Left> = ways.left.iter().chain(ways.refused.values()).cloned().collect();
    let covered: BTreeSet<&String> =
        ways.covered.iter().filter(|host| placed.iter().any(|p| covers(p, host))).collect();
    let is_taken_over = |route: &Value| {
        let of = hosts(route);
        id(route).starts_with(SLIP_ROUTE)
            && !of.is_empty()
            && of.iter().all(|host| wanted.serving.contains(host) && (placed.contains(host) || covered.contains(host)))
    };
    for (name, server) in &mut servers {
        let own = id(server) == SERVER;
        let here = chosen.as_ref() == Some(name);
        let before = routes(server).to_vec();
        taken_over.extend(before.iter().filter(|route| is_taken_over(route)).map(|route| id(route).to_owned()));
        let is_gone = |route: &Value| ways.is_ours(route) || id(route) == NOBODY || is_taken_over(route);
        let rest: Vec<Value> = before.iter().filter(|route| !is_gone(route)).cloned().collect();
        let pieces = if here { ways.pieces(&placed, &rest) } else { Vec::new() };
        let mut after = weave(&before, is_gone, pieces);
        if own && !after.is_empty() {
            after.push(json!({"@id": NOBODY, "handle": [{"handler": "static_response", "status_code": 404}]}));
        }
        if after != before {
            server["routes"] = Value::Array(after);
        }
        if own && here {
            shape(server, wanted.settings, found);
        }
    }
    let entry = chosen.and_then(|name| entry(servers.get(&name)?, found));
    servers.retain(|_, server| id(server) != SERVER || !routes(server).is_empty());
    put(&mut load, found, &["apps", "http", "servers"], Value::Object(servers));
    let after = ways.policies(&placed, &https, &load);
    if after != https {
        take(&mut load, &["apps", "tls", "automation"])?;
        put(&mut load, found, &["apps", "tls", "automation", "policies"], Value::Array(after.clone()));
    }
    let asks = |list: &[Value]| list.iter().filter(|policy| id(policy).starts_with(WILDCARD_POLICY)).count();
    left.sort_by(|a, b| a.host.cmp(&b.host));
    left.dedup_by(|a, b| a.host == b.host);
    let hosts_left =
        left.iter().filter(|left| !left.host.starts_with('*') || wanted.hosts.contains(&left.host)).count();
    let all = wanted.hosts.len() + usize::from(wanted.settings.api.is_some());
    Ok(Plan {
        entry,
        asks_dns: asks(&after) > asks(&https),
        placed: all.saturating_sub(hosts_left + waiting.len()),
        waiting,
        left,
        taken_over: taken_over.into_iter().collect(),
        load: (!same(&load, found)).then_some(load),
    })
}

/// Whether there is a route of ours, or of another Skipper.
pub(super) fn has_ours(found: &Value) -> bool {
    let servers = found.pointer("/apps/http/servers").and_then(Value::as_object);
    servers.into_iter().flatten().any(|(_, server)| routes(server).iter().any(|route| id(route).starts_with(ROUTE)))
}

/// The configuration without slip's routes of apps and previews that are gone; `None` where there are none. A number may end the id of
/// an app's route, or be the end of the name of another app, which `stays`.
pub(super) fn without_slips(found: &Value, gone: &BTreeSet<String>, stays: impl Fn(&str) -> bool) -> Option<Value> {
    let is_gone = |route: &Value| {
        let Some(of) = id(route).strip_prefix(SLIP_ROUTE) else { return false };
        let is_of = |label: &String| match of.strip_prefix(label.as_str()) {
            Some("") => true,
            Some(rest) => {
                let number = rest.strip_prefix('-').unwrap_or_default();
                rest.starts_with("-preview-")
                    || (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) && !stays(of))
            }
            None => false,
        };
        gone.iter().any(is_of)
    };
    let mut config = found.clone();
    let servers = config.pointer_mut("/apps/http/servers").and_then(Value::as_object_mut)?;
    let mut any = false;
    for routes in servers.values_mut().filter_map(|server| server.get_mut("routes")?.as_array_mut()) {
        let before = routes.len();
        routes.retain(|route| !is_gone(route));
        any |= routes.len() < before;
    }
    any.then_some(config)
}

/// Whether there are routes of slip's.
pub(super) fn has_slips(found: &Value) -> bool {
    let servers = found.pointer("/apps/http/servers").and_then(Value::as_object);
    servers
        .into_iter()
        .flatten()
        .any(|(_, server)| routes(server).iter().any(|route| id(route).starts_with(SLIP_ROUTE)))
}
