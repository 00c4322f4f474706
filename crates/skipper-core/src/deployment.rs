//! Deployments and instances: one application of one revision on a platform, and its running copies.

use std::{collections::BTreeMap, fmt, net::SocketAddr, ops::Range};

use serde::{Deserialize, Serialize};

use crate::{
    digest::Sha256,
    generation::Generation,
    id::ReleaseId,
    name::{AppName, ReleaseName, TenantName, slug},
    secret::SecretVersions,
    spec::{Application, Target},
    time::Timestamp,
};

/// Names a deployment on its platform and at the edge: `web-api-r7-3fa9c1d2`. The same release, application and
/// revision always give the same id, so a step that runs again finds what it made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeploymentId(String);

impl DeploymentId {
    /// Derives the id.
    #[must_use]
    pub fn derive(release: ReleaseId, name: &ReleaseName, app: &AppName, revision: u64) -> Self {
        let hash = Sha256::of(format!("{release}/{app}/{revision}").as_bytes()).short();
        Self(format!("{}-{}-r{revision}-{hash}", slug(name.as_str(), 20), slug(app.as_str(), 20)))
    }

    /// Takes an id back from where it was stored.
    #[must_use]
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The id as text: lower-case letters, digits and hyphens when it was derived.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One application of one revision on its platform: everything needed to launch it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Derived from the four that follow.
    pub id: DeploymentId,
    /// The release it belongs to.
    pub release: ReleaseId,
    /// The release's name, for labels and folders.
    pub release_name: ReleaseName,
    /// The release's tenant.
    pub tenant: TenantName,
    /// The revision that launched it. Later revisions that did not change the application keep it.
    pub revision: u64,
    /// What to run. `replicas` is what the newest revision wants.
    pub app: Application,
    /// Versions of the secrets it was launched with.
    pub secrets: SecretVersions,
}

impl Deployment {
    /// The platform account it lives on.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.app.target
    }

    /// What Spring's deployers call it on a host: `<group>.<application>-v<revision>`, where the group is the release
    /// unless `spring.cloud.deployer.group` names another one. An instance of it is this with `-<index>`.
    #[must_use]
    pub fn deployer_id(&self) -> String {
        let group = self.app.deployer.as_ref().and_then(|deployer| deployer.options.get("spring.cloud.deployer.group"));
        let group = group.map_or_else(|| self.release_name.as_str(), String::as_str);
        format!("{group}.{}-v{}", self.app.name, self.revision)
    }

    /// Indices of all its instances.
    #[must_use]
    pub const fn all(&self) -> Range<u32> {
        0..self.app.replicas
    }
}

/// One running copy, as its platform describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// 0, 1, …
    pub index: u32,
    /// Where each of its ports is reached, by port name.
    pub addresses: BTreeMap<String, SocketAddr>,
    /// The platform's own handle (pid and start time, container id): opaque here, shown to people.
    pub handle: String,
    /// When it was launched.
    pub started_at: Timestamp,
    /// How often supervision has started it again.
    #[serde(default)]
    pub restarts: u32,
    /// What else the platform knows of it, under the names that Spring's deployers use: on `local` `guid`, `pid`, `port`,
    /// `url`, `working.dir`, and `stdout` and `stderr` where it writes such files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// What a platform sees of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Observed {
    /// Looked, and it is not there.
    Absent,
    /// It was acted upon, and how far that got is not known. Look again before acting.
    Unknown {
        /// Why it is not known.
        reason: String,
    },
    /// It runs.
    Running(Instance),
    /// It ended by itself.
    Exited {
        /// How it ended.
        exit: Exit,
        /// The instance that ended.
        instance: Instance,
    },
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit status, when it ended by itself.
    pub code: Option<i32>,
    /// Signal number, when it was killed.
    pub signal: Option<i32>,
    /// Killed by the kernel for want of memory, where that can be told.
    #[serde(default)]
    pub out_of_memory: bool,
    /// When.
    pub at: Timestamp,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exited with status {code}"),
            (None, Some(signal)) if self.out_of_memory => write!(f, "killed by signal {signal}: out of memory"),
            (None, Some(signal)) => write!(f, "killed by signal {signal}"),
            (None, None) => f.write_str("ended, how is not known"),
        }
    }
}

/// What a deployment is, as the store remembers it between steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// What was launched.
    pub deployment: Deployment,
    /// Share of new requests it gets, 0 to 100.
    pub weight: u8,
    /// Which instances should be there. Not always from 0: a rolling rollout takes them away in batches.
    pub instances: Vec<u32>,
    /// Addresses of the instances at the last launch or adoption.
    pub addresses: BTreeMap<u32, BTreeMap<String, SocketAddr>>,
    /// The right under which it was last acted upon.
    pub generation: Generation,
}
