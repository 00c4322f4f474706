//! What is said of Caddy, checked.

use std::{fmt, path::PathBuf};

use serde_json::{Map, Value};
use skipper_core::route::Host;

/// How Caddy is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where its admin API answers.
    pub admin: AdminAddress,
    /// Where Caddy reaches the edge: `HOST:PORT`. It never changes while the server runs.
    pub upstream: String,
    /// Where Caddy listens for our host names, as Caddy writes it; its HTTPS port on every address when `None`.
    pub listen: Option<String>,
    /// How our host names get their certificates.
    pub tls: Tls,
    /// Account of ACME for them; what Caddy has otherwise when `None`.
    pub email: Option<String>,
    /// Directory of the certificate authority; what Caddy has otherwise when `None`.
    pub ca: Option<String>,
    /// Names such as `*.preview.example.com` that have one route and one certificate for everything below them.
    pub wildcards: Vec<Host>,
    /// How the certificates of `wildcards` are got.
    pub dns: Option<Dns>,
    /// The host name that leads to the API instead of the edge, and where Caddy reaches that: `HOST:PORT`.
    pub api: Option<(Host, String)>,
    /// Whether the certificate of that one comes from Caddy's own authority, wherever those of others come from.
    pub api_internal: bool,
}

/// Where certificates come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tls {
    /// Caddy's automatic HTTPS.
    #[default]
    Auto,
    /// Caddy's own authority.
    Internal,
    /// There is none: plain HTTP.
    Off,
}

/// The DNS-01 challenge.
#[derive(Clone, PartialEq, Eq)]
pub struct Dns {
    /// Caddy's module, without `dns.providers.`.
    pub provider: String,
    /// What the module is told beside its name; handed to Caddy as it is. It may hold credentials.
    pub options: Map<String, Value>,
    /// Caddy's `propagation_delay`, as Caddy writes durations.
    pub propagation_delay: Option<String>,
    /// Account of ACME.
    pub email: Option<String>,
    /// Directory of the certificate authority.
    pub ca: Option<String>,
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dns")
            .field("provider", &self.provider)
            .field("options", &self.options.len())
            .field("propagation_delay", &self.propagation_delay)
            .field("email", &self.email)
            .field("ca", &self.ca)
            .finish()
    }
}

/// Where an admin API answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAddress {
    /// `HOST:PORT`, with the path that everything is below.
    Tcp {
        /// Host and port.
        authority: String,
        /// Empty, or `/PATH` without a slash at its end.
        base: String,
    },
    /// A socket of this machine.
    Unix(PathBuf),
}

/// The port that Caddy's admin API has unless it is told otherwise.
const ADMIN_PORT: u16 = 2019;

impl AdminAddress {
    /// Reads `http://HOST[:PORT][/PATH]` or `unix//PATH`, as Caddy writes it, also `unix:///PATH`.
    ///
    /// # Errors
    ///
    /// What is wrong with it and what to write, to follow the value.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || "is not an admin API of Caddy; write http://127.0.0.1:2019 or unix//run/caddy/admin.sock".to_owned();
        if let Some(rest) = text.strip_prefix("unix:").or_else(|| text.strip_prefix("unix/")) {
            // `unix//run/x`, `unix:///run/x` and `unix:/run/x` all name /run/x.
            let path = format!("/{}", rest.trim_start_matches('/'));
            return if path.len() > 1 && path.len() < 108 { Ok(Self::Unix(path.into())) } else { Err(wrong()) };
        }
        if text.starts_with("https://") {
            return Err("is reached over TLS, which asks for a client certificate; write http:// or unix//, on this \
                        machine or through a tunnel"
                .to_owned());
        }
        let url = url::Url::parse(text).map_err(|_| wrong())?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
        if url.scheme() != "http" || !url.username().is_empty() || url.password().is_some() {
            return Err(wrong());
        }
        // A URL without a port means 80 elsewhere, and never that here.
        let explicit = text.trim_start_matches("http://").split('/').next().is_some_and(|a| a.ends_with(":80"));
        let port = url.port().or(explicit.then_some(80)).unwrap_or(ADMIN_PORT);
        let base = url.path().trim_end_matches('/').to_owned();
        Ok(Self::Tcp { authority: format!("{host}:{port}"), base })
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { authority, base } => write!(f, "http://{authority}{base}"),
            Self::Unix(path) => write!(f, "unix/{}", path.display()),
        }
    }
}

/// Checks `HOST:PORT`, as Caddy dials it.
///
/// # Errors
///
/// What is wrong with it, to follow the value.
pub fn parse_dial(text: &str) -> Result<String, String> {
    let wrong = || "is not an address; write it as 127.0.0.1:8080".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let good = match bare {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => Host::new(host).is_ok() && !host.starts_with('*'),
    };
    let port: u16 = port.parse().map_err(|_| wrong())?;
    if good && port != 0 { Ok(text.to_owned()) } else { Err(wrong()) }
}

/// Checks where Caddy is to listen: `:443`, `127.0.0.1:8443`, `[::1]:443`.
///
/// # Errors
///
/// What is wrong with it, to follow the value.
pub fn parse_listen(text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let port: u16 = port.parse().ok().filter(|port| *port != 0).ok_or("is not an address; write it as :443")?;
    if host.is_empty() { Ok(format!(":{port}")) } else { parse_dial(text) }
}

/// Checks a domain that shares a certificate: `preview.example.com`, also `*.preview.example.com`.
///
/// # Errors
///
/// What is wrong with it, to follow the value.
pub fn parse_wildcard(text: &str) -> Result<Host, String> {
    let domain = text.strip_prefix("*.").unwrap_or(text);
    Host::new(&format!("*.{domain}")).map_err(|_| "is not a domain; write it as preview.example.com".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_api_is_an_address_or_a_socket() {
        let shown = |text: &str| AdminAddress::parse(text).map(|address| address.to_string());
        assert_eq!(shown("http://localhost:2019").as_deref(), Ok("http://localhost:2019"));
        assert_eq!(shown("http://[::1]:2020/").as_deref(), Ok("http://[::1]:2020"));
        assert_eq!(shown("http://caddy").as_deref(), Ok("http://caddy:2019"));
        assert_eq!(shown("http://caddy:80/a/").as_deref(), Ok("http://caddy:80/a"));
        for socket in ["unix//run/c.sock", "unix:///run/c.sock", "unix:/run/c.sock"] {
            assert_eq!(shown(socket).as_deref(), Ok("unix//run/c.sock"), "{socket}");
        }
        for bad in ["", "localhost:2019", "https://x:2021", "unix", "unix//", "http://", "ftp://x", "http://u:p@x"] {
            assert!(shown(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_checked_before_caddy_sees_them() {
        assert!(parse_dial("127.0.0.1:80").is_ok() && parse_dial("[::1]:80").is_ok() && parse_dial("edge:1").is_ok());
        for bad in ["", ":80", "x", "x:0", "x:y", "[::]", "::1:80", "*.x:80", "a/b:80"] {
            assert!(parse_dial(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_listen("443").as_deref(), Ok(":443"));
        assert_eq!(parse_listen("127.0.0.1:1").as_deref(), Ok("127.0.0.1:1"));
        assert!(parse_listen(":0").is_err() && parse_listen("").is_err() && parse_listen("a/b:1").is_err());
        assert_eq!(
            parse_wildcard("*.p.example").map(|h| h.to_string()),
            parse_wildcard("p.example").map(|h| h.to_string())
        );
        assert!(parse_wildcard("").is_err() && parse_wildcard("*.*.x").is_err());
    }
}
