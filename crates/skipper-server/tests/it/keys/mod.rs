//! Idempotency keys on every route of every door that changes something: the same key gives the first answer, also after a restart,
//! with another body it is refused, and it belongs to whoever sent it.

mod world;

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use skipper_core::actor::Role;
use skipper_server::api::{Access, WITHOUT_KEY, document, routes};

use self::world::World;
use crate::{
    api::{JAVA_2, install, shape, stocked},
    apps::on_disk,
    deploys::{GLOBAL, signed},
    fixture::{Answer, Ask, Server},
};

/// The same request with another body, signed anew where that counts.
fn changed(ask: &Ask) -> Ask {
    if ask.uri == "/v1/deploy" {
        return signed(GLOBAL, r#"{"app":"web","tag":"v2"}"#);
    }
    let mut other = ask.clone();
    other.body.push(b' ');
    other
}

#[track_caller]
fn same(first: &Answer, again: &Answer, what: &str) {
    assert_eq!(again.status, first.status, "{what}: {}", again.text());
    assert_eq!(again.header("idempotency-replayed"), Some("true"), "{what}");
    for name in ["content-type", "location", "etag", "content-disposition"] {
        assert_eq!(again.header(name), first.header(name), "{what}: {name}");
    }
    let told = |answer: &Answer| {
        let mut body = serde_json::from_slice::<Value>(&answer.body).unwrap_or_else(|_| json!(answer.text()));
        // The secret of a token is told once.
        if what.starts_with("POST /v1/tokens") {
            body.as_object_mut().expect("a token").remove("secret");
        }
        body
    };
    assert_eq!(told(again), told(first), "{what}");
}

#[tokio::test]
async fn every_call_that_changes_something_has_one_effect_and_one_answer_under_its_key() {
    let world = Box::pin(World::start()).await;
    let somebody = world.server.token(Role::Admin, None).await;
    let mut asked = Vec::new();
    for route in routes() {
        let changes = !matches!(route.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if !changes || WITHOUT_KEY.iter().any(|(path, _)| *path == route.path) {
            continue;
        }
        let what = format!("{} {}", route.method, route.path);
        let key = format!("key-{}", asked.len());
        let ask = Box::pin(world.well_formed(&route)).await.key(&key);
        let first = world.server.send(ask.clone()).await;
        assert!(first.status.is_success(), "{what}: {}: {}", first.status, first.text());
        assert_eq!(first.header("idempotency-replayed"), None, "{what}");
        same(&first, &world.server.send(ask.clone()).await, &what);
        let other = world.server.send(changed(&ask).key(&key)).await;
        assert_eq!(other.status, 422, "{what}: {}", other.text());
        if !matches!(route.access, Access::Signed) {
            let theirs = world.server.send(ask.clone().token(&somebody)).await;
            assert_eq!(theirs.header("idempotency-replayed"), None, "{what}: the key of somebody else");
            let nobodys = Ask {
                headers: ask.headers.iter().filter(|(name, _)| *name != "authorization").cloned().collect(),
                ..ask.clone()
            };
            assert_eq!(world.server.send(nobodys).await.status, 401, "{what}");
        }
        asked.push((what, ask, first));
    }
    assert!(asked.len() > 60, "{} routes", asked.len());
    let server = world.server.reboot().await;
    for (what, ask, first) in asked {
        same(&first, &server.send(ask).await, &format!("{what}: after a restart"));
    }
}

/// All of them at once: one effect, one answer, and all but the first are marked.
async fn at_once(server: &Server, ask: &Ask) -> Value {
    let answers = futures::future::join_all((0..8).map(|_| server.send(ask.clone()))).await;
    let again = answers.iter().filter(|answer| answer.header("idempotency-replayed") == Some("true"));
    assert_eq!(again.count(), answers.len() - 1, "{}", answers[0].text());
    for answer in &answers {
        assert_eq!((answer.status, answer.text()), (answers[0].status, answers[0].text()));
    }
    answers[0].ok()
}

#[tokio::test]
async fn repetitions_that_waited_for_the_first_call_are_marked_and_say_all_that_it_said() {
    let world = Box::pin(World::start()).await;
    let install = json!({"name": "web-two", "package": {"name": "hello", "version": "1.0.0"}});
    at_once(&world.server, &world.post("/v1/releases", &install).key("k-1")).await;
    world.registered("of-acme").await;
    world.ok(world.tenant("acme", "hi")).await;
    let applied = at_once(&world.server, &world.post("/v1/deployments/acme/apply", &json!({})).key("k-2")).await;
    assert_eq!(applied["orders"].as_array().map(Vec::len), Some(1), "{applied}");
    at_once(
        &world.server,
        &world.post("/api/repositories", &json!({"name": "r", "url": "http://127.0.0.1:9/"})).key("k-3"),
    )
    .await;
}

#[tokio::test]
async fn an_answer_that_was_lost_locks_no_node_out() {
    let world = Box::pin(World::start()).await;
    let first = world.registered("host-1").await;
    let works = async |token: &str| {
        let next = Ask::get("/v1/nodes/host-1/work-orders/next").token(token);
        world.server.send(next).await.status == 204
    };
    let rotate = world.post("/v1/nodes/host-1/rotate-token", &json!({})).key("k-1");
    let rotated = world.ok(rotate.clone()).await["token"].as_str().expect("a token").to_owned();
    assert_eq!(world.ok(rotate).await["token"], rotated.as_str(), "not one more token");
    assert!(works(&rotated).await && !works(&first).await);
    let made = world.ok(world.post("/v1/nodes/host-1/enrolments", &json!({}))).await;
    let enrolment = made["token"].as_str().expect("a token");
    let enrol = |bearer: &str| Ask::post("/v1/nodes/host-1/enrol", &json!({})).token(bearer);
    let own = world.ok(enrol(enrolment).key("k-2")).await["token"].as_str().expect("a token").to_owned();
    assert_eq!(world.ok(enrol(enrolment).key("k-2")).await["token"], own.as_str());
    assert!(works(&own).await);
    for other in
        [enrol(enrolment), enrol(enrolment).key("k-3"), enrol("ske_another").key("k-2"), enrol(&own).key("k-2")]
    {
        assert_eq!(world.server.send(other).await.status, 401, "it is good once, for whoever asks again");
    }
}

#[tokio::test]
async fn a_delivery_under_a_key_is_one_deploy_as_long_as_keys_are_known() {
    let server = on_disk().boot().await;
    let body = r#"{"app":"web","tag":"v1"}"#;
    let first = server.send(signed(GLOBAL, body).key("run-1")).await;
    assert_eq!(first.status, 202, "{}", first.text());
    let unsigned = server.send(signed("another", body).key("run-1")).await;
    assert_eq!(unsigned.status, 401, "the key is no proof");
    let other = server.send(signed(GLOBAL, r#"{"app":"web","tag":"v2"}"#).key("run-1")).await;
    assert_eq!(other.status, 422, "{}", other.text());
    // Of another app, whoever has its key may call it the same.
    let shop = server.send(signed(GLOBAL, r#"{"app":"shop","tag":"v1"}"#).key("run-1")).await;
    assert_eq!(shop.status, 202, "{}", shop.text());
    server.machine.clock.advance(Duration::from_secs(6 * 60));
    let again = server.send(signed(GLOBAL, body).key("run-1")).await;
    assert_eq!((again.header("idempotency-replayed"), again.text()), (Some("true"), first.text()));
    let without = server.send(signed(GLOBAL, body)).await;
    assert_eq!((without.status.as_u16(), without.header("idempotency-replayed")), (202, None), "{}", without.text());
}

#[tokio::test]
async fn previews_that_a_signature_removes_are_told_again_to_whoever_signed() {
    let world = Box::pin(World::start()).await;
    world.previewed("a-one", "pr-1").await;
    let ask = |key: &str| {
        let signature = signed(key, "a-one:*").headers;
        Ask {
            method: Method::DELETE,
            uri: "/v1/previews/a-one".to_owned(),
            headers: signature,
            body: Vec::new(),
            peer: None,
        }
    };
    let first = world.server.send(ask(GLOBAL).key("k-1")).await;
    assert_eq!(first.ok::<Value>(), json!({"torn_down": ["pr-1"]}));
    same(&first, &world.server.send(ask(GLOBAL).key("k-1")).await, "a removal");
    assert_eq!(world.server.send(ask("another").key("k-1")).await.status, 401);
    let other = world.server.send(ask(GLOBAL).key("k-2")).await;
    assert_eq!(other.ok::<Value>(), json!({"torn_down": []}), "another key is another call");
}

#[tokio::test]
async fn what_spring_was_never_told_of_an_install_is_told_in_its_own_words_after_a_crash() {
    use tower::ServiceExt as _;
    let server = stocked().await;
    let ask = |name: &str| Ask::post("/api/package/install", &install("1.0.0", name)).header("accept", JAVA_2);
    let usual = shape(&server.send(ask("usual")).await.ok::<Value>());
    server.freeze();
    let lost = ask("web").key("k-1");
    let mut events = server.app.store.events_subscribe();
    let mut running = Box::pin(server.service.clone().oneshot(lost.clone().request()));
    let (tenant, name) = ("default".parse().expect("a name"), "web".parse().expect("a name"));
    while server.app.store.release_get(&tenant, &name).await.expect("read").is_none() {
        futures::future::poll_immediate(&mut running).await;
        let _ = tokio::time::timeout(Duration::from_millis(20), events.changed()).await;
    }
    drop(running);
    let server = server.reboot().await;
    let told = server.send(lost.clone()).await;
    assert_eq!((told.status.as_u16(), told.header("idempotency-replayed")), (201, Some("true")), "{}", told.text());
    let version: Value = told.read();
    assert_eq!((&version["name"], &version["version"], shape(&version)), (&json!("web"), &json!(1), usual));
    same(&told, &server.send(lost).await, "the same again");
}

#[tokio::test]
async fn what_an_apply_does_not_know_is_refused_in_words_of_its_body() {
    let world = Box::pin(World::start()).await;
    let refused = async |body: Value| {
        world.server.send(world.post("/v1/deployments/acme/apply", &body)).await.problem("invalid").detail
    };
    for (body, told) in [
        (json!({"rolout": {"waves": [1]}}), "unknown field `rolout`, expected `rollout`"),
        (json!({"force": true}), "unknown field `force`"),
        (json!({"rollout": null}), "null, expected an object with `waves`, `max_unavailable` or `on_failure`"),
        (json!({"rollout": {"waves": 3}}), "expected a list"),
        (Value::Null, "null, expected an object, as {\"rollout\": …}"),
    ] {
        let said = refused(body.clone()).await;
        assert!(said.contains(told) && !said.contains("struct"), "{body}: {said}");
    }
    let document = serde_json::to_value(document()).expect("JSON");
    for path in ["apply", "plan", "converge", "roll-back"] {
        let body = &document["paths"][format!("/v1/deployments/{{tenant}}/{path}")]["post"]["requestBody"];
        assert_ne!(body["required"], true, "{path}");
        let schema = body["content"]["application/json"]["schema"]["$ref"].as_str().expect("a reference");
        let schema = &document["components"]["schemas"][schema.rsplit('/').next().expect("a name")];
        assert_eq!(
            (&schema["additionalProperties"], schema["properties"]["rollout"].is_object()),
            (&json!(false), true),
            "{schema}"
        );
    }
    let install = &document["paths"]["/v1/releases"]["post"]["requestBody"];
    assert_eq!(install["required"], true, "{install}");
}

#[test]
fn what_passes_keys_over_is_a_route_and_is_told_in_the_documentation() {
    let page = include_str!("../../../../../docs/api.md");
    for (path, why) in WITHOUT_KEY {
        let known = routes().into_iter().any(|route| route.path == path && route.method == Method::POST);
        assert!(known, "{path} is no route");
        assert!(page.contains(&format!("`POST {path}`")) && page.contains(why), "{path}: {why}");
    }
}
