//! What must be refused, what must be bounded, and that neither reaches an instance.

use std::time::Duration;

use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep, timeout},
};

use crate::support::{Client, Fixture, Upstream, get, raw, to};

/// Each must be answered so, and the connection must end: nobody knows where the next request would begin.
const REFUSED: &[(u16, &str, &str)] = &[
    (
        400,
        "both lengths",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        400,
        "both, the other way",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ),
    (400, "two lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
    (400, "the same length twice", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
    (400, "a list of lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\nhello"),
    (400, "a signed length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello"),
    (400, "a negative length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n"),
    (400, "a hexadecimal length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x5\r\n\r\nhello"),
    (400, "an endless length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n"),
    (400, "no length's value", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n"),
    (501, "another coding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    (501, "identity", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n"),
    (400, "a coding in disguise", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    (501, "chunked twice in one", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    (
        400,
        "chunked twice",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (400, "chunked in HTTP/1.0", "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (400, "a folded line", "GET / HTTP/1.1\r\nHost: h\r\nX-A: b\r\n c\r\n\r\n"),
    (400, "a space before the colon", "GET / HTTP/1.1\r\nHost: h\r\nX-A : b\r\n\r\n"),
    (400, "a space before the name", "GET / HTTP/1.1\r\n Host: h\r\n\r\n"),
    (400, "a bare CR in a value", "GET / HTTP/1.1\r\nHost: h\r\nX-A: b\rX-B: c\r\n\r\n"),
    (400, "a NUL in a value", "GET / HTTP/1.1\r\nHost: h\r\nX-A: b\0c\r\n\r\n"),
    (400, "no Host", "GET / HTTP/1.1\r\nX-A: b\r\n\r\n"),
    (400, "two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    (400, "an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    (400, "a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    (400, "a Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    (400, "two Hosts in one", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    (400, "a user in the target", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "a relative target", "GET foo HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "an asterisk for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    (400, "HTTP/0.9", "GET /\r\n\r\n"),
    (400, "a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "a method that is no token", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (405, "CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    (405, "TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "TLS on a plain port", "\x16\x03\x01\x02\n\x01\x01\r\n\r\n"),
];

#[tokio::test]
async fn requests_that_can_be_read_in_two_ways_are_refused_and_reach_nobody() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let at = edge.set(&to(1, &one)).await;
    for (status, what, request) in REFUSED {
        let mut client = Client::connect(at).await;
        let smuggled = format!("{request}GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
        client.send(smuggled).await;
        let answer = client.answer().await.unwrap_or_else(|| panic!("{what}: no answer"));
        assert_eq!((answer.status, answer.header("connection")), (*status, Some("close")), "{what}");
        assert_eq!(client.answer().await, None, "{what}: the connection must end");
    }
    assert_eq!(one.requests(), 0);
    edge.end();
}

#[tokio::test]
async fn malformed_chunks_end_the_request_at_the_instance_too() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let at = edge.set(&to(1, &one)).await;
    for body in [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "zz\r\n",
        "5;\0\r\nhello\r\n0\r\n\r\n",
        "-5\r\n",
        "5\r\nhelloGET / HT",
    ] {
        let request = format!("POST /length HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        let answer = raw(at, request).await.expect("an answer");
        assert_eq!((answer.status, answer.header("connection")), (400, Some("close")), "{body:?}");
    }
    assert_eq!(get(at, "h", "/").await.text(), "one", "the next request is not touched");
    edge.end();
}

#[tokio::test]
async fn heads_have_bounds() {
    let (edge, one) = (Fixture::with(|config| config.limits.header_bytes = 10_000), Upstream::start("one").await);
    let at = edge.set(&to(1, &one)).await;
    let with = |extra: &str| format!("GET / HTTP/1.1\r\nHost: h\r\n{extra}\r\n");
    let long = format!("X-Long: {}\r\n", "x".repeat(9_000));
    assert_eq!(raw(at, with(&long)).await.expect("an answer").status, 200);
    let longer = format!("X-Long: {}\r\n", "x".repeat(20_000));
    assert_eq!(raw(at, with(&longer)).await.expect("an answer").status, 431);
    let endless = "GET /".to_owned() + &"x".repeat(50_000);
    assert_eq!(raw(at, endless).await.expect("an answer").status, 431);
    assert_eq!(raw(at, with(&"a: b\r\n".repeat(90))).await.expect("an answer").status, 200);
    assert_eq!(raw(at, with(&"a: b\r\n".repeat(100))).await.expect("an answer").status, 431);
    let options = format!("Connection: {}\r\n", "a,".repeat(40));
    assert_eq!(raw(at, with(&options)).await.expect("an answer").status, 400);
    edge.end();
}

#[tokio::test]
async fn bodies_have_a_bound_where_one_is_configured() {
    let (edge, one) = (Fixture::with(|config| config.limits.body_bytes = Some(1000)), Upstream::start("one").await);
    let at = edge.set(&to(1, &one)).await;
    let known = |length: usize| {
        format!("POST /length HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length))
    };
    assert_eq!(raw(at, known(1000)).await.expect("an answer").text(), "one 1000");
    assert_eq!(raw(at, known(1001)).await.expect("an answer").status, 413);
    let chunked = |count: usize| {
        let chunks = "64\r\n".to_owned() + &"x".repeat(100) + "\r\n";
        format!(
            "POST /length HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
            chunks.repeat(count)
        )
    };
    assert_eq!(raw(at, chunked(10)).await.expect("an answer").text(), "one 1000");
    assert_eq!(raw(at, chunked(11)).await.expect("an answer").status, 413);
    edge.end();
}

#[tokio::test]
async fn slow_heads_and_idle_connections_are_ended_and_slow_bodies_are_not() {
    let edge = Fixture::with(|config| {
        config.limits.header_read = Duration::from_millis(300);
        config.limits.idle = Duration::from_millis(600);
    });
    let one = Upstream::start("one").await;
    let at = edge.set(&to(1, &one)).await;
    // A byte at a time does not help.
    let mut slow = Client::connect(at).await;
    let began = Instant::now();
    for byte in b"GET / HTTP/1.1\r\nhost: h\r\nx: ".iter().chain(std::iter::repeat(&b'y')) {
        if slow.stream.write_all(&[*byte]).await.is_err() || began.elapsed() > Duration::from_millis(700) {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(slow.answer().await.expect("an answer").status, 408);
    // Nothing at all ends without a word.
    let mut silent = Client::connect(at).await;
    assert_eq!(
        timeout(Duration::from_secs(5), silent.stream.read(&mut [0; 1])).await.expect("in time").unwrap_or(0),
        0
    );
    // Between requests there is more time, and then an end.
    let mut idle = Client::connect(at).await;
    idle.get("h", "/").await.expect("an answer");
    sleep(Duration::from_millis(400)).await;
    idle.get("h", "/").await.expect("still open");
    assert_eq!(timeout(Duration::from_secs(5), idle.stream.read(&mut [0; 1])).await.expect("in time").unwrap_or(0), 0);
    // A body takes the time it takes.
    let mut body = Client::connect(at).await;
    body.send("POST /length HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\n").await;
    for _ in 0..10 {
        sleep(Duration::from_millis(100)).await;
        body.send("x").await;
    }
    assert_eq!(body.answer().await.expect("an answer").text(), "one 10");
    assert_eq!(body.get("h", "/slow?900").await.expect("a slow answer").text(), "one");
    edge.end();
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_until_there_is_room() {
    let (edge, one) = (Fixture::with(|config| config.limits.connections = 4), Upstream::start("one").await);
    let at = edge.set(&to(1, &one)).await;
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(at).await;
        client.get("h", "/").await.expect("an answer");
        open.push(client);
    }
    let mut fifth = Client::connect(at).await;
    fifth.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert!(timeout(Duration::from_millis(200), fifth.answer()).await.is_err(), "there is no room yet");
    open.pop();
    assert_eq!(fifth.answer().await.expect("there is room now").text(), "one");
    edge.end();
}

#[test]
fn whatever_comes_the_edge_answers_or_hangs_up_and_goes_on() {
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let edge = Fixture::with(|config| config.limits.header_read = Duration::from_millis(50));
    let (at, one) = runtime.block_on(async {
        let one = Upstream::start("one").await;
        (edge.set(&to(1, &one)).await, one)
    });
    let pieces = prop::sample::select(vec![
        "GET ",
        "POST ",
        "/ ",
        "/x?y ",
        "HTTP/1.1",
        "HTTP/1.0",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        "Host: h",
        "Content-Length: ",
        "5",
        "0",
        "Transfer-Encoding: chunked",
        "hello",
        "Connection: ",
        "upgrade",
        "close",
        "Upgrade: x",
        "Expect: 100-continue",
        " ",
        ":",
        ",",
        "\0",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "\u{ff}",
    ]);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 300, ..ProptestConfig::default() });
    runner
        .run(&prop::collection::vec(pieces, 0..14), |pieces| {
            runtime.block_on(async {
                let mut client = Client::connect(at).await;
                let _ = client.stream.write_all(pieces.concat().as_bytes()).await;
                let _ = client.stream.shutdown().await;
                let mut all = Vec::new();
                let read = timeout(Duration::from_secs(10), client.stream.read_to_end(&mut all)).await;
                prop_assert!(read.is_ok(), "{:?}: the edge hangs after {:?}", pieces, String::from_utf8_lossy(&all));
                Ok(())
            })
        })
        .expect("the edge goes on");
    assert_eq!(runtime.block_on(get(at, "h", "/")).text(), "one");
    drop(one);
    edge.end();
}
