use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use serde_json::Value;
use skipper_core::{compose::Policy, name::PlatformName, port::Clock};
use tokio_util::task::TaskTracker;

use crate::container::Pull;

/// Reads one YAML document; what is wrong with it, as a sentence. Formats are not this crate's, and compose of the first generation
/// tells what it resolved in no other one.
pub type ReadYaml = fn(&str) -> Result<Value, String>;

/// Settings of one account, or of an agent.
#[derive(Debug, Clone)]
pub struct ComposeConfig {
    /// The account's name.
    pub account: PlatformName,
    /// Who it is that this server's projects belong to: another server on the same folder leaves them alone.
    pub owner: String,
    /// The folder of all tenants' folders, absolute.
    pub base: PathBuf,
    /// The engine: `unix:///path`, `tcp://host:port` or `http://host:port`.
    pub host: String,
    /// The words that run compose; found by asking when `None`.
    pub command: Option<Vec<String>>,
    /// When images are fetched.
    pub pull: Pull,
    /// What projects may ask of the host.
    pub policy: Policy,
    /// The surroundings of the server: what compose needs of them is taken (the search path, the home, proxies), and nothing else.
    pub env: BTreeMap<String, String>,
    /// Reads YAML.
    pub yaml: ReadYaml,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where work runs that goes on when nobody waits for it.
    pub tasks: TaskTracker,
}

impl ComposeConfig {
    /// Where projects live that name no other place.
    pub const BASE: &'static str = "/opt/skipper/tenants";
}
