//! Who may set what, and what survives.

use std::{
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use skipper_core::{
    deployment::DeploymentId,
    generation::Generation,
    port::{ErrorKind, Router as _},
    route::{Listener, Mode, Service},
    time::Millis,
};
use skipper_edge::{Edge, EdgeRouter};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use crate::support::{Fixture, Upstream, backend, config, get, key, service, to};

fn generation(epoch: u64, counter: u64) -> Generation {
    Generation { epoch, counter }
}

#[tokio::test]
async fn an_older_generation_is_refused_also_after_a_removal_and_a_restart() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let at = |generation| Service { generation, ..to(1, &one) };
    edge.set(&at(generation(1, 5))).await;
    edge.set(&at(generation(1, 5))).await;
    let refused = edge.router.set(&at(generation(1, 4))).await.expect_err("older");
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Fenced, "stale-generation"));
    let id = at(generation(1, 5)).id;
    assert_eq!(edge.router.remove(&id, generation(1, 4)).await.expect_err("older").kind(), ErrorKind::Fenced);
    edge.router.remove(&id, generation(1, 6)).await.expect("removed");
    edge.router.remove(&id, generation(1, 6)).await.expect("removed once more");
    assert_eq!(edge.router.set(&at(generation(1, 5))).await.expect_err("older").kind(), ErrorKind::Fenced);
    let folder = edge.end();
    let settings = config(folder.path());
    let router = EdgeRouter::new(settings.control.clone());
    let again = Edge::start(settings).expect("started");
    assert_eq!(router.set(&at(generation(1, 5))).await.expect_err("older").kind(), ErrorKind::Fenced);
    // A restored server counts from the start again, in a higher epoch.
    router.set(&at(generation(2, 1))).await.expect("a higher epoch is newer");
    again.stop(Duration::ZERO);
    again.join().expect("ended");
}

#[tokio::test]
async fn a_route_has_one_owner() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let at = edge.set(&to(1, &one)).await;
    let refused = edge.router.set(&to(2, &one)).await.expect_err("taken");
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Permanent, "route-taken"));
    assert!(refused.to_string().contains("default/test-1/web"), "{refused}");
    edge.router.remove(&service(1).id, generation(1, 1)).await.expect("removed");
    edge.set(&to(2, &one)).await;
    assert_eq!(get(edge.address(Listener::Http).await, "h", "/").await.text(), "one");
    let _ = at;
    edge.end();
}

#[tokio::test]
async fn a_port_that_is_given_up_can_be_had_again_at_once() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").port();
    let own = |number| Service {
        routes: [("http".to_owned(), vec![key(Listener::Port(free), None, "/")])].into(),
        ..to(number, &one)
    };
    // From one to the other, many times, while so many others want a processor that the thread that accepts is late.
    let stop = Arc::new(AtomicBool::new(false));
    let busy =
        (0..8).map(|_| stop.clone()).map(|stop| std::thread::spawn(move || while !stop.load(Ordering::Relaxed) {}));
    let busy: Vec<_> = busy.collect();
    for turn in 1..100 {
        for number in [1, 2] {
            let generation = Generation { epoch: 1, counter: turn };
            let set = edge.router.set(&Service { generation, ..own(number) }).await;
            set.unwrap_or_else(|error| panic!("turn {turn}: {error:?}"));
            if turn % 20 == 0 {
                assert_eq!(get(([127, 0, 0, 1], free).into(), "h", "/").await.text(), "one");
            }
            edge.router.remove(&own(number).id, generation).await.expect("removed");
        }
    }
    stop.store(true, Ordering::Relaxed);
    busy.into_iter().for_each(|thread| thread.join().expect("no panic"));
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", free)).await.is_err(), "nobody listens any more");
    edge.end();
}

#[tokio::test]
async fn listeners_are_opened_when_needed_and_closed_after() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    assert!(edge.router.info().await.expect("info").listeners.is_empty());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = |port| Service {
        routes: [("http".to_owned(), vec![key(Listener::Port(port), None, "/")])].into(),
        ..to(1, &one)
    };
    let number = taken.local_addr().expect("address").port();
    let refused = edge.router.set(&port(number)).await.expect_err("taken");
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Permanent, "port-taken"));
    assert!(refused.advice().is_some_and(|hint| hint.contains("ss -ltnp")));
    drop(taken);
    let at = edge.set(&port(number)).await;
    assert_eq!(get(at, "h", "/").await.text(), "one");
    edge.set(&to(1, &one)).await;
    let open: Vec<String> =
        edge.router.info().await.expect("info").listeners.into_iter().map(|open| open.listener).collect();
    assert_eq!(open, ["http"]);
    crate::support::eventually("the port is free", async || std::net::TcpListener::bind(at).is_ok()).await;
    let auto = Service { routes: [("http".to_owned(), vec![key(Listener::Auto, None, "/")])].into(), ..to(1, &one) };
    assert_eq!(edge.router.set(&auto).await.expect_err("auto").code(), "auto-port");
    edge.end();
}

#[tokio::test]
async fn a_restarted_edge_serves_what_it_had_acknowledged_and_wants_to_be_told_anew() {
    let (edge, one, two) = (Fixture::start(), Upstream::start("one").await, Upstream::start("two").await);
    assert!(edge.router.needs_sync().await, "nobody told it anything yet");
    edge.router.sync(&[to(1, &one)]).await.expect("synced");
    assert!(!edge.router.needs_sync().await);
    edge.set(&Service { mode: Mode::Held { bound: Millis(5) }, ..to(1, &one) }).await;
    edge.set(&to(1, &two)).await;
    let folder = edge.end();
    let settings = config(folder.path());
    let router = EdgeRouter::new(settings.control.clone());
    let again = Edge::start(settings).expect("started");
    let info = router.info().await.expect("info");
    assert!(info.needs_sync && router.needs_sync().await);
    let at = info.listeners.first().expect("open at once").address;
    assert_eq!(get(at, "h", "/").await.text(), "two");
    router.sync(&[to(1, &two)]).await.expect("synced");
    assert!(!router.needs_sync().await);
    assert!(EdgeRouter::new(router.control().to_owned()).needs_sync().await, "a new server cannot know");
    again.stop(Duration::ZERO);
    again.join().expect("ended");
    assert!(router.needs_sync().await, "nobody answers");
}

/// Two ways in, of which one is taken by somebody else when the edge comes back.
#[tokio::test]
async fn a_listener_that_cannot_be_opened_keeps_no_other_from_serving_and_is_opened_when_it_can() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let free = || std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("address");
    let (good, taken) = (free(), free());
    let both = Service {
        routes: [("http".to_owned(), [taken, good].map(|at| key(Listener::Port(at.port()), None, "/")).to_vec())]
            .into(),
        ..to(1, &one)
    };
    edge.set(&both).await;
    let folder = edge.end();
    let held = std::net::TcpListener::bind(taken).expect("it is free now");
    let settings = config(folder.path());
    let router = EdgeRouter::new(settings.control.clone());
    let again = Edge::start(settings).expect("started");
    assert_eq!(get(good, "h", "/").await.text(), "one", "from the snapshot alone");
    router.sync(std::slice::from_ref(&both)).await.expect("what can serve serves");
    router.set(&Service { generation: generation(1, 2), ..both.clone() }).await.expect("it had both before");
    assert_eq!(get(good, "h", "/").await.text(), "one");
    let shut = router.info().await.expect("info").shut;
    assert_eq!(shut.len(), 1, "{shut:?}");
    assert!(shut[0].listener == format!(":{}", taken.port()) && shut[0].reason.contains("taken"), "{shut:?}");
    // One that is new to a service is refused: a rollout must know.
    let new = Service {
        routes: [("http".to_owned(), vec![key(Listener::Port(taken.port()), None, "/new")])].into(),
        ..to(2, &one)
    };
    assert_eq!(router.set(&new).await.expect_err("it cannot be reached").code(), "port-taken");
    // Free again, but another one of a service is not: what is refused takes nothing from those that wait.
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let ports = [taken.port(), other.local_addr().expect("address").port()];
    let refused = Service {
        routes: [("http".to_owned(), ports.map(|port| key(Listener::Port(port), None, "/new")).to_vec())].into(),
        ..to(3, &one)
    };
    drop(held);
    assert_eq!(router.set(&refused).await.expect_err("it cannot be reached").code(), "port-taken");
    crate::support::eventually("it is opened by itself", async || {
        router.info().await.is_ok_and(|info| info.shut.is_empty())
    })
    .await;
    assert_eq!(get(taken, "h", "/").await.text(), "one");
    drop(other);
    again.stop(Duration::ZERO);
    again.join().expect("ended");
}

#[tokio::test]
async fn a_sync_makes_the_whole_table_but_nothing_older() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let own_path = |number: u8, counter| Service {
        generation: generation(1, counter),
        routes: [("http".to_owned(), vec![key(Listener::Http, None, &format!("/{number}"))])].into(),
        ..to(number, &one)
    };
    for (number, counter) in [(1, 10), (2, 20), (3, 30)] {
        edge.set(&own_path(number, counter)).await;
    }
    // The list was made before 3 was set; 2 is gone; of 1 it has an older state.
    let listed = [Service { mode: Mode::Maintenance { message: String::new() }, ..own_path(1, 9) }, own_path(4, 25)];
    edge.router.sync(&listed).await.expect("synced");
    let rows = edge.router.table(None, 10).await.expect("table");
    let seen: Vec<(String, String)> = rows.into_iter().map(|row| (row.service.label, row.service.mode)).collect();
    let row = |number: u8| (format!("default/test-{number}/web"), "open".to_owned());
    assert_eq!(seen, [row(1), row(3), row(4)]);
    assert_eq!(edge.router.set(&own_path(2, 19)).await.expect_err("older").kind(), ErrorKind::Fenced);
    let page = edge.router.table(Some(&own_path(1, 1).id), 1).await.expect("table");
    assert_eq!(page.len(), 1);
    assert_eq!(page[0].service.label, "default/test-3/web");
    edge.end();
}

#[tokio::test]
async fn only_this_user_may_talk_to_it_and_strange_talk_is_refused() {
    let edge = Fixture::start();
    let path = edge.folder.path().join("control.sock");
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    let ask = async |text: &str| {
        let mut stream = UnixStream::connect(&path).await.expect("connect");
        let length = u32::try_from(text.len()).expect("short");
        stream.write_all(&length.to_be_bytes()).await.expect("write");
        stream.write_all(text.as_bytes()).await.expect("write");
        let mut length = [0; 4];
        stream.read_exact(&mut length).await.expect("read");
        let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).expect("fits")];
        stream.read_exact(&mut answer).await.expect("read");
        String::from_utf8(answer).expect("text")
    };
    for (call, expected) in [
        (r#"{"v":1,"op":"hello","oldest":1,"newest":7,"unknown":{}}"#, r#"{"v":1,"ok":{"v":1,"#),
        (r#"{"v":9,"op":"hello","oldest":8,"newest":9}"#, r#""code":"edge-version""#),
        (r#"{"v":9,"op":"metrics"}"#, r#""code":"edge-version""#),
        (r#"{"v":1,"op":"dance"}"#, r#""code":"unknown-op""#),
        (r#"{"v":1,"op":"set","service":7}"#, r#""code":"bad-request""#),
        (
            r#"{"v":1,"op":"set","service":{"release":"x","app":"web","generation":{"epoch":1,"counter":1},"routes":[],"backends":[],"mode":"open"}}"#,
            r#""code":"bad-request""#,
        ),
        (
            r#"{"v":1,"op":"set","service":{"release":"0198c3f0-0000-7000-8000-000000000001","app":"web","generation":{"epoch":1,"counter":1},"routes":[],"backends":[],"mode":"upside-down"}}"#,
            "upgrade the edge",
        ),
        ("no json", r#""code":"bad-request""#),
    ] {
        let answer = ask(call).await;
        assert!(answer.contains(expected), "{call}: {answer}");
    }
    // A frame that lies about its length costs the edge nothing and nobody else anything.
    let mut liar = UnixStream::connect(&path).await.expect("connect");
    liar.write_all(&u32::MAX.to_be_bytes()).await.expect("write");
    assert_eq!(liar.read(&mut [0; 1]).await.unwrap_or(0), 0);
    edge.router.info().await.expect("still there");
    edge.end();
}

#[tokio::test]
async fn an_edge_that_is_not_there_is_a_transient_error() {
    let folder = tempfile::tempdir().expect("folder");
    let router = EdgeRouter::new(folder.path().join("nobody.sock"));
    let error = router.set(&service(1)).await.expect_err("nobody answers");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Transient, "edge-unreachable"));
    assert!(error.advice().is_some());
}

#[tokio::test]
async fn an_empty_backend_is_known_and_counts_nothing() {
    let edge = Fixture::start();
    edge.set(&Service { backends: vec![backend("d", 100, &[])], ..service(1) }).await;
    let stats = edge.router.stats(&DeploymentId::from_stored("d")).await.expect("known");
    assert_eq!(stats.requests, 0);
    edge.end();
}
