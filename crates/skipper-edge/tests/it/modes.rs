//! Hold, maintenance, weights, drain, and the counters.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use skipper_core::{
    deployment::DeploymentId,
    port::Router as _,
    route::{Listener, Mode, Service},
    time::Millis,
};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::support::{Client, Fixture, Upstream, backend, eventually, get, key, service, to};

fn id(name: &str) -> DeploymentId {
    DeploymentId::from_stored(name)
}

#[tokio::test]
async fn held_requests_wait_for_the_next_version() {
    let (edge, one, two) = (Fixture::start(), Upstream::start("one").await, Upstream::start("two").await);
    let held = Service { mode: Mode::Held { bound: Millis(20_000) }, ..to(1, &one) };
    let at = edge.set(&held).await;
    let tasks = TaskTracker::new();
    let waiting: Vec<_> = (0..20).map(|_| tasks.spawn(get(at, "h", "/"))).collect();
    eventually("all of them wait", async || {
        edge.router.metrics().await.expect("metrics").contains("skipper_edge_waiting 20")
    })
    .await;
    assert_eq!(one.requests(), 0);
    edge.set(&to_two(&two)).await;
    for answer in waiting {
        assert_eq!(answer.await.expect("joined").text(), "two");
    }
    assert!(edge.router.metrics().await.expect("metrics").contains("skipper_edge_waiting 0"));
    edge.end();
}

fn to_two(two: &Upstream) -> Service {
    to(1, two)
}

#[tokio::test]
async fn a_hold_ends_with_its_bound_and_has_room_for_so_many() {
    let (edge, one) = (Fixture::with(|config| config.limits.waiting = 2), Upstream::start("one").await);
    let at = edge.set(&Service { mode: Mode::Held { bound: Millis(400) }, ..to(1, &one) }).await;
    let tasks = TaskTracker::new();
    let began = Instant::now();
    let two: Vec<_> = (0..2).map(|_| tasks.spawn(get(at, "h", "/"))).collect();
    eventually("two wait", async || edge.router.metrics().await.expect("metrics").contains("skipper_edge_waiting 2"))
        .await;
    let third = get(at, "h", "/").await;
    assert_eq!((third.status, third.header("retry-after")), (503, Some("1")));
    assert!(began.elapsed() < Duration::from_millis(400), "it was refused at once");
    for answer in two {
        assert_eq!(answer.await.expect("joined").status, 503);
    }
    assert!(began.elapsed() >= Duration::from_millis(400));
    edge.end();
}

#[tokio::test]
async fn a_client_that_gives_up_while_it_is_held_waits_no_longer() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let at = edge.set(&Service { mode: Mode::Held { bound: Millis(60_000) }, ..to(1, &one) }).await;
    let mut client = Client::connect(at).await;
    client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let waits = async |count: &str| edge.router.metrics().await.expect("metrics").contains(count);
    eventually("it waits", async || waits("skipper_edge_waiting 1").await).await;
    drop(client);
    eventually("it is gone", async || waits("skipper_edge_waiting 0").await).await;
    edge.end();
}

#[tokio::test]
async fn maintenance_shows_its_page_and_a_probe_sees_through() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let mode = Mode::Maintenance { message: "Back at <5>".to_owned() };
    let at = edge.set(&Service { mode, ..to(1, &one) }).await;
    let answer = get(at, "h", "/").await;
    assert_eq!((answer.status, answer.header("content-type")), (503, Some("text/html; charset=utf-8")));
    assert!(answer.text().contains("Back at &lt;5&gt;"));
    let verified = edge.router.verify(&key(Listener::Http, None, "/"), "/status?204").await.expect("verified");
    assert_eq!((verified.deployment, verified.status), (id("one"), 204));
    edge.end();
}

#[tokio::test]
async fn a_probe_is_told_who_answered_and_nobody_else_is() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let at = edge.set(&to(1, &one)).await;
    let verified = edge.router.verify(&key(Listener::Http, None, "/"), "/status?500").await.expect("verified");
    assert_eq!((verified.deployment, verified.status), (id("one"), 500));
    let token = edge.router.info().await.expect("info").verify_token;
    let ask = async |token: &str| {
        let mut client = Client::connect(at).await;
        client.send(format!("GET /head HTTP/1.1\r\nhost: h\r\nx-skipper-verify: {token}\r\n\r\n")).await;
        client.answer().await.expect("an answer")
    };
    let answer = ask(&token).await;
    assert_eq!(answer.header("x-skipper-deployment"), Some("one"));
    assert!(!answer.text().contains("x-skipper-verify"), "the token goes no further");
    for wrong in ["", "x", &token[1..], &token.to_uppercase().replace(|c: char| c.is_ascii_digit(), "0")] {
        let answer = ask(wrong).await;
        assert_eq!(answer.header("x-skipper-deployment"), None);
        assert!(!answer.text().contains("x-skipper-verify"));
    }
    let error = edge.router.verify(&key(Listener::Http, Some("x.y"), "/"), "/").await;
    assert!(error.is_ok(), "a route for any host takes it");
    edge.set(&service(1)).await;
    let error = edge.router.verify(&key(Listener::Http, None, "/"), "/").await.expect_err("no backend");
    assert_eq!(error.code(), "verify-unanswered");
    let error = edge.router.verify(&key(Listener::Port(1), None, "/"), "/").await.expect_err("no listener");
    assert_eq!(error.code(), "not-listening");
    edge.end();
}

#[tokio::test]
async fn weights_are_kept_within_tolerance() {
    let (edge, one, two) = (Fixture::start(), Upstream::start("one").await, Upstream::start("two").await);
    let three = Upstream::start("three").await;
    let backends = vec![
        backend("one", 90, &[one.address()]),
        backend("two", 10, &[two.address()]),
        backend("three", 0, &[three.address()]),
        backend("empty", 0, &[]),
    ];
    let at = edge.set(&Service { backends, ..service(1) }).await;
    let mut client = Client::connect(at).await;
    let mut seen: HashMap<String, u32> = HashMap::new();
    for _ in 0..2000 {
        *seen.entry(client.get("h", "/").await.expect("an answer").text()).or_default() += 1;
    }
    // Five standard deviations of 2,000 draws at 10 % are 67.
    let two_of = seen["two"];
    assert!((133..267).contains(&two_of), "{seen:?}");
    assert!(!seen.contains_key("three"));
    // Where the weighted one has no address, the others take its share.
    let backends = vec![backend("one", 90, &[]), backend("two", 10, &[two.address()])];
    edge.set(&Service { backends, ..service(1) }).await;
    assert_eq!(get(at, "h", "/").await.text(), "two");
    edge.end();
}

#[tokio::test]
async fn a_drain_ends_when_the_last_request_does() {
    let (edge, one, two) = (Fixture::start(), Upstream::start("one").await, Upstream::start("two").await);
    let at = edge.set(&to(1, &one)).await;
    let tasks = TaskTracker::new();
    let slow = tasks.spawn(get(at, "h", "/slow?700"));
    eventually("it is in flight", async || one.requests() == 1).await;
    edge.set(&to(1, &two)).await;
    assert_eq!(edge.router.drain(&id("one"), Duration::from_millis(50)).await.expect("drain"), 1, "at the bound");
    let began = Instant::now();
    assert_eq!(edge.router.drain(&id("one"), Duration::from_secs(20)).await.expect("drain"), 0);
    assert!(began.elapsed() < Duration::from_secs(5), "it did not wait for the bound");
    assert_eq!(slow.await.expect("joined").text(), "one", "the request was not cut");
    assert_eq!(edge.router.drain(&id("unknown"), Duration::from_secs(20)).await.expect("drain"), 0);
    edge.end();
}

#[tokio::test]
async fn a_drain_of_some_instances_does_not_wait_for_the_others() {
    let (edge, a, b) = (Fixture::start(), Upstream::start("a").await, Upstream::start("b").await);
    let both = Service { backends: vec![backend("d", 100, &[a.address(), b.address()])], ..service(1) };
    let at = edge.set(&both).await;
    let tasks = TaskTracker::new();
    let slow: Vec<_> = (0..8).map(|_| tasks.spawn(get(at, "h", "/slow?1500"))).collect();
    eventually("both are busy", async || a.requests() > 0 && b.requests() > 0 && a.requests() + b.requests() == 8)
        .await;
    // The less busy of two is taken, so they share.
    assert!(a.requests() >= 2 && b.requests() >= 2, "{} {}", a.requests(), b.requests());
    edge.set(&Service { backends: vec![backend("d", 100, &[b.address()])], ..service(1) }).await;
    let left = edge.router.drain(&id("d"), Duration::ZERO).await.expect("drain");
    assert_eq!(left, a.requests(), "only those of the instance that was taken out");
    assert_eq!(edge.router.drain(&id("d"), Duration::from_secs(20)).await.expect("drain"), 0);
    edge.set(&Service { backends: vec![backend("d", 0, &[b.address()])], ..service(1) }).await;
    for answer in slow {
        assert_eq!(answer.await.expect("joined").status, 200);
    }
    edge.end();
}

#[tokio::test]
async fn deployments_are_counted() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let at = edge.set(&to(1, &one)).await;
    let mut client = Client::connect(at).await;
    for path in ["/", "/status?500", "/status?404", "/slow?60"] {
        client.get("h", path).await.expect("an answer");
    }
    // The client has the last byte a moment before the edge counts the request out.
    eventually("nothing is in flight", async || edge.router.stats(&id("one")).await.expect("stats").in_flight == 0)
        .await;
    let stats = edge.router.stats(&id("one")).await.expect("stats");
    assert_eq!((stats.requests, stats.errors), (4, 1));
    assert!(stats.p99_ms >= 55.0 && stats.p50_ms < 55.0, "{stats:?}");
    let metrics = edge.router.metrics().await.expect("metrics");
    for line in [
        "skipper_edge_requests_total{deployment=\"one\",revision=\"1\"} 4",
        "skipper_edge_errors_total{deployment=\"one\",revision=\"1\"} 1",
        "skipper_edge_response_seconds_count{deployment=\"one\",revision=\"1\"} 4",
        "skipper_edge_services 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    let error = edge.router.stats(&id("nobody")).await.expect_err("unknown");
    assert_eq!(error.code(), "unknown-deployment");
    edge.end();
}

#[tokio::test]
async fn a_shutdown_lets_requests_end() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let at = edge.set(&to(1, &one)).await;
    let tasks = TaskTracker::new();
    let slow = tasks.spawn(get(at, "h", "/slow?500"));
    let mut idle = Client::connect(at).await;
    idle.get("h", "/").await.expect("an answer");
    eventually("it is in flight", async || one.requests() == 2).await;
    edge.router.shut_down(Duration::from_secs(20)).await.expect("shut down");
    assert_eq!(slow.await.expect("joined").text(), "one");
    let Fixture { edge, folder, .. } = edge;
    let ended = tokio::task::spawn_blocking(move || edge.join());
    timeout(Duration::from_secs(10), ended).await.expect("in time").expect("joined").expect("well");
    assert!(!folder.path().join("control.sock").exists());
}
