//! What is held of earlier answers never shows: each test asks first, so that there is something to hold, has something
//! change, and asks at once again.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use skipper_core::actor::Role;
use testkit::Behaviour;

use super::{JAVA_2, install, stocked, upgrade};
use crate::fixture::{Ask, Server};

const LIST: &str = "/api/release/list";
const STATUS: &str = "/api/release/status/web";
const SEARCH: &str = "/api/packageMetadata/search/findByNameContainingIgnoreCase?name=HELL";

/// What a client of 2.x reads: how many there are under a relation.
async fn count(server: &Server, uri: &str, rel: &str) -> usize {
    let body: Value = server.spring(Ask::get(uri)).await.ok();
    body["_embedded"][rel].as_array().map_or(0, Vec::len)
}

async fn told(server: &Server) -> (Value, Value) {
    let info: Value = server.spring(Ask::get(STATUS)).await.ok();
    (info["status"]["statusCode"].clone(), info["description"].clone())
}

#[tokio::test]
async fn what_was_accepted_is_seen_by_the_next_call_whatever_was_asked_before() {
    let server = stocked().await;
    assert_eq!((count(&server, LIST, "releases").await, count(&server, "/api/releases", "releases").await), (0, 0));
    assert_eq!(server.spring(Ask::get(STATUS)).await.status, 404);
    server.post("/api/package/install", &install("1.0.0", "web")).await.ok::<Value>();
    assert_eq!((count(&server, LIST, "releases").await, count(&server, "/api/releases", "releases").await), (1, 1));
    assert_eq!(told(&server).await, (json!("DEPLOYED"), json!("Install complete")));
    server.told("web", "DEPLOYED", "Install complete").await;
    for version in 2..=6 {
        let page: Value = server.spring(Ask::get("/api/releases")).await.ok();
        assert_eq!(page["page"]["totalElements"], version - 1);
        let wanted = if version % 2 == 0 { "2.0.0" } else { "1.0.0" };
        server.post("/api/release/upgrade", &upgrade(wanted, "web")).await.ok::<Value>();
        let newest: Value = server.get(&format!("{STATUS}/{version}")).await.ok();
        assert!(["UNKNOWN", "DEPLOYED"].contains(&newest["status"]["statusCode"].as_str().expect("text")), "{newest}");
        let page: Value = server.spring(Ask::get("/api/releases")).await.ok();
        assert_eq!(page["page"]["totalElements"], version);
        let history: Vec<Value> = server.get("/api/history/web/1").await.ok();
        assert_eq!(history[0]["version"], version);
        server.told("web", "DEPLOYED", "Upgrade complete").await;
    }
    assert_eq!(count(&server, LIST, "releases").await, 1);
    server.send(Ask::new(Method::DELETE, "/api/release/web")).await.ok::<Value>();
    assert_eq!(told(&server).await.0, "DELETED");
    assert_eq!(count(&server, LIST, "releases").await, 0);
}

#[tokio::test]
async fn packages_and_repositories_that_come_and_go_are_found_and_missed_at_once() {
    let server = Server::start().await;
    // What is built in is found too.
    let before = count(&server, SEARCH, "packageMetadata").await;
    for (version, more) in [("1.0.0", 1), ("1.1.0", 2)] {
        server.upload(version, "").await.ok::<Value>();
        assert_eq!(count(&server, SEARCH, "packageMetadata").await, before + more);
    }
    server.send(Ask::new(Method::DELETE, "/v1/packages/local/hello/1.0.0")).await.done();
    assert_eq!(count(&server, SEARCH, "packageMetadata").await, before + 1);
    let new = json!({"name": "hello-place", "url": "http://127.0.0.1:9/nothing"});
    server.send(Ask::post("/api/repositories", &new)).await.done();
    let all: Value = server.spring(Ask::get("/api/repositories")).await.ok();
    let names = all["_embedded"]["repositories"].as_array().expect("a list");
    assert!(names.iter().any(|one| one["name"] == "hello-place"), "{all}");
}

#[tokio::test]
async fn an_instance_that_died_is_not_called_deployed_by_the_next_call() {
    let server = stocked().await;
    server.post("/api/package/install", &install("1.0.0", "web")).await.ok::<Value>();
    server.told("web", "DEPLOYED", "Install complete").await;
    let state = async || {
        let info: Value = server.spring(Ask::get(STATUS)).await.ok();
        let list: Value = server.spring(Ask::get(LIST)).await.ok();
        let of = |info: &Value| -> Value {
            let text = info["status"]["platformStatus"].as_str().expect("text");
            serde_json::from_str::<Value>(text).expect("JSON in text")[0]["state"].take()
        };
        (of(&info), of(&list["_embedded"]["releases"][0]["info"]))
    };
    let deployed = async {
        while state().await != (json!("deployed"), json!("deployed")) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), deployed).await.expect("it is deployed");
    // Whatever is started in its place ends as well.
    let ends = Behaviour { healthy_after: None, exits_after: Some((Duration::ZERO, 1)) };
    server.machine.platform.behave("1.0.0", ends);
    let running = server.machine.platform.running();
    let (deployment, _) = running.iter().next().expect("one runs");
    server.machine.platform.kill(deployment, 0);
    let (status, list) = state().await;
    assert_ne!(status, "deployed");
    assert_ne!(list, "deployed");
}

#[tokio::test]
async fn a_token_that_is_made_or_revoked_counts_for_the_next_call() {
    let server = stocked().await;
    for uri in [LIST, SEARCH] {
        assert_eq!(server.spring(Ask::get(uri)).await.status, 200);
    }
    let admin = server.token(Role::Admin, None).await;
    for uri in [LIST, SEARCH] {
        assert_eq!(server.spring(Ask::get(uri)).await.status, 401, "nobody is let in any more without a token");
        assert_eq!(server.spring(Ask::get(uri).token(&admin)).await.status, 200);
    }
    let new = json!({"name": "ci", "role": "viewer"});
    let made: Value = server.send(Ask::post("/v1/tokens", &new).token(&admin)).await.ok();
    let secret = made["secret"].as_str().expect("shown once");
    for uri in [LIST, SEARCH] {
        assert_eq!(server.spring(Ask::get(uri).token(secret)).await.status, 200);
    }
    let id = made["id"].as_str().expect("an id");
    server.send(Ask::new(Method::DELETE, &format!("/v1/tokens/{id}")).token(&admin)).await.done();
    for uri in [LIST, SEARCH] {
        assert_eq!(server.spring(Ask::get(uri).token(secret)).await.status, 401);
    }
}

#[tokio::test]
async fn what_one_caller_was_told_is_no_answer_for_another_tenant_or_a_stranger() {
    let server = stocked().await;
    server.post("/api/package/install", &install("1.0.0", "web")).await.ok::<Value>();
    let own = server.token(Role::Viewer, Some("default")).await;
    let other = server.token(Role::Viewer, Some("other")).await;
    let ask = |uri: &str, token: &str| Ask::get(uri).token(token).header("accept", JAVA_2);
    for uri in [LIST, STATUS, "/api/releases", "/api/history/web/5"] {
        let told = server.send(ask(uri, &own)).await;
        assert!(told.status == 200 && told.text().contains("complete"), "{uri}: {}", told.text());
        let untold = server.send(ask(uri, &other)).await;
        assert!(!untold.text().contains("complete"), "{uri}: {}", untold.text());
        let named = format!("{uri}?tenant=default");
        assert_eq!(server.send(ask(&named, &other)).await.status, 404, "{named}");
        assert_eq!(server.spring(Ask::get(uri)).await.status, 401, "{uri}");
        assert!(server.send(ask(uri, &own)).await.text().contains("complete"), "{uri}: its own are still told");
    }
}
