//! The last stage: text into types that cannot be wrong.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use skipper_core::{actor::Role, name::PlatformName, secret::SecretValue};
use skipper_edge::{AcmeConfig, Network, Redirect};
use skipper_platform::{
    container::{EngineKind, EngineSettings, RegistryLogin},
    local::DeployerSettings,
};

use super::{
    Sources, account, acme, caddy,
    compose::{self, ComposeSettings},
    engine,
    fault::Fault,
    maven,
    merge::{Merged, Value},
    quantity::{parse_size, parse_span},
    registries,
    repositories::{self, RepositoriesConfig},
    setting,
};

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

/// Parses every value; `None` when one could not be.
pub(super) fn build(sources: &Sources, merged: &Merged, faults: &mut Vec<Fault>) -> Option<Config> {
    let before = faults.len();
    let mut take = Taker { merged, faults };
    let data_dir = sources.working_dir.join(&take.merged.get("data_dir").text);
    let listen = take.listen();
    let address = listen.first().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), SocketAddr::ip);
    let tls_dir = take.path("edge.tls_dir").unwrap_or_else(|| data_dir.join("edge/tls"));
    let mut edge = EdgeConfig {
        http: take.edge_port("edge.http", address),
        https: take.edge_port("edge.https", address),
        tls_dir,
        redirect_https: acme::redirect(&mut take),
        acme: acme::acme(&mut take),
        socket: take.path("edge.socket"),
        address,
        ports: take.parse("edge.ports", parse_ports).unwrap_or(1..=1),
        trusted_proxies: take.parse("edge.trusted_proxies", parse_networks).unwrap_or_default(),
    };
    let caddy = caddy::build(merged, &mut edge, &listen, take.faults);
    let platforms = take.platforms(sources);
    let usual_engines = take.usual_engines(sources, &platforms);
    let registries = registries::build(&merged.registries, take.faults);
    let maven = maven::settings(sources, merged, take.faults);
    let default_platform = take.default_platform(&platforms);
    let limits = Limits {
        body: take.size("limits.body"),
        package: take.size("limits.package"),
        secret: take.size("limits.secret"),
        connections: take
            .parse("limits.connections", |text| text.parse().map_err(|_| "is not a number above 0".to_owned()))
            .unwrap_or(NonZeroUsize::MIN),
        header_timeout: take.span("limits.header_timeout"),
        request_timeout: take.span("limits.request_timeout"),
        shutdown: take.span("limits.shutdown"),
    };
    let log = LogConfig {
        format: take.parse("log.format", parse_format).unwrap_or(LogFormat::Text),
        level: take.merged.get("log.level").text.clone(),
    };
    let repositories = RepositoriesConfig {
        refresh: take.span("repositories.refresh"),
        built_in: take
            .parse("repositories.built_in", |text| match text {
                "auto" => Ok(!merged.spring_repositories),
                text => parse_bool(text).map_err(|wrong| format!("{wrong}, nor auto")),
            })
            .unwrap_or(true),
        scheduled: take.parse("repositories.refresh_on_start", parse_bool).unwrap_or(true),
        named: repositories::build(merged, take.faults),
    };
    let retention = Retention { idempotency_keys: take.span("retention.idempotency_keys") };
    let config = Config {
        listen,
        apps: crate::apps::LiveApps::default(),
        admin_token: take.admin_token(),
        user: take.user(),
        boot_health: take.boot_health(),
        about: take.about(),
        secret_key: Some(take.merged.get("secret_key").text.clone())
            .filter(|text| !text.is_empty())
            .map(SecretValue::new),
        database: take.database(&data_dir),
        edge,
        caddy,
        again: super::Again::default(),
        local_ports: take.parse("local.ports", parse_ports).unwrap_or(1..=1),
        platforms,
        usual_engines,
        registries,
        maven,
        // The last that is looked at: whatever else is wrong has been told by now.
        default_platform: default_platform?,
        repositories,
        log,
        limits,
        retention,
        data_dir,
    };
    (faults.len() == before).then_some(config)
}

pub(super) struct Taker<'a> {
    merged: &'a Merged,
    faults: &'a mut Vec<Fault>,
}

impl Taker<'_> {
    fn fault(&mut self, value: &Value, message: String) {
        self.faults.push(Fault { place: value.origin.to_string(), message });
    }

    /// A fault of two settings that do not go together, told where one of them is said.
    pub(super) fn fault_at(&mut self, key: &str, message: String) {
        let value = self.merged.get(key).clone();
        self.fault(&value, message);
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        Some(self.merged.get(key).text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    pub(super) fn parse<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let value = self.merged.get(key).clone();
        match parse(&value.text) {
            Ok(parsed) => Some(parsed),
            Err(message) => {
                let secret = setting::find(key).is_some_and(|s| s.secret);
                let shown = if secret { "[secret]" } else { &value.text };
                self.fault(&value, format!("`{key}` = `{shown}`: {message}"));
                None
            }
        }
    }

    fn span(&mut self, key: &str) -> Duration {
        let above_zero = |text: &str| match parse_span(text)? {
            Duration::ZERO => Err("must be longer than nothing".to_owned()),
            span => Ok(span),
        };
        self.parse(key, above_zero).unwrap_or_default()
    }

    fn size(&mut self, key: &str) -> usize {
        let bounded = |text: &str| {
            let bytes = usize::try_from(parse_size(text)?).map_err(|_| "is too large".to_owned())?;
            if bytes == 0 { Err("must be more than nothing".to_owned()) } else { Ok(bytes) }
        };
        self.parse(key, bounded).unwrap_or_default()
    }

    pub(super) fn path(&mut self, key: &str) -> Option<PathBuf> {
        Some(self.merged.get(key).text.as_str()).filter(|text| !text.is_empty()).map(PathBuf::from)
    }

    fn listen(&mut self) -> Vec<SocketAddr> {
        self.parse("listen", |text| text.split(',').map(|part| parse_address(part.trim())).collect())
            .unwrap_or_default()
    }

    fn edge_port(&mut self, key: &str, address: IpAddr) -> EdgePort {
        let parse = |text: &str| match text {
            "auto" => Ok(EdgePort::Auto),
            "off" => Ok(EdgePort::Off),
            text => match text.parse::<u16>() {
                Ok(port) => Ok(EdgePort::At(SocketAddr::new(address, port))),
                Err(_) => parse_address(text).map(EdgePort::At).map_err(|why| format!("{why}, or `auto`, or `off`")),
            },
        };
        self.parse(key, parse).unwrap_or(EdgePort::Off)
    }

    fn admin_token(&mut self) -> Option<SecretValue> {
        // Shorter ones can be tried out. Those who come from elsewhere bring tokens that work there, so that only what is no
        // secret at all is refused; `load` warns of what is short.
        let parse = |text: &str| match text {
            "" => Ok(None),
            short if short.len() < 8 => Err("is shorter than 8 characters and could be guessed".to_owned()),
            text if text.contains(char::is_whitespace) => Err("contains white space".to_owned()),
            text => Ok(Some(SecretValue::new(text.to_owned()))),
        };
        self.parse("admin_token", parse).flatten()
    }

    /// There is a user as soon as there is a password.
    fn user(&mut self) -> Option<User> {
        let role = self.parse("security.user.role", |text| {
            Role::parse(text).ok_or_else(|| "is not a role; write viewer, operator or admin".to_owned())
        })?;
        let name = self.parse("security.user.name", |text| match text {
            "" => Err("is empty".to_owned()),
            // Where the name ends is told by the first colon.
            text if text.contains(':') || text.contains(char::is_control) || text.len() > 100 => {
                Err("is not a name: it has at most 100 characters and no colon".to_owned())
            }
            text => Ok(text.to_owned()),
        })?;
        let password = self.merged.get("security.user.password").text.clone();
        (!password.is_empty()).then(|| User { name, password: SecretValue::new(password), role })
    }

    fn boot_health(&mut self) -> Option<Duration> {
        let said = !self.merged.get("boot.health_timeout").text.is_empty();
        said.then(|| self.span("boot.health_timeout"))
    }

    fn about(&self) -> About {
        let text = |key: &str| self.merged.get(key).text.clone();
        About {
            name: text("about.name"),
            version: text("about.version"),
            shell_name: text("about.shell_name"),
            shell_version: text("about.shell_version"),
        }
    }

    fn database(&mut self, data_dir: &Path) -> Database {
        let parse = |text: &str| match text {
            "" => Ok(Database::Sqlite(data_dir.join("skipper.db"))),
            url if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Ok(Database::Postgres(SecretValue::new(url.to_owned())))
            }
            url => match url.strip_prefix("sqlite:") {
                Some(path) if !path.is_empty() => {
                    Ok(Database::Sqlite(data_dir.join(path.strip_prefix("//").unwrap_or(path))))
                }
                _ => Err("is not a database; write postgres://… or sqlite:/path/to/file".to_owned()),
            },
        };
        self.parse("database.url", parse).unwrap_or_else(|| Database::Sqlite(data_dir.join("skipper.db")))
    }

    fn platforms(&mut self, sources: &Sources) -> BTreeMap<PlatformName, PlatformConfig> {
        let mut accounts = BTreeMap::new();
        for (name, options) in &self.merged.platforms {
            let place = options
                .values()
                .next()
                .map_or_else(|| self.merged.platforms_origin.to_string(), |value| value.origin.to_string());
            let parsed = match PlatformName::new(name.clone()) {
                Ok(parsed) => parsed,
                Err(wrong) => {
                    self.faults.push(Fault { place, message: wrong.to_string() });
                    continue;
                }
            };
            let word = options.get("type").map(|value| value.text.as_str());
            if let Some(engine) = word.and_then(engine::kind) {
                let settings = engine::settings(engine, name, options, &sources.env, self.faults);
                let (kind, deployer) = (PlatformKind::Container(engine, settings), DeployerSettings::default());
                accounts.insert(parsed, PlatformConfig { kind, deployer });
                continue;
            }
            if word == Some("compose") {
                let settings = compose::settings(name, options, &sources.env, &sources.working_dir, self.faults);
                let (kind, deployer) = (PlatformKind::Compose(Box::new(settings)), DeployerSettings::default());
                accounts.insert(parsed, PlatformConfig { kind, deployer });
                continue;
            }
            account::check(name, options, self.faults);
            let deployer = account::deployer(name, options, &sources.env, &sources.working_dir, self.faults);
            match word {
                Some("local") => {
                    accounts.insert(parsed, PlatformConfig { kind: PlatformKind::Local, deployer });
                }
                Some(other) => {
                    let message = format!(
                        "`platforms.{name}.type` = `{other}`: this server knows the types `local`, `docker`, `podman` and `compose`"
                    );
                    self.faults.push(Fault { place, message });
                }
                None => {
                    let message = format!("`platforms.{name}` has no `type`; write type = \"local\"");
                    self.faults.push(Fault { place, message });
                }
            }
        }
        accounts
    }

    /// Engines nobody named: none if the configuration names any, or forbids it.
    fn usual_engines(
        &mut self,
        sources: &Sources,
        accounts: &BTreeMap<PlatformName, PlatformConfig>,
    ) -> Vec<(EngineKind, Vec<String>)> {
        let wanted = self.parse("containers.detect", parse_bool).unwrap_or_default();
        let named = accounts.values().any(|account| matches!(account.kind, PlatformKind::Container(..)));
        if !wanted || named {
            return Vec::new();
        }
        let free = |kind: &EngineKind| accounts.keys().all(|name| name.as_str() != kind.word());
        let kinds = [EngineKind::Docker, EngineKind::Podman].into_iter().filter(free);
        kinds.map(|kind| (kind, kind.usual_hosts(&sources.env))).collect()
    }

    /// The named one, else `local`, else `default`, else the only one. Of several others none is meant: whoever names none is
    /// told that there is no `default`.
    fn default_platform(&mut self, accounts: &BTreeMap<PlatformName, PlatformConfig>) -> Option<PlatformName> {
        let value = self.merged.get("default_platform").clone();
        let known = || accounts.keys().map(PlatformName::as_str).collect::<Vec<_>>().join(", ");
        if value.text.is_empty() {
            let called = |wanted: &str| accounts.keys().find(|name| name.as_str() == wanted);
            let only = || accounts.keys().next().filter(|_| accounts.len() == 1);
            let chosen = called("local").or_else(|| called("default")).or_else(only).cloned();
            // Where there is none to choose, the name is what is told to be missing.
            let missing = if accounts.is_empty() { "local" } else { "default" };
            return chosen.or_else(|| PlatformName::new(missing).ok());
        }
        let found = accounts.keys().find(|name| name.as_str() == value.text).cloned();
        if found.is_none() {
            self.fault(&value, format!("`default_platform` = `{}`: the accounts are {}", value.text, known()));
        }
        found
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let wrong = || format!("`{text}` is not an address; write it as 127.0.0.1:7577 or [::1]:7577");
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    match host {
        "localhost" => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        "" | "*" => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)),
        _ => Err(wrong()),
    }
}

fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || "is not a range of ports; write it as 20000-29999".to_owned();
    let (from, to) = text.split_once('-').ok_or_else(wrong)?;
    let (from, to): (u16, u16) = (from.trim().parse().map_err(|_| wrong())?, to.trim().parse().map_err(|_| wrong())?);
    if from == 0 || from > to { Err(wrong()) } else { Ok(from..=to) }
}

fn parse_networks(text: &str) -> Result<Vec<Network>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| part.parse::<Network>().map_err(|wrong| wrong.to_string())).collect()
}

pub(super) fn parse_bool(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "is neither true nor false".to_owned())
}

fn parse_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("is not a log format; write text or json".to_owned()),
    }
}
