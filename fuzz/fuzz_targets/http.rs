//! The edge between a hostile client and a hostile upstream, over real sockets of the loopback.
//!
//! The first byte says whose bytes the rest is: the client's (even) or the upstream's (odd). Whatever they are, the edge
//! lives, lets go within seconds, forwards no head that two readers could understand differently, and answers in HTTP.
#![no_main]

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use skipper_core::{
    deployment::DeploymentId,
    generation::Generation,
    name::AppName,
    port::Router as _,
    route::{Backend, Listener, Mode, PathPrefix, RouteKey, Service, ServiceId},
};
use skipper_edge::{Edge, EdgeConfig, EdgeRouter, SharedListen};

/// Longest that the edge may hold on to one input.
const PATIENCE: Duration = Duration::from_secs(4);
const PLAIN_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: fuzz\r\nConnection: close\r\n\r\n";
const PLAIN_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

struct World {
    edge: SocketAddr,
    /// What the upstream answers.
    answer: Arc<Mutex<Vec<u8>>>,
    /// What the upstream was sent, a connection each.
    heads: Arc<Mutex<Vec<Vec<u8>>>>,
    _edge: Edge,
}

static WORLD: LazyLock<World> = LazyLock::new(world);

fn world() -> World {
    let folder = std::env::temp_dir().join(format!("skipper-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let upstream = TcpListener::bind("127.0.0.1:0").expect("a port");
    let upstream_address = upstream.local_addr().expect("bound");
    let (answer, heads) = (Arc::new(Mutex::new(PLAIN_ANSWER.to_vec())), Arc::new(Mutex::new(Vec::new())));
    let (script, notes) = (Arc::clone(&answer), Arc::clone(&heads));
    std::thread::spawn(move || upstream.incoming().flatten().for_each(|stream| serve(stream, &script, &notes)));

    let mut config = EdgeConfig::new(&folder);
    config.http = SharedListen(Vec::new());
    config.https = SharedListen(Vec::new());
    config.threads = std::num::NonZeroUsize::MIN;
    config.limits.header_read = Duration::from_secs(1);
    config.limits.idle = Duration::from_secs(1);
    let control = config.control.clone();
    let edge = Edge::start(config).expect("the edge starts");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
    let service = Service {
        id: ServiceId {
            release: "0198c3f0-0000-7000-8000-000000000001".parse().expect("a UUID"),
            app: AppName::new("web").expect("a name"),
        },
        label: "default/fuzz/web".to_owned(),
        generation: Generation { epoch: 1, counter: 1 },
        routes: BTreeMap::from([(
            "http".to_owned(),
            vec![RouteKey { listener: Listener::Port(port), host: None, path: PathPrefix::default() }],
        )]),
        backends: vec![Backend {
            deployment: DeploymentId::from_stored("fuzz"),
            revision: 1,
            weight: 100,
            addresses: BTreeMap::from([("http".to_owned(), vec![upstream_address])]),
        }],
        mode: Mode::Open,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(EdgeRouter::new(control).set(&service)).expect("the route is set");
    World { edge: ([127, 0, 0, 1], port).into(), answer, heads, _edge: edge }
}

/// One connection of the upstream: reads a head, answers, closes.
fn serve(mut stream: TcpStream, answer: &Mutex<Vec<u8>>, heads: &Mutex<Vec<Vec<u8>>>) {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut head = Vec::new();
    let mut piece = [0_u8; 4096];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") && head.len() < 1 << 20 {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(count) => head.extend_from_slice(&piece[..count]),
        }
    }
    heads.lock().expect("no panic").push(head);
    let answer = answer.lock().expect("no panic").clone();
    let _ = stream.write_all(&answer);
}

/// What a second reader could take for another request: the seed of request smuggling.
fn check_forwarded(head: &[u8]) {
    let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else { return };
    let text = String::from_utf8_lossy(&head[..end]).to_ascii_lowercase();
    let count = |name: &str| text.lines().skip(1).filter(|line| line.starts_with(name)).count();
    assert!(count("host:") == 1, "not exactly one Host was forwarded: {text}");
    assert!(count("content-length:") + count("transfer-encoding:") <= 1, "two lengths were forwarded: {text}");
    assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0']), "a bare line end or NUL was forwarded: {text:?}");
    for name in ["connection: close,", "proxy-connection:", "te: trailers,"] {
        assert!(count(name) == 0, "a hop-by-hop field was forwarded: {text}");
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((first, bytes)) = input.split_first() else { return };
    let world = &*WORLD;
    let by_client = first % 2 == 0;
    let answer = if by_client { PLAIN_ANSWER } else { bytes };
    *world.answer.lock().expect("no panic") = answer.to_vec();
    world.heads.lock().expect("no panic").clear();

    let mut client = TcpStream::connect(world.edge).expect("the edge listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    client.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    // The edge may have answered and gone before all was written.
    let _ = client.write_all(if by_client { bytes } else { PLAIN_REQUEST });
    let _ = client.shutdown(Shutdown::Write);
    let mut got = Vec::new();
    if let Err(error) = client.take(1 << 20).read_to_end(&mut got) {
        assert!(error.kind() != std::io::ErrorKind::WouldBlock, "the edge held on to {:?}", input);
    }
    if !by_client && !got.is_empty() {
        assert!(got.starts_with(b"HTTP/1.1 "), "not an answer: {:?}", String::from_utf8_lossy(&got));
    }
    for head in world.heads.lock().expect("no panic").iter() {
        check_forwarded(head);
    }
});
