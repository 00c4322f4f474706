use std::{path::PathBuf, time::Duration};

use clap::ValueHint;

use crate::render::parse_span;

/// Arguments of `agent`.
#[derive(Debug, Default, Clone, clap::Args)]
#[command(after_help = "\
Takes the work orders of one node from the server, carries them out with compose, and reports. It needs an outgoing connection
only. Everything can come from the environment, so that it runs without arguments: SKIPPER_URL, AGENT_ID, AGENT_TOKEN or
AGENT_TOKEN_FILE, DATA_DIR, POLL_INTERVAL_MS, HEARTBEAT_INTERVAL_MS, SKIPPY_COMPOSE_BASE_DIR, DOCKER_HOST, AGENT_PULL, AGENT_ALLOW,
AGENT_PLATFORMS, AGENT_EDGE_HTTP, AGENT_EDGE_HTTPS, AGENT_EDGE_BIND, AGENT_DRAIN_TIMEOUT_MS, SKIPPER_CA_FILE, AGENT_CERT_FILE, AGENT_KEY_FILE, SKIPPER_LOG_FORMAT, SKIPPER_LOG_LEVEL. A token file is read again when it changes and on
SIGHUP. SIGTERM lets it finish what it is at. `--check` looks at everything it needs and says what to mend.")]
pub(crate) struct AgentArgs {
    /// Address of the server [env: SKIPPER_URL]
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(super) url: Option<String>,
    /// Node that this is [env: AGENT_ID]
    #[arg(long, visible_alias = "agent-id", value_name = "NODE")]
    pub(super) node_id: Option<String>,
    /// File that holds the node's token [env: AGENT_TOKEN_FILE; the token itself: AGENT_TOKEN]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) token_file: Option<PathBuf>,
    /// Where the agent keeps its journal and results, in `agent` below it [env: DATA_DIR] [default: as the server's]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) data_dir: Option<PathBuf>,
    /// Where the compose files of tenants lie [env: SKIPPY_COMPOSE_BASE_DIR] [default: /opt/skipper/tenants]
    #[arg(long, visible_alias = "compose-base-dir", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) base_dir: Option<PathBuf>,
    /// The engine, as `unix:///path` or `tcp://host:port` [env: DOCKER_HOST] [default: unix:///var/run/docker.sock]
    #[arg(long, value_name = "HOST")]
    pub(super) engine: Option<String>,
    /// When images are fetched: `missing`, `always` or `never` [env: AGENT_PULL] [default: missing]
    #[arg(long, value_name = "WHEN")]
    pub(super) pull: Option<String>,
    /// What projects may ask of this host, as `privileged` or `bind:/srv`; see docs/agent.md [env: AGENT_ALLOW] [default: nothing]
    #[arg(long, value_name = "WORD", value_delimiter = ',')]
    pub(super) allow: Vec<String>,
    /// Platforms of this host that a server may use as `node:NODE/NAME`: `auto` (the container engines that are there), `docker`, `podman`,
    /// `local` (processes, as the agent's user), or `none` [env: AGENT_PLATFORMS] [default: auto]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(super) platforms: Vec<String>,
    /// Where this node's own edge takes requests for host routes: `auto`, `off`, a port or an address. There is an edge where one
    /// of these three is given [env: AGENT_EDGE_HTTP] [default: auto]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) edge_http: Option<String>,
    /// The same with TLS; certificates lie in `agent/edge/tls` [env: AGENT_EDGE_HTTPS] [default: off]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) edge_https: Option<String>,
    /// Address at which the edge opens ports of routes [env: AGENT_EDGE_BIND] [default: 0.0.0.0]
    #[arg(long, value_name = "IP")]
    pub(super) edge_bind: Option<String>,
    /// Pause between questions where the server cannot make one wait [env: POLL_INTERVAL_MS] [default: 5000]
    #[arg(long, value_name = "MILLISECONDS")]
    pub(super) poll_interval_ms: Option<u64>,
    /// Pause between heartbeats [env: HEARTBEAT_INTERVAL_MS] [default: 15000]
    #[arg(long, value_name = "MILLISECONDS")]
    pub(super) heartbeat_interval_ms: Option<u64>,
    /// Longest that work goes on after SIGTERM [env: AGENT_DRAIN_TIMEOUT_MS] [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    pub(super) drain_timeout: Option<Duration>,
    /// PEM file of authorities to trust besides the system's [env: SKIPPER_CA_FILE]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) ca_file: Option<PathBuf>,
    /// PEM file of the certificate that this node shows to the server [env: AGENT_CERT_FILE]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) cert: Option<PathBuf>,
    /// PEM file of its key [env: AGENT_KEY_FILE]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) key: Option<PathBuf>,
    /// Look at everything the agent needs, and end
    #[arg(long)]
    pub(super) check: bool,
    /// `text` or `json` [env: SKIPPER_LOG_FORMAT] [default: text]
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"])]
    pub(super) log_format: Option<String>,
    /// What is logged, as `info` or `skipper=debug,info` [env: SKIPPER_LOG_LEVEL or RUST_LOG] [default: info]
    #[arg(long, value_name = "FILTER")]
    pub(super) log_level: Option<String>,
}
