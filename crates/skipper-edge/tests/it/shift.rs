//! Traffic moves while it flows: nothing fails, and nothing that begins after the answer to a shift goes the old way.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use skipper_core::{generation::Generation, port::Router as _, route::Service};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::task::TaskTracker;

use crate::support::{Client, Fixture, Upstream, backend, get, service};

/// What the clients of a test share.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    /// The number of the last shift that was acknowledged.
    serving: AtomicU64,
    answers: AtomicU64,
    failed: AtomicU64,
    late: AtomicU64,
}

impl Load {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    /// Notes an answer to a request that began when shift number `began` was acknowledged. Upstreams are named by the
    /// number of the shift that leads to them.
    fn note(&self, began: u64, answer: Option<&str>) {
        match answer.and_then(|text| text.split(' ').next()?.parse::<u64>().ok()) {
            None => {
                eprintln!("failed: {answer:?}");
                self.failed.fetch_add(1, Ordering::SeqCst);
            }
            Some(version) => {
                self.answers.fetch_add(1, Ordering::SeqCst);
                if version < began {
                    self.late.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    }

    fn begin(&self) -> u64 {
        self.serving.load(Ordering::SeqCst)
    }
}

async fn kept_alive(load: Arc<Load>, at: SocketAddr, request: String) {
    let mut client = Client::connect(at).await;
    while load.goes_on() {
        let began = load.begin();
        let sent = client.stream.write_all(request.as_bytes()).await;
        let answer = if sent.is_ok() { client.answer().await } else { None };
        load.note(began, answer.filter(|answer| answer.status == 200).map(|answer| answer.text()).as_deref());
    }
}

async fn new_connections(load: Arc<Load>, at: SocketAddr) {
    while load.goes_on() {
        let began = load.begin();
        let answer = Client::connect(at).await.get("h", "/").await;
        load.note(began, answer.filter(|answer| answer.status == 200).map(|answer| answer.text()).as_deref());
    }
}

async fn http2(load: Arc<Load>, at: SocketAddr) {
    let stream = TcpStream::connect(at).await.expect("connect");
    let executor = TokioExecutor::new();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(executor, TokioIo::new(stream)).await.expect("handshake");
    let tasks = TaskTracker::new();
    tasks.spawn(connection);
    let streams = (0..4).map(|_| {
        let (mut sender, load) = (sender.clone(), load.clone());
        tasks.spawn(async move {
            while load.goes_on() {
                let began = load.begin();
                let request = Request::post("http://h/length").body(Full::new(Bytes::from_static(&[b'x'; 1000])));
                let answer = match sender.send_request(request.expect("request")).await {
                    Ok(answer) if answer.status() == 200 => answer.into_body().collect().await.ok(),
                    _ => None,
                };
                let text = answer.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
                load.note(began, text.as_deref());
            }
        })
    });
    for stream in streams.collect::<Vec<_>>() {
        stream.await.expect("joined");
    }
}

fn version(number: u64, address: SocketAddr) -> Service {
    let generation = Generation { epoch: 1, counter: number };
    Service { generation, backends: vec![backend(&format!("v{number}"), 100, &[address])], ..service(1) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_shifts_under_load_fail_nothing_and_nothing_is_late() {
    const SHIFTS: u64 = 100;
    let edge = Fixture::start();
    let mut serving = Upstream::start("1").await;
    let at = edge.set(&version(1, serving.address())).await;
    let load = Arc::new(Load::default());
    load.serving.store(1, Ordering::SeqCst);
    let tasks = TaskTracker::new();
    let body = "y".repeat(2000);
    for _ in 0..4 {
        tasks.spawn(kept_alive(load.clone(), at, "GET / HTTP/1.1\r\nhost: h\r\n\r\n".to_owned()));
        let post = format!("POST /length HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        tasks.spawn(kept_alive(load.clone(), at, post));
        tasks.spawn(new_connections(load.clone(), at));
    }
    tasks.spawn(kept_alive(load.clone(), at, "GET /slow?30 HTTP/1.1\r\nhost: h\r\n\r\n".to_owned()));
    tasks.spawn(http2(load.clone(), at));
    for number in 2..=SHIFTS + 1 {
        let next = Upstream::start(&number.to_string()).await;
        edge.router.set(&version(number, next.address())).await.expect("the shift is taken");
        load.serving.store(number, Ordering::SeqCst);
        let old = skipper_core::deployment::DeploymentId::from_stored(format!("v{}", number - 1));
        assert_eq!(edge.router.drain(&old, Duration::from_secs(20)).await.expect("drain"), 0);
        // Drained, so it may go at once: whatever it still had would fail now.
        drop(std::mem::replace(&mut serving, next));
    }
    load.stop.store(true, Ordering::SeqCst);
    tasks.close();
    tasks.wait().await;
    let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
    println!("{} answers over {SHIFTS} shifts", count(&load.answers));
    assert_eq!((count(&load.failed), count(&load.late)), (0, 0), "of {}", count(&load.answers));
    assert!(count(&load.answers) > SHIFTS);
    edge.end();
}

#[tokio::test]
async fn an_open_websocket_survives_a_shift_and_the_next_one_goes_to_the_new_version() {
    let edge = Fixture::start();
    let (one, two) = (Upstream::start("one").await, Upstream::start("two").await);
    let at = edge.set(&version(1, one.address())).await;
    let open = async || {
        let mut client = Client::connect(at).await;
        client
            .send(
                "GET /upgrade HTTP/1.1\r\nhost: h\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-key: x\r\n\r\nearly",
            )
            .await;
        let answer = client.answer().await.expect("an answer");
        assert_eq!((answer.status, answer.header("upgrade")), (101, Some("websocket")));
        assert_eq!(answer.header("connection"), Some("upgrade"));
        client
    };
    async fn read(client: &mut Client, expected: &str) {
        while client.left.len() < expected.len() {
            client.stream.read_buf(&mut client.left).await.expect("read");
        }
        assert_eq!(client.left.drain(..expected.len()).collect::<Vec<_>>(), expected.as_bytes());
    }
    let mut first = open().await;
    read(&mut first, "one\nearly").await;
    edge.router.set(&version(2, two.address())).await.expect("shift");
    first.send("still here").await;
    read(&mut first, "still here").await;
    let mut second = open().await;
    read(&mut second, "two\nearly").await;
    let old = skipper_core::deployment::DeploymentId::from_stored("v1");
    assert_eq!(edge.router.drain(&old, Duration::from_millis(50)).await.expect("drain"), 1, "a tunnel is in flight");
    // The client's end is passed on, and what comes back is not lost.
    first.send("last words").await;
    first.stream.shutdown().await.expect("shutdown");
    read(&mut first, "last words").await;
    assert_eq!(first.stream.read_buf(&mut first.left).await.expect("read"), 0);
    assert_eq!(edge.router.drain(&old, Duration::from_secs(20)).await.expect("drain"), 0);
    edge.end();
}

#[tokio::test]
async fn another_protocol_is_only_spoken_when_both_sides_want_it() {
    let edge = Fixture::start();
    let one = Upstream::start("one").await;
    let at = edge.set(&version(1, one.address())).await;
    let mut client = Client::connect(at).await;
    for request in [
        "GET /upgrade HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\n\r\n",
        "GET /upgrade HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "POST /upgrade HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: x\r\ncontent-length: 1\r\n\r\ny",
    ] {
        client.send(request).await;
        assert_eq!(client.answer().await.expect("an answer").text(), "one", "{request}");
    }
    assert_eq!(get(at, "h", "/").await.text(), "one");
    edge.end();
}
