use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use skipper_edge::{AcmeConfig, ChallengeKind, EdgeConfig, SharedListen};
use tempfile::TempDir;

use super::{Fixture, config, eventually, raw, read_answer};
use crate::tls::connect;

/// The key of an external account, as the server is told it and as the edge is.
pub(crate) const EAB: (&str, &str) = ("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W");

/// A real ACME server with a name service of its own, and the ports that it finds an edge on. Both end when dropped.
pub(crate) struct Pebble {
    folder: TempDir,
    names: Child,
    server: Option<Child>,
    ports: Ports,
    /// Lifetime of its certificates.
    seconds: u64,
    external: bool,
    pub(crate) certificate: CertificateDer<'static>,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    directory: u16,
    management: u16,
    names: u16,
    records: u16,
    http: u16,
    https: u16,
}

fn free() -> u16 {
    loop {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("address");
        // Names are asked for by UDP.
        if UdpSocket::bind(address).is_ok() {
            return address.port();
        }
    }
}

fn at(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

impl Pebble {
    /// One whose certificates hold for so many seconds; `None`, and a line that says so, where it is not installed.
    pub(crate) async fn start(seconds: u64) -> Option<Self> {
        let mut pebble = Self::prepare(seconds, false)?;
        pebble.serve().await;
        Some(pebble)
    }

    /// Its place, before it is there.
    pub(crate) fn prepare(seconds: u64, external: bool) -> Option<Self> {
        let ports = Ports {
            directory: free(),
            management: free(),
            names: free(),
            records: free(),
            http: free(),
            https: free(),
        };
        let local = |port: u16| at(port).to_string();
        let names = Command::new("pebble-challtestsrv")
            .args(["-dns01", &local(ports.names), "-management", &local(ports.records), "-defaultIPv6", ""])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(names) = names else {
            println!("skipped: pebble is not installed (./test installs it where it can)");
            return None;
        };
        let folder = tempfile::tempdir().expect("folder");
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a pair");
        std::fs::write(folder.path().join("key.pem"), pair.signing_key.serialize_pem()).expect("write");
        std::fs::write(folder.path().join("cert.pem"), pair.cert.pem()).expect("write");
        std::fs::write(folder.path().join("eab.key"), EAB.1).expect("write");
        let certificate = pair.cert.der().clone();
        Some(Self { folder, names, server: None, ports, seconds, external, certificate })
    }

    /// Starts the server itself.
    pub(crate) async fn serve(&mut self) {
        let settings = serde_json::json!({ "pebble": {
            "listenAddress": at(self.ports.directory), "managementListenAddress": at(self.ports.management),
            "certificate": self.path("cert.pem"), "privateKey": self.path("key.pem"),
            "httpPort": self.ports.http, "tlsPort": self.ports.https, "ocspResponderURL": "",
            "certificateValidityPeriod": self.seconds,
            "externalAccountBindingRequired": self.external, "externalAccountMACKeys": { EAB.0: EAB.1 },
        }});
        std::fs::write(self.path("pebble.json"), settings.to_string()).expect("write");
        let server = Command::new("pebble")
            .args(["-dnsserver", &at(self.ports.names).to_string(), "-config"])
            .arg(self.path("pebble.json"))
            .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_AUTHZREUSE", "0"), ("PEBBLE_WFE_NONCEREJECT", "10")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.server = Some(server.expect("pebble runs"));
        let directory = at(self.ports.directory);
        eventually("pebble answers", async || tokio::net::TcpStream::connect(directory).await.is_ok()).await;
    }

    pub(crate) fn end(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Makes an edge one that orders here.
    pub(crate) fn configure(&self, config: &mut EdgeConfig, challenges: &[ChallengeKind]) {
        config.http = SharedListen::at(at(self.ports.http));
        config.https = SharedListen::at(at(self.ports.https));
        config.acme = Some(AcmeConfig {
            contact: vec!["ops@shop.example".to_owned()],
            challenges: challenges.to_vec(),
            ca_file: Some(self.path("cert.pem")),
            ..AcmeConfig::new(format!("https://localhost:{}/dir", self.ports.directory))
        });
    }

    /// An edge that orders here.
    pub(crate) fn edge(&self, challenges: &[ChallengeKind]) -> Fixture {
        Fixture::with(|config| self.configure(config, challenges))
    }

    /// The same on a folder that is there.
    pub(crate) fn again(&self, folder: &Path) -> EdgeConfig {
        let mut config = config(folder);
        self.configure(&mut config, &ChallengeKind::ALL);
        config
    }

    pub(crate) fn http(&self) -> SocketAddr {
        at(self.ports.http)
    }

    pub(crate) fn https(&self) -> SocketAddr {
        at(self.ports.https)
    }

    /// What its certificates are signed by in the end.
    pub(crate) async fn root(&self) -> CertificateDer<'static> {
        let mut stream =
            connect(at(self.ports.management), "localhost", &self.certificate, b"http/1.1").await.expect("TLS");
        let request = b"GET /roots/0 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, request).await.expect("write");
        let answer = read_answer(&mut stream, &mut Vec::new(), false).await.expect("an answer");
        CertificateDer::from_pem_slice(&answer.body).expect("a certificate")
    }

    /// Says where a name leads. Without this, all lead here.
    pub(crate) async fn record(&self, host: &str, address: &str) {
        let body = serde_json::json!({ "host": host, "addresses": [address] }).to_string();
        let head = format!("POST /add-a HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let records = at(self.ports.records);
        eventually("names are served", async || tokio::net::TcpStream::connect(records).await.is_ok()).await;
        assert_eq!(raw(records, head).await.expect("an answer").status, 200);
    }

    pub(crate) async fn forget(&self, host: &str) {
        let body = serde_json::json!({ "host": host }).to_string();
        let head = format!("POST /clear-a HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        assert_eq!(raw(at(self.ports.records), head).await.expect("an answer").status, 200);
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.end();
        let _ = self.names.kill();
        let _ = self.names.wait();
    }
}
