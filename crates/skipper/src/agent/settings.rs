//! What an agent is started with: flags before environment before defaults, checked, every fault told at once.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::Url;
use skipper_core::{compose::Policy, name::NodeName, secret::SecretValue};
use skipper_platform::container::Pull;
use skipper_server::config::{LogConfig, LogFormat};

use super::{args::AgentArgs, token::TokenSource};
use crate::{client::base_url, failure::Failure, surroundings::Surroundings};

/// Where the first agents kept what they were told to run.
const BASE_DIR: &str = "/opt/skipper/tenants";
/// Where Docker is.
const DOCKER: &str = "unix:///var/run/docker.sock";
/// Shorter pauses would be a load, longer ones a node that seems dead.
const INTERVALS: (u64, u64) = (100, 3_600_000);

/// Everything that an agent needs to know.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The server.
    pub(super) url: Url,
    /// Which node this is.
    pub(super) node: NodeName,
    /// What lets it in.
    pub(super) token: TokenSource,
    /// Its own folder.
    pub(super) dir: PathBuf,
    /// Where projects lie.
    pub(super) base_dir: PathBuf,
    /// What runs them.
    pub(super) engine: Engine,
    /// Pause of the plain poll.
    pub(super) poll_interval: Duration,
    /// Pause between heartbeats.
    pub(super) heartbeat_interval: Duration,
    /// Longest that work goes on after SIGTERM.
    pub(super) drain_within: Duration,
    /// Which platforms of this host a server may use as `node:ID/NAME`.
    pub(super) platforms: Platforms,
    /// The edge of this node, where it is to have one.
    pub(super) edge: Option<EdgeSettings>,
    /// Where sockets lie whose own path would be too long.
    pub(super) runtime_dir: Option<PathBuf>,
    /// How TLS is spoken.
    pub(super) tls: TlsFiles,
    /// How it logs.
    pub(super) log: LogConfig,
}

/// The engine of the node, and what may be asked of it.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    /// Where it is.
    pub(super) host: String,
    /// When images are fetched.
    pub(super) pull: Pull,
    /// What projects may ask of the host.
    pub(super) policy: Policy,
    /// The surroundings of the agent; compose gets what it needs of them, and nothing else.
    pub(super) env: BTreeMap<String, String>,
}

/// A platform of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offered {
    /// Whichever container engines are there.
    EnginesFound,
    /// Docker.
    Docker,
    /// Podman.
    Podman,
    /// Processes, as the user of the agent.
    Local,
}

/// Which platforms of this host a server may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Platforms(Vec<Offered>);

impl Platforms {
    /// Reads words: `auto`, `none`, `docker`, `podman`, `local`.
    fn of<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut offered = Vec::new();
        let mut none = false;
        for word in words.into_iter().map(str::trim).filter(|word| !word.is_empty()) {
            offered.push(match word {
                "none" => {
                    none = true;
                    continue;
                }
                "auto" => Offered::EnginesFound,
                "docker" => Offered::Docker,
                "podman" => Offered::Podman,
                "local" => Offered::Local,
                other => return Err(format!("`{other}` is none of auto, none, docker, podman and local")),
            });
        }
        match (none, offered.is_empty()) {
            (true, true) => Ok(Self::default()),
            (true, false) => Err("`none` stands alone".to_owned()),
            (false, true) => Ok(Self(vec![Offered::EnginesFound])),
            (false, false) => Ok(Self(offered)),
        }
    }

    /// Whether it is offered.
    pub(super) fn contains(&self, one: Offered) -> bool {
        self.0.contains(&one)
    }
}

/// The edge of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EdgeSettings {
    /// For host routes, as the edge reads it: `auto`, `off`, a port's address.
    pub(super) http: String,
    /// The same with TLS.
    pub(super) https: String,
    /// Where ports of routes listen.
    pub(super) bind: IpAddr,
}

/// Files of TLS.
#[derive(Debug, Clone, Default)]
pub(super) struct TlsFiles {
    /// Authorities besides the system's.
    pub(super) ca: Option<PathBuf>,
    /// What this node shows: certificate and key.
    pub(super) own: Option<(PathBuf, PathBuf)>,
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// Everything that is missing or wrong, at once.
    pub(super) fn load(args: &AgentArgs, said_before: Option<&str>, on: &Surroundings) -> Result<Self, Failure> {
        let mut faults = Vec::new();
        let text = |flag: Option<&str>, name: &str| flag.or_else(|| on.var(name)).map(str::trim).map(str::to_owned);
        let path = |flag: &Option<PathBuf>, name: &str| {
            flag.clone().or_else(|| on.var(name).map(PathBuf::from)).map(|path| on.resolve(&path))
        };

        let url = match text(args.url.as_deref().or(said_before), "SKIPPER_URL") {
            Some(text) => base_url(&text).map_err(|fault| faults.push(format!("SKIPPER_URL or --url: {fault}"))).ok(),
            None => {
                faults.push("SKIPPER_URL or --url: say where the server is, as http://control.example:3000".to_owned());
                None
            }
        };
        let node = match text(args.node_id.as_deref(), "AGENT_ID") {
            Some(text) => {
                NodeName::new(text).map_err(|fault| faults.push(format!("AGENT_ID or --node-id: {fault}"))).ok()
            }
            None => {
                faults.push(
                    "AGENT_ID or --node-id: say which node this is, by the name it was registered with".to_owned(),
                );
                None
            }
        };
        let token = match (path(&args.token_file, "AGENT_TOKEN_FILE"), text(None, "AGENT_TOKEN")) {
            (Some(file), _) => Some(TokenSource::File(file)),
            (None, Some(token)) if is_printable(&token) => Some(TokenSource::Given(SecretValue::new(token))),
            (None, Some(_)) => {
                faults.push("AGENT_TOKEN: a token is one word of printable ASCII; this one is not".to_owned());
                None
            }
            (None, None) => {
                faults.push(
                    "AGENT_TOKEN, AGENT_TOKEN_FILE or --token-file: give the token that `skipper node register` printed"
                        .to_owned(),
                );
                None
            }
        };
        let tls = TlsFiles {
            ca: path(&args.ca_file, "SKIPPER_CA_FILE"),
            own: match (path(&args.cert, "AGENT_CERT_FILE"), path(&args.key, "AGENT_KEY_FILE")) {
                (Some(cert), Some(key)) => Some((cert, key)),
                (None, None) => None,
                _ => {
                    faults
                        .push("AGENT_CERT_FILE and AGENT_KEY_FILE, or --cert and --key: give both or none".to_owned());
                    None
                }
            },
        };
        let mut span = |flag: Option<u64>, name: &str, default: u64| match interval(flag, on.var(name), name, default) {
            Ok(span) => span,
            Err(fault) => {
                faults.push(fault);
                Duration::ZERO
            }
        };
        let poll_interval = span(args.poll_interval_ms, "POLL_INTERVAL_MS", 5000);
        let heartbeat_interval = span(args.heartbeat_interval_ms, "HEARTBEAT_INTERVAL_MS", 15_000);
        let drain = args.drain_timeout.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(INTERVALS.0));
        let drain_within = span(drain, "AGENT_DRAIN_TIMEOUT_MS", 60_000);
        let engine = engine(args, on, &mut faults);
        let (platforms, edge) = (platforms(args, on, &mut faults), edge(args, on, &mut faults));
        let log = log(args, on).unwrap_or_else(|fault| {
            faults.push(fault);
            LogConfig { format: LogFormat::Text, level: "info".to_owned() }
        });
        let data_dir = args.data_dir.as_deref().map_or_else(|| on.default_data_dir(), |dir| on.resolve(dir));
        let base_dir =
            path(&args.base_dir, "SKIPPY_COMPOSE_BASE_DIR").unwrap_or_else(|| on.resolve(Path::new(BASE_DIR)));
        match (url, node, token) {
            (Some(url), Some(node), Some(token)) if faults.is_empty() => Ok(Self {
                url,
                node,
                token,
                dir: data_dir.join("agent"),
                base_dir,
                engine,
                poll_interval,
                heartbeat_interval,
                drain_within,
                platforms,
                edge,
                runtime_dir: on.runtime_dir(),
                tls,
                log,
            }),
            _ => Err(Failure::usage(format!("the agent cannot start yet\n{}", faults.join("\n")))
                .hint("`skipper node register --node-id NODE` makes a node and prints its token; `skipper agent --help` lists everything")),
        }
    }
}

fn engine(args: &AgentArgs, on: &Surroundings, faults: &mut Vec<String>) -> Engine {
    let host = args.engine.as_deref().or_else(|| on.var("DOCKER_HOST")).unwrap_or(DOCKER);
    if !["unix://", "tcp://", "http://"].iter().any(|scheme| host.starts_with(scheme)) {
        faults
            .push(format!("DOCKER_HOST or --engine: `{host}` is not an engine; write unix:///path or tcp://host:port"));
    }
    let pull = match args.pull.as_deref().or_else(|| on.var("AGENT_PULL")) {
        Some(word) => Pull::parse(word).unwrap_or_else(|| {
            faults.push(format!("AGENT_PULL or --pull: `{word}` is none of missing, always and never"));
            Pull::default()
        }),
        None => Pull::default(),
    };
    let given: Vec<&str> = match args.allow.is_empty() {
        true => on.var("AGENT_ALLOW").unwrap_or_default().split(',').collect(),
        false => args.allow.iter().map(String::as_str).collect(),
    };
    let policy = Policy::allowing(given).unwrap_or_else(|fault| {
        faults.push(format!("AGENT_ALLOW or --allow: {fault}"));
        Policy::default()
    });
    let is_ours = |name: &str| ["AGENT_", "SKIPPER_", "SKIPPY_", "ADMIN_"].iter().any(|head| name.starts_with(head));
    let env = on.vars().iter().filter(|(name, _)| !is_ours(name)).map(|(name, value)| (name.clone(), value.clone()));
    Engine { host: host.to_owned(), pull, policy, env: env.collect() }
}

fn platforms(args: &AgentArgs, on: &Surroundings, faults: &mut Vec<String>) -> Platforms {
    let said = on.var("AGENT_PLATFORMS").or_else(|| on.var("SKIPPY_PLATFORMS"));
    let given: Vec<&str> = match args.platforms.is_empty() {
        true => said.unwrap_or_default().split(',').collect(),
        false => args.platforms.iter().map(String::as_str).collect(),
    };
    Platforms::of(given).unwrap_or_else(|fault| {
        faults.push(format!("AGENT_PLATFORMS or --platforms: {fault}"));
        Platforms::default()
    })
}

/// None unless something is said of it.
fn edge(args: &AgentArgs, on: &Surroundings, faults: &mut Vec<String>) -> Option<EdgeSettings> {
    let http = args.edge_http.as_deref().or_else(|| on.var("AGENT_EDGE_HTTP"));
    let https = args.edge_https.as_deref().or_else(|| on.var("AGENT_EDGE_HTTPS"));
    let bind = args.edge_bind.as_deref().or_else(|| on.var("AGENT_EDGE_BIND"));
    if http.is_none() && https.is_none() && bind.is_none() {
        return None;
    }
    let bind = match bind.map(str::parse) {
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Some(Ok(bind)) => bind,
        Some(Err(_)) => {
            let given = bind.unwrap_or_default();
            faults.push(format!("AGENT_EDGE_BIND or --edge-bind: `{given}` is no IP address"));
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        }
    };
    let mut listen = |given: Option<&str>, usual: &str, name: &str| {
        let text = given.unwrap_or(usual).trim();
        let address = text.parse::<u16>().map(|port| SocketAddr::new(bind, port).to_string());
        match address {
            Ok(address) => address,
            Err(_) if matches!(text, "auto" | "off") || text.parse::<SocketAddr>().is_ok() => text.to_owned(),
            Err(_) => {
                faults.push(format!("{name}: `{text}` is none of `auto`, `off`, a port, and an address with a port"));
                "off".to_owned()
            }
        }
    };
    let http = listen(http, "auto", "AGENT_EDGE_HTTP or --edge-http");
    let https = listen(https, "off", "AGENT_EDGE_HTTPS or --edge-https");
    Some(EdgeSettings { http, https, bind })
}

/// What may stand in a header.
pub(super) fn is_printable(token: &str) -> bool {
    !token.is_empty() && token.len() <= 4096 && token.bytes().all(|byte| byte.is_ascii_graphic())
}

fn interval(flag: Option<u64>, var: Option<&str>, name: &str, default: u64) -> Result<Duration, String> {
    let wrong = |given: &str| {
        format!("{name}: `{given}` is not a number of milliseconds between {} and {}", INTERVALS.0, INTERVALS.1)
    };
    let millis = match (flag, var) {
        (Some(millis), _) => millis,
        (None, Some(text)) => text.trim().parse().map_err(|_| wrong(text))?,
        (None, None) => default,
    };
    if (INTERVALS.0..=INTERVALS.1).contains(&millis) {
        Ok(Duration::from_millis(millis))
    } else {
        Err(wrong(&millis.to_string()))
    }
}

fn log(args: &AgentArgs, on: &Surroundings) -> Result<LogConfig, String> {
    let level = args.log_level.as_deref().or_else(|| on.var("SKIPPER_LOG_LEVEL")).or_else(|| on.var("RUST_LOG"));
    let format = match args.log_format.as_deref().or_else(|| on.var("SKIPPER_LOG_FORMAT")) {
        Some("json") => LogFormat::Json,
        Some("text") | None => LogFormat::Text,
        Some(other) => return Err(format!("SKIPPER_LOG_FORMAT: `{other}` is neither `text` nor `json`")),
    };
    Ok(LogConfig { format, level: level.unwrap_or("info").to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENOUGH: [(&str, &str); 3] =
        [("SKIPPER_URL", "http://c.example:3000"), ("AGENT_ID", "host-1"), ("AGENT_TOKEN", "skn_x")];

    fn load(args: &AgentArgs, vars: &[(&str, &str)]) -> Result<Settings, Failure> {
        Settings::load(args, None, &Surroundings::of(vars))
    }

    #[test]
    fn the_environment_of_the_first_agents_is_enough() {
        let mut vars = ENOUGH.to_vec();
        vars.push(("DATA_DIR", "/app/data"));
        let settings = load(&AgentArgs::default(), &vars).expect("enough");
        assert_eq!(settings.url.as_str(), "http://c.example:3000/");
        assert_eq!(settings.dir, Path::new("/app/data/agent"));
        assert_eq!(settings.base_dir, Path::new("/opt/skipper/tenants"));
        assert_eq!(settings.poll_interval, Duration::from_secs(5));
        assert_eq!(settings.heartbeat_interval, Duration::from_secs(15));
    }

    #[test]
    fn everything_that_is_missing_or_wrong_is_told_at_once() {
        let vars = [
            ("POLL_INTERVAL_MS", "soon"),
            ("AGENT_CERT_FILE", "/x"),
            ("HEARTBEAT_INTERVAL_MS", "1"),
            ("AGENT_ALLOW", "everything"),
        ];
        let told = load(&AgentArgs::default(), &vars).expect_err("nothing is there").to_string();
        for part in [
            "SKIPPER_URL",
            "AGENT_ID",
            "AGENT_TOKEN",
            "`soon`",
            "AGENT_KEY_FILE",
            "HEARTBEAT_INTERVAL_MS: `1`",
            "`everything`",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
        let told = load(&AgentArgs::default(), &[("AGENT_TOKEN", "geheim\u{e9}")]).expect_err("no token").to_string();
        assert!(told.contains("printable") && !told.contains("geheim"), "{told}");
    }

    #[test]
    fn processes_are_offered_to_those_alone_whom_the_owner_of_the_node_lets_do_that() {
        let offered = |text: &str| {
            let mut vars = ENOUGH.to_vec();
            vars.push(("AGENT_PLATFORMS", text));
            load(&AgentArgs::default(), &vars).map(|settings| settings.platforms)
        };
        let usual = load(&AgentArgs::default(), &ENOUGH).expect("enough").platforms;
        assert!(usual.contains(Offered::EnginesFound) && !usual.contains(Offered::Local));
        assert_eq!(offered("none").expect("a word"), Platforms::default());
        let both = offered("local, auto").expect("words");
        assert!(both.contains(Offered::Local) && both.contains(Offered::EnginesFound));
        for wrong in ["none,local", "locale"] {
            assert!(offered(wrong).expect_err(wrong).to_string().contains("AGENT_PLATFORMS"));
        }
    }

    #[test]
    fn there_is_no_edge_unless_something_is_said_of_it() {
        assert_eq!(load(&AgentArgs::default(), &ENOUGH).expect("enough").edge, None);
        let args =
            AgentArgs { edge_http: Some("8088".into()), edge_bind: Some("127.0.0.1".into()), ..AgentArgs::default() };
        let edge = load(&args, &ENOUGH).expect("enough").edge.expect("wanted");
        assert_eq!((edge.http.as_str(), edge.https.as_str()), ("127.0.0.1:8088", "off"));
        let args = AgentArgs { edge_https: Some("https".into()), ..AgentArgs::default() };
        assert!(load(&args, &ENOUGH).expect_err("no port").to_string().contains("AGENT_EDGE_HTTPS"));
    }

    #[test]
    fn a_flag_wins() {
        let args = AgentArgs {
            url: Some("d.example".to_owned()),
            poll_interval_ms: Some(250),
            token_file: Some("/t".into()),
            ..AgentArgs::default()
        };
        let settings = load(&args, &ENOUGH).expect("enough");
        assert_eq!(settings.url.as_str(), "http://d.example/");
        assert_eq!(settings.poll_interval, Duration::from_millis(250));
        assert!(matches!(settings.token, TokenSource::File(_)));
        assert!(
            !format!("{:?}", load(&AgentArgs::default(), &ENOUGH)).contains("skn_x"),
            "no token in what is printed"
        );
    }
}
