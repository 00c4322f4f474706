//! Bodies of any size, in both directions, with bounded memory, and events as they happen.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use skipper_core::route::Service;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

use crate::support::{Client, Fixture, Upstream, backend, eventually, scripted, service, to};

const SIZE: usize = 100 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_megabytes_go_up_and_down() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let at = edge.set(&to(1, &one)).await;
    let piece = vec![b'z'; 256 * 1024];
    let mut client = Client::connect(at).await;
    client.send(format!("POST /length HTTP/1.1\r\nhost: h\r\ncontent-length: {SIZE}\r\n\r\n")).await;
    for _ in 0..SIZE / piece.len() {
        client.send(&piece).await;
    }
    assert_eq!(client.answer().await.expect("an answer").text(), format!("one {SIZE}"));
    client.send("POST /length HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for _ in 0..SIZE / piece.len() {
        client.send(format!("{:x}\r\n", piece.len())).await;
        client.send(&piece).await;
        client.send("\r\n").await;
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.answer().await.expect("an answer").text(), format!("one {SIZE}"));
    for path in ["big", "chunks"] {
        let answer = client.get("h", &format!("/{path}?{SIZE}")).await.expect("an answer");
        assert_eq!(answer.body.len(), SIZE);
    }
    edge.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_echo_runs_in_both_directions_at_once() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let at = edge.set(&to(1, &one)).await;
    let (mut reader, mut writer) = TcpStream::connect(at).await.expect("connect").into_split();
    let size = 20 * 1024 * 1024;
    let sending = TaskTracker::new().spawn(async move {
        let head = format!("POST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: {size}\r\n\r\n");
        writer.write_all(head.as_bytes()).await?;
        for _ in 0..size / 65536 {
            writer.write_all(&[b'e'; 65536]).await?;
        }
        std::io::Result::Ok(writer)
    });
    let answer = crate::support::read_answer(&mut reader, &mut Vec::new(), false).await.expect("an answer");
    assert_eq!(answer.body.len(), size);
    drop(sending.await.expect("joined").expect("sent"));
    edge.end();
}

#[tokio::test]
async fn a_side_that_does_not_read_stops_the_other_and_not_the_edge() {
    let edge = Fixture::start();
    let written = Arc::new(AtomicU64::new(0));
    let counter = written.clone();
    let (address, _upstream) = scripted(move |mut stream: TcpStream| {
        let counter = counter.clone();
        async move {
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                stream.write_all(&[0; 65536]).await?;
                counter.fetch_add(65536, Ordering::SeqCst);
            }
        }
    })
    .await;
    let at = edge.set(&Service { backends: vec![backend("d", 100, &[address])], ..service(1) }).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(at).await;
        client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
        clients.push(client);
    }
    // Until nothing moves any more: socket buffers are full, and the edge holds no more than its own.
    let mut before = u64::MAX;
    loop {
        sleep(Duration::from_millis(300)).await;
        let now = written.load(Ordering::SeqCst);
        if now == before && now > 0 {
            break;
        }
        before = now;
    }
    // The kernel takes up to some 6 MB a socket pair, two pairs each.
    assert!(before < 4 * 24 * 1024 * 1024, "{before} bytes went out for clients that read nothing");
    drop(clients);
    edge.end();
}

#[tokio::test]
async fn events_arrive_as_they_happen() {
    let edge = Fixture::start();
    let (address, _upstream) = scripted(|mut stream: TcpStream| async move {
        let mut buffer = [0; 1024];
        let _ = stream.read(&mut buffer).await?;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            .await?;
        let mut count = 0;
        // One event for each byte that the client sends through its other connection would be simpler with a channel; the
        // clock does as well.
        loop {
            let event = format!("data: {count}\n\n");
            stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
            count += 1;
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let at = edge.set(&Service { backends: vec![backend("d", 100, &[address])], ..service(1) }).await;
    let mut client = Client::connect(at).await;
    client.send("GET /events HTTP/1.1\r\nhost: h\r\naccept: text/event-stream\r\n\r\n").await;
    for count in 0..5 {
        let wanted = format!("data: {count}\n\n");
        let arrived = async {
            while !String::from_utf8_lossy(&client.left).contains(&wanted) {
                client.stream.read_buf(&mut client.left).await.expect("read");
            }
        };
        timeout(Duration::from_secs(5), arrived).await.expect("in time");
        assert!(!String::from_utf8_lossy(&client.left).contains(&format!("data: {}\n", count + 3)));
    }
    let rows = edge.router.table(None, 1).await.expect("table");
    assert_eq!(rows[0].in_flight["d"], 1, "an open stream is in flight");
    drop(client);
    eventually("the stream is gone", async || edge.router.table(None, 1).await.expect("table")[0].in_flight["d"] == 0)
        .await;
    edge.end();
}
