use http::Method;
use serde_json::json;

use crate::fixture::{Ask, Server};

#[tokio::test]
async fn whatever_goes_wrong_is_a_problem_document_with_the_request_id() {
    let server = Server::start().await;
    let mut text = Ask::new(Method::POST, "/v1/releases").header("content-type", "text/plain");
    text.body = b"x".to_vec();
    let mut broken = Ask::new(Method::POST, "/v1/releases").header("content-type", "application/json");
    broken.body = b"{".to_vec();
    let mut large = Ask::new(Method::POST, "/v1/releases").header("content-type", "application/json");
    large.body = vec![b' '; 65 * 1024];
    let cases = [
        (Ask::get("/nowhere"), "not-found"),
        (Ask::new(Method::PATCH, "/v1/releases"), "method-not-allowed"),
        (text, "unsupported-media-type"),
        (broken, "bad-request"),
        (large, "body-too-large"),
        (Ask::post("/v1/releases", &json!({"name": "web"})), "invalid"),
        (Ask::post("/v1/releases", &json!(["web", {"name": "x"}, null, null, null, null])), "invalid"),
        (Ask::post("/v1/releases", &json!({"name": "web", "package": {"name": "x"}, "valeus": {}})), "invalid"),
        (Ask::post("/v1/releases", &json!({"name": "../x", "package": {"name": "x"}})), "invalid"),
        (Ask::post("/v1/releases", &json!({"name": "web", "package": {"name": "x"}})), "package-not-found"),
        (
            Ask::post("/v1/releases", &json!({"name": "w", "package": {"name": "x"}, "platform": "moon"})),
            "platform-not-found",
        ),
        (Ask::get("/v1/releases/web"), "release-not-found"),
        (Ask::get("/v1/releases?limit=0"), "invalid"),
        (Ask::get("/v1/releases?limit=many"), "bad-request"),
        (Ask::get("/v1/releases?page=2"), "bad-request"),
        (Ask::get("/v1/releases?tenant=a/b"), "invalid"),
        (Ask::get("/v1/releases/web/revisions/x"), "bad-request"),
        (Ask::get("/v1/releases/%ff"), "bad-request"),
        (Ask::get("/v1/rollouts/x"), "invalid"),
        (Ask::get("/v1/rollouts/00000000-0000-7000-8000-000000000009"), "rollout-not-found"),
        (Ask::get("/v1/packages/nowhere/x/1.0.0"), "repository-not-found"),
        (Ask::get("/v1/packages/local/x/1.0.0"), "package-not-found"),
        (Ask::post("/v1/plans", &json!({"verb": "explode", "name": "web"})), "invalid"),
        (Ask::get("/v1/events?after=x"), "invalid"),
        (Ask::new(Method::DELETE, "/v1/secrets/none"), "secret-not-found"),
        (Ask::new(Method::DELETE, "/v1/tokens/00000000-0000-7000-8000-000000000009"), "token-not-found"),
        (Ask::post("/v1/releases", &json!({})).key("a b"), "bad-request"),
    ];
    for (ask, code) in cases {
        let shown = format!("{} {}", ask.method, ask.uri);
        let answer = server.send(ask).await;
        let problem = answer.problem(code);
        assert_eq!(answer.header("x-request-id"), Some(problem.request_id.as_str()), "{shown}");
        assert_eq!(problem.kind, format!("docs/errors/{code}.md"));
    }
}

#[tokio::test]
async fn an_unknown_method_is_told_which_ones_there_are() {
    let server = Server::start().await;
    let answer = server.send(Ask::new(Method::PATCH, "/v1/releases")).await;
    let allowed = answer.header("allow").expect("RFC 9110 demands it");
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
}

#[tokio::test]
async fn ids_of_the_caller_come_back_and_go_into_events() {
    let server = Server::start().await;
    let id = "018f0000-0000-7000-8000-00000000000a";
    let mut ask = Ask::new(Method::PUT, "/v1/secrets/db").header("content-type", "text/plain");
    ask.body = b"s3cret".to_vec();
    let answer = server
        .send(ask.header("x-request-id", id).header("x-correlation-id", "job-7").header("x-skipper-trigger", "cli"))
        .await;
    assert_eq!((answer.header("x-request-id"), answer.header("x-correlation-id")), (Some(id), Some("job-7")));
    let events: serde_json::Value = server.get("/v1/events").await.ok();
    let event = &events["items"][0];
    assert_eq!(event["request_id"], id);
    assert_eq!((event["correlation_id"].as_str(), event["trigger"].as_str()), (Some("job-7"), Some("cli")));
    assert!(!events.to_string().contains("s3cret"));
    // An id of another form is no request id here, but it is not lost.
    let answer = server.send(Ask::get("/healthz").header("x-request-id", "abc")).await;
    assert_eq!(answer.header("x-correlation-id"), Some("abc"));
    assert_ne!(answer.header("x-request-id"), Some("abc"));
}
