use base64::{Engine as _, prelude::BASE64_STANDARD};
use skipper_core::{actor::Role, secret::SecretValue};
use skipper_server::{
    api::own::wire::{TokenCreated, TokenList},
    config::User,
};

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

fn basic(text: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(text))
}

fn with_user(role: Role) -> Machine {
    let user = User { name: "alice".into(), password: SecretValue::new("s3:cret".into()), role };
    Machine { user: Some(user), ..Machine::default() }
}

#[tokio::test]
async fn a_token_works_as_the_password_of_any_user() {
    let machine = Machine { admin_token: Some("0123456789abcdef".into()), ..Machine::default() };
    let server = machine.boot().await;
    let viewer = server.token(Role::Viewer, None).await;
    for (path, user) in [("/v1/releases", "ci"), ("/api/list", ""), ("/api/repositories", "no matter")] {
        for secret in ["0123456789abcdef", &viewer] {
            let ask = Ask::get(path).header("authorization", &basic(&format!("{user}:{secret}")));
            assert_eq!(server.send(ask).await.status, 200, "{path}");
        }
    }
    let scheme =
        Ask::get("/v1/releases").header("authorization", &basic(&format!("x:{viewer}")).replace("Basic", "bAsIc"));
    assert_eq!(server.send(scheme).await.status, 200);
    let token = Ask::post("/v1/tokens", &serde_json::json!({"name": "x", "role": "viewer"}));
    server.send(token.header("authorization", &basic(&format!("x:{viewer}")))).await.problem("forbidden");
}

#[tokio::test]
async fn the_configured_user_is_let_in_with_the_password_alone() {
    let server = with_user(Role::Operator).boot().await;
    server.get("/v1/releases").await.problem("unauthenticated");
    let good = basic("alice:s3:cret");
    assert_eq!(server.send(Ask::get("/v1/releases").header("authorization", &good)).await.status, 200);
    let mut far = Ask::get("/api/list").header("authorization", &good).header("x-forwarded-for", "192.0.2.9");
    far.peer = Some("192.0.2.1:5".parse().expect("address"));
    assert_eq!(server.send(far).await.status, 200);
    let no_base64 = "Basic alice:s3:cret".to_owned();
    let unpadded = good.trim_end_matches('=').to_owned() + "!";
    let long = basic(&format!("alice:{}", "x".repeat(8000)));
    let refused = [
        basic("alice:wrong"),
        basic("alice:"),
        basic("alice"),
        basic(":s3:cret"),
        basic("bob:s3:cret"),
        basic("Alice:s3:cret"),
        basic("alice:s3:cret "),
        "Bearer s3:cret".to_owned(),
        "Basic".to_owned(),
        "Basic ".to_owned(),
        "Digest alice".to_owned(),
        no_base64,
        unpadded,
        long,
    ];
    for header in refused {
        let answer = server.send(Ask::get("/v1/releases").header("authorization", &header)).await;
        assert!(!answer.text().contains("s3:cret"), "{header}");
        answer.problem("unauthenticated");
    }
    let mut twice = Ask::get("/v1/releases").header("authorization", &good);
    twice.headers.push(("authorization", good));
    server.send(twice).await.problem("unauthenticated");
}

#[tokio::test]
async fn a_page_of_another_origin_cannot_use_a_password_that_a_browser_remembers() {
    let server = with_user(Role::Admin).boot().await;
    let ask = |origin: &str| {
        Ask::get("/v1/releases").header("authorization", &basic("alice:s3:cret")).header("origin", origin)
    };
    assert_eq!(server.send(ask("http://localhost:7577")).await.status, 200);
    for origin in ["https://evil.example", "null"] {
        server.send(ask(origin)).await.problem("unauthenticated");
    }
}

#[tokio::test]
async fn springs_clients_are_told_that_a_password_is_wanted() {
    let server = with_user(Role::Viewer).boot().await;
    for path in ["/api", "/api/about", "/api/list", "/api/repositories", "/api/packageMetadata"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Basic ")), "{path}");
    }
    assert_eq!(server.get("/actuator").await.status, 401);
    for path in ["/actuator/health", "/actuator/info", "/healthz", "/readyz"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
        for (sent, status) in [("alice:s3:cret", 200), ("alice:wrong", 401), ("bob:s3:cret", 401)] {
            let answer = server.send(Ask::get(path).header("authorization", &basic(sent))).await;
            assert_eq!(answer.status, status, "{path} {sent}");
        }
    }
    let own = server.get("/v1/releases").await;
    assert!(own.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer ")));
}

#[tokio::test]
async fn a_tenants_token_uses_the_platforms_that_are_for_tenants() {
    let kept = skipper_server::tenant_platforms::TenantPlatforms::parse("node:*").expect("a list");
    let server = Machine { tenant_platforms: kept, ..Machine::default() }.boot().await;
    server.upload("1.0.0", "").await.ok::<serde_json::Value>();
    server.install("web", "1.0.0").await;
    let (own, every) = (server.token(Role::Operator, Some("default")).await, server.token(Role::Operator, None).await);
    let body = serde_json::json!({"name": "other", "package": {"name": "hello", "version": "1.0.0"}});
    let refused = server.send(Ask::post("/v1/releases", &body).token(&own)).await.problem("forbidden");
    assert!(refused.hint.is_some_and(|hint| hint.contains("security.tenant_platforms")), "{}", refused.detail);
    // What runs there is not the token's to run commands in, nor to change; it may look at it, and take it away.
    for (path, body) in
        [("exec", serde_json::json!({"command": ["id"]})), ("scale", serde_json::json!({"replicas": {"web": 2}}))]
    {
        server.send(Ask::post(&format!("/v1/releases/web/{path}"), &body).token(&own)).await.problem("forbidden");
    }
    assert_eq!(server.send(Ask::get("/v1/releases/web").token(&own)).await.status, 200);
    assert_eq!(server.send(Ask::new(http::Method::DELETE, "/v1/releases/web").token(&own)).await.status, 202);
    assert_eq!(server.send(Ask::post("/v1/releases", &body).token(&every)).await.status, 202);
}
