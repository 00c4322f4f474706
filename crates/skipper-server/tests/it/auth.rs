use skipper_core::actor::Role;
use skipper_server::api::own::wire::{TokenCreated, TokenList};

use crate::fixture::{Ask, Machine, Server};

#[tokio::test]
async fn without_any_token_only_requests_of_this_machine_itself_are_let_in() {
    let server = Server::start().await;
    assert_eq!(server.get("/v1/releases").await.status, 200);
    let mut foreign = Ask::get("/v1/releases");
    foreign.peer = Some("192.0.2.1:5".parse().expect("address"));
    let refused = [
        foreign,
        Ask::get("/v1/releases").header("host", "skipper.example.org"),
        Ask::get("/v1/releases").header("x-forwarded-for", "192.0.2.1"),
        Ask::get("/v1/releases").header("forwarded", "for=192.0.2.1"),
        Ask::get("/v1/releases").header("via", "1.1 proxy"),
        Ask::get("/v1/releases").header("origin", "https://evil.example"),
    ];
    for ask in refused {
        let answer = server.send(ask.clone()).await;
        answer.problem("unauthenticated");
        assert!(answer.header("www-authenticate").is_some(), "{ask:?}");
    }
    let own = Ask::get("/v1/releases").header("origin", "http://localhost:7577");
    assert_eq!(server.send(own).await.status, 200);
}

#[tokio::test]
async fn as_soon_as_there_is_a_token_nobody_is_let_in_without_one() {
    let server = Server::start().await;
    let body = serde_json::json!({"name": "ci", "role": "operator"});
    let made: TokenCreated = server.post("/v1/tokens", &body).await.ok();
    let secret = made.secret.expect("shown once");
    server.get("/v1/releases").await.problem("unauthenticated");
    assert_eq!(server.send(Ask::get("/v1/releases").token(&secret)).await.status, 200);
    server.send(Ask::get("/v1/releases").token("skp_wrong")).await.problem("unauthenticated");
    server.send(Ask::get("/v1/releases").header("authorization", "Basic eDp5")).await.problem("unauthenticated");
    // A token works from anywhere, through any proxy.
    let mut far = Ask::get("/v1/releases").token(&secret).header("x-forwarded-for", "192.0.2.9");
    far.peer = Some("192.0.2.1:5".parse().expect("address"));
    assert_eq!(server.send(far).await.status, 200);
}

#[tokio::test]
async fn a_revoked_token_lets_nobody_in_and_the_list_never_shows_a_secret() {
    let server = Server::start().await;
    let admin = server.token(Role::Admin, None).await;
    let body = serde_json::json!({"name": "ci", "role": "viewer", "expires_in": "30d", "tenant": "default"});
    let made: TokenCreated = server.send(Ask::post("/v1/tokens", &body).token(&admin)).await.ok();
    let secret = made.secret.expect("shown once");
    let listed = server.send(Ask::get("/v1/tokens").token(&admin)).await;
    assert!(!listed.text().contains(&secret));
    assert_eq!(listed.ok::<TokenList>().items.len(), 2);
    let gone = Ask::new(http::Method::DELETE, &format!("/v1/tokens/{}", made.token.id)).token(&admin);
    assert_eq!(server.send(gone).await.status, 204);
    server.send(Ask::get("/v1/releases").token(&secret)).await.problem("unauthenticated");
}

#[tokio::test]
async fn the_configured_admin_token_is_compared_and_never_stored() {
    let machine = Machine { admin_token: Some("0123456789abcdef".into()), ..Machine::default() };
    let server = machine.boot().await;
    server.get("/v1/releases").await.problem("unauthenticated");
    let listed = server.send(Ask::get("/v1/tokens").token("0123456789abcdef")).await;
    assert!(listed.ok::<TokenList>().items.is_empty());
    server.send(Ask::get("/v1/tokens").token("0123456789abcdeX")).await.problem("unauthenticated");
}
