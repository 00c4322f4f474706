//! An edge that orders at a real ACME server.

use std::path::Path;

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use skipper_edge::{AcmeConfig, ChallengeKind, EdgeConfig, SharedListen};
use testkit::pebble::Pebble;
use tokio::io::AsyncWriteExt as _;

use super::{Fixture, config, read_answer};
use crate::tls::connect;

/// A server that answers, where it is installed.
pub(crate) fn start(seconds: u64) -> Option<Pebble> {
    let mut pebble = Pebble::prepare(seconds, false)?;
    pebble.serve();
    Some(pebble)
}

fn configure(pebble: &Pebble, config: &mut EdgeConfig, challenges: &[ChallengeKind]) {
    config.http = SharedListen::at(pebble.http());
    config.https = SharedListen::at(pebble.https());
    config.acme = Some(AcmeConfig {
        contact: vec!["ops@shop.example".to_owned()],
        challenges: challenges.to_vec(),
        ca_file: Some(pebble.certificate()),
        ..AcmeConfig::new(pebble.directory())
    });
}

/// An edge that orders there.
pub(crate) fn edge(pebble: &Pebble, challenges: &[ChallengeKind]) -> Fixture {
    Fixture::with(|config| configure(pebble, config, challenges))
}

/// How the next one on the same folder is started.
pub(crate) fn again(pebble: &Pebble, folder: &Path) -> EdgeConfig {
    let mut config = config(folder);
    configure(pebble, &mut config, &ChallengeKind::ALL);
    config
}

/// Its own certificate.
pub(crate) fn own(pebble: &Pebble) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(pebble.certificate()).expect("a certificate")
}

/// What its certificates are signed by in the end.
pub(crate) async fn root(pebble: &Pebble) -> CertificateDer<'static> {
    let mut stream = connect(pebble.management(), "localhost", &own(pebble), b"http/1.1").await.expect("TLS");
    let request = b"GET /roots/0 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.expect("write");
    let answer = read_answer(&mut stream, &mut Vec::new(), false).await.expect("an answer");
    CertificateDer::from_pem_slice(&answer.body).expect("a certificate")
}
