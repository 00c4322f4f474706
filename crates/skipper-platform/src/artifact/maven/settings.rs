//! Which repositories there are and how they are reached.

use std::{fmt, path::PathBuf, time::Duration};

use skipper_core::secret::SecretValue;
use url::Url;

/// The repositories that Spring's deployers ask before any that is configured: id, address, and whether they hold
/// releases and snapshots.
const USUAL: [(&str, &str, bool, bool); 3] = [
    ("mavenCentral-default", "https://repo.maven.apache.org/maven2", true, false),
    ("springSnapshot-default", "https://repo.spring.io/snapshot", false, true),
    ("springMilestone-default", "https://repo.spring.io/milestone", true, false),
];

/// How `maven:` addresses are resolved.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The local repository, which is looked into first and never written to.
    pub local: Option<PathBuf>,
    /// Nobody is asked: only the local repository and what was fetched before count.
    pub offline: bool,
    /// Longest a connection may take to stand; as other downloads where `None`.
    pub connect_timeout: Option<Duration>,
    /// Longest silence of a repository; as other downloads where `None`.
    pub request_timeout: Option<Duration>,
    /// The repositories, in the order they are asked.
    pub repositories: Vec<Repository>,
    /// The way to those of them that are reached by HTTP.
    pub proxy: Option<Proxy>,
}

/// One remote repository.
#[derive(Debug, Clone)]
pub struct Repository {
    /// What people call it.
    pub id: String,
    /// Where it is.
    pub place: Place,
    /// User and password.
    pub login: Option<(String, SecretValue)>,
    /// Whether releases are looked for in it.
    pub releases: bool,
    /// Whether snapshots are.
    pub snapshots: bool,
    /// Whether a file without any published sum is refused.
    pub sums_required: bool,
    /// One of those that are there without being configured.
    pub usual: bool,
}

/// Where a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Its address, with `/` at the end, without user and password.
    Http(Url),
    /// A folder of this host.
    Folder(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => url.fmt(f),
            Self::Folder(path) => path.display().fmt(f),
        }
    }
}

impl Repository {
    /// A repository of releases and snapshots. User and password may be in the address.
    ///
    /// # Errors
    ///
    /// A sentence that says how an address is written.
    pub fn new(id: impl Into<String>, address: &str) -> Result<Self, String> {
        let wrong = || "is not the address of a repository; write it as https://host/path or file:///path".to_owned();
        let mut url = Url::parse(address).map_err(|_| wrong())?;
        let mut login = None;
        let place = match url.scheme() {
            "file" if address.starts_with("file:/") => Place::Folder(url.to_file_path().map_err(|()| wrong())?),
            "http" | "https" if url.has_host() => {
                if !url.username().is_empty() {
                    let decode = |text: &str| percent_decode(text);
                    let password = decode(url.password().unwrap_or_default());
                    login = Some((decode(url.username()), SecretValue::new(password)));
                    // They cannot fail: it has a host.
                    let _ = url.set_username("");
                    let _ = url.set_password(None);
                }
                url.set_query(None);
                url.set_fragment(None);
                if !url.path().ends_with('/') {
                    let path = format!("{}/", url.path());
                    url.set_path(&path);
                }
                Place::Http(url)
            }
            _ => return Err(wrong()),
        };
        let id = id.into();
        Ok(Self { id, place, login, releases: true, snapshots: true, sums_required: false, usual: false })
    }

    /// The repositories that are there without being configured, but for those at the address of a `configured` one.
    #[must_use]
    pub fn usual(configured: &[Self]) -> Vec<Self> {
        USUAL
            .into_iter()
            .map(|(id, address, releases, snapshots)| {
                let repository = Self::new(id, address).expect("the usual addresses are tested");
                Self { releases, snapshots, usual: true, ..repository }
            })
            .filter(|usual| !configured.iter().any(|known| known.place == usual.place))
            .collect()
    }
}

/// A proxy of the way.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// `http://host:port`.
    pub address: Url,
    /// User and password.
    pub login: Option<(String, SecretValue)>,
    /// Hosts that are reached without it: `*.example.org`, `localhost`.
    pub except: Vec<String>,
}

impl Proxy {
    pub(super) fn build(&self) -> Option<reqwest::Proxy> {
        let mut proxy = reqwest::Proxy::all(self.address.as_str()).ok()?;
        if let Some((user, password)) = &self.login {
            proxy = proxy.basic_auth(user, password.expose());
        }
        // A domain stands for its hosts, as with Java's `*.`.
        let except: Vec<&str> = self.except.iter().map(|host| host.strip_prefix("*.").unwrap_or(host)).collect();
        Some(proxy.no_proxy(reqwest::NoProxy::from_string(&except.join(","))))
    }
}

/// What `%41` in user or password stands for.
fn percent_decode(text: &str) -> String {
    url::form_urlencoded::parse(text.replace('+', "%2B").replace('&', "%26").as_bytes())
        .map(|(name, _)| name.into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_hold_the_login_and_must_be_one_of_three_kinds() {
        let repository = Repository::new("own", "https://us%40er:p%2Bq+r@host/path").expect("it is an address");
        assert_eq!(repository.place.to_string(), "https://host/path/");
        let (user, password) = repository.login.expect("there is a user");
        assert_eq!((user.as_str(), password.expose()), ("us@er", "p+q+r"));
        assert_eq!(
            Repository::new("own", "file:///srv/maven").expect("it is an address").place,
            Place::Folder("/srv/maven".into())
        );
        for wrong in ["", "host/path", "ftp://host/", "https://", "file:relative"] {
            assert!(Repository::new("own", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_usual_repository_gives_way_to_a_configured_one_at_its_address() {
        assert_eq!(Repository::usual(&[]).len(), 3);
        let own = Repository::new("mine", "https://repo.maven.apache.org/maven2/").expect("it is an address");
        let left: Vec<String> = Repository::usual(&[own]).into_iter().map(|usual| usual.id).collect();
        assert_eq!(left, ["springSnapshot-default", "springMilestone-default"]);
    }
}
