//! The whole server on a real socket, without an edge: what `main` calls.

use std::{path::Path, sync::Arc, time::Duration};

use skipper_server::{
    config::{self, Config, Sources},
    serve::{self, World},
};
use testkit::{SeededIds, TestClock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

fn config(dir: &Path, flags: &[(&str, &str)]) -> Config {
    let mut all: std::collections::BTreeMap<String, String> = [("listen".to_owned(), "127.0.0.1:0".to_owned())].into();
    all.insert("containers.detect".to_owned(), "false".to_owned());
    all.extend(flags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    let sources =
        Sources { flags: all, default_data_dir: dir.to_owned(), working_dir: dir.to_owned(), ..Sources::default() };
    config::load(&sources).expect("valid").config
}

fn world() -> World {
    World {
        clock: Arc::new(TestClock::default()),
        ids: Arc::new(SeededIds::default()),
        // Started as an edge it ends at once, which only means that no edge answers.
        program: "/bin/false".into(),
        runtime_dir: None,
    }
}

async fn address(dir: &Path) -> String {
    let path = dir.join("address");
    let waiting = async {
        loop {
            if let Ok(text) = tokio::fs::read_to_string(&path).await {
                return text.trim().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("the server comes up")
}

async fn exchange(address: &str, request: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("read");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_answers_refuses_a_second_one_and_drains_on_stop() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let stop = CancellationToken::new();
    let running = {
        let (config, stop) = (config(dir.path(), &[]), stop.clone());
        tokio_util::task::TaskTracker::new().spawn(async move { serve::run(config, world(), stop).await })
    };
    let address = address(dir.path()).await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let answer = exchange(&address, &get("/v1/releases")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let proxied = format!("GET /v1/releases HTTP/1.1\r\nHost: {address}\r\nVia: 1.1 x\r\nConnection: close\r\n\r\n");
    assert!(exchange(&address, &proxied).await.starts_with("HTTP/1.1 401"));
    let second = serve::run(config(dir.path(), &[]), world(), CancellationToken::new()).await;
    let refused = second.expect_err("the folder is taken").to_string();
    assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
    stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(20), running).await.expect("it stops in time");
    ended.expect("no panic").expect("no error");
    assert!(!dir.path().join("address").exists());
}

#[tokio::test]
async fn other_machines_are_not_listened_to_without_a_token() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let open = config(dir.path(), &[("listen", "0.0.0.0:0")]);
    let refused = serve::run(open, world(), CancellationToken::new()).await.expect_err("refused");
    assert!(refused.to_string().contains("without a token"), "{refused}");
    let stop = CancellationToken::new();
    stop.cancel();
    let guarded = config(dir.path(), &[("listen", "0.0.0.0:0"), ("admin_token", "0123456789abcdef")]);
    serve::run(guarded, world(), stop).await.expect("a token keeps others out");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = held.local_addr().expect("address").to_string();
    let dir = tempfile::tempdir().expect("a temporary folder");
    let refused = serve::run(config(dir.path(), &[("listen", &taken)]), world(), CancellationToken::new()).await;
    assert!(refused.expect_err("taken").to_string().contains(&taken));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_say_nothing_do_not_use_up_the_connections() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let stop = CancellationToken::new();
    let flags = [("limits.connections", "2"), ("limits.header_timeout", "200ms")];
    let running = {
        let (config, stop) = (config(dir.path(), &flags), stop.clone());
        tokio_util::task::TaskTracker::new().spawn(async move { serve::run(config, world(), stop).await })
    };
    let address = address(dir.path()).await;
    let mut silent = Vec::new();
    for said in ["", "PRI", "GET / HT"] {
        let mut stream = tokio::net::TcpStream::connect(&address).await.expect("it listens");
        stream.write_all(said.as_bytes()).await.expect("sent");
        silent.push(stream);
    }
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let answer = tokio::time::timeout(Duration::from_secs(20), exchange(&address, &request)).await.expect("in time");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    stop.cancel();
    running.await.expect("no panic").expect("no error");
}
