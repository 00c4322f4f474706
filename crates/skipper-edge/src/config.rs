use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use skipper_core::Sha256;

use crate::AcmeConfig;

/// Longest path of a unix socket that is used as it is. Linux takes 107 bytes; the rest is room for temporary names.
const SOCKET_PATH_MAX: usize = 100;

/// Everything an edge needs to know to start. [`EdgeConfig::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct EdgeConfig {
    /// The control socket. Created with mode 0600.
    pub control: PathBuf,
    /// Folder of `snapshot.json` and its journal.
    pub state_dir: PathBuf,
    /// The file that standard output and error go to, kept below 8 MiB by cutting it. `None`: not ours to bound.
    pub log_file: Option<PathBuf>,
    /// Where host names are served without TLS.
    pub http: SharedListen,
    /// Where host names are served with TLS.
    pub https: SharedListen,
    /// Address that port routes are bound to.
    pub bind: IpAddr,
    /// Threads that serve connections.
    pub threads: NonZeroUsize,
    /// What a client may cost.
    pub limits: Limits,
    /// Where certificates are.
    pub certificates: Vec<Certificates>,
    /// Peers whose `X-Forwarded-*` and `Forwarded` headers are believed and extended; those of all others are replaced.
    pub trusted_proxies: Vec<Network>,
    /// Whether requests on the plain listener are sent to the TLS listener, where the host is served there.
    pub redirect_https: Option<Redirect>,
    /// How certificates are ordered for host names that have none in `certificates`; kept in `acme` below the state's folder.
    pub acme: Option<AcmeConfig>,
    /// Longest time that requests in flight, open WebSockets included, get to end after a stop or a handover.
    pub lame_duck: Duration,
    /// What it was started for: a word that another start for the same purpose repeats, so that a supervisor can tell an
    /// edge that it would start differently today. `None`: started by hand or by an init system.
    pub origin: Option<String>,
    /// Make a session of its own, so that no terminal and no process group of the parent takes the edge with it.
    pub detach: bool,
}

impl EdgeConfig {
    /// The defaults, with state and control socket in `dir` (the data directory's `edge`).
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self {
            control: control_path(dir, None),
            state_dir: dir.to_owned(),
            log_file: None,
            http: SharedListen::preferred(80, 8080),
            https: SharedListen::preferred(443, 8443),
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            threads,
            limits: Limits::default(),
            certificates: Vec::new(),
            trusted_proxies: Vec::new(),
            redirect_https: None,
            acme: None,
            lame_duck: Duration::from_secs(3600),
            origin: None,
            detach: false,
        }
    }
}

/// The control socket of the edge whose state is in `dir`: `dir/control.sock`, or a short name below `runtime_dir`
/// (`$XDG_RUNTIME_DIR`), else below `/tmp/skipper-<uid>`, where the path is too long for a socket. The same input always
/// gives the same path, so server and edge find one another.
#[must_use]
pub fn control_path(dir: &Path, runtime_dir: Option<&Path>) -> PathBuf {
    let plain = dir.join("control.sock");
    if plain.as_os_str().len() <= SOCKET_PATH_MAX {
        return plain;
    }
    let base = runtime_dir.map_or_else(
        || PathBuf::from(format!("/tmp/skipper-{}", rustix::process::getuid().as_raw())),
        |dir| dir.join("skipper"),
    );
    base.join(format!("{}.sock", Sha256::of(dir.as_os_str().as_encoded_bytes()).short()))
}

/// Candidates for a shared listener, tried in order when the first route needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedListen(pub Vec<SocketAddr>);

impl SharedListen {
    /// `preferred` on all addresses where this process may bind it, else `fallback`.
    #[must_use]
    pub fn preferred(preferred: u16, fallback: u16) -> Self {
        let on =
            |port| [SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))];
        Self([on(preferred), on(fallback)].concat())
    }

    /// Exactly there.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self(vec![address])
    }
}

/// Where requests are sent that came without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirect {
    /// The port of the TLS listener.
    Listener,
    /// The port by which clients reach the TLS listener, where something in front translates it.
    Port(u16),
}

/// What a client may cost. Everything has a bound but the time and size of bodies, which belong to the application.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a request's head, request line and headers together; above it: 431.
    pub header_bytes: usize,
    /// Headers of a request; above it: 431. At most 100.
    pub header_count: usize,
    /// Time for a request's head (and a TLS handshake) from its first byte; above it: 408.
    pub header_read: Duration,
    /// Time a connection may stay open between requests.
    pub idle: Duration,
    /// Client connections at a time. Further ones wait in the kernel's queue.
    pub connections: usize,
    /// Bytes of a request's body, `None` for no limit; above it: 413.
    pub body_bytes: Option<u64>,
    /// Time to connect to an instance.
    pub connect: Duration,
    /// Requests that wait at a time because their service is held; above it: 503 at once.
    pub waiting: usize,
    /// Streams of one HTTP/2 connection at a time.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 32 * 1024,
            header_count: 100,
            header_read: Duration::from_secs(10),
            // nginx's default; longer than most clients' own.
            idle: Duration::from_secs(75),
            connections: 20_000,
            body_bytes: None,
            connect: Duration::from_secs(5),
            waiting: 10_000,
            streams: 200,
        }
    }
}

/// Where certificates are found. Files are read again on SIGHUP and within some seconds of a change; a pair that
/// cannot be read leaves the last good one in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificates {
    /// A folder of `<host>.crt` and `<host>.key` (PEM); `_.example.org.crt` stands for `*.example.org`, `default.crt`
    /// for every other name.
    Folder(PathBuf),
    /// One pair.
    Pair {
        /// The name it is for, as in a route; `None` for every name without a pair of its own.
        host: Option<skipper_core::route::Host>,
        /// Certificate and chain, PEM.
        certificate: PathBuf,
        /// Private key, PEM.
        key: PathBuf,
    },
}

/// An address or a network in CIDR notation: `10.0.0.0/8`, `::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Text that is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address or network: write it as 10.0.0.0/8, 192.0.2.7 or fd00::/8")]
pub struct ConfigError(String);

impl Network {
    /// Whether the address is inside. An IPv4 address in IPv6 form counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                (net.to_bits() ^ ip.to_bits()) & mask == 0
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                (net.to_bits() ^ ip.to_bits()) & mask == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl FromStr for Network {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let wrong = || ConfigError(text.chars().take(80).collect());
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| wrong()))?;
        if bits > most {
            return Err(wrong());
        }
        Ok(Self { address, bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_their_addresses_only() {
        let check = |net: &str, ip: &str| net.parse::<Network>().expect(net).contains(ip.parse().expect(ip));
        assert!(check("10.0.0.0/8", "10.255.0.1") && !check("10.0.0.0/8", "11.0.0.1"));
        assert!(check("0.0.0.0/0", "1.2.3.4") && !check("0.0.0.0/0", "::1"));
        assert!(check("::/0", "fe80::1") && check("127.0.0.1", "::ffff:127.0.0.1"));
        assert!(check("192.0.2.7", "192.0.2.7") && !check("192.0.2.7", "192.0.2.8"));
        for bad in ["", "10.0.0.0/33", "::/129", "x", "10.0.0.0/-1", "1.2.3.4/8/8"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_long_folder_gets_a_short_socket_path_that_is_always_the_same() {
        let long = PathBuf::from(format!("/{}", "x".repeat(120)));
        let path = control_path(&long, Some(Path::new("/run/user/7")));
        assert!(path.starts_with("/run/user/7/skipper") && path.as_os_str().len() < 60, "{}", path.display());
        assert_eq!(path, control_path(&long, Some(Path::new("/run/user/7"))));
        assert!(control_path(&long, None).starts_with("/tmp"));
        assert_eq!(control_path(Path::new("/d/edge"), None), Path::new("/d/edge/control.sock"));
    }
}
