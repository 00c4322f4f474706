//! Instances that answer before they have read what they are asked, and what they do with the rest.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use skipper_core::route::Service;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::support::{Client, Fixture, backend, eventually, scripted, service};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Where a service listens whose only instance gives each connection to the function.
async fn served<F, R>(edge: &Fixture, script: F) -> (std::net::SocketAddr, AbortOnDropHandle<()>)
where
    F: Fn(TcpStream) -> R + Send + 'static,
    R: Future<Output = io::Result<()>> + Send + 'static,
{
    let (address, task) = scripted(script).await;
    (edge.set(&Service { backends: vec![backend("d", 100, &[address])], ..service(1) }).await, task)
}

/// Reads a head and nothing behind it. `None`: the connection ended instead.
async fn head(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

async fn http2(at: std::net::SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(at).await.expect("connect");
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("handshake");
    TaskTracker::new().spawn(connection);
    sender
}

/// Status and text of one HTTP/2 request.
async fn ask(sender: &mut SendRequest<Full<Bytes>>, method: &str, path: &str, body: Vec<u8>) -> (u16, String) {
    let request =
        Request::builder().method(method).uri(format!("http://h{path}")).body(Full::from(body)).expect("valid");
    let answer =
        timeout(Duration::from_secs(30), sender.send_request(request)).await.expect("in time").expect("an answer");
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.expect("the whole body").to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// Answers without having read the body, and closes at the very moment at which the next request arrives: the worst time
/// that it can choose.
async fn answers_once(mut stream: TcpStream) -> io::Result<()> {
    if head(&mut stream).await?.is_some() {
        stream.write_all(OK).await?;
        // The body, and whatever comes next.
        let mut bytes = [0; 4096];
        let _ = stream.read(&mut bytes).await?;
        let _ = stream.read(&mut bytes).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_instance_that_closes_after_an_answer_without_saying_so_costs_no_request() {
    let edge = Fixture::start();
    let (at, _task) = served(&edge, answers_once).await;
    let mut client = Client::connect(at).await;
    for turn in 0..30 {
        for request in [
            post("/", "hello"),
            post("/", ""),
            "DELETE / HTTP/1.1\r\nhost: h\r\n\r\n".to_owned(),
            "PUT / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n".to_owned(),
            "GET / HTTP/1.1\r\nhost: h\r\n\r\n".to_owned(),
        ] {
            client.send(&request).await;
            let answer = client.answer().await.expect("an answer");
            assert_eq!((answer.status, answer.header("connection")), (200, None), "turn {turn}: {request}");
        }
    }
    let mut sender = http2(at).await;
    for turn in 0..30 {
        for (method, body) in [("POST", "hello"), ("POST", ""), ("DELETE", ""), ("PUT", "hi"), ("GET", "")] {
            let answer = ask(&mut sender, method, "/", body.into()).await;
            assert_eq!(answer, (200, "ok".to_owned()), "turn {turn}: {method} over HTTP/2");
        }
    }
    edge.end();
}

#[tokio::test]
async fn a_body_that_its_instance_takes_for_a_request_answers_nobody_else() {
    let edge = Fixture::start();
    // Never reads a body: what follows a head is the next head. It has its answer ready when the next request comes.
    let (at, _task) = served(&edge, |mut stream| async move {
        while let Some(head) = head(&mut stream).await? {
            if head.contains(" /evil ") {
                stream.readable().await?;
            }
            let path = head.split(' ').nth(1).unwrap_or_default();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len());
            stream.write_all(answer.as_bytes()).await?;
        }
        Ok(())
    })
    .await;
    let evil = "GET /evil HTTP/1.1\r\nhost: h\r\n\r\n";
    let mut client = Client::connect(at).await;
    let mut sender = http2(at).await;
    for turn in 0..10 {
        client.send(post("/form", evil)).await;
        assert_eq!(client.answer().await.expect("an answer").text(), "/form", "turn {turn}");
        assert_eq!(client.get("h", "/mine").await.expect("an answer").text(), "/mine", "turn {turn}");
        assert_eq!(ask(&mut sender, "POST", "/form", evil.into()).await.1, "/form", "turn {turn}");
        assert_eq!(ask(&mut sender, "GET", "/mine", Vec::new()).await.1, "/mine", "turn {turn}");
    }
    edge.end();
}

/// Refuses with an answer of that size and closes, with the body unread, so that its kernel resets the connection.
async fn refuses(mut stream: TcpStream, size: usize, closes: bool) -> io::Result<()> {
    let asked = head(&mut stream).await?;
    if asked.is_some() {
        let close = if closes { "connection: close\r\n" } else { "" };
        let head = format!("HTTP/1.1 413 Too Large\r\ncontent-length: {size}\r\n{close}\r\n");
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&vec![b'n'; size]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_refusal_before_the_body_reaches_a_client_that_reads_only_when_it_has_sent_everything() {
    let edge = Fixture::start();
    for (size, closes) in [(3, true), (3, false), (100_000, true), (100_000, false)] {
        let (at, _task) = served(&edge, move |stream| refuses(stream, size, closes)).await;
        // More than all the buffers on the way hold.
        let body = "x".repeat(30_000_000);
        let mut client = Client::connect(at).await;
        let request = post("/", &body);
        let sending = timeout(Duration::from_secs(30), client.stream.write_all(request.as_bytes()));
        sending.await.expect("somebody reads").expect("the connection lives");
        let answer = client.answer().await.expect("the refusal");
        assert_eq!((answer.status, answer.body.len()), (413, size));
        let answer = ask(&mut http2(at).await, "POST", "/", body.into()).await;
        assert_eq!((answer.0, answer.1.len()), (413, size), "over HTTP/2");
    }
    edge.end();
}

#[tokio::test]
async fn a_client_whose_body_nobody_wants_goes_on_with_its_connection() {
    let edge = Fixture::start();
    let asked = Arc::new(AtomicU32::new(0));
    let counted = asked.clone();
    // Answers well, and is gone.
    let (at, _task) = served(&edge, move |mut stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            let _ = head(&mut stream).await?;
            stream.write_all(OK).await
        }
    })
    .await;
    let mut client = Client::connect(at).await;
    for turn in 0..5 {
        client.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 200000\r\n\r\n").await;
        let answer = client.answer().await.expect("an answer");
        assert_eq!((answer.status, answer.header("connection")), (200, None), "turn {turn}");
        client.send(vec![b'x'; 200_000]).await;
    }
    assert_eq!(client.get("h", "/").await.expect("an answer").text(), "ok");
    assert_eq!(asked.load(Ordering::SeqCst), 6, "nothing was asked twice");
    edge.end();
}

#[tokio::test]
async fn who_lingers_after_an_answer_keeps_no_instance_from_being_stopped() {
    let edge = Fixture::start();
    let (at, _task) = served(&edge, |stream| refuses(stream, 3, true)).await;
    let mut client = Client::connect(at).await;
    client.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1000000\r\n\r\nx").await;
    assert_eq!(client.answer().await.expect("the refusal").status, 413);
    eventually("it is not in flight any more", async || {
        edge.router.table(None, 1).await.expect("table")[0].in_flight["d"] == 0
    })
    .await;
    // And it still may send.
    client.send(vec![b'x'; 999_999]).await;
    edge.end();
}
