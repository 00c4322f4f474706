//! The policies of TLS that our host names need.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    ROUTE,
    document::{Piece, weave},
    server::routes,
    ways::Ways,
};
use crate::caddy::{
    found::{covers, id},
    settings::{Dns, Settings, Tls},
};

/// The id of the policy for host names.
pub(super) const POLICY: &str = "skipper.tls";
/// Begins the ids of the policies of wildcards.
pub(super) const WILDCARD_POLICY: &str = "skipper.tls-";
/// The id of the policy for the host name of the API.
const API_POLICY: &str = "skipper.api.tls";

impl Ways<'_> {
    /// The policies as they should be. `load` has the routes already.
    pub(super) fn policies(&self, placed: &BTreeSet<String>, before: &[Value], load: &Value) -> Vec<Value> {
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

pub(super) fn policies(found: &Value) -> &[Value] {
    let list = found.pointer("/apps/tls/automation/policies").and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
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

pub(super) fn is_policy(policy: &Value) -> bool {
    matches!(id(policy), POLICY | API_POLICY) || id(policy).starts_with(WILDCARD_POLICY)
}

pub(super) fn subjects<'v>(policies: impl IntoIterator<Item = &'v Value>) -> BTreeSet<String> {
    let lists = policies.into_iter().filter_map(|policy| policy.get("subjects")?.as_array());
    lists.flatten().filter_map(Value::as_str).map(str::to_ascii_lowercase).collect()
}
