//! A new edge takes over from a running one, and nobody notices.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use skipper_core::{
    deployment::DeploymentId,
    generation::Generation,
    port::Router as _,
    route::{Backend, Listener, Mode, RouteKey, Service},
    time::Millis,
};
use skipper_edge::{Edge, SharedListen};
use tokio::{io::AsyncReadExt as _, net::UnixStream, time::timeout};
use tokio_util::task::TaskTracker;

use crate::support::{Client, Fixture, Upstream, backend, config, eventually, get, key, to};

async fn end(edge: Edge) {
    let ended = tokio::task::spawn_blocking(move || edge.join());
    timeout(Duration::from_secs(30), ended).await.expect("in time").expect("joined").expect("well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handovers_under_load_lose_no_request() {
    let one = Upstream::start("one").await;
    let Fixture { folder, mut edge, router } = Fixture::with(|config| config.limits.idle = Duration::from_secs(1));
    router.set(&to(1, &one)).await.expect("set");
    let at = router.info().await.expect("info").listeners[0].address;
    let (stop, failed, answers) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let tasks = TaskTracker::new();
    for keeps_alive in [true, true, true, false, false, false] {
        let (stop, failed, answers) = (stop.clone(), failed.clone(), answers.clone());
        tasks.spawn(async move {
            let mut client = Client::connect(at).await;
            while !stop.load(Ordering::SeqCst) {
                let answer = client.get("h", "/slow?3").await;
                let (ok, closes) = answer.as_ref().map_or((false, true), |answer| {
                    (answer.status == 200, answer.header("connection") == Some("close"))
                });
                let counter = if ok { &answers } else { &failed };
                counter.fetch_add(1, Ordering::SeqCst);
                if closes || !keeps_alive {
                    client = Client::connect(at).await;
                }
            }
        });
    }
    for turn in 0..6 {
        let settings = {
            let mut settings = config(folder.path());
            settings.limits.idle = Duration::from_secs(1);
            settings
        };
        let next = tokio::task::spawn_blocking(move || Edge::start(settings)).await.expect("joined").expect("started");
        let old = std::mem::replace(&mut edge, next);
        end(old).await;
        assert_eq!(router.info().await.expect("info").listeners[0].address, at, "turn {turn}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.store(true, Ordering::SeqCst);
    tasks.close();
    tasks.wait().await;
    assert_eq!(failed.load(Ordering::SeqCst), 0, "of {}", answers.load(Ordering::SeqCst));
    assert!(answers.load(Ordering::SeqCst) > 100);
    edge.stop(Duration::ZERO);
    end(edge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_successor_has_everything_and_waits_for_what_the_old_one_still_serves() {
    let (one, two) = (Upstream::start("one").await, Upstream::start("two").await);
    let Fixture { folder, edge: old, router } = Fixture::start();
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").port();
    let own =
        Service { routes: [("http".to_owned(), vec![key(Listener::Port(free), None, "/")])].into(), ..to(2, &one) };
    router.sync(&[to(1, &one), own]).await.expect("synced");
    let before = router.info().await.expect("info");
    let at = before.listeners[0].address;
    let tasks = TaskTracker::new();
    let slow = tasks.spawn(get(at, "h", "/slow?1500"));
    let mut tunnel = Client::connect(at).await;
    tunnel.send("GET /upgrade HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n").await;
    assert_eq!(tunnel.answer().await.expect("an answer").status, 101);
    eventually("it is in flight", async || one.requests() == 2).await;

    let settings = config(folder.path());
    let new = tokio::task::spawn_blocking(move || Edge::start(settings)).await.expect("joined").expect("started");
    let after = router.info().await.expect("info");
    assert_ne!(after.boot, before.boot);
    assert_eq!((after.listeners, after.services, after.needs_sync), (before.listeners, 2, false));
    router.set(&to(1, &two)).await.expect("the new one takes changes");
    assert_eq!(get(at, "h", "/").await.text(), "two");
    assert_eq!(get(([127, 0, 0, 1], free).into(), "h", "/").await.text(), "one");

    let id = DeploymentId::from_stored("one");
    router.remove(&to(2, &one).id, to(2, &one).generation).await.expect("removed");
    assert_eq!(router.drain(&id, Duration::from_millis(100)).await.expect("drain"), 2, "the old edge's count too");
    tunnel.send("ping").await;
    while tunnel.left.len() < 8 {
        tunnel.stream.read_buf(&mut tunnel.left).await.expect("the tunnel lives");
    }
    assert_eq!(tunnel.left, b"one\nping");
    assert_eq!(slow.await.expect("joined").text(), "one");
    drop(tunnel);
    assert_eq!(router.drain(&id, Duration::from_secs(20)).await.expect("drain"), 0);
    end(old).await;
    assert_eq!(get(at, "h", "/").await.text(), "two");
    new.stop(Duration::ZERO);
    end(new).await;
}

#[tokio::test]
async fn a_successor_that_fails_changes_nothing() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let at = edge.set(&to(1, &one)).await;
    let mut successor = UnixStream::connect(edge.router.control()).await.expect("connect");
    let call = br#"{"v":1,"op":"handover"}"#;
    let length = u32::try_from(call.len()).expect("short").to_be_bytes();
    tokio::io::AsyncWriteExt::write_all(&mut successor, &[&length[..], call].concat()).await.expect("write");
    successor.read_exact(&mut [0; 4]).await.expect("an answer");
    let (changed, ()) = tokio::join!(
        async {
            let moved = Service { generation: Generation { epoch: 1, counter: 2 }, ..to(1, &one) };
            edge.router.set(&moved).await
        },
        async {
            assert_eq!(get(at, "h", "/").await.text(), "one", "it serves on");
            drop(successor);
        }
    );
    changed.expect("a change waits for the end of it");
    assert_eq!(get(at, "h", "/").await.text(), "one");
    edge.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_that_listens_on_more_addresses_gets_the_port_it_prefers() {
    let one = Upstream::start("one").await;
    let free = || std::net::TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").port();
    let (preferred, next_best) = (free(), free());
    let narrow = ([127, 0, 0, 1], preferred).into();
    let Fixture { folder, edge: old, router } = Fixture::with(|config| config.http = SharedListen::at(narrow));
    router.sync(&[to(1, &one)]).await.expect("synced");
    let mut settings = config(folder.path());
    settings.http = SharedListen([preferred, next_best].map(|port| ([0, 0, 0, 0], port).into()).to_vec());
    let new = tokio::task::spawn_blocking(move || Edge::start(settings)).await.expect("joined").expect("started");
    // Not a moment later: whoever could connect before can connect now.
    assert_eq!(get(narrow, "h", "/").await.text(), "one");
    let info = router.info().await.expect("info");
    assert_eq!(info.listeners[0].address, ([0, 0, 0, 0], preferred).into());
    assert!(info.shut.is_empty(), "{:?}", info.shut);
    end(old).await;
    new.stop(Duration::ZERO);
    end(new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_old_edge_still_has_goes_by_the_changes_that_the_new_one_is_told() {
    let (one, two) = (Upstream::start("one").await, Upstream::start("two").await);
    let (held, moved) = (key(Listener::Http, Some("held"), "/"), key(Listener::Http, Some("moved"), "/"));
    let routed = |number, upstream: &Upstream, key: &RouteKey| Service {
        routes: [("http".to_owned(), vec![key.clone()])].into(),
        ..to(number, upstream)
    };
    let Fixture { folder, edge: old, router } = Fixture::start();
    let closed = Service { mode: Mode::Held { bound: Millis(25_000) }, ..routed(1, &one, &held) };
    router.sync(&[closed, routed(2, &one, &moved)]).await.expect("synced");
    let at = router.info().await.expect("info").listeners[0].address;
    let mut idle = Client::connect(at).await;
    assert_eq!(idle.get("moved", "/").await.expect("an answer").text(), "one");
    let tasks = TaskTracker::new();
    let waits = tasks.spawn(get(at, "held", "/"));
    let waiting = async || router.metrics().await.expect("metrics").contains("skipper_edge_waiting 1");
    eventually("a request is held", waiting).await;

    let mut edges = vec![old];
    // Also by way of one in between.
    for _ in 0..2 {
        let settings = config(folder.path());
        let next = tokio::task::spawn_blocking(move || Edge::start(settings)).await.expect("joined").expect("started");
        edges.push(next);
    }
    router.set(&routed(1, &two, &held)).await.expect("opened");
    assert_eq!(waits.await.expect("joined").text(), "two", "what was held goes on where the new one says");
    let elsewhere = Service { routes: [("web".to_owned(), vec![moved])].into(), ..to(2, &two) };
    let backends =
        vec![Backend { addresses: [("web".to_owned(), vec![two.address()])].into(), ..backend("two", 100, &[]) }];
    router.set(&Service { backends, ..elsewhere }).await.expect("moved");
    drop(one);
    assert_eq!(idle.get("moved", "/").await.expect("an answer").text(), "two", "on the connection that was idle");
    for edge in edges.drain(..2) {
        edge.stop(Duration::ZERO);
        end(edge).await;
    }
    let new = edges.remove(0);
    assert_eq!(get(at, "held", "/").await.text(), "two");
    new.stop(Duration::ZERO);
    end(new).await;
}
