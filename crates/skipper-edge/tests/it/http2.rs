//! HTTP/2 from clients, in the clear with prior knowledge.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2::SendRequest,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use skipper_core::{
    port::Router as _,
    route::{Mode, Service},
    time::Millis,
};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use crate::support::{Fixture, Upstream, eventually, service, to};

type Body = BoxBody<Bytes, std::io::Error>;

async fn connect(at: SocketAddr) -> SendRequest<Body> {
    let stream = TcpStream::connect(at).await.expect("connect");
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("handshake");
    TaskTracker::new().spawn(connection);
    sender
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

async fn text(response: Response<Incoming>) -> String {
    String::from_utf8_lossy(&response.into_body().collect().await.expect("the body").to_bytes()).into_owned()
}

#[tokio::test]
async fn requests_and_bodies_pass() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let at = edge.set(&to(1, &one)).await;
    let mut sender = connect(at).await;
    let request = Request::get("http://H.example:81/head?q")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("x-forwarded-for", "6.6.6.6")
        .header("x-skipper-verify", "guess")
        .header("expect", "100-continue");
    let seen = text(sender.send_request(request.body(full("")).expect("request")).await.expect("an answer")).await;
    assert_eq!(
        seen,
        "GET /head?q HTTP/1.1\nhost: h.example:81\ncookie: a=1; b=2\nx-forwarded-for: 127.0.0.1\n\
         x-forwarded-proto: http\nx-forwarded-host: h.example:81\n"
    );
    let post = |path: &str, body: Body| Request::post(format!("http://h{path}")).body(body).expect("request");
    let sized = sender.send_request(post("/length", full(vec![1; 300_000]))).await.expect("an answer");
    assert_eq!(text(sized).await, "one 300000");
    let pieces = (0..100).map(|_| Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(&[7; 5000]))));
    let streamed = BodyExt::boxed(StreamBody::new(futures::stream::iter(pieces)));
    let echoed = sender.send_request(post("/echo", streamed)).await.expect("an answer");
    assert_eq!(echoed.into_body().collect().await.expect("the body").to_bytes().len(), 500_000);
    let head = Request::head("http://h/big?99").body(full("")).expect("request");
    let answer = sender.send_request(head).await.expect("an answer");
    assert_eq!((answer.status(), &answer.headers()["content-length"]), (StatusCode::OK, &"99".parse().expect("value")));
    for path in ["/big?3000000", "/chunks?3000000"] {
        let request = Request::get(format!("http://h{path}")).body(full("")).expect("request");
        let answer = sender.send_request(request).await.expect("an answer");
        assert_eq!(answer.into_body().collect().await.expect("the body").to_bytes().len(), 3_000_000);
    }
    assert!(one.connections() <= 4, "{} connections: those that carried no body are kept", one.connections());
    edge.end();
}

#[tokio::test]
async fn the_edge_answers_for_itself() {
    let (edge, one) = (Fixture::with(|config| config.limits.body_bytes = Some(1000)), Upstream::start("one").await);
    let host = crate::support::key(skipper_core::route::Listener::Http, Some("known"), "/");
    let known = Service { routes: [("http".to_owned(), vec![host])].into(), ..to(1, &one) };
    let at = edge.set(&known).await;
    let mut sender = connect(at).await;
    let mut ask = async |method: Method, uri: &str, body: Body| {
        let request = Request::builder().method(method).uri(uri).body(body).expect("request");
        sender.send_request(request).await.expect("an answer").status().as_u16()
    };
    assert_eq!(ask(Method::GET, "http://known/", full("")).await, 200);
    assert_eq!(ask(Method::GET, "http://unknown/", full("")).await, 404);
    assert_eq!(ask(Method::TRACE, "http://known/", full("")).await, 405);
    assert_eq!(ask(Method::POST, "http://known/length", full(vec![0; 2000])).await, 413);
    let pieces = (0..10).map(|_| Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(&[7; 500]))));
    let endless = BodyExt::boxed(StreamBody::new(futures::stream::iter(pieces)));
    assert_eq!(ask(Method::POST, "http://known/length", endless).await, 413);
    edge.set(&Service { routes: known.routes.clone(), ..service(1) }).await;
    assert_eq!(ask(Method::GET, "http://known/", full("")).await, 503);
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address");
    let backends = vec![crate::support::backend("d", 100, &[gone])];
    edge.set(&Service { routes: known.routes.clone(), backends, ..service(1) }).await;
    assert_eq!(ask(Method::GET, "http://known/", full("")).await, 502);
    let held = Mode::Held { bound: Millis(100) };
    edge.set(&Service { mode: held, ..known.clone() }).await;
    assert_eq!(ask(Method::GET, "http://known/", full("")).await, 503);
    edge.end();
}

#[tokio::test]
async fn a_stream_that_is_reset_frees_its_instance() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let at = edge.set(&to(1, &one)).await;
    let mut sender = connect(at).await;
    let request = Request::get("http://h/slow?60000").body(full("")).expect("request");
    let sending = tokio::time::timeout(Duration::from_millis(300), sender.send_request(request));
    assert!(sending.await.is_err());
    let in_flight = async || edge.router.table(None, 1).await.expect("table")[0].in_flight["one"];
    eventually("the stream is gone", async || in_flight().await == 0).await;
    let one = skipper_core::deployment::DeploymentId::from_stored("one");
    let drained = edge.router.drain(&one, Duration::ZERO);
    assert_eq!(drained.await.expect("drain"), 0);
    edge.end();
}

#[tokio::test]
async fn a_connection_that_asks_now_and_then_is_kept_past_the_time_for_its_first_head() {
    let edge = Fixture::with(|config| {
        config.limits.header_read = Duration::from_millis(100);
        config.limits.idle = Duration::from_secs(60);
    });
    let one = Upstream::start("one").await;
    let at = edge.set(&to(1, &one)).await;
    let mut sender = connect(at).await;
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < Duration::from_millis(400) {
        let request = Request::get("http://h/").body(full("")).expect("request");
        assert_eq!(text(sender.send_request(request).await.expect("an answer")).await, "one");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // One that never asks anything is not.
    let silent = connect(at).await;
    eventually("the silent connection is closed", async || silent.is_closed()).await;
    assert!(!sender.is_closed());
    edge.end();
}

#[tokio::test]
async fn an_open_stream_outlives_the_idle_time_and_an_idle_connection_does_not() {
    let edge = Fixture::with(|config| {
        config.limits.idle = Duration::from_millis(200);
        config.limits.header_read = Duration::from_millis(200);
    });
    let one = Upstream::start("one").await;
    let at = edge.set(&to(1, &one)).await;
    let mut sender = connect(at).await;
    let request = Request::get("http://h/slow?1200").body(full("")).expect("request");
    assert_eq!(text(sender.send_request(request).await.expect("an answer")).await, "one");
    eventually("the idle connection is closed", async || sender.is_closed()).await;
    edge.end();
}
