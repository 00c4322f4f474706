//! The routes that are to be there, and which of those that are belong to us.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use skipper_core::route::Host;

use super::{
    Left, ROUTE, SLIP_ROUTE, Wanted,
    document::Piece,
    policy::{is_policy, subjects},
};
use crate::caddy::{
    found::{Claim, claim, covers, dial, hosts, id},
    settings::Tls,
};

/// Caddy keeps idle connections for two minutes and the edge for 75 s; who closes first must be Caddy, or it sends into a
/// connection that is just being closed.
const IDLE: &str = "30s";
/// How long Caddy tries to reach an edge that is being replaced.
const TRY: &str = "5s";

/// The routes that are to be there.
pub(super) struct Ways<'a> {
    pub(super) wanted: Wanted<'a>,
    /// Where the requests for each host go; wildcards among them.
    pub(super) routes: BTreeMap<String, String>,
    /// Host names of releases that a wildcard of ours stands for.
    pub(super) covered: BTreeSet<String>,
    /// Wildcards that a policy of ours is to get a certificate for.
    pub(super) challenged: BTreeSet<String>,
    /// Names that somebody else has.
    pub(super) refused: BTreeMap<String, Left>,
    pub(super) left: Vec<Left>,
}

impl<'a> Ways<'a> {
    pub(super) fn of(wanted: Wanted<'a>, https: &[Value], refused: BTreeMap<String, Left>) -> Self {
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
    pub(super) fn refused(&self, server: &str, routes: &[Value]) -> BTreeMap<String, Left> {
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
    pub(super) fn waiting(&self, list: &[Value]) -> BTreeSet<String> {
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
    pub(super) fn is_ours(&self, route: &Value) -> bool {
        let Some(host) = id(route).strip_prefix(ROUTE) else { return false };
        let settings = self.wanted.settings;
        let own = |dial: &str| dial == settings.upstream || settings.api.as_ref().is_some_and(|(_, api)| dial == api);
        let has = || self.routes.contains_key(host) || self.covered.contains(host);
        dial(route).is_none_or(own) || (has() && !self.refused.contains_key(host))
    }

    /// Our routes with where they may stand among `rest`.
    pub(super) fn pieces(&self, placed: &BTreeSet<String>, rest: &[Value]) -> Vec<Piece> {
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
