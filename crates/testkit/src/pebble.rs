//! A real ACME server, for as long as a test wants it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Id and key of an external account that it knows.
pub const EXTERNAL: (&str, &str) = ("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W");

/// Time for a program to listen.
const START: Duration = Duration::from_secs(20);

/// The server and a name service of its own, by which every name leads to 127.0.0.1. Both end when this is dropped.
#[derive(Debug)]
pub struct Pebble {
    folder: TempDir,
    names: Child,
    server: Option<Child>,
    ports: Ports,
    seconds: u64,
    external: bool,
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

/// A port that nobody has, neither by TCP nor by UDP; not one of those that the kernel gives out by itself, since it may be left
/// alone for a while.
fn free() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(64).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + u16::try_from(number % 9_000).expect("below 9,000");
        if TcpListener::bind(at(port)).is_ok() && UdpSocket::bind(at(port)).is_ok() {
            return port;
        }
    }
}

fn at(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn await_listening(port: u16) {
    let until = Instant::now() + START;
    while TcpStream::connect(at(port)).is_err() {
        assert!(Instant::now() < until, "nobody listens on port {port}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Pebble {
    /// One whose certificates hold for so many seconds, and which takes accounts that are bound to [`EXTERNAL`] alone if `external`.
    /// It does not answer before [`Pebble::serve`]. `None`, and a line, where it is not installed.
    ///
    /// # Panics
    ///
    /// When it is installed and cannot be started.
    #[must_use]
    pub fn prepare(seconds: u64, external: bool) -> Option<Self> {
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
            eprintln!("skipped: pebble is not installed (./test installs it where it can)");
            return None;
        };
        let folder = tempfile::tempdir().expect("folder");
        let pebble = Self { folder, names, server: None, ports, seconds, external };
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a pair");
        fs::write(pebble.path("key.pem"), pair.signing_key.serialize_pem()).expect("write");
        fs::write(pebble.certificate(), pair.cert.pem()).expect("write");
        fs::write(pebble.external_key(), format!("{}\n", EXTERNAL.1)).expect("write");
        await_listening(ports.records);
        Some(pebble)
    }

    /// Starts the server itself.
    ///
    /// # Panics
    ///
    /// When that does not work.
    pub fn serve(&mut self) {
        let settings = json!({ "pebble": {
            "listenAddress": at(self.ports.directory), "managementListenAddress": at(self.ports.management),
            "certificate": self.certificate(), "privateKey": self.path("key.pem"),
            "httpPort": self.ports.http, "tlsPort": self.ports.https, "ocspResponderURL": "",
            "certificateValidityPeriod": self.seconds,
            "externalAccountBindingRequired": self.external, "externalAccountMACKeys": { EXTERNAL.0: EXTERNAL.1 },
        }});
        fs::write(self.path("pebble.json"), settings.to_string()).expect("write");
        let server = Command::new("pebble")
            .args(["-dnsserver", &at(self.ports.names).to_string(), "-config"])
            .arg(self.path("pebble.json"))
            // Proofs are looked at without a pause and each time, and one nonce of twenty is refused.
            .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_AUTHZREUSE", "0"), ("PEBBLE_WFE_NONCEREJECT", "5")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.server = Some(server.expect("pebble runs"));
        await_listening(self.ports.directory);
        await_listening(self.ports.management);
    }

    /// Ends the server, not the name service.
    pub fn end(&mut self) {
        if let Some(server) = &mut self.server.take() {
            end(server);
        }
    }

    /// URL of its directory.
    #[must_use]
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.ports.directory)
    }

    /// Its own certificate, to be trusted for the directory.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.path("cert.pem")
    }

    /// The key of [`EXTERNAL`].
    #[must_use]
    pub fn external_key(&self) -> PathBuf {
        self.path("external.key")
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Where it looks for tokens: for an edge to listen on.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        at(self.ports.http)
    }

    /// Where it looks for certificates with proofs.
    #[must_use]
    pub fn https(&self) -> SocketAddr {
        at(self.ports.https)
    }

    /// Where `/roots/0` is told, with TLS: what its certificates are signed by in the end.
    #[must_use]
    pub fn management(&self) -> SocketAddr {
        at(self.ports.management)
    }

    /// Makes a name lead elsewhere.
    pub fn record(&self, host: &str, address: &str) {
        self.tell("/add-a", &json!({ "host": host, "addresses": [address] }));
    }

    /// Makes it lead here again.
    pub fn forget(&self, host: &str) {
        self.tell("/clear-a", &json!({ "host": host }));
    }

    fn tell(&self, path: &str, body: &Value) {
        let (mut stream, body) = (TcpStream::connect(at(self.ports.records)).expect("it listens"), body.to_string());
        let length = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.end();
        end(&mut self.names);
    }
}
