//! `init --agent`: a node of the fleet in one go.

use std::path::{Path, PathBuf};

use clap::ValueHint;
use skipper_core::name::NodeName;

use super::{
    super::Context,
    place::{Owner, Place, State},
    systemctl, texts,
};
use crate::{failure::Failure, targets};

const ENV_FILE: &str = "/etc/skipper/agent.env";
const UNIT: &str = "/etc/systemd/system/skipper-agent.service";

/// What is said of the node.
#[derive(Debug, clap::Args)]
pub(super) struct AgentArgs {
    /// Set up an agent on this machine instead of a server
    #[arg(long, conflicts_with_all = ["config_dir", "listen", "backend", "caddy", "webhook_domain", "user", "app"], help_heading = "Agent")]
    pub(super) agent: bool,
    /// Where its control plane answers [env: SKIPPER_URL]
    #[arg(long, value_name = "URL", requires = "agent", help_heading = "Agent")]
    server_url: Option<String>,
    /// The node, as it was registered [env: AGENT_ID]
    #[arg(long, value_name = "NODE", requires = "agent", help_heading = "Agent")]
    node_id: Option<String>,
    /// File with the token that `skipper node register` printed [env: AGENT_TOKEN]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "agent", help_heading = "Agent")]
    agent_token_file: Option<PathBuf>,
}

/// Makes what is missing: folders, the file of variables, the unit. Answers what comes next.
///
/// # Errors
///
/// A name or an address that is none, a file that cannot be read or written.
pub(super) fn set_up(
    args: AgentArgs,
    context: &Context,
    place: &mut Place,
    program: &Path,
    start: bool,
) -> Result<Vec<(String, String)>, Failure> {
    let var = |name: &str| context.surroundings.var(name).map(str::to_owned);
    let url = args.server_url.or_else(|| var("SKIPPER_URL")).unwrap_or_default();
    if !url.is_empty() && !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(Failure::usage(format!(
            "`{url}` is no address of a control plane; it begins with http:// or https://"
        )));
    }
    let node = args.node_id.or_else(|| var("AGENT_ID")).unwrap_or_default();
    if !node.is_empty() {
        NodeName::new(node.as_str()).map_err(|error| Failure::usage(error.to_string()))?;
    }
    let token = match args.agent_token_file {
        Some(path) => targets::one_word(&context.surroundings.resolve(&path), "--agent-token-file")?,
        None => var("AGENT_TOKEN").unwrap_or_default(),
    };
    for value in [&url, &node, &token] {
        if value.contains(|c: char| c.is_whitespace() || c.is_control() || "\"'\\".contains(c)) {
            return Err(Failure::usage("addresses, names and tokens hold no blanks, quotes or backslashes"));
        }
    }
    let own = place.is_here().then_some(Owner { uid: 0, gid: 0 });
    let from = std::env::current_exe().map_err(|error| Failure::error(format!("find the own program: {error}")))?;
    place.program(&from, program)?;
    place.folder(Path::new("/etc/skipper"), 0o750, own)?;
    place.folder(Path::new("/var/lib/skipper-agent"), 0o700, own)?;
    place.folder(Path::new("/opt/skipper/tenants"), 0o700, own)?;
    let text = format!(
        "# The agent of this node. Nobody but root may read this file.\nSKIPPER_URL={url}\nAGENT_ID={node}\nAGENT_TOKEN={token}\n"
    );
    place.file(Path::new(ENV_FILE), &text, 0o600, own, "it is kept as it is; edit it to change anything")?;
    place.file(
        Path::new(UNIT),
        texts::AGENT_UNIT,
        0o644,
        own,
        "it is another than the one that comes with this version",
    )?;

    let mut next = Vec::new();
    if [&url, &node, &token].iter().any(|value| value.is_empty()) {
        next.push((format!("sudo editor {ENV_FILE}"), "SKIPPER_URL, AGENT_ID and AGENT_TOKEN are needed".to_owned()));
    }
    let mut started = false;
    if place.is_here() && Path::new("/run/systemd/system").is_dir() {
        systemctl(&["daemon-reload"])?;
        if start {
            systemctl(&["enable", "--now", "skipper-agent"])?;
            place.note(State::Made, "skipper-agent is started, and at each boot", None);
            started = true;
        }
    } else if place.is_here() {
        place.note(State::Skipped, "systemctl daemon-reload", Some("systemd does not run here".to_owned()));
    }
    if !started {
        next.push((
            "sudo systemctl enable --now skipper-agent".to_owned(),
            "starts it, now and at each boot".to_owned(),
        ));
    }
    Ok(next)
}
