//! What has to change in Caddy: found and wanted go in, the configuration to load comes out. Pure.
//!
//! What is ours carries an `@id` that begins with `skipper`; everything else is given back as it was found, in its order. Routes go into
//! the server that has the port already, before whatever would take their requests and behind what has a better right to them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use skipper_core::route::Host;

use super::{
    found::{Claim, claim, covers, dial, hosts, id, ports},
    settings::{Dns, Settings, Tls},
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
/// The id of the policy for host names.
const POLICY: &str = "skipper.tls";
/// Begins the ids of the policies of wildcards.
const WILDCARD_POLICY: &str = "skipper.tls-";
/// The id of the policy for the host name of the API.
const API_POLICY: &str = "skipper.api.tls";
/// Caddy keeps idle connections for two minutes and the edge for 75 s; who closes first must be Caddy, or it sends into a
/// connection that is just being closed.
const IDLE: &str = "30s";
/// How long Caddy tries to reach an edge that is being replaced.
const TRY: &str = "5s";

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
    let chosen = choose(&servers, &ways, wanted, found);
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

/// Nothing at all and an empty object are the same to Caddy.
fn same(a: &Value, b: &Value) -> bool {
    let is_empty = |value: &Value| value.is_null() || value.as_object().is_some_and(Map::is_empty);
    a == b || (is_empty(a) && is_empty(b))
}

fn foreign_name(host: &str, server: &str, route: &Value) -> Left {
    let named = match id(route) {
        "" => String::new(),
        id => format!(" (`{id}`)"),
    };
    let why = format!(
        "another route of Caddy's server `{server}`{named} has this name, and was left as it is; take the name out of it \
         (mind the Caddyfile) or out of the release"
    );
    Left { host: host.to_owned(), why }
}

/// The routes that are to be there.
struct Ways<'a> {
    wanted: Wanted<'a>,
    /// Where the requests for each host go; wildcards among them.
    routes: BTreeMap<String, String>,
    /// Host names of releases that a wildcard of ours stands for.
    covered: BTreeSet<String>,
    /// Wildcards that a policy of ours is to get a certificate for.
    challenged: BTreeSet<String>,
    /// Names that somebody else has.
    refused: BTreeMap<String, Left>,
    left: Vec<Left>,
}

impl<'a> Ways<'a> {
    fn of(wanted: Wanted<'a>, https: &[Value], refused: BTreeMap<String, Left>) -> Self {
        let settings = wanted.settings;
        let mut ways = Self {
            wanted,
            routes: BTreeMap::new(),
            covered: BTreeSet::new(),
            challenged: BTreeSet::new(),
            refused,
            left: Vec::new(),
        };
        let foreign = subjects(https.iter().filter(|policy| !is_policy(policy)));
        for name in settings.wildcards.iter().map(Host::as_str) {
            if ways.refused.contains_key(name) {
                continue;
            }
            let challenged =
                settings.tls == Tls::Auto && settings.dns.is_some() && wanted.dns && !foreign.contains(name);
            if challenged {
                ways.challenged.insert(name.to_owned());
            }
            if challenged || settings.tls != Tls::Auto || foreign.contains(name) {
                ways.routes.insert(name.to_owned(), settings.upstream.clone());
            }
        }
        // A wildcard of a release stands for nothing else: nobody gets a certificate for it without being told how.
        let wildcards: Vec<String> = ways.routes.keys().cloned().collect();
        for host in wanted.hosts {
            if wildcards.iter().any(|wildcard| covers(wildcard, host) && wildcard != host) {
                ways.covered.insert(host.clone());
            } else {
                ways.routes.insert(host.clone(), settings.upstream.clone());
            }
        }
        if let Some((host, dial)) = &settings.api {
            let host = host.as_str().to_owned();
            if wanted.hosts.contains(&host) {
                let why = "leads to the API, as `caddy.api_host` says; give the release another name".to_owned();
                ways.left.push(Left { host: host.clone(), why });
            }
            ways.covered.remove(&host);
            ways.routes.insert(host, dial.clone());
        }
        ways
    }

    /// Names of ours that another route of the server has, unless ours was there before.
    fn refused(&self, server: &str, routes: &[Value]) -> BTreeMap<String, Left> {
        let has = |host: &String| self.routes.contains_key(host) || self.covered.contains(host);
        let is_there = |host: &String| routes.iter().any(|route| id(route).strip_prefix(ROUTE) == Some(host));
        let is_slips = |route: &Value| id(route).starts_with(SLIP_ROUTE) && hosts(route).iter().all(has);
        let foreign = routes.iter().filter(|route| !self.is_ours(route) && !is_slips(route));
        let claimed = foreign.flat_map(|route| hosts(route).into_iter().map(move |host| (host, route)));
        claimed
            .filter(|(host, _)| has(host) && (self.covered.contains(host) || !is_there(host)))
            .map(|(host, route)| (host.clone(), foreign_name(&host, server, route)))
            .collect()
    }

    /// Names that a route of slip's has for as long as nothing answers them behind the edge.
    fn waiting(&self, list: &[Value]) -> BTreeSet<String> {
        let has = |host: &String| self.routes.contains_key(host) || self.covered.contains(host);
        // Nothing answers a wildcard of ours as such; what is below it is answered or not.
        let serves = |host: &String| {
            self.wanted.serving.contains(host)
                || self.wanted.settings.wildcards.iter().any(|ours| ours.as_str() == host)
        };
        let slips = list.iter().filter(|route| id(route).starts_with(SLIP_ROUTE));
        let is_there = |host: &String| {
            !self.covered.contains(host) && list.iter().any(|route| id(route).strip_prefix(ROUTE) == Some(host))
        };
        slips.flat_map(hosts).filter(|host| has(host) && !serves(host) && !is_there(host)).collect()
    }

    /// Whether a route is ours to change. One for a name that we do not have and with another way is another Skipper's.
    fn is_ours(&self, route: &Value) -> bool {
        let Some(host) = id(route).strip_prefix(ROUTE) else { return false };
        let settings = self.wanted.settings;
        let own = |dial: &str| dial == settings.upstream || settings.api.as_ref().is_some_and(|(_, api)| dial == api);
        let has = || self.routes.contains_key(host) || self.covered.contains(host);
        dial(route).is_none_or(own) || (has() && !self.refused.contains_key(host))
    }

    /// Our routes with where they may stand among `rest`.
    fn pieces(&self, placed: &BTreeSet<String>, rest: &[Value]) -> Vec<Piece> {
        let last = |host: &str| rest.iter().position(|route| claim(route, host) != Claim::None).unwrap_or(rest.len());
        // Whoever names a host below a wildcard has the better right to it.
        let first = |wildcard: &str| {
            let named = |route: &Value| hosts(route).iter().any(|host| host != wildcard && covers(wildcard, host));
            rest.iter().rposition(named).map_or(0, |at| at + 1)
        };
        let placed = || self.routes.iter().filter(|(host, _)| placed.contains(*host));
        let wildcards: Vec<&String> = placed().map(|(host, _)| host).filter(|host| host.starts_with('*')).collect();
        let piece = |(host, dial): (&String, &String)| {
            let behind = host.starts_with('*');
            let (low, mut high) = (if behind { first(host) } else { 0 }, last(host));
            for wildcard in wildcards.iter().filter(|wildcard| **wildcard != host && covers(wildcard, host)) {
                high = high.min(first(wildcard));
            }
            Piece { value: self.route(host, dial), low, high, behind }
        };
        placed().map(piece).collect()
    }

    fn route(&self, host: &str, dial: &str) -> Value {
        json!({
            "@id": format!("{ROUTE}{host}"),
            "match": [{"host": [host]}],
            "handle": [{
                "handler": "reverse_proxy",
                "upstreams": [{"dial": dial}],
                "load_balancing": {"try_duration": TRY, "try_interval": "50ms"},
                "transport": {"protocol": "http", "keep_alive": {"idle_timeout": IDLE}},
            }],
            "terminal": true,
        })
    }

    /// The policies as they should be. `load` has the routes already.
    fn policies(&self, placed: &BTreeSet<String>, before: &[Value], load: &Value) -> Vec<Value> {
        let settings = self.wanted.settings;
        let rest: Vec<Value> = before.iter().filter(|policy| !is_policy(policy)).cloned().collect();
        let foreign = subjects(rest.iter());
        let mut pieces = Vec::new();
        let mut piece = |value: Value| {
            let of = subjects([&value]);
            let takes = |policy: &Value| {
                let has = subjects([policy]);
                has.is_empty() || of.iter().any(|subject| has.iter().any(|pattern| covers(pattern, subject)))
            };
            let high = rest.iter().position(takes).unwrap_or(rest.len());
            let behind = id(&value) != POLICY;
            pieces.push(Piece { value, low: 0, high, behind });
        };
        if let Some(issuer) = issuer(settings) {
            let theirs = self.of_another(before, load);
            let api = self.internal_api();
            let free = |host: &&String| {
                !self.challenged.contains(*host) && !foreign.contains(host.as_str()) && Some(host.as_str()) != api
            };
            let named: BTreeSet<&String> = placed.iter().chain(&theirs).filter(free).collect();
            if !named.is_empty() {
                piece(json!({"@id": POLICY, "subjects": named, "issuers": [issuer]}));
            }
        }
        if let Some(host) = self.internal_api().filter(|host| placed.contains(*host) && !foreign.contains(*host)) {
            piece(json!({"@id": API_POLICY, "subjects": [host], "issuers": [{"module": "internal"}]}));
        }
        if let Some(dns) = &settings.dns {
            for wildcard in self.challenged.iter().filter(|wildcard| placed.contains(*wildcard)) {
                let id = format!("{WILDCARD_POLICY}{wildcard}");
                piece(json!({"@id": id, "subjects": [wildcard], "issuers": [challenge(dns, settings)]}));
            }
        }
        weave(before, is_policy, pieces)
    }

    /// The host name of the API, where its certificate is another one than those of all.
    fn internal_api(&self) -> Option<&str> {
        let settings = self.wanted.settings;
        let (host, _) = settings.api.as_ref().filter(|_| settings.api_internal && settings.tls == Tls::Auto)?;
        Some(host.as_str())
    }

    /// What another Skipper on the same Caddy has put into the policy: names that have a route of its.
    fn of_another(&self, before: &[Value], load: &Value) -> Vec<String> {
        let theirs = subjects(before.iter().filter(|policy| id(policy) == POLICY));
        let servers = load.pointer("/apps/http/servers").and_then(Value::as_object);
        let all: BTreeSet<&str> =
            servers.into_iter().flatten().flat_map(|(_, server)| routes(server)).map(id).collect();
        let kept = |host: &String| !self.routes.contains_key(host) && all.contains(format!("{ROUTE}{host}").as_str());
        theirs.into_iter().filter(kept).collect()
    }
}

/// The issuer of our host names; `None` where Caddy's own will do.
fn issuer(settings: &Settings) -> Option<Value> {
    match settings.tls {
        Tls::Off => None,
        Tls::Internal => Some(json!({"module": "internal"})),
        Tls::Auto => {
            let acme = acme(settings.email.as_ref(), settings.ca.as_ref());
            (acme.len() > 1).then_some(Value::Object(acme))
        }
    }
}

fn challenge(dns: &Dns, settings: &Settings) -> Value {
    let mut provider = dns.options.clone();
    provider.insert("name".to_owned(), Value::from(dns.provider.clone()));
    let mut challenge = json!({ "provider": provider });
    if let Some(delay) = &dns.propagation_delay {
        challenge["propagation_delay"] = Value::from(delay.clone());
    }
    let mut issuer = acme(dns.email.as_ref().or(settings.email.as_ref()), dns.ca.as_ref().or(settings.ca.as_ref()));
    issuer.insert("challenges".to_owned(), json!({ "dns": challenge }));
    Value::Object(issuer)
}

fn acme(email: Option<&String>, ca: Option<&String>) -> Map<String, Value> {
    let mut issuer = Map::from_iter([("module".to_owned(), Value::from("acme"))]);
    let said = [("email", email), ("ca", ca)];
    issuer.extend(said.into_iter().filter_map(|(key, value)| Some((key.to_owned(), Value::from(value?.clone())))));
    issuer
}

fn is_policy(policy: &Value) -> bool {
    matches!(id(policy), POLICY | API_POLICY) || id(policy).starts_with(WILDCARD_POLICY)
}

fn subjects<'v>(policies: impl IntoIterator<Item = &'v Value>) -> BTreeSet<String> {
    let lists = policies.into_iter().filter_map(|policy| policy.get("subjects")?.as_array());
    lists.flatten().filter_map(Value::as_str).map(str::to_ascii_lowercase).collect()
}

fn policies(found: &Value) -> &[Value] {
    let list = found.pointer("/apps/tls/automation/policies").and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

fn routes(server: &Value) -> &[Value] {
    server.get("routes").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The server that our routes go into: one that we made, slip's, the one that has the port, or a new one. `None`: there is
/// nothing to put into any.
fn choose(servers: &Map<String, Value>, ways: &Ways<'_>, wanted: Wanted<'_>, found: &Value) -> Option<String> {
    if ways.routes.is_empty() {
        return None;
    }
    let with = |test: &dyn Fn(&str, &Value) -> bool| {
        servers.iter().find(|(name, server)| test(name, server)).map(|(name, _)| name.clone())
    };
    let listen = listen(wanted.settings, found);
    let port = ports(&listen).map(|(ports, _)| *ports.start());
    let listens = |server: &Value, everywhere: bool| {
        let own = server.get("listen").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        own.filter_map(ports).any(|(range, all)| port.is_some_and(|port| range.contains(&port)) && (all || !everywhere))
    };
    let exactly = |server: &Value| {
        let own = server.get("listen").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        own.map(|address| address.trim_start_matches("tcp/")).any(|address| address == listen)
    };
    with(&|_, server| id(server) == SERVER)
        .or_else(|| with(&|name, server| name == SLIP_SERVER && server.is_object()))
        .or_else(|| with(&|_, server| exactly(server)))
        .or_else(|| with(&|_, server| listens(server, true)))
        .or_else(|| with(&|_, server| listens(server, false)))
        .or_else(|| {
            let names = std::iter::once("skipper".to_owned()).chain((2..).map(|n| format!("skipper-{n}")));
            names.into_iter().find(|name| !servers.contains_key(name))
        })
}

/// Where our own server listens.
fn listen(settings: &Settings, found: &Value) -> String {
    let port = |key: &str, usual: u64| {
        found
            .pointer("/apps/http")
            .and_then(|http| http.get(key))
            .and_then(Value::as_u64)
            .filter(|p| *p > 0)
            .unwrap_or(usual)
    };
    settings.listen.clone().unwrap_or_else(|| match settings.tls {
        Tls::Off => format!(":{}", port("http_port", 80)),
        Tls::Auto | Tls::Internal => format!(":{}", port("https_port", 443)),
    })
}

fn entry(server: &Value, found: &Value) -> Option<Entry> {
    let addresses = server.get("listen")?.as_array()?.iter().filter_map(Value::as_str);
    let port = *ports(addresses.into_iter().next()?)?.0.start();
    let plain = found.pointer("/apps/http/http_port").and_then(Value::as_u64).unwrap_or(80);
    let off = server.pointer("/automatic_https/disable") == Some(&Value::Bool(true));
    // Without automatic HTTPS there still is TLS where it is said how.
    let said = server.get("tls_connection_policies").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    Some(Entry { tls: said || (!off && u64::from(port) != plain), port })
}

/// Gives a server of ours its address and its way with TLS; whatever else somebody set there stays.
fn shape(server: &mut Value, settings: &Settings, found: &Value) {
    server["listen"] = json!([listen(settings, found)]);
    match (settings.tls, server.get_mut("automatic_https")) {
        (Tls::Off, _) => server["automatic_https"] = json!({"disable": true}),
        (_, Some(Value::Object(https))) => {
            https.remove("disable");
            if https.is_empty()
                && let Some(server) = server.as_object_mut()
            {
                server.remove("automatic_https");
            }
        }
        _ => {}
    }
}

/// Something of ours in a list, and between which of the others it may stand.
struct Piece {
    value: Value,
    /// Behind that many of the others.
    low: usize,
    /// Before the one with that index. Less than `low` where both cannot be had; then `low` counts.
    high: usize,
    /// It comes after those of ours that are not.
    behind: bool,
}

/// The others in their order, with our pieces among them: where they were if they may stand there, else as late as they may.
fn weave(before: &[Value], is_gone: impl Fn(&Value) -> bool, pieces: Vec<Piece>) -> Vec<Value> {
    let (mut rest, mut stood): (Vec<&Value>, BTreeMap<&str, (usize, usize)>) = (Vec::new(), BTreeMap::new());
    for (at, value) in before.iter().enumerate() {
        if is_gone(value) {
            stood.entry(id(value)).or_insert((rest.len(), at));
        } else {
            rest.push(value);
        }
    }
    let mut slots: Vec<(usize, bool, usize, Value)> = pieces
        .into_iter()
        .map(|piece| {
            let (slot, at) = stood.get(id(&piece.value)).copied().unwrap_or((usize::MAX, usize::MAX));
            let slot = if (piece.low..=piece.high).contains(&slot) { slot } else { piece.high.max(piece.low) };
            (slot, piece.behind, at, piece.value)
        })
        .collect();
    slots.sort_by_key(|(slot, behind, at, _)| (*slot, *behind, *at));
    let mut ours = slots.into_iter().peekable();
    let mut after = Vec::with_capacity(before.len() + ours.len());
    for (slot, value) in rest.iter().map(Some).chain([None]).enumerate() {
        while let Some((_, _, _, own)) = ours.next_if(|(of, ..)| *of <= slot) {
            after.push(own);
        }
        after.extend(value.map(|value| (*value).clone()));
    }
    after
}

/// The object at the path, made where there is none, taken out of the document.
fn take(load: &mut Value, path: &[&'static str]) -> Result<Map<String, Value>, Odd> {
    let mut at = load;
    for key in path {
        if at.is_null() {
            *at = json!({});
        }
        at = at.as_object_mut().ok_or(Odd("apps"))?.entry(*key).or_insert(Value::Null);
    }
    match at.take() {
        Value::Object(map) => {
            *at = Value::Object(map.clone());
            Ok(map)
        }
        Value::Null => {
            *at = json!({});
            Ok(Map::new())
        }
        _ => Err(Odd(path.last().copied().unwrap_or("apps"))),
    }
}

/// Puts a value at the path. Where it is empty, it goes, and with it what was not there before or is empty now.
fn put(load: &mut Value, found: &Value, path: &[&'static str], value: Value) {
    let Some((last, above)) = path.split_last() else { return };
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    let pointer = |path: &[&str]| format!("/{}", path.join("/"));
    let parent = if above.is_empty() { Some(&mut *load) } else { load.pointer_mut(&pointer(above)) };
    let Some(parent) = parent.and_then(Value::as_object_mut) else { return };
    if is_empty(&value) && found.pointer(&pointer(path)).is_none_or(|found| !is_empty(found)) {
        parent.shift_remove(*last);
        let empty = parent.is_empty();
        if empty && !above.is_empty() {
            put(load, found, above, json!({}));
        }
    } else if is_empty(&value) {
        // As it was found.
        if let Some(found) = found.pointer(&pointer(path)) {
            parent.insert((*last).to_owned(), found.clone());
        }
    } else {
        parent.insert((*last).to_owned(), value);
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
