//! Options of accounts of the type `compose`: `platforms.NAME.*`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use skipper_core::compose::Policy;
use skipper_platform::{
    compose::ComposeConfig,
    container::{EngineKind, Pull, answers},
};

use super::{
    engine::{Said, host, socket},
    fault::Fault,
    merge::Value,
    setting::nearest,
};

const OPTIONS: [&str; 7] = ["type", "base", "host", "socket", "command", "pull", "allow"];

/// What the configuration says of an account of projects.
#[derive(Debug, Clone)]
pub struct ComposeSettings {
    /// The folder of all tenants' folders.
    pub base: PathBuf,
    /// The engine.
    pub host: String,
    /// The words that run compose; found by asking when `None`.
    pub command: Option<Vec<String>>,
    /// When images are fetched.
    pub pull: Pull,
    /// What projects may ask of the host.
    pub policy: Policy,
    /// The server's environment, of which compose is given what it needs.
    pub env: BTreeMap<String, String>,
}

/// Reads the options, and names every one that is none.
pub(super) fn settings(
    account: &str,
    options: &BTreeMap<String, Value>,
    env: &BTreeMap<String, String>,
    working_dir: &Path,
    faults: &mut Vec<Fault>,
) -> ComposeSettings {
    let mut said = Said { account, options, faults };
    for option in options.keys().filter(|option| !OPTIONS.contains(&option.as_str())) {
        let near = nearest(option, OPTIONS)
            .map_or_else(String::new, |near| format!("; did you mean `platforms.{account}.{near}`?"));
        said.fault(option, |key, _| format!("unknown key `{key}`{near}"));
    }
    let mut usual = EngineKind::Docker.usual_hosts(env);
    usual.sort_by_key(|host| !answers(host));
    let named = said.parse("host", host).or_else(|| said.parse("socket", socket));
    ComposeSettings {
        base: working_dir.join(said.text("base").unwrap_or_else(|| ComposeConfig::BASE.to_owned())),
        host: named.or_else(|| usual.into_iter().next()).unwrap_or_default(),
        command: said.text("command").map(|line| line.split_whitespace().map(str::to_owned).collect()),
        pull: said
            .parse("pull", |word| Pull::parse(word).ok_or_else(|| "is not always, missing or never".to_owned()))
            .unwrap_or_default(),
        policy: said
            .parse("allow", |words| Policy::allowing(words.split(',')).map_err(|error| error.to_string()))
            .unwrap_or_default(),
        env: env.clone(),
    }
}
