use serde_json::{Value, json};
use skipper_server::api::own::wire::{Accepted, TokenCreated};

use crate::fixture::{Answer, Ask, Server};

fn install(name: &str) -> Value {
    json!({"name": name, "package": {"name": "hello"}})
}

async fn server() -> Server {
    let server = Server::start().await;
    server.upload("1.0.0", "").await.ok::<Value>();
    server
}

#[tokio::test]
async fn the_same_request_under_one_key_has_one_effect_and_one_answer() {
    let server = server().await;
    let first = server.send(Ask::post("/v1/releases", &install("web")).key("k-1")).await;
    let again = server.send(Ask::post("/v1/releases", &install("web")).key("k-1")).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (202, 202));
    assert_eq!(first.body, again.body);
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let old = server.send(Ask::post("/v1/releases", &install("web")).header("x-idempotency-key", "k-1")).await;
    assert_eq!(old.body, first.body, "both names of the header are one");
    server.send(Ask::post("/v1/releases", &install("other")).key("k-1")).await.problem("idempotency-mismatch");
    let elsewhere = Ask::post("/v1/releases?tenant=x", &install("web")).key("k-1");
    server.send(elsewhere).await.problem("idempotency-mismatch");
}

#[tokio::test]
async fn requests_that_come_at_once_under_one_key_have_one_effect() {
    let server = server().await;
    let ask = || server.send(Ask::post("/v1/releases", &install("web")).key("k-2"));
    let answers = futures::future::join_all((0..8).map(|_| ask())).await;
    let bodies: std::collections::BTreeSet<String> = answers.iter().map(Answer::text).collect();
    assert_eq!(bodies.len(), 1, "one answer for all: {bodies:?}");
    assert_eq!(answers[0].ok::<Accepted>().revision, Some(1));
}

#[tokio::test]
async fn the_answer_outlives_the_server() {
    let server = server().await;
    let first = server.send(Ask::post("/v1/releases", &install("web")).key("k-3")).await;
    let server = server.reboot().await;
    let again = server.send(Ask::post("/v1/releases", &install("web")).key("k-3")).await;
    assert_eq!(first.body, again.body);
}

#[tokio::test]
async fn a_refusal_is_not_remembered() {
    let server = Server::start().await;
    server.send(Ask::post("/v1/releases", &install("web")).key("k-4")).await.problem("package-not-found");
    server.upload("1.0.0", "").await.ok::<Value>();
    assert_eq!(server.send(Ask::post("/v1/releases", &install("web")).key("k-4")).await.status, 202);
}

#[tokio::test]
async fn a_repeated_token_comes_without_its_secret() {
    let server = Server::start().await;
    let admin = server.token(skipper_core::actor::Role::Admin, None).await;
    let ask = || Ask::post("/v1/tokens", &json!({"name": "ci", "role": "viewer"})).key("k-5").token(&admin);
    let first: TokenCreated = server.send(ask()).await.ok();
    let again: TokenCreated = server.send(ask()).await.ok();
    assert!(first.secret.is_some() && again.secret.is_none());
    assert_eq!(first.token.id, again.token.id);
}

#[tokio::test]
async fn keys_belong_to_who_sends_them() {
    let server = server().await;
    let one = server.token(skipper_core::actor::Role::Operator, None).await;
    let two = server.token(skipper_core::actor::Role::Operator, None).await;
    server.send(Ask::post("/v1/releases", &install("a")).key("k-6").token(&one)).await.ok::<Accepted>();
    server.send(Ask::post("/v1/releases", &install("b")).key("k-6").token(&two)).await.ok::<Accepted>();
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_no_half_of_a_write() {
    use tower::ServiceExt as _;
    let server = server().await;
    let ask = Ask::post("/v1/releases", &install("web")).key("k-7");
    let mut events = server.app.store.events_subscribe();
    // Polled once, then dropped, as axum drops a handler whose client is gone.
    let mut running = Box::pin(server.service.clone().oneshot(ask.clone().request()));
    let mut started = false;
    while !started {
        futures::future::poll_immediate(&mut running).await;
        started = !server.app.tasks.is_empty();
        tokio::task::yield_now().await;
    }
    drop(running);
    while server
        .app
        .store
        .release_get(&"default".parse().expect("name"), &"web".parse().expect("name"))
        .await
        .expect("read")
        .is_none()
    {
        events.changed().await.expect("open");
    }
    let again: Accepted = server.send(ask).await.ok();
    assert_eq!(again.revision, Some(1));
}
