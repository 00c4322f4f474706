//! Every route of the table with every role, with a token of another tenant, and with none.

use http::Method;
use serde_json::{Value, json};
use skipper_core::{
    actor::Role,
    name::TenantName,
    policy::{Decision, Resource, decide},
    secret::SecretValue,
};
use skipper_server::{
    api::{Access, Route, routes},
    config::User,
};
use skipper_store::Token;

use crate::fixture::{Ask, Machine, Server, package};

const OWN: &str = "mine";

/// A request that is well formed for its route, so that nothing but the policy refuses it.
fn ask(route: &Route, tenant: &str) -> Ask {
    let id = "00000000-0000-7000-8000-000000000001";
    let path = route
        .path
        .replace("{name}", "web")
        .replace("{revision}", "1")
        .replace("{repository}", "local")
        .replace("{version}", if route.path.starts_with("/api/") { "1" } else { "1.0.0" })
        .replace("{max}", "1")
        .replace("{app}", "web")
        .replace("{package}", "hello")
        .replace("{file}", "hello-1.0.0.zip")
        .replace("{instance}", "web-0")
        .replace("{key}", "KEY")
        .replace("{tenant}", tenant)
        .replace("{node}", "host-1")
        .replace("{kind}", "tenant")
        .replace("{id}", id);
    let ask = Ask::new(route.method.clone(), &format!("{path}?tenant={tenant}"));
    let ask = match (&route.method, route.path) {
        (&Method::POST, "/v1/packages") => {
            let mut ask = ask.header("content-type", "application/zip");
            ask.body = package("hello", "1.0.0", "");
            ask
        }
        (&Method::POST | &Method::PUT, path) => ask.json(&body(path)),
        _ => ask,
    };
    if route.path.ends_with("/stream") { ask.header("last-event-id", "0") } else { ask }
}

fn body(path: &str) -> Value {
    if path.starts_with("/api/") {
        return spring(path);
    }
    match path.rsplit('/').next().unwrap_or_default() {
        "releases" => json!({"name": "web", "package": {"name": "none"}}),
        "plans" => json!({"verb": "delete", "name": "web"}),
        "scale" => json!({"replicas": {"web": 2}}),
        "exec" => json!({"command": ["true"]}),
        "maintenance" => json!({"message": "soon"}),
        "repositories" => json!({"name": "more", "url": "file:/nowhere"}),
        "tokens" => json!({"name": "x", "role": "viewer"}),
        "{name}" => json!({"value": "s3cret"}),
        _ => json!({}),
    }
}

/// What Spring's clients would send.
fn spring(path: &str) -> Value {
    let package = json!({"packageName": "none"});
    match path {
        "/api/install" | "/api/package/install" => json!({
            "packageIdentifier": package,
            "installProperties": {"releaseName": "web", "platformName": "local"},
        }),
        "/api/upload" | "/api/package/upload" => json!({
            "repoName": "nowhere", "name": "hello", "version": "1.0.0", "extension": "zip", "packageFileAsBytes": "UEs=",
        }),
        "/api/release/scale/{name}" => json!({"scale": [{"name": "web", "count": 1}]}),
        "/api/upgrade" | "/api/release/upgrade" => {
            json!({"packageIdentifier": package, "upgradeProperties": {"releaseName": "web"}})
        }
        _ => json!({"releaseName": "web", "platformName": "local", "endpoint": "/info"}),
    }
}

/// Answers of streams go on for ever; their head is what counts here.
async fn status(server: &Server, ask: Ask) -> (u16, String) {
    use tower::ServiceExt as _;
    let streams = ask.uri.contains("/stream")
        || ask.uri.starts_with("/v1/") && (ask.uri.contains("/logs") || ask.uri.contains("/backup"));
    if streams {
        let response = server.service.clone().oneshot(ask.request()).await.expect("a router never fails");
        if response.status().is_success() {
            return (response.status().as_u16(), String::new());
        }
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a problem is short");
        let problem: Value = serde_json::from_slice(&bytes).expect("a problem");
        let status = problem["status"].as_u64().and_then(|status| u16::try_from(status).ok()).expect("a status");
        return (status, problem["code"].as_str().unwrap_or_default().to_owned());
    }
    let answer = server.send(ask).await;
    let body = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    let code = body["code"].as_str().map(str::to_owned);
    // Spring's errors have no code; a tenant that is hidden is one that is not there.
    let of_spring = match (answer.status.as_u16(), body["message"].as_str()) {
        (403, Some(_)) => "forbidden",
        (404, Some(message)) if message.contains("there is no tenant") => "tenant-not-found",
        _ => "",
    };
    (answer.status.as_u16(), code.unwrap_or_else(|| of_spring.to_owned()))
}

fn decision(role: Role, scope: Option<&str>, access: Access, tenant: &str) -> Decision {
    let scope = scope.map(|name| TenantName::new(name).expect("a name"));
    let token = Token {
        id: skipper_core::id::TokenId::from_uuid(uuid::Uuid::nil()),
        name: "t".into(),
        role,
        tenant: scope,
        created_at: skipper_core::time::Timestamp::default(),
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
    };
    let tenant = TenantName::new(tenant).expect("a name");
    match access {
        Access::Public => Decision::Allow,
        Access::Signed | Access::Node => Decision::Deny,
        Access::Tenant(action) | Access::Owner(action) | Access::TenantOrTicket(action) | Access::SignedOr(action) => {
            decide(&token.actor(), action, Resource::Of(&tenant))
        }
        Access::Installation(action) => decide(&token.actor(), action, Resource::Installation),
    }
}

#[tokio::test]
async fn every_route_lets_in_exactly_whom_the_policy_lets_in() {
    let server = Server::start().await;
    let mut bearers = Vec::new();
    for role in [Role::Viewer, Role::Operator, Role::Admin] {
        for scope in [None, Some(OWN)] {
            bearers.push((role, scope, server.token(role, scope).await));
        }
    }
    let all = routes();
    assert!(all.len() > 40, "the table is the whole API");
    for route in &all {
        let public = route.access == Access::Public;
        let (anonymous, code) = status(&server, ask(route, "default")).await;
        assert_eq!(anonymous == 401, !public, "{route:?} without a token: {anonymous} {code}");
        for (role, scope, token) in &bearers {
            if matches!(route.access, Access::Signed | Access::Node) {
                let (status, _) = status(&server, ask(route, OWN).token(token)).await;
                assert_eq!(status, 401, "{route:?}: a token is no signature");
                continue;
            }
            for tenant in [OWN, "other"] {
                let (status, code) = status(&server, ask(route, tenant).token(token)).await;
                let who =
                    format!("{role:?} of {scope:?} on {tenant}: {} {}: {status} {code}", route.method, route.path);
                match decision(*role, *scope, route.access, tenant) {
                    Decision::Allow => {
                        assert!(!matches!(status, 401 | 403) && code != "tenant-not-found" && status < 500, "{who}");
                    }
                    Decision::Deny => assert_eq!((status, code.as_str()), (403, "forbidden"), "{who}"),
                    Decision::Hide => assert_eq!((status, code.as_str()), (404, "tenant-not-found"), "{who}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn the_configured_user_may_what_the_role_may_and_nothing_more() {
    for role in [Role::Viewer, Role::Operator] {
        let user = User { name: "alice".into(), password: SecretValue::new("s3cret".into()), role };
        let server = Machine { user: Some(user), ..Machine::default() }.boot().await;
        for route in &routes() {
            // `alice:s3cret`
            let (status, code) =
                status(&server, ask(route, "default").header("authorization", "Basic YWxpY2U6czNjcmV0")).await;
            let who = format!("{role:?}: {} {}: {status} {code}", route.method, route.path);
            match decision(role, None, route.access, "default") {
                Decision::Allow => assert!(!matches!(status, 401 | 403) && status < 500, "{who}"),
                Decision::Deny if matches!(route.access, Access::Signed | Access::Node) => {
                    assert_eq!(status, 401, "{who}");
                }
                Decision::Deny => assert_eq!(status, 403, "{who}"),
                Decision::Hide => assert_eq!(status, 404, "{who}"),
            }
        }
    }
}

#[test]
fn nothing_that_changes_something_is_open_to_viewers_or_the_public() {
    for route in routes() {
        let changes = !matches!(route.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let viewer = decision(Role::Viewer, None, route.access, OWN) == Decision::Allow;
        assert!(!(changes && (viewer || route.access == Access::Public)), "{route:?}");
    }
}

#[tokio::test]
async fn a_rollout_of_another_tenant_does_not_exist() {
    let server = Server::serving().await;
    let latest: Value = server.get("/v1/releases/web").await.ok();
    let id = latest["rollout"]["id"].as_str().expect("an id").to_owned();
    let foreign = server.token(Role::Admin, Some(OWN)).await;
    for path in [format!("/v1/rollouts/{id}"), format!("/v1/rollouts/{id}/stream")] {
        server.send(Ask::get(&path).token(&foreign)).await.problem("rollout-not-found");
    }
    let events: Value = server.send(Ask::get("/v1/events").token(&foreign)).await.ok();
    assert_eq!(events["items"], json!([]), "nor do its events");
}
