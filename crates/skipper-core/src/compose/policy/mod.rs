//! What a compose file may ask of the host.
//!
//! A list of what is allowed, not of what is forbidden: a key that is not known is refused by its name, so that a newer compose does
//! not bring a way around it. The same check serves a file as it was written, and the form that compose itself resolved it to; where a
//! text still holds variables it is the latter that counts.

mod scan;
mod service;
mod volume;

use std::{collections::BTreeSet, fmt};

use serde_json::Value;

pub use volume::binds;

/// What is allowed beyond what every project may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    words: BTreeSet<String>,
}

/// A word that allows nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` allows nothing; it can be privileged, host-network, host-pid, host-ipc, devices, docker-socket, unconfined, external, \
     files, cap:NAME, bind:/PATH or key:NAME"
)]
pub struct UnknownAllowance(pub String);

/// Words that stand alone.
const WORDS: [&str; 9] = [
    "privileged",
    "host-network",
    "host-pid",
    "host-ipc",
    "devices",
    "docker-socket",
    "unconfined",
    "external",
    "files",
];

impl Policy {
    /// A policy that allows these: `privileged`, `host-network`, `host-pid`, `host-ipc`, `devices`, `docker-socket`, `unconfined`
    /// (security options that take protection away), `external` (networks and volumes of others), `files` (of the host, from outside
    /// the project's folder), `cap:NAME` (a capability; `cap:ALL`), `bind:/PATH` (mounts of that folder and what is in it) and
    /// `key:NAME` (a key of a service that is not known here).
    ///
    /// # Errors
    ///
    /// The first word that is none of them.
    pub fn allowing<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownAllowance> {
        let mut allowed = BTreeSet::new();
        for word in words.into_iter().map(str::trim).filter(|word| !word.is_empty()) {
            let word = match word.split_once(':') {
                None if WORDS.contains(&word) => word.to_owned(),
                Some(("cap", name)) if !name.is_empty() => format!("cap:{}", capability(name)),
                Some(("bind", path)) if path.starts_with('/') => {
                    format!("bind:{}", normal("/", path).ok_or_else(|| UnknownAllowance(word.to_owned()))?)
                }
                Some(("key", name)) if !name.is_empty() => word.to_owned(),
                _ => return Err(UnknownAllowance(word.chars().take(80).collect())),
            };
            allowed.insert(word);
        }
        Ok(Self { words: allowed })
    }

    /// What it allows, as it is written.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    /// Whether a folder or file of the host may be mounted, by its absolute path.
    #[must_use]
    pub fn allows_folder(&self, path: &str) -> bool {
        let Some(path) = normal("/", path) else { return false };
        let has_socket = volume::SOCKETS.iter().any(|socket| is_within(socket, &path));
        self.allows_bind(&path) && (!has_socket || self.allows("docker-socket"))
    }

    /// Whether everything may be asked of the host.
    #[must_use]
    pub fn allows_privileged(&self) -> bool {
        self.allows("privileged")
    }

    fn allows(&self, word: &str) -> bool {
        self.words.contains(word)
    }

    fn allows_bind(&self, path: &str) -> bool {
        self.words.iter().filter_map(|word| word.strip_prefix("bind:")).any(|root| is_within(path, root))
    }
}

/// Where a project is run.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// Its name: volumes and networks may be called after it, and not otherwise.
    pub project: &'a str,
    /// Its folder, absolute; what is mounted lies beneath it.
    pub folder: &'a str,
}

/// One thing that a project may not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// A stable word: what would have to be allowed where that can be done, else `shape`, `name`, `image` or `own-files`.
    pub code: &'static str,
    /// Where it stands, for example `services.web.privileged`.
    pub path: String,
    /// What is not allowed, as a sentence.
    pub message: String,
    /// The word that would allow it.
    pub allowed_by: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)?;
        self.allowed_by.as_ref().map_or(Ok(()), |word| write!(f, " (the platform would have to allow `{word}`)"))
    }
}

/// Most refusals that are told of one file.
const MOST: usize = 100;

/// Everything in a compose file that is not allowed; empty when it may run.
#[must_use]
pub fn check(file: &Value, scene: Scene<'_>, policy: &Policy) -> Vec<Refusal> {
    let mut scan = scan::Scan::new(scene, policy);
    scan.file(file);
    scan.into_refusals(MOST)
}

/// Capabilities are written with and without their prefix.
fn capability(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").map_or_else(|| upper.clone(), str::to_owned)
}

/// `path` seen from `folder`, without `.` and `..`; `None` when it leads above the root.
fn normal(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    let from = if path.starts_with('/') { "" } else { folder };
    for part in from.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

/// Whether a normal path is that folder or lies in it.
fn is_within(path: &str, folder: &str) -> bool {
    folder == "/" || path == folder || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
