//! The last stage: text into types that cannot be wrong.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::{NonZeroU32, NonZeroUsize},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use skipper_core::{actor::Role, name::PlatformName, secret::SecretValue};
use skipper_edge::Network;
use skipper_engine::GarbageSettings;
use skipper_platform::{container::EngineKind, local::DeployerSettings};

use super::{
    Sources, account, acme, caddy, compose, engine,
    fault::Fault,
    maven,
    merge::{Merged, Value},
    quantity::{parse_size, parse_span},
    registries,
    repositories::{self, RepositoriesConfig},
    setting,
    typed::{
        About, Config, Database, EdgeConfig, EdgePort, Limits, LogConfig, LogFormat, PlatformConfig, PlatformKind,
        Retention, User,
    },
};
use crate::tenant_platforms::TenantPlatforms;

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
    let garbage = GarbageSettings {
        every: take
            .parse("containers.collect_every", |text| match text {
                "off" => Ok(None),
                text => above_zero(text).map(Some).map_err(|wrong| format!("{wrong}, nor off")),
            })
            .unwrap_or_default(),
        revisions: take
            .parse("containers.keep_revisions", |text| {
                text.parse::<NonZeroU32>().map_err(|_| "is not a number above 0".to_owned())
            })
            .map_or(1, NonZeroU32::get),
        keep: take.span("containers.keep_for"),
    };
    let config = Config {
        listen,
        apps: crate::apps::LiveApps::default(),
        admin_token: take.admin_token(),
        user: take.user(),
        tenant_platforms: take.parse("security.tenant_platforms", TenantPlatforms::parse).unwrap_or_default(),
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
        garbage,
        data_dir,
    };
    (faults.len() == before).then_some(config)
}

fn above_zero(text: &str) -> Result<Duration, String> {
    match parse_span(text)? {
        Duration::ZERO => Err("must be longer than nothing".to_owned()),
        span => Ok(span),
    }
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
