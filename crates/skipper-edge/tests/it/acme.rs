//! Certificates from a real ACME server.

use std::{net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use futures::FutureExt as _;
use rustls::pki_types::CertificateDer;
use skipper_core::{
    generation::Generation,
    port::Router as _,
    route::{Listener, Service},
};
use skipper_edge::{
    AcmeConfig, AcmeInfo, Certificates, ChallengeKind, Edge, EdgeRouter, ExternalAccount, Redirect, SharedListen,
};
use testkit::pebble::{EXTERNAL, Pebble};
use tokio::io::AsyncWriteExt as _;

use crate::{
    support::{Fixture, Upstream, get, key, pebble, read_answer, to},
    tls::{connect, write},
};

const SHOP: &str = "www.shop.example";

/// A service that hosts lead to with TLS.
fn secure(number: u8, upstream: &Upstream, hosts: &[&str]) -> Service {
    let keys = hosts.iter().map(|host| key(Listener::Https, Some(host), "/")).collect();
    Service { routes: [("http".to_owned(), keys)].into(), ..to(number, upstream) }
}

async fn acme(router: &EdgeRouter) -> AcmeInfo {
    router.info().await.expect("info").acme.expect("it is configured")
}

/// Waits until something is so, and tells what the edge says of its certificates if it never is.
async fn eventually(router: &EdgeRouter, what: &str, so: impl AsyncFnMut() -> bool) {
    let waiting = crate::support::eventually(what, so);
    if let Err(lost) = std::panic::AssertUnwindSafe(waiting).catch_unwind().await {
        println!("{:#?}", acme(router).await);
        std::panic::resume_unwind(lost);
    }
}

async fn eventually_valid(router: &EdgeRouter, count: u64) {
    eventually(router, "the certificates are there", async || acme(router).await.valid == count).await;
}

/// The certificate that a client gets for a name.
async fn served(at: SocketAddr, host: &str, root: &CertificateDer<'static>) -> Option<CertificateDer<'static>> {
    let stream = connect(at, host, root, b"http/1.1").await.ok()?;
    stream.get_ref().1.peer_certificates().and_then(|chain| chain.first().cloned())
}

async fn ask(at: SocketAddr, host: &str, root: &CertificateDer<'static>) -> String {
    let mut stream = connect(at, host, root, b"http/1.1").await.expect("TLS");
    stream.write_all(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).await.expect("write");
    read_answer(&mut stream, &mut Vec::new(), false).await.expect("an answer").text()
}

fn kept(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder.join("acme")).expect("the folder");
    let mut names: Vec<String> =
        files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.ends_with(".pem"));
    names.sort();
    names
}

/// A sample of a metric.
async fn figure(router: &EdgeRouter, name: &str) -> u64 {
    let text = router.metrics().await.expect("metrics");
    let line = text.lines().find(|line| line.starts_with(&format!("skipper_edge_{name} "))).expect("a sample");
    line.rsplit(' ').next().expect("a value").parse().expect("a number")
}

#[tokio::test]
async fn a_certificate_is_had_by_either_challenge_for_routed_names_alone() {
    let Some(pebble) = pebble::start(3600) else { return };
    let (root, one) = (pebble::root(&pebble).await, Upstream::start("one").await);
    for kind in ChallengeKind::ALL {
        let edge = pebble::edge(&pebble, &[kind]);
        assert_eq!(
            acme(&edge.router).await,
            AcmeInfo { directory: acme(&edge.router).await.directory, ..AcmeInfo::default() }
        );
        let service = secure(1, &one, &[SHOP, "*.shop.example"]);
        let routes: Vec<_> = service.routes["http"].clone();
        edge.router.check(&routes[..1]).await.expect("a deploy need not wait for a certificate");
        edge.router.check(&routes[1..]).await.expect_err("nobody could order that one");
        edge.set(&service).await;
        eventually_valid(&edge.router, 1).await;
        assert_eq!(ask(pebble.https(), SHOP, &root).await, "one", "{kind}");
        // Whatever strangers ask for: nothing is ordered, and nothing is shown.
        for stranger in ["other.shop.example", "evil.example", "shop.example"] {
            assert!(served(pebble.https(), stranger, &root).await.is_none(), "{stranger}");
        }
        assert!(connect(pebble.https(), SHOP, &root, b"acme-tls/1").await.is_err(), "the proof is over");
        assert_eq!(figure(&edge.router, "acme_orders_total").await, 1);
        let folder = edge.end();
        assert_eq!(kept(folder.path()), [format!("{SHOP}.pem")]);
        for file in std::fs::read_dir(folder.path().join("acme")).expect("the folder") {
            let file = file.expect("a file");
            assert_eq!(file.metadata().expect("there").permissions().mode() & 0o777, 0o600, "{file:?}");
        }
    }
}

#[tokio::test]
async fn an_account_can_be_bound_to_one_elsewhere_and_unknown_tokens_are_the_applications() {
    let Some(mut pebble) = Pebble::prepare(3600, true) else { return };
    pebble.serve();
    let one = Upstream::start("one").await;
    let edge = pebble::edge(&pebble, &[ChallengeKind::Http01]);
    let both = Service {
        routes: [(
            "http".to_owned(),
            [Listener::Http, Listener::Https].map(|listener| key(listener, Some(SHOP), "/")).to_vec(),
        )]
        .into(),
        ..to(1, &one)
    };
    edge.set(&both).await;
    eventually(&edge.router, "it is told what is missing", async || {
        acme(&edge.router).await.problem.is_some_and(|problem| problem.contains("externalAccountRequired"))
    })
    .await;
    let folder = edge.end();
    let mut settings = pebble::again(&pebble, folder.path());
    settings.acme.as_mut().expect("configured").external_account =
        Some(ExternalAccount { key_id: EXTERNAL.0.to_owned(), key_file: pebble.external_key() });
    let router = EdgeRouter::new(settings.control.clone());
    let edge = Edge::start(settings).expect("started");
    eventually_valid(&router, 1).await;
    let unknown = get(pebble.http(), SHOP, "/.well-known/acme-challenge/unknown").await;
    assert_eq!(unknown.text(), "one", "an application may prove its names itself");
    edge.stop(Duration::ZERO);
    edge.join().expect("ended");
}

#[tokio::test]
async fn certificates_are_renewed_without_ending_a_connection_and_only_while_a_route_has_the_name() {
    let Some(pebble) = pebble::start(6) else { return };
    let (root, one) = (pebble::root(&pebble).await, Upstream::start("one").await);
    let edge = pebble::edge(&pebble, &ChallengeKind::ALL);
    edge.set(&secure(1, &one, &[SHOP])).await;
    edge.set(&secure(2, &one, &["gone.example"])).await;
    eventually_valid(&edge.router, 2).await;
    let first = served(pebble.https(), SHOP, &root).await.expect("a certificate");
    let mut open = connect(pebble.https(), SHOP, &root, b"http/1.1").await.expect("TLS");
    let gone = secure(2, &one, &["gone.example"]);
    edge.router.remove(&gone.id, Generation { epoch: 1, counter: 2 }).await.expect("removed");
    eventually(&edge.router, "its certificate is no longer shown", async || {
        served(pebble.https(), "gone.example", &root).await.is_none()
    })
    .await;
    let path = edge.folder.path().join("acme/gone.example.pem");
    let before = std::fs::read(&path).expect("it is kept: the name may come back");
    // Twice, so that the other would have been renewed too.
    let mut last = first;
    for _ in 0..2 {
        eventually(&edge.router, "it is renewed", async || {
            served(pebble.https(), SHOP, &root).await.is_some_and(|now| now != last)
        })
        .await;
        last = served(pebble.https(), SHOP, &root).await.expect("a certificate");
    }
    assert_eq!(std::fs::read(&path).expect("there"), before);
    open.write_all(format!("GET / HTTP/1.1\r\nhost: {SHOP}\r\n\r\n").as_bytes()).await.expect("write");
    assert_eq!(read_answer(&mut open, &mut Vec::new(), false).await.expect("an answer").text(), "one");
    assert_eq!(acme(&edge.router).await.certificates.len(), 1);
    edge.end();
}

#[tokio::test]
async fn a_restart_and_a_handover_keep_certificates_without_asking_anybody() {
    let Some(mut pebble) = pebble::start(3600) else { return };
    let (root, one) = (pebble::root(&pebble).await, Upstream::start("one").await);
    let edge = pebble::edge(&pebble, &ChallengeKind::ALL);
    edge.set(&secure(1, &one, &[SHOP])).await;
    eventually_valid(&edge.router, 1).await;
    let first = served(pebble.https(), SHOP, &root).await.expect("a certificate");
    pebble.end();
    let folder = edge.end();
    let settings = pebble::again(&pebble, folder.path());
    let router = EdgeRouter::new(settings.control.clone());
    let again = Edge::start(settings).expect("started");
    assert_eq!(served(pebble.https(), SHOP, &root).await.as_ref(), Some(&first), "from the first connection on");
    let next = pebble::again(&pebble, folder.path());
    let next = tokio::task::spawn_blocking(move || Edge::start(next)).await.expect("joined").expect("started");
    assert_eq!(served(pebble.https(), SHOP, &root).await.as_ref(), Some(&first), "after a handover");
    tokio::task::spawn_blocking(move || again.join()).await.expect("joined").expect("ended");
    assert_eq!(figure(&router, "acme_orders_total").await, 0);
    // It comes back: what is kept is good.
    let service = secure(1, &one, &[SHOP]);
    router.remove(&service.id, Generation { epoch: 1, counter: 2 }).await.expect("removed");
    router.set(&Service { generation: Generation { epoch: 1, counter: 3 }, ..service }).await.expect("set");
    eventually(&router, "it is shown again", async || {
        served(pebble.https(), SHOP, &root).await.as_ref() == Some(&first)
    })
    .await;
    assert_eq!(figure(&router, "acme_orders_total").await, 0);
    next.stop(Duration::ZERO);
    next.join().expect("ended");
}

#[tokio::test]
async fn an_authority_that_is_down_is_told_and_blocks_nothing_and_is_asked_again() {
    let Some(mut pebble) = Pebble::prepare(3600, false) else { return };
    let one = Upstream::start("one").await;
    let edge = pebble::edge(&pebble, &ChallengeKind::ALL);
    let service = secure(1, &one, &[SHOP]);
    edge.router.check(&service.routes["http"]).await.expect("taken");
    edge.set(&service).await;
    eventually(&edge.router, "it is told", async || {
        let told = acme(&edge.router).await;
        told.failing == 1 && told.problem.is_some_and(|problem| problem.contains("localhost"))
    })
    .await;
    let verified = edge.router.verify(&service.routes["http"][0], "/").await.expect("a rollout goes on");
    assert_eq!(verified.deployment.as_str(), "one");
    assert!(connect(pebble.https(), SHOP, &pebble::own(&pebble), b"http/1.1").await.is_err(), "others get none");
    assert!(figure(&edge.router, "acme_failures_total").await > 0);
    pebble.serve();
    eventually_valid(&edge.router, 1).await;
    assert_eq!(acme(&edge.router).await.problem, None);
    assert_eq!(ask(pebble.https(), SHOP, &pebble::root(&pebble).await).await, "one");
    edge.end();
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_told_with_its_cause_and_waits_also_after_a_restart() {
    let Some(pebble) = pebble::start(3600) else { return };
    let one = Upstream::start("one").await;
    // Nothing listens there.
    pebble.record("lost.example", "127.0.0.99");
    let edge = pebble::edge(&pebble, &ChallengeKind::ALL);
    edge.set(&secure(1, &one, &["lost.example", SHOP])).await;
    eventually(&edge.router, "it is told", async || acme(&edge.router).await.failing == 1).await;
    eventually_valid(&edge.router, 1).await;
    let told = acme(&edge.router).await.certificates.remove(0);
    assert_eq!((told.host.as_str(), told.state.as_str(), told.failures), ("lost.example", "failing", 1));
    assert!(told.error.as_ref().is_some_and(|error| error.contains("127.0.0.99")), "{told:?}");
    let text = edge.router.metrics().await.expect("metrics");
    assert!(text.contains("skipper_edge_acme_failing 1\n"), "{text}");
    assert!(text.contains(&format!("skipper_edge_certificate_expires_seconds{{host=\"{SHOP}\"}} ")), "{text}");
    let folder = edge.end();
    let settings = pebble::again(&pebble, folder.path());
    let router = EdgeRouter::new(settings.control.clone());
    let again = Edge::start(settings).expect("started");
    let after = acme(&router).await.certificates.remove(0);
    assert_eq!((after.failures, after.next_try), (told.failures, told.next_try));
    pebble.forget("lost.example");
    again.reload_certificates();
    eventually_valid(&router, 2).await;
    assert_eq!(acme(&router).await.failing, 0);
    again.stop(Duration::ZERO);
    again.join().expect("ended");
}

/// Needs no authority: certificates in files are enough.
#[tokio::test]
async fn requests_without_tls_are_sent_to_where_it_is() {
    let folder = tempfile::tempdir().expect("folder");
    let certificate = write(folder.path(), SHOP, SHOP);
    for (redirect, port) in [(Redirect::Listener, None), (Redirect::Port(443), Some(""))] {
        let edge = Fixture::with(|config| {
            config.certificates = vec![Certificates::Folder(folder.path().to_owned())];
            config.redirect_https = Some(redirect);
            config.trusted_proxies = vec!["127.0.0.1".parse().expect("a network")];
        });
        let one = Upstream::start("one").await;
        // Only with TLS; the plain listener is opened for the redirect's sake.
        let at = edge.set(&secure(1, &one, &[SHOP, "bare.example"])).await;
        let plain = edge.address(Listener::Http).await;
        let port = port.map_or_else(|| format!(":{}", at.port()), ToOwned::to_owned);
        let sent = get(plain, SHOP, "/a/b?c=d").await;
        let wanted = format!("https://{SHOP}{port}/a/b?c=d");
        assert_eq!((sent.status, sent.header("location")), (308, Some(wanted.as_str())));
        assert_eq!(sent.header("cache-control"), Some("no-store"));
        assert_eq!(ask(at, SHOP, &certificate).await, "one");
        for (host, path) in [("bare.example", "/"), ("other.example", "/"), (SHOP, "/.well-known/acme-challenge/x")] {
            assert_eq!(get(plain, host, path).await.status, 404, "{host}{path}");
        }
        let said = format!("GET / HTTP/1.1\r\nhost: {SHOP}\r\nx-forwarded-proto: https\r\n\r\n");
        let answer = crate::support::raw(plain, said).await.expect("an answer");
        assert_eq!(answer.status, 404, "the client spoke TLS to the proxy in front: no loop");
        edge.end();
    }
}

#[tokio::test]
async fn a_plain_listener_that_is_switched_off_stays_off() {
    let one = Upstream::start("one").await;
    let edge = Fixture::with(|config| {
        config.http = SharedListen(Vec::new());
        config.redirect_https = Some(Redirect::Listener);
        config.acme = Some(AcmeConfig::new("https://127.0.0.1:1/dir"));
    });
    edge.set(&secure(1, &one, &[SHOP])).await;
    let info = edge.router.info().await.expect("info");
    let open: Vec<&str> = info.listeners.iter().map(|open| open.listener.as_str()).collect();
    assert_eq!((open, info.shut.len()), (vec!["https"], 0));
    edge.router.remove(&secure(1, &one, &[SHOP]).id, Generation { epoch: 1, counter: 2 }).await.expect("removed");
    assert!(edge.router.info().await.expect("info").listeners.is_empty());
    edge.end();
}
