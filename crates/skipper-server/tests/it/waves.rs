//! A tenant on several nodes, by what its users and its nodes' agents send.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::fixture::{Ask, Machine, Server};

const ADMIN: &str = "dev-admin-token";

fn admin(method: Method, uri: &str) -> Ask {
    Ask::new(method, uri).header("x-admin-token", ADMIN)
}

/// A control plane with nodes `n1`, `n2`, …, all of them there, and the tenant `acme` on each of them.
struct Fleet {
    server: Server,
    tokens: Vec<String>,
}

impl Fleet {
    async fn of(count: usize) -> Self {
        let server = Machine { admin_token: Some(ADMIN.into()), ..Machine::default() }.boot().await;
        let mut fleet = Self { server, tokens: Vec::new() };
        for number in 1..=count {
            let ask = admin(Method::POST, "/v1/nodes").json(&json!({"id": format!("n{number}")}));
            let made: Value = fleet.server.send(ask).await.read();
            fleet.tokens.push(made["token"].as_str().expect("a token").to_owned());
            assert_eq!(fleet.take(number, 0).await, None, "it has been seen");
        }
        fleet
    }

    async fn put(&self, greeting: &str, rollout: Value) {
        let service = |number: usize| {
            let spec =
                json!({"image": "localhost/hello:1", "env": {"GREETING": greeting}, "node": format!("n{number}")});
            (format!("web{number}"), spec)
        };
        let services: serde_json::Map<String, Value> = (1..=self.tokens.len()).map(service).collect();
        let mut document = json!({"kind": "tenant", "id": "acme", "spec": {"services": services}});
        if !rollout.is_null() {
            document["spec"]["rollout"] = rollout;
        }
        let answer = self.server.send(admin(Method::PUT, "/v1/resources/tenants/acme").json(&document)).await;
        assert!(answer.status.is_success(), "{}", answer.text());
    }

    async fn call(&self, verb: &str, body: Value) -> Value {
        let answer = self.server.send(admin(Method::POST, &format!("/v1/deployments/acme/{verb}")).json(&body)).await;
        assert!(answer.status.is_success(), "{verb}: {}", answer.text());
        answer.read()
    }

    async fn take(&self, number: usize, wait: u32) -> Option<Value> {
        let uri = format!("/v1/nodes/n{number}/work-orders/next?wait={wait}");
        let answer = self.server.send(Ask::get(&uri).token(&self.tokens[number - 1])).await;
        (answer.status == 200).then(|| answer.read())
    }

    async fn report(&self, number: usize, order: &Value, status: &str) {
        let id = order["id"].as_str().expect("an id");
        let service = format!("web{number}");
        let body = json!({"generation": order["generation"], "status": status,
            "result": {"status": status, "summary": format!("{service} {status}"), "services": {service: {"state": "running"}}}});
        let ask = Ask::post(&format!("/v1/work-orders/{id}/result"), &body).token(&self.tokens[number - 1]);
        self.server.send(ask).await.done();
    }

    /// The node has the order within ten seconds, and says how it went.
    async fn does(&self, number: usize, status: &str) -> Value {
        let order = self.take(number, 10).await.unwrap_or_else(|| panic!("n{number} gets no order"));
        self.report(number, &order, status).await;
        order
    }

    async fn status(&self) -> Value {
        self.server.send(admin(Method::GET, "/v1/deployments/acme")).await.ok()
    }

    async fn ended(&self) -> Value {
        for _ in 0..2000 {
            let now = self.status().await;
            if ["succeeded", "failed", "cancelled"].iter().any(|phase| now["rollout"]["phase"] == *phase) {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the rollout does not end: {:#}", self.status().await);
    }
}

/// Of each node: the revision and how far it is.
fn nodes(status: &Value) -> Vec<(u64, String)> {
    let all = status["nodes"].as_array().expect("nodes");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    all.iter().map(|node| (node["revision"].as_u64().unwrap_or_default(), text(&node["state"]))).collect()
}

fn all(states: &[(u64, &str)]) -> Vec<(u64, String)> {
    states.iter().map(|(revision, state)| (*revision, (*state).to_owned())).collect()
}

#[tokio::test]
async fn the_first_bad_node_stops_the_waves_and_one_call_goes_on_or_all_the_way_back() {
    let fleet = Fleet::of(3).await;
    fleet.put("hi", json!({"waves": ["rest"]})).await;
    let applied = fleet.call("apply", json!({})).await;
    assert_eq!(applied["orders"].as_array().map(Vec::len), Some(3));
    // All in one wave: each has its order before any of them has reported.
    let orders = [fleet.take(1, 10).await, fleet.take(2, 10).await, fleet.take(3, 10).await];
    for (number, order) in (1..).zip(&orders) {
        fleet.report(number, order.as_ref().expect("an order"), "succeeded").await;
    }
    assert_eq!(nodes(&fleet.ended().await), all(&[(1, "current"); 3]));

    // By default one after the other.
    fleet.put("hello", Value::Null).await;
    let planned = fleet.call("plan", json!({})).await;
    let waves: Vec<&Value> = planned["waves"].as_array().expect("waves").iter().map(|wave| &wave["nodes"]).collect();
    assert_eq!(waves, [&json!(["n1"]), &json!(["n2"]), &json!(["n3"])]);
    assert_eq!((&planned["on_failure"], &planned["revision"]), (&json!("stop"), &json!(2)));
    assert_eq!(
        fleet.call("plan", json!({"rollout": {"max_unavailable": "67%"}})).await["waves"][0]["nodes"],
        json!(["n1", "n2"])
    );
    fleet.call("apply", json!({})).await;
    fleet.does(1, "succeeded").await;
    let bad = fleet.take(2, 10).await.expect("an order");
    assert_eq!(fleet.take(3, 0).await, None, "its wave has not begun");
    let open = fleet.status().await;
    assert_eq!(nodes(&open), all(&[(2, "updated"), (1, "updating"), (1, "waiting")]), "{open:#}");
    assert_eq!(open["nodes"][1]["order"], bad["id"]);
    fleet.report(2, &bad, "failed").await;
    let back = fleet.does(2, "succeeded").await;
    assert_eq!(back["revision"], 1, "the bad one goes back to what it ran before");
    let stopped = fleet.ended().await;
    assert_eq!(nodes(&stopped), all(&[(2, "current"), (1, "went-back"), (1, "not-begun")]), "{stopped:#}");
    assert_eq!((&stopped["revision"], &stopped["wanted"], &stopped["whole"]), (&json!(1), &json!(2), &json!(false)));
    let cause = stopped["rollout"]["cause"]["message"].as_str().expect("a cause");
    assert!(
        cause.contains("web2 failed") && cause.ends_with("1 of 3 run revision 2; went back: n2; not begun: n3"),
        "{cause}"
    );
    assert!(stopped["nodes"][1]["message"].as_str().is_some_and(|said| said.contains("web2 failed")), "{stopped:#}");
    assert_eq!(fleet.take(3, 0).await, None, "nothing more happens by itself");

    // On, with those that are not there yet.
    let converge = fleet.call("converge", json!({"rollout": {"waves": ["rest"]}})).await;
    assert_eq!((&converge["revision"], converge["orders"].as_array().map(Vec::len)), (&json!(3), Some(2)));
    let orders = [fleet.take(2, 10).await.expect("an order"), fleet.take(3, 10).await.expect("an order")];
    assert_eq!(orders[0]["desired"]["files"], bad["desired"]["files"], "the same bytes");
    fleet.report(2, &orders[0], "succeeded").await;
    fleet.report(3, &orders[1], "failed").await;
    fleet.does(3, "succeeded").await;
    let stopped = fleet.ended().await;
    assert_eq!(nodes(&stopped), all(&[(3, "current"), (3, "current"), (1, "went-back")]), "{stopped:#}");

    // And all the way back: only those that went on have something to do.
    let back = fleet.call("roll-back", json!({"rollout": {"waves": ["rest"]}})).await;
    assert_eq!((&back["revision"], back["orders"].as_array().map(Vec::len)), (&json!(4), Some(2)));
    fleet.does(1, "succeeded").await;
    fleet.does(2, "succeeded").await;
    let whole = fleet.ended().await;
    assert_eq!((nodes(&whole), &whole["whole"]), (all(&[(4, "current"); 3]), &json!(true)));
    assert_eq!(fleet.call("converge", json!({})).await["unchanged"], true);
}

#[tokio::test]
async fn a_document_that_is_what_served_before_is_no_change_only_where_all_run_it() {
    let fleet = Fleet::of(2).await;
    fleet.put("hi", Value::Null).await;
    fleet.call("apply", json!({})).await;
    fleet.does(1, "succeeded").await;
    fleet.does(2, "failed").await;
    fleet.does(2, "succeeded").await;
    let stopped = fleet.ended().await;
    assert_eq!(nodes(&stopped), all(&[(1, "current"), (0, "went-back")]), "{stopped:#}");
    assert_eq!(stopped["revision"], Value::Null, "nothing serves as a whole");
    // The bad one was mended: the same document again is for it alone.
    let again = fleet.call("apply", json!({})).await;
    assert_eq!((&again["unchanged"], again["orders"].as_array().map(Vec::len)), (&json!(false), Some(1)));
    fleet.does(2, "succeeded").await;
    assert_eq!(nodes(&fleet.ended().await), all(&[(2, "current"); 2]));
    assert_eq!(fleet.call("apply", json!({})).await["unchanged"], true);
    fleet.put("hi", json!({"on_failure": "roll-back"})).await;
    assert_eq!(fleet.call("apply", json!({})).await["unchanged"], true, "how to get there is no part of what runs");
}

#[tokio::test]
async fn a_cordoned_node_stands_only_in_the_way_of_what_changes_on_it() {
    let fleet = Fleet::of(2).await;
    fleet.put("hi", json!({"waves": ["rest"]})).await;
    fleet.call("apply", json!({})).await;
    fleet.does(1, "succeeded").await;
    fleet.does(2, "succeeded").await;
    fleet.ended().await;
    let cordon = admin(Method::POST, "/v1/nodes/n2/cordon").json(&json!({"cordoned": true}));
    fleet.server.send(cordon).await.done();
    let mut document: Value = fleet.server.send(admin(Method::GET, "/v1/resources/tenants/acme")).await.ok();
    document["spec"]["services"]["web1"]["env"]["GREETING"] = json!("hello");
    fleet.server.send(admin(Method::PUT, "/v1/resources/tenants/acme").json(&document)).await.done();
    fleet.call("apply", json!({})).await;
    fleet.does(1, "succeeded").await;
    let done = fleet.ended().await;
    assert_eq!(nodes(&done), all(&[(2, "current"); 2]));
    assert_eq!(done["nodes"][1]["health"], "cordoned");
    document["spec"]["services"]["web2"]["env"]["GREETING"] = json!("hello");
    fleet.server.send(admin(Method::PUT, "/v1/resources/tenants/acme").json(&document)).await.done();
    let refused = fleet.server.send(admin(Method::POST, "/v1/deployments/acme/apply")).await;
    assert!(refused.problem("plan-refused").detail.contains("`n2` is cordoned"));
}

#[tokio::test]
async fn no_wave_begins_where_enough_are_unavailable_already_and_terms_are_checked() {
    let fleet = Fleet::of(3).await;
    let extra = admin(Method::POST, "/v1/nodes").json(&json!({"id": "n4"}));
    fleet.server.send(extra).await;
    fleet.put("hi", json!({"max_unavailable": 1})).await;
    let mut document: Value = fleet.server.send(admin(Method::GET, "/v1/resources/tenants/acme")).await.ok();
    document["spec"]["services"]["web4"] = json!({"image": "localhost/hello:1", "node": "n4"});
    fleet.server.send(admin(Method::PUT, "/v1/resources/tenants/acme").json(&document)).await.done();
    let refused = fleet.server.send(admin(Method::POST, "/v1/deployments/acme/apply")).await;
    let detail = refused.problem("plan-refused").detail;
    assert!(detail.contains("at most 1 of 4 nodes") && detail.contains("n4"), "{detail}");
    let planned = fleet.call("plan", json!({"rollout": {"max_unavailable": 3}})).await;
    let waves: Vec<&Value> = planned["waves"].as_array().expect("waves").iter().map(|wave| &wave["nodes"]).collect();
    assert_eq!(waves, [&json!(["n1", "n2"]), &json!(["n3"]), &json!(["n4"])], "who is away comes last");
    for (bad, what) in [
        (json!({"waves": [0]}), "from 1"),
        (json!({"on_failure": "panic"}), "roll-back"),
        (json!({"wavs": [1]}), "waves"),
    ] {
        let ask = admin(Method::POST, "/v1/deployments/acme/apply").json(&json!({"rollout": bad}));
        let detail = fleet.server.send(ask).await.problem("invalid").detail;
        assert!(detail.contains(what), "{detail}");
        document["spec"]["rollout"] = bad;
        let answer = fleet.server.send(admin(Method::PUT, "/v1/resources/tenants/acme").json(&document)).await;
        assert!(answer.problem("invalid").detail.contains("rollout"), "the key is named");
    }
    fleet
        .server
        .send(Ask::get("/v1/deployments/nobody").header("x-admin-token", ADMIN))
        .await
        .problem("release-not-found");
}
