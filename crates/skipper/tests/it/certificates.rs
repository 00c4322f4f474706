//! Host names with TLS, from the server's configuration to a certificate of a real ACME server at the edge.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use testkit::pebble::Pebble;

use crate::bench::{Bench, LONG, package, until};

const SHOP: &str = "www.shop.example";

/// One GET with TLS: the body and the certificate.
fn get(at: SocketAddr, host: &str, path: &str, root: &CertificateDer<'static>) -> std::io::Result<(String, Vec<u8>)> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.clone()).map_err(std::io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = host.to_owned().try_into().map_err(std::io::Error::other)?;
    let connection = rustls::ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?;
    let socket = TcpStream::connect(at)?;
    socket.set_read_timeout(Some(LONG))?;
    let mut stream = rustls::StreamOwned::new(connection, socket);
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    // Not everybody says goodbye.
    let _ = stream.read_to_end(&mut answer);
    let shown = stream.conn.peer_certificates().and_then(|chain| chain.first()).map(|first| first.to_vec());
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    body.zip(shown).ok_or_else(|| std::io::Error::other(format!("no answer: {answer:?}")))
}

fn certificates(bench: &Bench) -> serde_json::Value {
    let (_, body) = crate::bench::get(bench.url().trim_start_matches("http://"), "/readyz").expect("it answers");
    let ready: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let state = &ready["parts"]["certificates"];
    // A server whose edge has a trouble with certificates can work all the same.
    assert!(state.is_null() || ready["ready"] == true, "{ready}");
    state.clone()
}

#[test]
fn a_release_with_tls_is_deployed_at_once_and_has_its_certificate_as_soon_as_the_authority_gives_it() {
    let Some(mut pebble) = Pebble::prepare(3600, false) else { return };
    let folder = tempfile::tempdir().expect("folder");
    let config = folder.path().join("skipper.toml");
    let text = format!(
        "[edge]\nredirect_https = \"on\"\n[edge.acme]\nenabled = true\nterms_agreed = true\ndirectory = \"{}\"\n\
         email = \"ops@shop.example\"\nca_file = \"{}\"\n",
        pebble.directory(),
        pebble.certificate().display()
    );
    fs::write(&config, text).expect("written");
    let (http, https) = (pebble.http().to_string(), pebble.https().to_string());
    let config = config.to_str().expect("UTF-8");
    let mut bench = Bench::start_with(&["--edge-http", &http, "--edge-https", &https, "--config", config]);
    until("nothing is wrong", || certificates(&bench), |state| state == "ok");

    // The authority is down: that is no reason not to deploy.
    let route = format!("  routes: [{{ host: {SHOP}, port: http, tls: true }}]\n");
    let shop = package(bench.home(), "shop", "1.0.0", &[], &route);
    bench.run(&["install", "web", shop.to_str().expect("UTF-8"), "--wait"]).ok();
    until("it is told", || certificates(&bench), |state| state == "degraded: 1 of 1 cannot be had or renewed");
    let status = bench.run(&["status", "web", "--json"]).json();
    let told = status["drift"][0]["message"].as_str().unwrap_or_else(|| panic!("nothing: {status}"));
    assert!(told.starts_with(&format!("there is no certificate for {SHOP} yet: ")), "{told}");
    let found = bench.run(&["doctor", "--data-dir", "data"]).out;
    assert!(found.contains(&format!("there is no certificate for {SHOP} yet")), "{found}");

    pebble.serve();
    until("it is there", || certificates(&bench), |state| state == "ok");
    until("nothing is wrong", || bench.run(&["status", "web", "--json"]).json(), |status| status["state"] == "live");
    let own = CertificateDer::from_pem_file(pebble.certificate()).expect("a certificate");
    let (root, _) = get(pebble.management(), "localhost", "/roots/0", &own).expect("the root");
    let root = CertificateDer::from_pem_slice(root.as_bytes()).expect("a certificate");
    let (about, first) = get(pebble.https(), SHOP, "/about", &root).expect("it answers");
    assert!(about.contains("1.0.0"), "{about}");
    let plain = crate::bench::get_as(&http, SHOP, "/about").expect("it answers");
    assert!(plain.contains(&format!("\r\nlocation: https://{SHOP}:{}/about\r\n", pebble.https().port())), "{plain}");
    let found = bench.run(&["doctor", "--data-dir", "data"]).ok();
    assert!(found.contains(&format!("1 from {}", pebble.directory())), "{found}");

    // Neither the server nor the authority is needed for what is there.
    pebble.end();
    bench.stop_server();
    assert_eq!(get(pebble.https(), SHOP, "/about", &root).expect("it answers").1, first);
    bench.start_server();
    until("it is seen", || certificates(&bench), |state| state == "ok");
    assert_eq!(get(pebble.https(), SHOP, "/about", &root).expect("it answers").1, first);
    assert!(get(pebble.https(), "stranger.example", "/", &root).is_err());

    // No key is told anywhere but in its own file.
    let log = fs::read_to_string(bench.data().join("edge/edge.log")).expect("a log");
    assert!(log.contains("a certificate was issued") && !log.contains("PRIVATE KEY"), "{log}");
}
