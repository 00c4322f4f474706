//! What the edge knows: routes lead to services, services to weighted deployments, deployments to addresses.

use std::{collections::BTreeMap, fmt, net::SocketAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{deployment::DeploymentId, generation::Generation, name::AppName, time::Millis};

/// Where the edge listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Listener {
    /// The shared listener for host names: 80 where allowed, else 8080.
    Http,
    /// The shared TLS listener: 443 where allowed, else 8443.
    Https,
    /// A port of its own.
    Port(u16),
    /// A port that Skipper picks once and keeps for the application; replaced by [`Listener::Port`] in Resolve.
    Auto,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http => f.write_str("http"),
            Self::Https => f.write_str("https"),
            Self::Port(port) => write!(f, ":{port}"),
            Self::Auto => f.write_str("auto"),
        }
    }
}

/// A host name to route by: lower case, no port, no trailing dot; `*.example.org` stands for one label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Host(String);

/// A host name or path that cannot be routed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRoute {
    /// Not a host name.
    #[error("`{0}` is not a host name: use labels of letters, digits and hyphens, separated by dots, without a port")]
    Host(String),
    /// Not a path prefix.
    #[error("`{0}` is not a path prefix: it starts with `/` and has no `?`, `#`, space or `..`")]
    Path(String),
}

impl Host {
    /// Checks and normalises.
    ///
    /// # Errors
    ///
    /// [`InvalidRoute::Host`] for anything that is not a host name of at most 253 bytes.
    pub fn new(text: &str) -> Result<Self, InvalidRoute> {
        let lower = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let labels = lower.strip_prefix("*.").unwrap_or(&lower);
        let label_ok = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if lower.len() <= 253 && labels.split('.').all(label_ok) {
            return Ok(Self(lower));
        }
        Err(InvalidRoute::Host(text.chars().take(80).collect()))
    }

    /// The normalised name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an authority could give a certificate for it to whoever the name leads to: one full name, no pattern, no address,
    /// and nothing that only this machine knows.
    #[must_use]
    pub fn is_certifiable(&self) -> bool {
        let plain = |label: &str| label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let Some((_, last)) = self.0.rsplit_once('.') else { return false };
        // Certificates are kept in files that are named after the host.
        self.0.len() <= 230
            && self.0.split('.').all(plain)
            && last != "localhost"
            && !last.bytes().all(|byte| byte.is_ascii_digit())
    }
}
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl TryFrom<String> for Host {
    type Error = InvalidRoute;
    fn try_from(text: String) -> Result<Self, InvalidRoute> {
        Self::new(&text)
    }
}
impl From<Host> for String {
    fn from(host: Host) -> String {
        host.0
    }
}

/// A path prefix that matches whole segments: `/api` matches `/api` and `/api/x`, not `/apix`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathPrefix(String);

impl PathPrefix {
    /// Checks and normalises: no trailing slash but for `/` itself.
    ///
    /// # Errors
    ///
    /// [`InvalidRoute::Path`] for anything that is not an absolute path without query.
    pub fn new(text: &str) -> Result<Self, InvalidRoute> {
        let bad = |c: char| c.is_ascii_control() || matches!(c, '?' | '#' | ' ' | '\\') || !c.is_ascii();
        let dots = text.split('/').any(|segment| matches!(segment, "." | ".."));
        if !text.starts_with('/') || text.len() > 1024 || text.contains(bad) || text.contains("//") || dots {
            return Err(InvalidRoute::Path(text.chars().take(80).collect()));
        }
        let trimmed = text.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(text);
        Ok(Self(trimmed.to_owned()))
    }

    /// The prefix as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a request path falls under the prefix.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.0 == "/" || path.strip_prefix(&self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}
impl Default for PathPrefix {
    fn default() -> Self {
        Self("/".to_owned())
    }
}
impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl FromStr for PathPrefix {
    type Err = InvalidRoute;
    fn from_str(text: &str) -> Result<Self, InvalidRoute> {
        Self::new(text)
    }
}
impl TryFrom<String> for PathPrefix {
    type Error = InvalidRoute;
    fn try_from(text: String) -> Result<Self, InvalidRoute> {
        Self::new(&text)
    }
}
impl From<PathPrefix> for String {
    fn from(path: PathPrefix) -> String {
        path.0
    }
}

/// What a request is matched by. At most one service owns a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RouteKey {
    /// Where it came in.
    pub listener: Listener,
    /// Host name; `None` for any.
    pub host: Option<Host>,
    /// Path prefix; the longest match wins.
    pub path: PathPrefix,
}

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.listener, self.host.as_ref().map_or("*", Host::as_str), self.path)
    }
}

/// One routed application of one release: what is shifted as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceId {
    /// The release.
    pub release: crate::id::ReleaseId,
    /// Its application.
    pub app: AppName,
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.release, self.app)
    }
}

/// What the edge does with the requests of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case")]
pub enum Mode {
    /// Forwards them.
    Open,
    /// Keeps them waiting, each at most `bound`, then answers 503 with Retry-After.
    Held {
        /// Longest wait of one request.
        bound: Millis,
    },
    /// Answers 503 with a page.
    Maintenance {
        /// What the page says, as plain text.
        message: String,
    },
}

/// A deployment that gets a share of the requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Which deployment.
    pub deployment: DeploymentId,
    /// Revision it was launched for; a label of the edge's counters.
    pub revision: u64,
    /// Share of new requests. The weights of a service add up to 100 when any is above 0.
    pub weight: u8,
    /// Addresses of its healthy instances, by port name of the application.
    pub addresses: BTreeMap<String, Vec<SocketAddr>>,
}

/// The whole desired state of one service at the edge. Setting it is idempotent and atomic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Which service.
    pub id: ServiceId,
    /// `tenant/release/app`, a label for people.
    pub label: String,
    /// The right to set it: the edge refuses a lower one than it has seen for this service.
    pub generation: Generation,
    /// Ways in, each with the name of the application's port that answers.
    pub routes: BTreeMap<String, Vec<RouteKey>>,
    /// Where the requests go.
    pub backends: Vec<Backend>,
    /// What happens to them now.
    #[serde(flatten)]
    pub mode: Mode,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_matches_whole_segments_only() {
        let api = PathPrefix::new("/api/").expect("valid");
        assert!(api.matches("/api") && api.matches("/api/x") && !api.matches("/apix") && !api.matches("/"));
        assert!(PathPrefix::default().matches("/anything"));
        for bad in ["api", "/a?b", "/a b", "//", "/../x", "/a\\b", "/ä"] {
            assert!(PathPrefix::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_are_normalised_and_checked() {
        assert_eq!(Host::new("WWW.Example.org.").expect("valid").as_str(), "www.example.org");
        assert!(Host::new("*.example.org").is_ok());
        for bad in ["", "a..b", "-a.b", "a:80", "a/b", "*.", "a.*.b", "ä.de"] {
            assert!(Host::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_full_names_can_be_certified() {
        let long = format!("{}example", "abcdefghi.".repeat(24));
        for good in ["shop.example", "a-1.b.example.org", "xn--bcher-kva.example"] {
            assert!(Host::new(good).expect("a host").is_certifiable(), "{good}");
        }
        for bad in ["*.example.org", "localhost", "a.localhost", "127.0.0.1", "under_score.example", &long] {
            assert!(!Host::new(bad).expect("a host").is_certifiable(), "{bad}");
        }
    }
}
