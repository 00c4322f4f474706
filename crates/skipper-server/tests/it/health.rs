use http::Method;
use serde_json::{Value, json};
use skipper_server::api::own::wire::{EdgeView, PlatformList, Ready};

use crate::fixture::{Ask, Server};

#[tokio::test]
async fn health_and_readiness_are_told_apart() {
    let server = Server::start().await;
    let index: Value = server.send(Ask::get("/").header("accept", "text/html,*/*;q=0.8")).await.ok();
    assert_eq!(index["links"]["openapi"], "/openapi.json");
    assert_eq!(server.get("/healthz").await.ok::<Value>()["status"], "ok");
    let ready: Ready = server.get("/readyz").await.ok();
    assert!(ready.ready, "{ready:?}");
    server.app.store.close().await;
    assert_eq!(server.get("/healthz").await.status, 200, "the process still answers");
    let answer = server.get("/readyz").await;
    assert_eq!(answer.status, 503);
    let ready: Ready = answer.read();
    assert!(!ready.ready && ready.parts["store"] != "ok", "{ready:?}");
    server.get("/v1/releases").await.problem("store-unavailable");
}

#[tokio::test]
async fn metrics_count_requests_and_show_the_edges_own() {
    let server = Server::serving().await;
    server.get("/v1/releases/web").await;
    let text = server.get("/metrics").await.text();
    let line =
        "skipper_http_request_duration_seconds_count{method=\"GET\",route=\"/v1/releases/{name}\",status=\"200\"} 1";
    assert!(text.contains(line), "{text}");
    assert!(
        text.contains("skipper_releases 1\n")
            && text.contains("skipper_edge_up 1\n")
            && text.contains("edge_metric 1\n")
    );
    assert!(text.contains("skipper_store_duration_seconds_count{call=\"intent_create\"} 1\n"), "{text}");
}

#[tokio::test]
async fn platforms_and_edge_are_shown() {
    let server = Server::start().await;
    let platforms: PlatformList = server.get("/v1/platforms").await.ok();
    assert!(platforms.items[0].default && platforms.items[0].capabilities.contains(&"replicas".to_owned()));
    let edge: EdgeView = server.get("/v1/edge").await.ok();
    assert!(edge.reachable);
}

#[tokio::test]
async fn a_backup_is_a_database_of_its_own() {
    let server = Server::serving().await;
    // Clients send a key with everything; a stream is made anew each time.
    let ask = Ask::new(Method::POST, "/v1/backup").key("k");
    server.send(ask.clone()).await;
    let answer = server.send(ask).await;
    assert_eq!((answer.status.as_u16(), answer.header("idempotency-replayed")), (200, None));
    assert!(answer.body.starts_with(b"SQLite format 3\0"));
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    let left = std::fs::read_dir(server.machine.dir.path().join("tmp")).expect("the folder").count();
    assert_eq!(left, 0, "nothing is left behind");
    let events: Value = server.get("/v1/events?limit=500").await.ok();
    assert!(events["items"].as_array().expect("items").iter().any(|event| event["kind"] == json!("backup.taken")));
}
