//! One request at a time: what reaches the instance, and what comes back.

use std::{sync::Arc, time::Duration};

use skipper_core::route::{Listener, Service};
use skipper_edge::Network;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{Client, Fixture, Upstream, backend, get, key, raw, read_answer, scripted, service, to};

#[tokio::test]
async fn a_request_reaches_its_instance_and_connections_are_used_again() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let at = edge.set(&to(1, &one)).await;
    let mut client = Client::connect(at).await;
    for _ in 0..20 {
        let answer = client.get("any.example", "/").await.expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (200, "one"));
    }
    assert_eq!(one.connections(), 1, "one kept connection carries all requests of a thread");
    edge.end();
}

#[tokio::test]
async fn hosts_and_paths_lead_to_their_services_and_nothing_else_is_answered() {
    let edge = Fixture::start();
    let (web, api, port) = (Upstream::start("web").await, Upstream::start("api").await, Upstream::start("port").await);
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").port();
    let routed = |number, upstream: &Upstream, keys| Service {
        routes: [("http".to_owned(), keys)].into(),
        ..to(number, upstream)
    };
    let web = routed(1, &web, vec![key(Listener::Http, Some("www.example.org"), "/")]);
    let api = routed(2, &api, vec![key(Listener::Http, Some("*.example.org"), "/api")]);
    let own_port = routed(3, &port, vec![key(Listener::Port(free), None, "/")]);
    let at = edge.set(&web).await;
    edge.set(&api).await;
    let own = edge.set(&own_port).await;
    assert_eq!(own.port(), free);
    for (host, path, expected) in [
        ("www.example.org", "/", "web"),
        ("WWW.Example.ORG.:8080", "/x?y=/api", "web"),
        ("www.example.org", "/api/1", "web"),
        ("a.example.org", "/api", "api"),
        ("a.example.org", "/api/x", "api"),
        ("a.example.org", "/apix", "404"),
        ("a.b.example.org", "/api", "404"),
        ("other.org", "/", "404"),
    ] {
        let answer = get(at, host, path).await;
        let got = if answer.status == 200 { answer.text() } else { answer.status.to_string() };
        assert_eq!(got, expected, "{host}{path}");
    }
    assert_eq!(get(own, "whatever", "/").await.text(), "port");
    edge.end();
}

/// The head of a request as the instance sees it.
async fn forwarded(edge: &Fixture, head: &str) -> String {
    let one = Upstream::start("one").await;
    let at = edge.set(&to(1, &one)).await;
    raw(at, head).await.expect("an answer").text()
}

#[tokio::test]
async fn what_is_meant_for_the_next_hop_only_goes_no_further() {
    let edge = Fixture::start();
    let seen = forwarded(
        &edge,
        "GET /head HTTP/1.1\r\nHost: H.example:81\r\nConnection: keep-alive, X-Hop, X-Forwarded-For\r\nX-Hop: 1\r\n\
         Keep-Alive: timeout=5\r\nTE: trailers\r\nTrailer: x\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nProxy: evil\r\n\
         Proxy-Authorization: secret\r\nX-Skipper-Verify: guess\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\n\
         Forwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n\
         X-Forwarded-Prefix: /evil\r\nX-Forwarded-User: root\r\nX-Original-URL: /admin\r\n\
         X-Kept: \u{e4}\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nCookie: a=1\r\n\r\n",
    )
    .await;
    assert_eq!(
        seen,
        "GET /head HTTP/1.1\nhost: h.example:81\nx-kept: \u{e4}\ndate: Thu, 01 Jan 1970 00:00:00 GMT\ncookie: a=1\n\
         x-forwarded-for: 127.0.0.1\n\
         x-forwarded-proto: http\nx-forwarded-host: h.example:81\n"
    );
    edge.end();
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_and_extended() {
    let edge = Fixture::with(|config| config.trusted_proxies = vec!["127.0.0.0/8".parse::<Network>().expect("net")]);
    let seen = forwarded(
        &edge,
        "GET /head HTTP/1.1\r\nHost: inner\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\n\
         X-Forwarded-Proto: https\r\nX-Forwarded-Host: outer\r\nX-Real-IP: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n\r\n",
    )
    .await;
    assert_eq!(
        seen,
        "GET /head HTTP/1.1\nhost: inner\nx-real-ip: 1.2.3.4\nforwarded: for=1.2.3.4\n\
         x-forwarded-for: 1.2.3.4, 5.6.7.8, 127.0.0.1\nx-forwarded-proto: https\nx-forwarded-host: outer\n"
    );
    edge.end();
}

#[tokio::test]
async fn the_absolute_form_names_the_host_and_options_may_ask_for_all() {
    let edge = Fixture::start();
    let seen = forwarded(&edge, "GET http://Real.example/head?x HTTP/1.1\r\nHost: other\r\n\r\n").await;
    assert!(seen.starts_with("GET /head?x HTTP/1.1\nhost: real.example\n"), "{seen}");
    let seen = forwarded(&edge, "GET /head HTTP/1.0\r\n\r\n").await;
    assert!(seen.contains("host: 127.0.0.1:"), "HTTP/1.0 need not name one: {seen}");
    assert_eq!(forwarded(&edge, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").await, "one");
    edge.end();
}

#[tokio::test]
async fn bodies_of_every_framing_arrive_whole() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let at = edge.set(&to(1, &one)).await;
    let mut client = Client::connect(at).await;
    for (request, expected) in [
        ("POST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello".to_owned(), "hello"),
        ("POST /echo HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nt: 1\r\n\r\n".to_owned(), "hello"),
        ("POST /length HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n".to_owned(), "one 0"),
        (format!("POST /length HTTP/1.1\r\nhost: h\r\ncontent-length: 100000\r\n\r\n{}", "x".repeat(100_000)), "one 100000"),
        ("GET /head HTTP/1.1\r\nhost: h\r\n\r\n".to_owned(), "GET /head"),
    ] {
        client.send(&request).await;
        let answer = client.answer().await.expect("an answer");
        assert!(answer.text().starts_with(expected), "{request:.60}: {:.200}", answer.text());
    }
    let head = "HEAD /big?12345 HTTP/1.1\r\nhost: h\r\n\r\n";
    client.send(head).await;
    let answer = read_answer(&mut client.stream, &mut client.left, true).await.expect("an answer");
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("12345")));
    let answer = client.get("h", "/chunks?70000").await.expect("an answer");
    assert_eq!((answer.body.len(), answer.header("transfer-encoding")), (70_000, Some("chunked")));
    edge.end();
}

#[tokio::test]
async fn requests_sent_ahead_of_time_are_answered_in_order() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let at = edge.set(&to(1, &one)).await;
    let mut client = Client::connect(at).await;
    let mut all = String::new();
    for number in 0..10 {
        all.push_str(&format!("POST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\n{number:03}"));
    }
    client.send(&all).await;
    for number in 0..10 {
        assert_eq!(client.answer().await.expect("an answer").text(), format!("{number:03}"));
    }
    edge.end();
}

#[tokio::test]
async fn old_clients_get_bodies_they_understand() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let at = edge.set(&to(1, &one)).await;
    let answer = raw(at, "GET /chunks?100000 HTTP/1.0\r\nhost: h\r\n\r\n").await.expect("an answer");
    assert_eq!((answer.header("transfer-encoding"), answer.body.len()), (None, 100_000));
    let mut client = Client::connect(at).await;
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nhost: h\r\nconnection: keep-alive\r\n\r\n").await;
        let answer = client.answer().await.expect("an answer");
        assert_eq!((answer.header("connection"), answer.text().as_str()), (Some("keep-alive"), "one"));
    }
    edge.end();
}

#[tokio::test]
async fn an_answer_without_length_ends_with_its_connection() {
    let edge = Fixture::start();
    let (address, _upstream) = scripted(|mut stream| async move {
        let mut buffer = [0; 1024];
        let _ = stream.read(&mut buffer).await?;
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nall of it").await
    })
    .await;
    let at = edge.set(&Service { backends: vec![backend("d", 100, &[address])], ..service(1) }).await;
    let mut client = Client::connect(at).await;
    for _ in 0..2 {
        let answer = client.get("h", "/").await.expect("an answer");
        assert_eq!((answer.text().as_str(), answer.header("transfer-encoding")), ("all of it", Some("chunked")));
    }
    edge.end();
}

#[tokio::test]
async fn a_client_that_waits_for_continue_is_told_by_the_instance_or_after_a_while() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let at = edge.set(&to(1, &one)).await;
    let head = "POST /echo HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n";
    // hyper says 100 when the body is asked for.
    let mut client = Client::connect(at).await;
    client.send(head).await;
    let mut interim = [0; 25];
    client.stream.read_exact(&mut interim).await.expect("an interim answer");
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello").await;
    let answer = tokio::time::timeout(Duration::from_secs(5), client.answer()).await.expect("at once");
    assert_eq!(answer.expect("an answer").text(), "hello");
    // One that refuses at once never gets the body, and the connection ends.
    let (address, _refuses) = scripted(|mut stream| async move {
        let mut buffer = [0; 1024];
        let count = stream.read(&mut buffer).await?;
        assert!(String::from_utf8_lossy(&buffer[..count]).contains("expect: 100-continue"));
        stream.write_all(b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n").await?;
        assert_eq!(stream.read(&mut buffer).await.unwrap_or(0), 0, "no byte of the body");
        Ok(())
    })
    .await;
    edge.set(&Service { backends: vec![backend("d", 100, &[address])], ..service(1) }).await;
    let mut client = Client::connect(at).await;
    client.send(head).await;
    let answer = client.answer().await.expect("an answer");
    assert_eq!((answer.status, answer.header("connection")), (401, Some("close")));
    // One that does not know `Expect` gets it all the same.
    let (address, _ignores) = scripted(|mut stream| async move {
        let (mut buffer, mut seen) = ([0; 1024], Vec::new());
        while !seen.ends_with(b"hello") {
            let count = stream.read(&mut buffer).await?;
            seen.extend_from_slice(&buffer[..count]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await
    })
    .await;
    edge.set(&Service { backends: vec![backend("d", 100, &[address])], ..service(1) }).await;
    let mut client = Client::connect(at).await;
    client.send(head).await;
    client.stream.read_exact(&mut interim).await.expect("an interim answer");
    client.send("hello").await;
    assert_eq!(client.answer().await.expect("an answer").text(), "ok");
    edge.end();
}

#[tokio::test]
async fn an_instance_that_refuses_connections_is_passed_over() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address");
    let at = edge.set(&Service { backends: vec![backend("d", 100, &[gone, one.address()])], ..service(1) }).await;
    for _ in 0..20 {
        assert_eq!(get(at, "h", "/").await.text(), "one");
    }
    edge.set(&Service { backends: vec![backend("d", 100, &[gone])], ..service(1) }).await;
    assert_eq!(get(at, "h", "/").await.status, 502);
    edge.set(&service(1)).await;
    let answer = get(at, "h", "/").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    edge.end();
}

#[tokio::test]
async fn a_kept_connection_that_the_instance_closed_loses_no_request() {
    let edge = Fixture::start();
    // Answers once and closes without saying so beforehand.
    let (address, _upstream) = scripted(|mut stream: TcpStream| async move {
        let mut buffer = [0; 1024];
        let _ = stream.read(&mut buffer).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await
    })
    .await;
    let at = edge.set(&Service { backends: vec![backend("d", 100, &[address])], ..service(1) }).await;
    let mut client = Client::connect(at).await;
    for turn in 0..50 {
        let answer = client.get("h", "/").await.expect("an answer");
        assert_eq!(answer.status, 200, "turn {turn}");
    }
    edge.end();
}

#[tokio::test]
async fn a_request_that_was_sent_is_not_sent_twice() {
    let edge = Fixture::start();
    let count = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = count.clone();
    let (address, _upstream) = scripted(move |mut stream: TcpStream| {
        let counted = counted.clone();
        async move {
            let mut buffer = [0; 1024];
            if stream.read(&mut buffer).await? > 0 {
                counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
            Ok(())
        }
    })
    .await;
    let at = edge.set(&Service { backends: vec![backend("d", 100, &[address])], ..service(1) }).await;
    assert_eq!(get(at, "h", "/").await.status, 502);
    assert_eq!(raw(at, "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\nx").await.expect("answer").status, 502);
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 2);
    edge.end();
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_still_sends() {
    let edge = Fixture::start();
    let (address, _upstream) = scripted(|mut stream: TcpStream| async move {
        let mut buffer = [0; 1024];
        let _ = stream.read(&mut buffer).await?;
        stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig").await
    })
    .await;
    let at = edge.set(&Service { backends: vec![backend("d", 100, &[address])], ..service(1) }).await;
    let mut client = Client::connect(at).await;
    client.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3000000\r\n\r\n").await;
    let _ = tokio::time::timeout(Duration::from_secs(5), client.stream.write_all(&vec![b'x'; 1_000_000])).await;
    assert_eq!(client.answer().await.expect("the early answer").text(), "big");
    edge.end();
}

#[tokio::test]
async fn a_body_that_comes_after_its_answer_does_not_cost_the_connection() {
    let edge = Fixture::start();
    let (address, _upstream) = scripted(|mut stream: TcpStream| async move {
        let (mut buffer, mut seen) = ([0; 1024], Vec::new());
        loop {
            while !seen.ends_with(b"\r\n\r\n") {
                let count = stream.read(&mut buffer).await?;
                if count == 0 {
                    return Ok(());
                }
                seen.extend_from_slice(&buffer[..count]);
            }
            seen.clear();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
            stream.read_exact(&mut buffer[..5]).await?;
            assert_eq!(&buffer[..5], b"hello");
        }
    })
    .await;
    let at = edge.set(&Service { backends: vec![backend("d", 100, &[address])], ..service(1) }).await;
    let mut client = Client::connect(at).await;
    for _ in 0..3 {
        client.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\n").await;
        let answer = client.answer().await.expect("an answer");
        assert_eq!((answer.text().as_str(), answer.header("connection")), ("ok", None));
        client.send("hello").await;
    }
    edge.end();
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_made_to_look_whole() {
    let edge = Fixture::start();
    for answer in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
    ] {
        let (address, _upstream) = scripted(move |mut stream: TcpStream| async move {
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await?;
            stream.write_all(answer).await
        })
        .await;
        let at = edge.set(&Service { backends: vec![backend("d", 100, &[address])], ..service(1) }).await;
        // Where nothing was sent yet, the client can be told.
        let seen = raw(at, "GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
        assert!(seen.as_ref().is_none_or(|answer| answer.status == 502), "{seen:?}");
    }
    let (address, _upstream) = scripted(move |mut stream: TcpStream| async move {
        let mut buffer = [0; 1024];
        let _ = stream.read(&mut buffer).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await?;
        // The client says when it has seen that much: what comes then cannot be taken back.
        let _ = stream.read(&mut buffer).await?;
        Ok(())
    })
    .await;
    let at = edge.set(&Service { backends: vec![backend("d", 100, &[address])], ..service(1) }).await;
    let mut client = Client::connect(at).await;
    client.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n").await;
    client.send("123").await;
    let mut seen = [0; 17];
    client.stream.read_exact(&mut seen).await.expect("the head has begun");
    assert_eq!(&seen, b"HTTP/1.1 200 OK\r\n");
    client.send("456").await;
    let mut rest = Vec::new();
    let _ = client.stream.read_to_end(&mut rest).await;
    assert!(rest.ends_with(b"half"), "{:?}", String::from_utf8_lossy(&rest));
    for answer in [
        &b"garbage\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
    ] {
        let (address, _upstream) = scripted(move |mut stream: TcpStream| async move {
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await?;
            stream.write_all(answer).await
        })
        .await;
        let at = edge.set(&Service { backends: vec![backend("d", 100, &[address])], ..service(1) }).await;
        assert_eq!(get(at, "h", "/").await.status, 502);
    }
    edge.end();
}

#[tokio::test]
async fn hints_before_the_answer_are_passed_on_and_an_answer_without_a_date_gets_one() {
    let edge = Fixture::start();
    let (address, _upstream) = scripted(move |mut stream: TcpStream| async move {
        let _ = stream.read(&mut [0; 1024]).await?;
        stream
            .write_all(
                b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\
                  connection: x\r\nx: 1\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            )
            .await
    })
    .await;
    let at = edge.set(&Service { backends: vec![backend("d", 100, &[address])], ..service(1) }).await;
    let said = async |version: &str| {
        let mut stream = TcpStream::connect(at).await.expect("connected");
        let request = format!("GET / HTTP/{version}\r\nhost: h\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("read");
        text
    };
    let text = said("1.1").await;
    let hints = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n";
    let rest = text.strip_prefix(hints).unwrap_or_else(|| panic!("{text}"));
    assert!(rest.starts_with("HTTP/1.1 200 OK\r\n") && rest.ends_with("\r\n\r\nok"), "{rest}");
    assert!(rest.contains("\r\ndate: ") && rest.contains(" GMT\r\n"), "{rest}");
    assert!(said("1.0").await.starts_with("HTTP/1.1 200 OK\r\n"), "an old client knows no hints");
    edge.end();
}

#[tokio::test]
async fn a_client_that_hangs_up_frees_its_instance() {
    let (edge, one) = (Fixture::start(), Upstream::start("one").await);
    let at = edge.set(&to(1, &one)).await;
    let mut client = Client::connect(at).await;
    client.send("GET /slow?60000 HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let in_flight = async || {
        let rows = edge.router.table(None, 10).await.expect("table");
        rows[0].in_flight["one"]
    };
    crate::support::eventually("the request is in flight", async || in_flight().await == 1).await;
    drop(client);
    crate::support::eventually("the request is gone", async || in_flight().await == 0).await;
    edge.end();
}
