//! The fleet's door, by what its users and their agents send.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use skipper_core::actor::Role;

use crate::fixture::{Ask, Machine, Server};

const ADMIN: &str = "dev-admin-token";

async fn control_plane() -> Server {
    Machine { admin_token: Some(ADMIN.into()), ..Machine::default() }.boot().await
}

fn admin(method: Method, uri: &str) -> Ask {
    Ask::new(method, uri).header("x-admin-token", ADMIN)
}

fn tenant(node: &str, greeting: &str) -> Value {
    let web = json!({"image": "localhost/hello:1", "env": {"GREETING": greeting}, "secrets": ["DB_PASSWORD"]});
    json!({"kind": "tenant", "id": "acme", "spec": {"node": node, "services": {"web": web}}})
}

/// A node that is registered, and its token.
async fn node(server: &Server, name: &str) -> String {
    let answer = server.send(admin(Method::POST, "/v1/nodes").json(&json!({"id": name}))).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.read::<Value>()["token"].as_str().expect("a token").to_owned()
}

async fn put(server: &Server, document: &Value) {
    let answer = server.send(admin(Method::PUT, "/v1/resources/tenants/acme").json(document)).await;
    assert!(answer.status.is_success(), "{}", answer.text());
}

async fn secret(server: &Server) {
    let ask = admin(Method::PUT, "/v1/secrets/DB_PASSWORD?tenant=acme").json(&json!({"value": "s3cr$t'"}));
    let answer = server.send(ask).await;
    assert!(answer.status.is_success(), "{}", answer.text());
}

fn next(token: &str, wait: u32) -> Ask {
    Ask::get(&format!("/v1/nodes/host-1/work-orders/next?wait={wait}")).token(token)
}

async fn taken(server: &Server, token: &str) -> Value {
    let answer = server.send(next(token, 10)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.read()
}

fn result(order: &Value, status: &str) -> Ask {
    let id = order["id"].as_str().expect("an id");
    let body = json!({"generation": order["generation"], "status": status, "result": {"status": status, "summary": "as it is"}});
    Ask::post(&format!("/v1/work-orders/{id}/result"), &body)
}

async fn state(server: &Server) -> Value {
    server.send(admin(Method::GET, "/v1/resources/tenant/acme")).await.ok::<Value>()["status"].clone()
}

/// The tenant's state once nothing is on its way.
async fn settled(server: &Server) -> Value {
    for _ in 0..2000 {
        let now = state(server).await;
        if now["state"] != "deploying" {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the rollout does not end: {}", state(server).await);
}

async fn apply(server: &Server) -> Value {
    let answer = server.send(admin(Method::POST, "/v1/deployments/acme/apply")).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.read()
}

#[tokio::test]
async fn an_apply_becomes_an_order_that_a_waiting_agent_gets_at_once_with_its_secrets() {
    let server = control_plane().await;
    let token = node(&server, "host-1").await;
    secret(&server).await;
    put(&server, &tenant("host-1", "hi")).await;
    let waiting = taken(&server, &token);
    let asking = async {
        let ask = admin(Method::POST, "/v1/deployments/acme/apply").header("x-correlation-id", "local-1");
        server.send(ask.header("x-idempotency-key", "run-1")).await
    };
    let (order, answer) = tokio::join!(waiting, asking);
    assert_eq!(answer.status, 202);
    assert_eq!(answer.header("x-correlation-id"), Some("local-1"));
    let promised: Value = answer.read();
    assert_eq!((&promised["id"], &promised["status"]), (&order["id"], &json!("pending")));
    assert_eq!(
        (&order["status"], &order["type"], &order["generation"]),
        (&json!("active"), &json!("deploy_service"), &json!(1))
    );
    assert_eq!((&order["idempotency_key"], &order["correlation_id"]), (&json!("run-1"), &json!("local-1")));
    let env = |order: &Value| order["desired"]["files"][".env"].as_str().expect("variables").to_owned();
    assert!(env(&order).contains("s3cr") && !env(&promised).contains("s3cr"), "{} {}", env(&order), env(&promised));
    let id = order["id"].as_str().expect("an id");
    let shown = server.send(admin(Method::GET, &format!("/v1/work-orders/{id}"))).await;
    assert!(!shown.text().contains("s3cr") && shown.text().contains("***"), "{}", shown.text());
    server.send(result(&order, "succeeded").token(&token)).await.done();
    let done = settled(&server).await;
    assert_eq!(done, json!({"revision": 1, "state": "deployed", "last_order": order["id"]}));
    let again = server
        .send(admin(Method::POST, "/v1/deployments/acme/apply").key("run-1").header("x-correlation-id", "local-1"));
    assert_eq!(again.await.read::<Value>(), promised, "the same key has the same answer");
    let unchanged = server.send(admin(Method::POST, "/v1/deployments/acme/apply")).await;
    assert_eq!((unchanged.status.as_u16(), &unchanged.read::<Value>()["unchanged"]), (200, &json!(true)));
}

#[tokio::test]
async fn many_rollouts_that_wait_for_a_silent_node_hold_up_nobody_else() {
    let server = control_plane().await;
    let token = node(&server, "host-1").await;
    node(&server, "host-2").await;
    // More than are worked on at the same time.
    for n in 0..70 {
        let id = format!("tenant-{n}");
        let mut document = tenant("host-2", "hi");
        document["id"] = json!(id);
        document["spec"]["services"]["web"]["secrets"] = json!([]);
        let put = admin(Method::PUT, &format!("/v1/resources/tenants/{id}")).json(&document);
        server.send(put).await.done();
        let applied = server.send(admin(Method::POST, &format!("/v1/deployments/{id}/apply"))).await;
        assert_eq!(applied.status, 202, "{}", applied.text());
    }
    secret(&server).await;
    put(&server, &tenant("host-1", "hi")).await;
    apply(&server).await;
    let order = taken(&server, &token).await;
    server.send(result(&order, "succeeded").token(&token)).await.done();
    assert_eq!(settled(&server).await["state"], "deployed");
}

#[tokio::test]
async fn a_failed_order_fails_the_revision_and_goes_back_to_the_one_before() {
    let server = control_plane().await;
    let token = node(&server, "host-1").await;
    secret(&server).await;
    put(&server, &tenant("host-1", "hi")).await;
    apply(&server).await;
    let first = taken(&server, &token).await;
    server.send(result(&first, "succeeded").token(&token)).await.done();
    assert_eq!(settled(&server).await["state"], "deployed");
    put(&server, &tenant("host-1", "broken")).await;
    apply(&server).await;
    let second = taken(&server, &token).await;
    assert!(second["generation"].as_u64() > first["generation"].as_u64());
    server.send(result(&second, "failed").token(&token)).await.done();
    let back = taken(&server, &token).await;
    assert_eq!(
        (&back["revision"], &back["desired"]),
        (&json!(1), &first["desired"]),
        "the node has what served before"
    );
    server.send(result(&back, "succeeded").token(&token)).await.done();
    let now = settled(&server).await;
    assert_eq!((&now["state"], &now["revision"]), (&json!("failed"), &json!(1)));
    let release: Value = server.send(admin(Method::GET, "/v1/releases/acme?tenant=acme")).await.ok();
    assert!(release["last_error"].to_string().contains("as it is"), "{release}");
}

#[tokio::test]
async fn reports_are_believed_once_and_from_the_nodes_own_agent_alone() {
    let server = control_plane().await;
    let token = node(&server, "host-1").await;
    let other = node(&server, "host-2").await;
    secret(&server).await;
    put(&server, &tenant("host-1", "hi")).await;
    apply(&server).await;
    let order = taken(&server, &token).await;
    server.send(result(&order, "succeeded").token(&other)).await.problem("order-not-found");
    server.send(result(&order, "succeeded").token(ADMIN)).await.problem("unauthenticated");
    let mut stale = order.clone();
    stale["generation"] = json!(77);
    let refused = server.send(result(&stale, "succeeded").token(&token)).await;
    let told = refused.problem("stale-generation").error.expect("the fleet's form");
    assert_eq!((&told["code"], told["request_id"].is_string()), (&json!("stale-generation"), true));
    for _ in 0..2 {
        server.send(result(&order, "succeeded").token(&token)).await.done();
    }
    server.send(result(&order, "failed").token(&token)).await.problem("order-ended");
    server.send(Ask::get("/v1/nodes/host-2/work-orders/next").token(&token)).await.problem("forbidden");
    server.send(Ask::get("/v1/nodes/host-1/work-orders/next").token(ADMIN)).await.problem("unauthenticated");
    let plain = server.send(Ask::get("/v1/nodes/host-1/work-orders/next").header("x-agent-token", &token)).await;
    assert_eq!(plain.status, 204);
}

#[tokio::test]
async fn a_node_is_registered_once_and_its_token_replaced_on_purpose_only() {
    let server = control_plane().await;
    let first = node(&server, "host-1").await;
    let again = |rotate: bool| admin(Method::POST, "/v1/nodes").json(&json!({"id": "host-1", "rotate_token": rotate}));
    server.send(again(false)).await.problem("node-exists");
    let alive = server.send(next(&first, 0)).await;
    assert_eq!(alive.status, 204, "nobody was locked out");
    let second = server.send(again(true)).await.read::<Value>()["token"].as_str().expect("a token").to_owned();
    server.send(next(&first, 0)).await.problem("unauthenticated");
    let rotated = admin(Method::POST, "/v1/nodes/host-1/rotate-token").json(&json!({"grace_seconds": 60}));
    let third = server.send(rotated).await.read::<Value>()["token"].as_str().expect("a token").to_owned();
    for token in [&second, &third] {
        assert_eq!(server.send(next(token, 0)).await.status, 204);
    }
    let beat = json!({"agent_version": "1.2.3", "orders": []});
    server.send(Ask::post("/v1/nodes/host-1/heartbeat", &beat).token(&third)).await.done();
    let shown: Value = server.send(admin(Method::GET, "/v1/resources/node/host-1")).await.ok();
    assert_eq!((&shown["status"]["state"], &shown["status"]["agent_version"]), (&json!("ready"), &json!("1.2.3")));
    let gone = server.send(admin(Method::DELETE, "/v1/nodes/host-1")).await;
    assert_eq!(gone.status, 204);
    server.send(next(&third, 0)).await.problem("unauthenticated");
    server.send(admin(Method::GET, "/v1/nodes/host-1")).await.problem("node-not-found");
}

#[tokio::test]
async fn a_tenants_token_sees_its_own_resources_and_orders_and_no_others() {
    let server = control_plane().await;
    node(&server, "host-1").await;
    secret(&server).await;
    put(&server, &tenant("host-1", "hi")).await;
    let order = apply(&server).await;
    let own = server.token(Role::Operator, Some("acme")).await;
    let foreign = server.token(Role::Admin, Some("other")).await;
    let id = order["id"].as_str().expect("an id");
    for path in ["/v1/resources/tenant/acme".to_owned(), format!("/v1/work-orders/{id}")] {
        assert_eq!(server.send(Ask::get(&path).token(&own)).await.status, 200);
        assert_eq!(server.send(Ask::get(&path).token(&foreign)).await.status, 404);
    }
    for (path, list) in [("/v1/resources/tenant", "resources"), ("/v1/work-orders", "work_orders")] {
        let count = async |token: &str| {
            server.send(Ask::get(path).token(token)).await.ok::<Value>()[list].as_array().map(Vec::len)
        };
        assert_eq!((count(&own).await, count(&foreign).await), (Some(1), Some(0)), "{path}");
    }
    server
        .send(Ask::new(Method::PUT, "/v1/resources/tenant/acme").json(&tenant("host-1", "x")).token(&foreign))
        .await
        .problem("resource-not-found");
    server.send(Ask::new(Method::POST, "/v1/deployments/acme/apply").token(&foreign)).await.problem("tenant-not-found");
    for (token, nodes) in [(&own, 1), (&foreign, 0)] {
        let list: Value = server.send(Ask::get("/v1/nodes").token(token)).await.ok();
        assert_eq!(list["nodes"].as_array().map(Vec::len), Some(nodes));
        let one = server.send(Ask::get("/v1/resources/node/host-1").token(token)).await;
        assert_eq!(one.status.is_success(), nodes == 1);
    }
}

#[tokio::test]
async fn what_cannot_be_carried_out_is_refused_before_anything_is_stored() {
    let server = control_plane().await;
    server.send(admin(Method::POST, "/v1/deployments/acme/apply")).await.problem("resource-not-found");
    secret(&server).await;
    put(&server, &tenant("nowhere", "hi")).await;
    server.send(admin(Method::POST, "/v1/deployments/acme/apply")).await.problem("plan-refused");
    node(&server, "host-1").await;
    let cordon = admin(Method::POST, "/v1/nodes/host-1/cordon").json(&json!({"cordoned": true}));
    server.send(cordon).await.done();
    put(&server, &tenant("host-1", "hi")).await;
    let refused = server.send(admin(Method::POST, "/v1/deployments/acme/apply")).await;
    assert!(refused.problem("plan-refused").detail.contains("cordoned"));
    let mut broken = tenant("host-1", "hi");
    broken["spec"]["services"]["web"]["imgae"] = json!("x");
    let refused = server.send(admin(Method::PUT, "/v1/resources/tenant/acme").json(&broken)).await;
    assert!(refused.problem("invalid").detail.contains("image"), "the nearest key is named");
    let orders: Value = server.send(admin(Method::GET, "/v1/work-orders")).await.ok();
    assert_eq!(orders["work_orders"], json!([]));
}

/// Waits until a file says it.
async fn says(path: &std::path::Path, what: &str) {
    for _ in 0..2000 {
        if std::fs::read_to_string(path).is_ok_and(|text| text.contains(what)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} does not say {what}: {:?}", path.display(), std::fs::read_to_string(path));
}

#[tokio::test]
async fn the_data_folder_is_taken_in_and_shows_what_is_stored() {
    let server = control_plane().await;
    let dir = tempfile::tempdir().expect("a folder");
    let at = |path: &str| dir.path().join(path);
    let hash = skipper_core::Sha256::of(b"my-own-token");
    for (path, document) in [
        ("resources/nodes/host-1.json", json!({"kind": "node", "id": "host-1", "spec": {"role": "worker"}})),
        ("auth/nodes/host-1.json", json!({"node": "host-1", "token_hash": hash.to_string()})),
        ("resources/tenants/acme.json", tenant("host-1", "hi")),
        ("resources/tenants/broken.json", json!({"kind": "tenant", "id": "other"})),
    ] {
        std::fs::create_dir_all(at(path).parent().expect("a folder")).expect("made");
        std::fs::write(at(path), document.to_string()).expect("written");
    }
    let stop = tokio_util::sync::CancellationToken::new();
    let following = tokio_util::task::TaskTracker::new();
    let follow = skipper_server::fleet::follow_files(server.app.clone(), dir.path().to_owned(), stop.clone());
    let followed = following.spawn(follow);
    says(&at("resources/tenants/acme.json"), "registered").await;
    assert_eq!(server.send(next("my-own-token", 0)).await.status, 204, "the token of the file lets the agent in");
    secret(&server).await;
    let order = apply(&server).await;
    let order_file = |folder: &str| at(&format!("work-orders/{folder}/{}.json", order["id"].as_str().expect("an id")));
    says(&order_file("pending"), "***").await;
    let order = taken(&server, "my-own-token").await;
    says(&order_file("active"), "\"active\"").await;
    server.send(result(&order, "succeeded").token("my-own-token")).await.done();
    says(&order_file("finished"), "as it is").await;
    assert!(!order_file("pending").exists() && !order_file("active").exists());
    says(&at("resources/tenants/acme.json"), "deployed").await;
    says(&at("snapshots/acme-1.json"), "localhost/hello:1").await;
    // What the server wrote is no change; what somebody writes into it is one.
    let text = std::fs::read_to_string(at("resources/tenants/acme.json")).expect("there");
    std::fs::write(at("resources/tenants/acme.json"), text.replace("\"hi\"", "\"by hand\"")).expect("written");
    let order = apply(&server).await;
    assert!(
        order["desired"]["files"][".env"].to_string().contains("by hand"),
        "an apply means the file as it is: {order}"
    );
    server.send(admin(Method::GET, "/v1/resources/tenant/other")).await.problem("resource-not-found");
    let everything: String = walk(dir.path()).iter().map(|path| std::fs::read_to_string(path).expect("text")).collect();
    assert!(!everything.contains("s3cr"), "no secret is shown in any file");
    stop.cancel();
    followed.await.expect("it ends");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_told_and_left_to_who_wrote_it() {
    let server = control_plane().await;
    node(&server, "host-1").await;
    secret(&server).await;
    put(&server, &tenant("host-1", "hi")).await;
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("resources/tenants/acme.json");
    let (stop, following) = (tokio_util::sync::CancellationToken::new(), tokio_util::task::TaskTracker::new());
    let follow = skipper_server::fleet::follow_files(server.app.clone(), dir.path().to_owned(), stop.clone());
    let followed = following.spawn(follow);
    says(&file, "registered").await;
    // Two faults: both are told, by the apply, in the status and as an event; the file stays as it is.
    let mut wrong = tenant("host-1", "an hour's work");
    wrong["spec"]["services"]["web"]["comand"] = json!("x");
    wrong["spec"]["services"]["web"]["ports"] = json!(["99999:1"]);
    std::fs::write(&file, wrong.to_string()).expect("written");
    let refused = server.send(admin(Method::POST, "/v1/deployments/acme/apply")).await;
    let told = refused.problem("invalid").detail;
    assert!(
        told.contains("resources/tenants/acme.json") && told.contains("comand") && told.contains("99999"),
        "{told}"
    );
    assert_eq!(state(&server).await["trouble"], json!(told));
    let events: Value = server.send(admin(Method::GET, "/v1/events?limit=1000")).await.ok();
    let refusals =
        events["items"].as_array().expect("a list").iter().filter(|event| event["kind"] == "resource.refused");
    assert_eq!(refusals.count(), 1);
    // Something else about the tenant changes: its own document is another one now, and nothing of the old is lost.
    std::fs::write(&file, "{ an hour's work").expect("written");
    server.send(admin(Method::POST, "/v1/deployments/acme/apply")).await.problem("invalid");
    assert_eq!(std::fs::read_to_string(&file).expect("there"), "{ an hour's work");
    put(&server, &tenant("host-1", "by the API")).await;
    says(&file, "by the API").await;
    let aside = std::fs::read_to_string(file.with_extension("json.refused")).expect("laid aside");
    assert_eq!(aside, "{ an hour's work");
    assert!(state(&server).await["trouble"].is_null());
    // Put right with what was there before, or taken away: what is stored holds.
    let right = std::fs::read_to_string(&file).expect("there");
    std::fs::write(&file, "{").expect("written");
    server.send(admin(Method::POST, "/v1/deployments/acme/apply")).await.problem("invalid");
    std::fs::write(&file, right).expect("written");
    apply(&server).await;
    assert!(state(&server).await["trouble"].is_null());
    std::fs::remove_file(&file).expect("removed");
    says(&file, "by the API").await;
    stop.cancel();
    followed.await.expect("it ends");
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).expect("a folder").flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
