use proptest::prelude::*;
use serde_json::Map;
use skipper_core::route::Host;

use super::{
    policy::{POLICY, is_policy, subjects},
    *,
};
use crate::caddy::{
    found::{Claim, claim, dial},
    settings::{AdminAddress, Dns, Tls},
};

const EDGE: &str = "127.0.0.1:8080";

fn settings() -> Settings {
    Settings {
        admin: AdminAddress::parse("http://127.0.0.1:2019").expect("an address"),
        upstream: EDGE.to_owned(),
        listen: None,
        tls: Tls::Auto,
        email: None,
        ca: None,
        wildcards: Vec::new(),
        dns: None,
        api: None,
        api_internal: false,
    }
}

fn with_dns() -> Settings {
    let options = json!({"api_token": "{env.TOKEN}"}).as_object().expect("an object").clone();
    let dns = Dns {
        provider: "cloudflare".to_owned(),
        options,
        propagation_delay: Some("2m".to_owned()),
        email: Some("ops@example.com".to_owned()),
        ca: None,
    };
    Settings { wildcards: vec![Host::new("*.p.example").expect("a host")], dns: Some(dns), ..settings() }
}

fn names(hosts: &[&str]) -> BTreeSet<String> {
    hosts.iter().map(|host| (*host).to_owned()).collect()
}

fn planned(found: &Value, settings: &Settings, hosts: &[&str]) -> Plan {
    let hosts = names(hosts);
    plan(found, Wanted { settings, hosts: &hosts, serving: &hosts, dns: true }).expect("a configuration")
}

/// What is loaded, or what was found where nothing has to be.
fn after(found: &Value, settings: &Settings, hosts: &[&str]) -> Value {
    planned(found, settings, hosts).load.unwrap_or_else(|| found.clone())
}

/// The id of what gets the requests for a host in a server, or its index where it has none.
fn first(config: &Value, server: &str, host: &str) -> Option<String> {
    let all = routes(config.pointer(&format!("/apps/http/servers/{server}"))?);
    let at = all.iter().position(|route| claim(route, host) != Claim::None)?;
    Some(if id(&all[at]).is_empty() { format!("{at}") } else { id(&all[at]).to_owned() })
}

fn server(listen: &str, routes: &Value) -> Value {
    json!({"apps": {"http": {"servers": {"srv0": {"listen": [listen], "routes": routes}}}}})
}

#[test]
fn the_name_of_the_api_may_have_a_certificate_of_caddys_own() {
    let api = Some((Host::new("deploy.example").expect("a host"), "127.0.0.1:7890".to_owned()));
    let settings = Settings { api, api_internal: true, email: Some("ops@example.com".to_owned()), ..settings() };
    let load = after(&Value::Null, &settings, &["a.example"]);
    let all = policies(&load);
    let of = |host: &str| all.iter().find(|policy| subjects([*policy]).contains(host)).cloned().unwrap_or_default();
    assert_eq!(of("deploy.example")["issuers"], json!([{"module": "internal"}]));
    assert_eq!(of("a.example")["issuers"][0]["module"], "acme");
    assert_eq!(subjects(all.iter()).len(), 2);
    let gone = after(&load, &Settings { api: None, ..settings }, &["a.example"]);
    assert_eq!(policies(&gone).len(), 1);
}

#[test]
fn a_bare_caddy_gets_a_server_and_gives_it_back() {
    for bare in [Value::Null, json!({}), json!({"admin": {"listen": "unix//x"}}), json!({"apps": {"http": null}})] {
        let load = after(&bare, &settings(), &["b.example", "a.example"]);
        let own = &load["apps"]["http"]["servers"]["skipper"];
        assert_eq!((id(own), &own["listen"]), (SERVER, &json!([":443"])));
        let ids: Vec<&str> = routes(own).iter().map(id).collect();
        assert_eq!(ids, ["skipper-a.example", "skipper-b.example", NOBODY]);
        assert_eq!(dial(&routes(own)[0]), Some(EDGE));
        assert!(load.get("apps").is_some_and(|apps| apps.get("tls").is_none()), "{load}");
        assert_eq!(planned(&load, &settings(), &["a.example", "b.example"]).load, None, "it is as it should be");
        let gone = after(&load, &settings(), &[]);
        assert_eq!(gone.pointer("/apps/http/servers/skipper"), None);
        assert_eq!(gone.get("admin"), bare.get("admin"));
        assert_eq!(planned(&gone, &settings(), &[]).load, None);
    }
    assert_eq!(planned(&Value::Null, &settings(), &[]).load, None, "nothing wanted, nothing done");
}

#[test]
fn the_port_follows_caddys_own_and_ours() {
    let listen = |found: Value, settings: &Settings| {
        after(&found, settings, &["a.example"])["apps"]["http"]["servers"]["skipper"]["listen"][0].clone()
    };
    assert_eq!(listen(json!({"apps": {"http": {"https_port": 8443}}}), &settings()), ":8443");
    let off = Settings { tls: Tls::Off, ..settings() };
    assert_eq!(listen(json!({"apps": {"http": {"http_port": 8080}}}), &off), ":8080");
    assert_eq!(listen(Value::Null, &Settings { listen: Some("127.0.0.1:9".to_owned()), ..off.clone() }), "127.0.0.1:9");
    let load = after(&Value::Null, &off, &["a.example"]);
    assert_eq!(load["apps"]["http"]["servers"]["skipper"]["automatic_https"], json!({"disable": true}));
    // TLS is switched on later on.
    let on = after(&load, &Settings { listen: Some(":80".to_owned()), ..settings() }, &["a.example"]);
    assert_eq!(on["apps"]["http"]["servers"]["skipper"].get("automatic_https"), None);
}

#[test]
fn a_server_that_has_the_port_is_shared_and_its_catch_all_comes_last() {
    let site = json!({"match": [{"host": ["other.example"]}], "handle": [], "terminal": true});
    let all = json!({"handle": [{"handler": "static_response"}]});
    for address in [":443", "0.0.0.0:443", "tcp/[::]:440-450", "127.0.0.1:443"] {
        let found = server(address, &json!([site, all]));
        let load = after(&found, &settings(), &["a.example"]);
        let servers = load["apps"]["http"]["servers"].as_object().expect("servers");
        assert_eq!(servers.len(), 1, "never a second one on the port: {load}");
        let ids: Vec<&str> = routes(&servers["srv0"]).iter().map(id).collect();
        assert_eq!(ids, ["", "skipper-a.example", ""]);
        assert_eq!(after(&load, &settings(), &[]), found, "and it is given back as it was");
    }
    let load = after(&server("127.0.0.1:8443", &json!([all])), &settings(), &["a.example"]);
    assert_eq!(load["apps"]["http"]["servers"].as_object().map(Map::len), Some(2));
}

#[test]
fn a_route_that_was_put_behind_a_catch_all_comes_before_it_again() {
    let mut load = after(&server(":443", &json!([])), &settings(), &["a.example"]);
    let list = load["apps"]["http"]["servers"]["srv0"]["routes"].as_array_mut().expect("routes");
    list.insert(0, json!({"handle": []}));
    assert_eq!(
        first(&after(&load, &settings(), &["a.example"]), "srv0", "a.example").as_deref(),
        Some("skipper-a.example")
    );
}

#[test]
fn a_name_of_a_foreign_route_is_left_to_it() {
    let found = server(":443", &json!([{"match": [{"host": ["A.example"], "path": ["/x"]}], "handle": []}]));
    let plan = planned(&found, &settings(), &["a.example", "b.example"]);
    assert_eq!((plan.placed, plan.left.len()), (1, 1));
    assert!(plan.left[0].host == "a.example" && plan.left[0].why.contains("`srv0`"), "{:?}", plan.left);
    let load = plan.load.expect("a change");
    assert_eq!(first(&load, "srv0", "b.example").as_deref(), Some("skipper-b.example"));
    assert_eq!(first(&load, "srv0", "a.example").as_deref(), Some("0"));
    // Who came later does not drive out who was there.
    let mut mixed = after(&server(":443", &json!([])), &settings(), &["a.example"]);
    let list = mixed["apps"]["http"]["servers"]["srv0"]["routes"].as_array_mut().expect("routes");
    list.push(json!({"match": [{"host": ["a.example"]}], "handle": []}));
    let plan = planned(&mixed, &settings(), &["a.example"]);
    assert_eq!((plan.load, plan.placed), (None, 1));
}

#[test]
fn slips_routes_are_taken_over_when_ours_are_there_and_not_before() {
    let slip = |name: &str, host: &str| json!({"@id": format!("slip-{name}"), "match": [{"host": [host]}], "handle": [], "terminal": true});
    let list = json!([slip("web", "web.example"), slip("api-0", "api.example"), slip("api-1", "old.example")]);
    let mut found = json!({"apps": {"http": {"servers": {
        "other": {"listen": [":443"], "routes": []},
        "slip": {"listen": ["127.0.0.1:21443"], "routes": list},
    }}}});
    let plan = planned(&found, &settings(), &["web.example", "api.example"]);
    assert_eq!(plan.taken_over, ["slip-api-0", "slip-web"]);
    let load = plan.load.expect("a change");
    assert_eq!(load["apps"]["http"]["servers"]["other"], found["apps"]["http"]["servers"]["other"]);
    assert_eq!(first(&load, "slip", "web.example").as_deref(), Some("skipper-web.example"));
    assert_eq!(first(&load, "slip", "old.example").as_deref(), Some("slip-api-1"));
    // Until it is answered here, slip's route leads to what answers it.
    let hosts = names(&["web.example", "api.example"]);
    let wanted = Wanted { settings: &settings(), hosts: &hosts, serving: &names(&["api.example"]), dns: true };
    let plan = super::plan(&found, wanted).expect("a configuration");
    assert_eq!((plan.taken_over.as_slice(), plan.placed), (&["slip-api-0".to_owned()][..], 1));
    assert_eq!(plan.waiting, names(&["web.example"]));
    assert_eq!(first(&plan.load.expect("a change"), "slip", "web.example").as_deref(), Some("slip-web"));
    // A foreign route with the name keeps ours away, and slip's stays.
    let foreign = json!({"match": [{"host": ["web.example"]}], "handle": []});
    found["apps"]["http"]["servers"]["slip"]["routes"].as_array_mut().expect("routes").push(foreign);
    let plan = planned(&found, &settings(), &["web.example"]);
    assert_eq!((plan.load, plan.taken_over.len(), plan.left.len()), (None, 0, 1));
}

#[test]
fn a_wildcard_has_one_route_and_one_policy_however_many_hosts_there_are() {
    let settings = with_dns();
    let one = after(&Value::Null, &settings, &["pr-1.p.example", "a.example"]);
    let two = after(&one, &settings, &["pr-1.p.example", "pr-2.p.example", "a.example"]);
    assert_eq!(one, two, "a preview changes nothing");
    assert_eq!(first(&one, "skipper", "pr-9.p.example").as_deref(), Some("skipper-*.p.example"));
    let policies = json!([{
        "@id": "skipper.tls-*.p.example",
        "subjects": ["*.p.example"],
        "issuers": [{"module": "acme", "email": "ops@example.com", "challenges": {"dns": {
            "provider": {"name": "cloudflare", "api_token": "{env.TOKEN}"}, "propagation_delay": "2m"}}}],
    }]);
    assert_eq!(one["apps"]["tls"]["automation"]["policies"], policies);
    assert!(planned(&Value::Null, &settings, &[]).asks_dns && !planned(&one, &settings, &[]).asks_dns);
    // Without the challenge each host stands for itself.
    let hosts = names(&["pr-1.p.example"]);
    let plan = plan(&one, Wanted { settings: &settings, hosts: &hosts, serving: &hosts, dns: false })
        .expect("a configuration");
    let load = plan.load.expect("a change");
    assert_eq!(first(&load, "skipper", "pr-1.p.example").as_deref(), Some("skipper-pr-1.p.example"));
    assert!(load["apps"].get("tls").is_none(), "{load}");
}

#[test]
fn a_policy_that_is_there_for_a_wildcard_is_used_as_it_is() {
    let own = json!([{"subjects": ["*.P.example"], "issuers": [{"module": "internal"}], "on_demand": true}]);
    let found = json!({"apps": {"tls": {"automation": {"policies": own, "on_demand": {"ask": "http://x"}}}}});
    let plan = planned(&found, &with_dns(), &["pr-1.p.example"]);
    let load = plan.load.expect("a change");
    assert_eq!((&load["apps"]["tls"], plan.asks_dns, plan.left.len()), (&found["apps"]["tls"], false, 0));
    assert_eq!(first(&load, "skipper", "pr-1.p.example").as_deref(), Some("skipper-*.p.example"));
}

#[test]
fn policies_stand_before_the_one_for_everything_and_never_name_what_another_names() {
    let found = json!({"apps": {"tls": {"automation": {"policies": [
        {"subjects": ["a.example"], "issuers": [{"module": "zerossl"}]}, {"issuers": [{"module": "internal"}]},
    ]}}}});
    let settings = Settings { email: Some("ops@example.com".to_owned()), ..with_dns() };
    let load = after(&found, &settings, &["a.example", "b.example"]);
    let list = policies(&load);
    let ids: Vec<&str> = list.iter().map(id).collect();
    assert_eq!(ids, ["", "skipper.tls", "skipper.tls-*.p.example", ""]);
    assert_eq!(list[1]["subjects"], json!(["b.example"]));
    assert_eq!(list[1]["issuers"], json!([{"module": "acme", "email": "ops@example.com"}]));
    let none = after(&load, &Settings { wildcards: Vec::new(), ..settings }, &[]);
    assert_eq!(none["apps"]["tls"], found["apps"]["tls"]);
}

#[test]
fn whoever_names_a_host_below_our_wildcard_keeps_it() {
    let named = json!({"match": [{"host": ["mine.p.example"]}], "handle": []});
    let found = server(":443", &json!([named, {"handle": []}]));
    let load = after(&found, &with_dns(), &["pr-1.p.example", "mine.p.example"]);
    assert_eq!(first(&load, "srv0", "mine.p.example").as_deref(), Some("0"));
    assert_eq!(first(&load, "srv0", "pr-1.p.example").as_deref(), Some("skipper-*.p.example"));
    assert_eq!(planned(&found, &with_dns(), &["mine.p.example"]).left.len(), 1, "and it is said");
}

#[test]
fn the_api_has_a_host_name_of_its_own() {
    let api = Some((Host::new("deploy.example").expect("a host"), "127.0.0.1:7577".to_owned()));
    let settings = Settings { api, ..settings() };
    let plan = planned(&Value::Null, &settings, &["deploy.example", "*.example"]);
    assert_eq!(plan.left[0].host, "deploy.example");
    let load = plan.load.expect("a change");
    let own = routes(&load["apps"]["http"]["servers"]["skipper"]);
    assert_eq!((id(&own[0]), dial(&own[0])), ("skipper-deploy.example", Some("127.0.0.1:7577")));
    assert_eq!(id(&own[1]), "skipper-*.example");
}

#[test]
fn another_skipper_on_the_same_caddy_is_left_alone() {
    let email = Settings { email: Some("a@b".to_owned()), ..settings() };
    let theirs = Settings { upstream: "127.0.0.1:9090".to_owned(), ..email.clone() };
    let one = after(&Value::Null, &theirs, &["b.example"]);
    let both = after(&one, &email, &["a.example"]);
    assert_eq!(first(&both, "skipper", "b.example").as_deref(), Some("skipper-b.example"));
    assert_eq!(planned(&both, &theirs, &["b.example"]).load, None, "they agree");
    assert_eq!(planned(&both, &email, &["a.example"]).load, None);
    assert_eq!(after(&both, &email, &[]), one);
    // An edge that moved takes its routes along.
    let moved = after(&one, &email, &["b.example"]);
    assert_eq!(dial(&routes(&moved["apps"]["http"]["servers"]["skipper"])[0]), Some(EDGE));
}

#[test]
fn what_is_no_configuration_is_refused_and_not_mended() {
    for odd in [json!([]), json!({"apps": 1}), json!({"apps": {"http": {"servers": []}}})] {
        assert!(
            plan(
                &odd,
                Wanted { settings: &settings(), hosts: &names(&["a.example"]), serving: &BTreeSet::new(), dns: true }
            )
            .is_err(),
            "{odd}"
        );
    }
}

/// Hosts of these tests: few, so that they meet.
fn host() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a.x", "b.x", "c.x", "a.p.example", "b.p.example", "*.x", "*.p.example"])
        .prop_map(str::to_owned)
}

fn route() -> impl Strategy<Value = Value> {
    let foreign = || {
        (prop::collection::vec(host(), 1..3), any::<bool>(), 0..99_u32).prop_map(|(hosts, upper, n)| {
            let hosts: Vec<String> = hosts.iter().map(|h| if upper { h.to_uppercase() } else { h.clone() }).collect();
            json!({"match": [{"host": hosts}], "n": n})
        })
    };
    prop_oneof![
        4 => foreign(),
        1 => (0..99_u32).prop_map(|n| json!({"n": n})),
        1 => (0..99_u32).prop_map(|n| json!({"match": [{"path": ["/x"]}], "n": n})),
        2 => (host(), 0..3_u32).prop_map(|(host, n)| json!({"@id": format!("slip-{n}"), "match": [{"host": [host]}]})),
        2 => (host(), any::<bool>()).prop_map(|(host, other)| {
            let dial = if other { "127.0.0.1:1" } else { EDGE };
            json!({"@id": format!("{ROUTE}{host}"), "match": [{"host": [host]}], "handle": [{"upstreams": [{"dial": dial}]}]})
        }),
    ]
}

fn policy() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => (prop::collection::vec(host(), 1..3), 0..9_u32).prop_map(|(hosts, n)| json!({"subjects": hosts, "n": n})),
        1 => (0..9_u32).prop_map(|n| json!({"n": n})),
        1 => prop::collection::vec(host(), 1..3).prop_map(|hosts| json!({"@id": POLICY, "subjects": hosts})),
    ]
}

fn config() -> impl Strategy<Value = Value> {
    let one =
        (prop::sample::select(vec![":443", ":80", "127.0.0.1:443", "udp/:443"]), prop::collection::vec(route(), 0..6))
            .prop_map(|(listen, routes)| json!({"listen": [listen], "routes": routes}));
    let servers = prop::collection::btree_map(prop::sample::select(vec!["slip", "srv0", "skipper", "z"]), one, 0..3);
    (servers, prop::collection::vec(policy(), 0..4)).prop_map(|(servers, policies)| {
        json!({"logging": {"n": 1}, "apps": {"http": {"servers": servers}, "tls": {"automation": {"policies": policies}}}})
    })
}

fn wanted() -> impl Strategy<Value = (Settings, BTreeSet<String>, bool)> {
    let email = any::<bool>().prop_map(|yes| yes.then(|| "a@b".to_owned()));
    let tls = prop::sample::select(vec![Tls::Auto, Tls::Internal, Tls::Off]);
    (any::<bool>(), email, tls, prop::collection::btree_set(host(), 0..5), any::<bool>()).prop_map(
        |(dns, email, tls, hosts, asks)| {
            let settings = if dns { with_dns() } else { settings() };
            (Settings { email, tls, ..settings }, hosts, asks)
        },
    )
}

/// Everything that is not ours to change, in its order.
fn foreign(config: &Value, taken: &[String], ours: &dyn Fn(&Value) -> bool) -> Vec<(String, Value)> {
    let servers = config.pointer("/apps/http/servers").and_then(Value::as_object);
    let mut all: Vec<(String, Value)> = Vec::new();
    for (name, server) in servers.into_iter().flatten().filter(|(_, server)| id(server) != SERVER) {
        let mut server = server.clone();
        if let Some(list) = server["routes"].as_array_mut() {
            list.retain(|route| !ours(route) && id(route) != NOBODY && !taken.iter().any(|id| *id == super::id(route)));
        }
        all.push((name.clone(), server));
    }
    all.extend(
        policies(config).iter().filter(|policy| !is_policy(policy)).map(|policy| ("policy".to_owned(), policy.clone())),
    );
    all.push(("logging".to_owned(), config["logging"].clone()));
    all
}

proptest! {
    #[test]
    fn a_plan_is_complete_and_touches_nothing_else(
        found in config(),
        (settings, hosts, dns) in wanted(),
        serving in prop::collection::btree_set(host(), 0..7),
    ) {
        let wanted = Wanted { settings: &settings, hosts: &hosts, serving: &serving, dns };
        let plan = plan(&found, wanted).expect("a configuration");
        let load = plan.load.clone().unwrap_or_else(|| found.clone());

        let again = super::plan(&load, wanted).expect("a configuration");
        prop_assert_eq!(&again.load, &None, "what was loaded is as it should be");
        prop_assert_eq!((&again.left, again.placed), (&plan.left, plan.placed));

        let ways = Ways::of(wanted, policies(&found), BTreeMap::new());
        let is_left = |route: &Value| plan.left.iter().any(|left| id(route).strip_prefix(ROUTE) == Some(&left.host));
        let ours = |route: &Value| ways.is_ours(route) && (dial(route) == Some(EDGE) || !is_left(route));
        prop_assert_eq!(foreign(&load, &plan.taken_over, &ours), foreign(&found, &plan.taken_over, &ours));

        // Caddy refuses two policies for one name.
        let mut subjects: Vec<&str> = Vec::new();
        for policy in policies(&load).iter().filter(|policy| is_policy(policy)) {
            subjects.extend(policy["subjects"].as_array().into_iter().flatten().filter_map(Value::as_str));
        }
        let theirs = policy::subjects(policies(&load).iter().filter(|policy| !is_policy(policy)));
        prop_assert!(subjects.iter().all(|subject| !theirs.contains(*subject)), "{:?} {:?}", subjects, theirs);
        prop_assert_eq!(subjects.iter().collect::<BTreeSet<_>>().len(), subjects.len());

        let none = load.pointer("/apps/http/servers").and_then(Value::as_object).cloned().unwrap_or_default();
        let with_ours: Vec<&String> = none.iter().filter(|(_, s)| routes(s).iter().any(ours)).map(|(name, _)| name).collect();
        prop_assert!(with_ours.len() <= 1, "in one server alone: {:?}", with_ours);
        for host in hosts.iter().filter(|host| !plan.waiting.contains(*host)).filter(|host| !host.starts_with('*') && !plan.left.iter().any(|left| left.host == **host)) {
            let server = with_ours.first().expect("a server");
            let by = first(&load, server, host).unwrap_or_default();
            let exact = by == format!("{ROUTE}{host}");
            let covered = ways.covered.contains(host);
            prop_assert!(exact || covered, "{} is served by {}: {}", host, by, load);
        }
        // Nobody loses a host that they name.
        for host in ["a.x", "b.x", "c.x", "a.p.example", "b.p.example"] {
            for (name, before) in found["apps"]["http"]["servers"].as_object().expect("servers") {
                let Some(had) = routes(before).iter().find(|route| claim(route, host) != Claim::None) else { continue };
                let is_slips = plan.taken_over.iter().any(|taken| taken == id(had));
                if claim(had, host) == Claim::Names && !ours(had) && !is_slips {
                    let now = none.get(name).map(routes).unwrap_or_default();
                    let has = now.iter().find(|route| claim(route, host) != Claim::None);
                    // Beside a route of ours for the same name that was there already, the first of the two is.
                    let both = routes(before).iter().any(|route| id(route) == format!("{ROUTE}{host}"));
                    prop_assert!(has == Some(had) || both, "{} in {}: {:?}", host, name, has);
                }
            }
        }

        let nothing = BTreeSet::new();
        let bare = Settings { wildcards: Vec::new(), ..settings.clone() };
        let gone = super::plan(&load, Wanted { settings: &bare, hosts: &nothing, serving: &serving, dns }).expect("a configuration");
        let gone = gone.load.unwrap_or_else(|| load.clone());
        let left = gone.pointer("/apps/http/servers").and_then(Value::as_object).cloned().unwrap_or_default();
        let own = left.values().flat_map(routes).filter(|route| dial(route) == Some(EDGE) && id(route).starts_with(ROUTE));
        prop_assert_eq!(own.count(), 0, "everything of ours goes");
    }
}

#[test]
fn slips_routes_go_with_what_they_led_to() {
    let slip = |name: &str| json!({"@id": format!("slip-{name}"), "match": [{"host": ["x.example"]}], "handle": []});
    let ids = ["shop", "shop-0", "shop-7", "shop-x", "shop-preview-pr-7", "shopping"];
    let list: Vec<Value> = ids.iter().map(|id| slip(id)).chain([json!({"handle": []})]).collect();
    let found = json!({"apps": {"http": {"servers": {"slip": {"listen": [":443"], "routes": list}}}}});
    let left = |gone: &[&str]| {
        let without = super::without_slips(&found, &names(gone), |label| label == "shop-7");
        let routes = without?["apps"]["http"]["servers"]["slip"]["routes"].as_array()?.clone();
        Some(routes.iter().map(|route| id(route).to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(left(&["shop"]).expect("some go"), ["slip-shop-7", "slip-shop-x", "slip-shopping", ""]);
    assert_eq!(left(&["shop-preview-pr-7"]).expect("one goes").len(), 6);
    assert_eq!(left(&["nobody"]), None);
    assert_eq!(left(&[]), None);
}
