//! The server's configuration: flags, environment, `skipper.toml` and defaults become one typed [`Config`].
//!
//! Three stages, so that no value is half understood: what each source says (text with its origin), merged by precedence
//! (flag, environment, file, default), then parsed into types that cannot be wrong. Every fault of every stage is
//! reported at once, with file and line, before a port is bound. Nothing here reads the process's environment: `main`
//! hands it over in [`Sources`].

mod account;
mod acme;
mod again;
mod build;
mod caddy;
mod compose;
mod directory;
mod engine;
mod expand;
mod fault;
mod file;
mod maven;
mod merge;
mod quantity;
mod registries;
mod repositories;
mod setting;
mod spring;
mod typed;

pub use again::Again;
pub use compose::ComposeSettings;
pub use directory::{DirectoryTexts, read_directory, read_text};
pub use fault::{ConfigError, Fault};
pub use merge::{Origin, Shown};
pub use quantity::{parse_size, parse_span};
pub use repositories::{RepositoriesConfig, RepositoryConfig};
pub use spring::postgres_of_jdbc;
pub use typed::{
    About, Config, Database, EdgeConfig, EdgePort, Limits, LogConfig, LogFormat, PlatformConfig, PlatformKind,
    Retention, User,
};

use std::{collections::BTreeMap, path::PathBuf};

use crate::apps::Apps;

/// Where configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Values of command-line flags by setting, for example `listen` for `--listen`.
    pub flags: BTreeMap<String, String>,
    /// The process's environment.
    pub env: BTreeMap<String, String>,
    /// The file named by `--config`: it must exist.
    pub file: Option<PathBuf>,
    /// Files to look for where none was named; the first that exists is read.
    pub search: Vec<PathBuf>,
    /// The data directory where nobody names one.
    pub default_data_dir: PathBuf,
    /// Arguments in Spring's form, as they were typed: `--server.port=9000`, `-Dserver.port=9000`.
    pub arguments: Vec<String>,
    /// Whether what Spring's files say without effect by mistake is a fault rather than a warning.
    pub strict: bool,
    /// Where relative paths of flags and environment start; those of the file start at the file's folder.
    pub working_dir: PathBuf,
}

impl Sources {
    /// Adds what a directory of apps says, as flags that were not given: where the API listens, and what is said of Caddy. Variables of
    /// the environment are stronger.
    pub fn add_directory(&mut self, apps: &Apps) {
        let server = apps.server();
        let listens = ["SKIPPER_LISTEN", "HOST", "PORT"].iter().any(|name| self.env.contains_key(*name));
        if !listens {
            self.flags.entry("listen".to_owned()).or_insert_with(|| server.listen.to_string());
        }
        for (key, value) in caddy::of_slip(server, &apps.preview_domains()) {
            let named = format!("SKIPPER_{}", key.replace('.', "_").to_uppercase());
            if !self.env.contains_key(&named) {
                self.flags.entry(key.to_owned()).or_insert(value);
            }
        }
    }
}

/// A configuration and where each of its values came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every value as text with its origin, in the order of the documentation; secrets are not shown.
    pub shown: Vec<Shown>,
    /// What was said without effect, and why it has none.
    pub warnings: Vec<Fault>,
}

/// Reads, merges and checks.
///
/// # Errors
///
/// Every [`Fault`] of all sources together.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let mut faults = Vec::new();
    let file = file::read(sources, &mut faults);
    let mut warnings = Vec::new();
    let spring = spring::read(sources, &mut faults, &mut warnings);
    let merged = merge::merge(sources, &file, &spring, &mut faults, &mut warnings);
    let config = build::build(sources, &merged, &mut faults);
    match config {
        Some(config) if faults.is_empty() => {
            let shown = merged.shown();
            // 16 characters of base64 are 96 bits.
            if config.admin_token.as_ref().is_some_and(|token| token.expose().len() < 16) {
                let place = shown.iter().find(|shown| shown.key == "admin_token").map(|shown| shown.origin.to_string());
                let message =
                    "`admin_token` is shorter than 16 characters; make a longer one, as `openssl rand -hex 32` does";
                warnings.push(Fault { place: place.unwrap_or_default(), message: message.to_owned() });
            }
            Ok(Loaded { config, shown, warnings })
        }
        _ => {
            // As a reader goes through the file, whatever stage found them.
            faults.sort_by_key(Fault::line);
            Err(ConfigError(faults))
        }
    }
}

#[cfg(test)]
mod tests;
