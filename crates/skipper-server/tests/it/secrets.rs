use http::Method;
use serde_json::{Value, json};
use skipper_server::api::own::wire::SecretList;

use crate::fixture::{Ask, Server};

#[tokio::test]
async fn a_secret_is_set_as_it_is_or_as_json_and_never_read_back() {
    let server = Server::start().await;
    let mut raw = Ask::new(Method::PUT, "/v1/secrets/db-password").header("content-type", "text/plain");
    raw.body = b"first-s3cret".to_vec();
    let answer = server.send(raw).await;
    assert!(!answer.text().contains("s3cret"));
    assert_eq!(answer.ok::<Value>()["version"], 1);
    let json = Ask::new(Method::PUT, "/v1/secrets/db-password").json(&json!({"value": "second-s3cret"}));
    assert_eq!(server.send(json).await.ok::<Value>()["version"], 2);
    let listed = server.get("/v1/secrets").await;
    assert!(!listed.text().contains("s3cret"));
    assert_eq!(listed.ok::<SecretList>().items.len(), 1);
    let other: SecretList = server.get("/v1/secrets?tenant=other").await.ok();
    assert!(other.items.is_empty(), "secrets belong to their tenant");
    assert!(!server.get("/v1/events").await.text().contains("s3cret"));
    assert_eq!(server.send(Ask::new(Method::DELETE, "/v1/secrets/db-password")).await.status, 204);
}

#[tokio::test]
async fn a_broken_body_is_refused_without_quoting_it() {
    let server = Server::start().await;
    for (kind, body) in
        [("application/json", &b"{\"value\": \"s3cret\", \"x\": 1}"[..]), ("text/plain", b"\xff"), ("text/plain", b"")]
    {
        let mut ask = Ask::new(Method::PUT, "/v1/secrets/x").header("content-type", kind);
        ask.body = body.to_vec();
        let problem = server.send(ask).await.problem("invalid");
        assert!(!problem.detail.contains("s3cret"));
    }
    let mut large = Ask::new(Method::PUT, "/v1/secrets/x").header("content-type", "text/plain");
    large.body = vec![b'x'; 4097];
    server.send(large).await.problem("body-too-large");
}

#[tokio::test]
async fn a_secret_in_use_is_only_removed_by_force() {
    let server = Server::start().await;
    let set = Ask::new(Method::PUT, "/v1/secrets/db-password").json(&json!({"value": "s3cret"}));
    server.send(set).await.ok::<Value>();
    server.upload("1.0.0", "  secrets:\n    - { name: db-password, env: DB_PASSWORD }\n").await.ok::<Value>();
    let view = server.install("web", "1.0.0").await;
    assert_eq!((view.phase.as_str(), view.secrets.get("db-password")), ("succeeded", Some(&1)));
    server.send(Ask::new(Method::DELETE, "/v1/secrets/db-password")).await.problem("secret-in-use");
    assert_eq!(server.send(Ask::new(Method::DELETE, "/v1/secrets/db-password?force=true")).await.status, 204);
}
