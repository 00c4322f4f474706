//! What a configuration comes to: types that cannot be wrong.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use skipper_core::{actor::Role, name::PlatformName, secret::SecretValue};
use skipper_edge::{AcmeConfig, Network, Redirect};
use skipper_engine::GarbageSettings;
use skipper_platform::{
    container::{EngineKind, EngineSettings, RegistryLogin},
    local::DeployerSettings,
};

use super::{compose::ComposeSettings, repositories::RepositoriesConfig, setting};
use crate::tenant_platforms::TenantPlatforms;

/// What the server runs with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses of the API; never empty.
    pub listen: Vec<SocketAddr>,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// A token with every right, for the first steps and for automation. It is compared, never stored.
    pub admin_token: Option<SecretValue>,
    /// A user with a name and a password, for clients that know no tokens.
    pub user: Option<User>,
    /// Which accounts tokens that are scoped to a tenant may use.
    pub tenant_platforms: TenantPlatforms,
    /// Apps, where the server was given a directory of them.
    pub apps: crate::apps::LiveApps,
    /// What seals secrets, as 64 hexadecimal digits or base64; a file of the data directory when absent.
    pub secret_key: Option<SecretValue>,
    /// The database.
    pub database: Database,
    /// The edge.
    pub edge: EdgeConfig,
    /// What all of this was read from.
    pub again: super::Again,
    /// The Caddy in front of it, if one is.
    pub caddy: Option<crate::caddy::Settings>,
    /// Ports that are given to local processes.
    pub local_ports: RangeInclusive<u16>,
    /// Platform accounts; empty only where Spring's configuration forbids `local` and no other kind is there.
    pub platforms: BTreeMap<PlatformName, PlatformConfig>,
    /// Engines that become accounts of their own name if they answer when the server starts, with the hosts they may be at.
    pub usual_engines: Vec<(EngineKind, Vec<String>)>,
    /// Credentials for registries of images by their hosts, for every account that has none of its own.
    pub registries: BTreeMap<String, RegistryLogin>,
    /// How `maven:` resources are found.
    pub maven: skipper_platform::artifact::maven::Settings,
    /// The account of applications that name none.
    pub default_platform: PlatformName,
    /// Where packages come from.
    pub repositories: RepositoriesConfig,
    /// Longest an application of Spring Boot may take to be healthy where the request says nothing; its own bound of five
    /// minutes where `None`.
    pub boot_health: Option<Duration>,
    /// What the server says of itself under `/api/about`.
    pub about: About,
    /// How the log is written.
    pub log: LogConfig,
    /// Bounds of what comes from outside.
    pub limits: Limits,
    /// How long things are remembered.
    pub retention: Retention,
    /// When container engines lose the images of revisions that nobody can go back to any more.
    pub garbage: GarbageSettings,
}

/// The one user that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name, as it is sent and as it is told in events.
    pub name: String,
    /// The password: compared, never stored.
    pub password: SecretValue,
    /// What the user may do, in every tenant.
    pub role: Role,
}

/// What the server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The name of its shell.
    pub shell_name: String,
    /// The version of its shell.
    pub shell_version: String,
}

impl Default for About {
    fn default() -> Self {
        let usual = |key: &str| setting::find(key).map_or_else(String::new, |setting| setting.default.to_owned());
        Self {
            name: usual("about.name"),
            version: usual("about.version"),
            shell_name: usual("about.shell_name"),
            shell_version: usual("about.shell_version"),
        }
    }
}

/// The database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// A file.
    Sqlite(PathBuf),
    /// `postgres://…`.
    Postgres(SecretValue),
}

/// A port for host routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EdgePort {
    /// The standard port where allowed, else the usual one above 1024.
    Auto,
    /// None.
    Off,
    /// This address.
    At(SocketAddr),
}

/// The edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeConfig {
    /// For host routes: 80, else 8080.
    pub http: EdgePort,
    /// For host routes with TLS: 443, else 8443.
    pub https: EdgePort,
    /// Certificates; without `acme`, the edge serves no TLS while the folder is empty.
    pub tls_dir: PathBuf,
    /// Whether requests without TLS are sent to where the host is served with it.
    pub redirect_https: Option<Redirect>,
    /// How certificates are ordered for names that have none in `tls_dir`.
    pub acme: Option<AcmeConfig>,
    /// The control socket, unless the data directory's own.
    pub socket: Option<PathBuf>,
    /// Where ports of routes listen: the address of the API.
    pub address: IpAddr,
    /// Ports that are given to applications which name neither host nor port.
    pub ports: RangeInclusive<u16>,
    /// Peers whose `X-Forwarded-*` headers it believes.
    pub trusted_proxies: Vec<Network>,
}

/// A platform account.
#[derive(Debug, Clone)]
pub struct PlatformConfig {
    /// What kind of platform.
    pub kind: PlatformKind,
    /// What it says of applications that are written for Spring's deployers.
    pub deployer: DeployerSettings,
}

/// Kinds of platforms.
#[derive(Debug, Clone)]
pub enum PlatformKind {
    /// Processes on this machine.
    Local,
    /// Containers of an engine.
    Container(EngineKind, EngineSettings),
    /// Projects of compose.
    Compose(Box<ComposeSettings>),
}

/// How the log is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// The form of a line.
    pub format: LogFormat,
    /// What is written, as an env-filter directive: `info`, `skipper=debug`.
    pub level: String,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON document a line.
    Json,
}

/// Bounds of what comes from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request body.
    pub body: usize,
    /// Bytes of an uploaded package.
    pub package: usize,
    /// Bytes of a secret.
    pub secret: usize,
    /// Open connections to the API.
    pub connections: NonZeroUsize,
    /// Time for a request's head.
    pub header_timeout: Duration,
    /// Time for a request's body, and for an answer that is not a stream.
    pub request_timeout: Duration,
    /// Time for open requests when the server stops.
    pub shutdown: Duration,
}

/// How long things are remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// Answers under an idempotency key.
    pub idempotency_keys: Duration,
}
