//! TLS from files.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use skipper_core::{
    deployment::DeploymentId,
    port::{ErrorKind, Router as _},
    route::{Listener, Service},
};
use skipper_edge::{Certificates, SharedListen};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{Fixture, Upstream, eventually, key, read_answer, to};

/// Writes a self-signed pair and returns the certificate.
pub(crate) fn write(folder: &Path, file: &str, host: &str) -> rustls::pki_types::CertificateDer<'static> {
    let pair = rcgen::generate_simple_self_signed([host.to_owned()]).expect("a pair");
    std::fs::write(folder.join(format!("{file}.key")), pair.signing_key.serialize_pem()).expect("write");
    std::fs::write(folder.join(format!("{file}.crt")), pair.cert.pem()).expect("write");
    pair.cert.der().clone()
}

pub(crate) async fn connect(
    at: SocketAddr,
    host: &str,
    trusted: &rustls::pki_types::CertificateDer<'static>,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = host.to_owned().try_into().expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(at).await?).await
}

async fn secure(edge: &Fixture, one: &Upstream) -> SocketAddr {
    let keys = ["www.example.org", "*.example.org"].map(|host| key(Listener::Https, Some(host), "/"));
    edge.set(&Service { routes: [("http".to_owned(), keys.to_vec())].into(), ..to(1, one) }).await
}

#[tokio::test]
async fn a_route_that_cannot_be_opened_is_told_before_it_is_asked_for() {
    let folder = tempfile::tempdir().expect("folder");
    let edge = Fixture::with(|config| config.certificates = vec![Certificates::Folder(folder.path().to_owned())]);
    let secure = |host| [key(Listener::Https, Some(host), "/")];
    let refused = edge.router.check(&secure("www.example.org")).await.expect_err("no certificate");
    assert_eq!((refused.code(), refused.kind()), ("no-certificate", ErrorKind::Permanent));
    assert!(refused.advice().is_some_and(|hint| hint.contains("www.example.org.crt")), "{refused:?}");
    write(folder.path(), "_.example.org", "*.example.org");
    edge.router.check(&secure("www.example.org")).await.expect("one that was just put there counts");
    edge.router.check(&secure("example.org")).await.expect_err("the wildcard is not for its parent");

    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = held.local_addr().expect("address").port();
    let refused = edge.router.check(&[key(Listener::Port(taken), None, "/")]).await.expect_err("taken");
    assert_eq!(refused.code(), "port-taken");
    drop(held);
    edge.router.check(&[key(Listener::Port(taken), None, "/")]).await.expect("free again");

    let edge = Fixture::with(|config| config.https = SharedListen(Vec::new()));
    let refused = edge.router.check(&secure("www.example.org")).await.expect_err("switched off");
    assert_eq!(refused.code(), "no-listener");
    assert!(edge.router.table(None, 10).await.expect("table").is_empty(), "asking changes nothing");
}

#[tokio::test]
async fn certificates_are_chosen_by_name_and_both_protocols_are_spoken() {
    let folder = tempfile::tempdir().expect("folder");
    let exact = write(folder.path(), "www.example.org", "www.example.org");
    let wild = write(folder.path(), "_.example.org", "*.example.org");
    std::fs::write(folder.path().join("broken.example.crt"), "no certificate").expect("write");
    let edge = Fixture::with(|config| config.certificates = vec![Certificates::Folder(folder.path().to_owned())]);
    let one = Upstream::start("one").await;
    let at = secure(&edge, &one).await;
    for (host, certificate) in [("www.example.org", &exact), ("other.example.org", &wild)] {
        let mut stream = connect(at, host, certificate, b"http/1.1").await.expect("TLS");
        let request = format!("GET /head HTTP/1.1\r\nhost: {host}\r\n\r\n");
        for _ in 0..2 {
            stream.write_all(request.as_bytes()).await.expect("write");
            let answer = read_answer(&mut stream, &mut Vec::new(), false).await.expect("an answer");
            assert!(answer.text().contains("x-forwarded-proto: https"), "{}", answer.text());
        }
    }
    assert!(connect(at, "www.example.com", &exact, b"http/1.1").await.is_err());
    let stream = connect(at, "www.example.org", &exact, b"h2").await.expect("TLS");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.expect("handshake");
    tokio_util::task::TaskTracker::new().spawn(connection);
    let request = http::Request::get("https://www.example.org/").body(http_body_util::Empty::<bytes::Bytes>::new());
    let answer = sender.send_request(request.expect("request")).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let verified = edge.router.verify(&key(Listener::Https, Some("*.example.org"), "/"), "/").await.expect("verified");
    assert_eq!(verified.deployment, DeploymentId::from_stored("one"));
    edge.end();
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_a_bad_one_is_not() {
    let folder = tempfile::tempdir().expect("folder");
    let first = write(folder.path(), "default", "www.example.org");
    let edge = Fixture::with(|config| config.certificates = vec![Certificates::Folder(folder.path().to_owned())]);
    let one = Upstream::start("one").await;
    let at = secure(&edge, &one).await;
    connect(at, "www.example.org", &first, b"http/1.1").await.expect("the first");
    std::fs::write(folder.path().join("default.crt"), "damaged").expect("write");
    edge.edge.reload_certificates();
    connect(at, "www.example.org", &first, b"http/1.1").await.expect("still the first");
    let second = write(folder.path(), "default", "www.example.org");
    // Found by itself, within some seconds.
    eventually("the second is served", async || connect(at, "www.example.org", &second, b"http/1.1").await.is_ok())
        .await;
    assert!(connect(at, "www.example.org", &first, b"http/1.1").await.is_err());
    edge.end();
}

#[tokio::test]
async fn large_bodies_pass_both_ways_and_a_silent_client_is_ended() {
    let folder = tempfile::tempdir().expect("folder");
    let certificate = write(folder.path(), "default", "www.example.org");
    let edge = Fixture::with(|config| {
        config.certificates = vec![Certificates::Folder(folder.path().to_owned())];
        config.limits.header_read = Duration::from_millis(300);
    });
    let one = Upstream::start("one").await;
    let at = secure(&edge, &one).await;
    let mut silent = TcpStream::connect(at).await.expect("connect");
    let mut stream = connect(at, "www.example.org", &certificate, b"http/1.1").await.expect("TLS");
    let head = "POST /length HTTP/1.1\r\nhost: www.example.org\r\ncontent-length: 5000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("write");
    stream.write_all(&vec![b'x'; 5_000_000]).await.expect("write");
    stream.flush().await.expect("flush");
    let mut left = Vec::new();
    assert_eq!(read_answer(&mut stream, &mut left, false).await.expect("an answer").text(), "one 5000000");
    stream.write_all(b"GET /chunks?5000000 HTTP/1.1\r\nhost: www.example.org\r\n\r\n").await.expect("write");
    assert_eq!(read_answer(&mut stream, &mut left, false).await.expect("an answer").body.len(), 5_000_000);
    let mut nothing = [0; 1];
    let read = tokio::io::AsyncReadExt::read(&mut silent, &mut nothing);
    assert_eq!(tokio::time::timeout(Duration::from_secs(10), read).await.expect("in time").unwrap_or(0), 0);
    edge.end();
}
