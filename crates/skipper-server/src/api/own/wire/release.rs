use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CauseView, RolloutSummary};

/// A release in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseState {
    /// A revision serves, and everything of it runs.
    Live,
    /// A rollout is open.
    Deploying,
    /// Nothing serves: the first rollout failed or was cancelled.
    Failed,
    /// A revision serves, but not all of it runs as it should.
    Degraded,
    /// Deleted; its history is kept.
    Deleted,
}

impl ReleaseState {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Deploying => "deploying",
            Self::Failed => "failed",
            Self::Degraded => "degraded",
            Self::Deleted => "deleted",
        }
    }
}

/// One line of the list of releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseSummary {
    /// Its id, for ever its own.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Who owns it.
    pub tenant: String,
    /// The door it belongs to: `releases`, `deploys`, `fleet`.
    pub door: String,
    /// Its state. The list never says `degraded`: that takes a look at the platform.
    pub state: ReleaseState,
    /// The revision that serves.
    pub revision: Option<u64>,
    /// The highest revision number given so far.
    pub last_revision: u64,
    /// The package that the serving (else the newest) revision was made of: `name-version`.
    #[serde(default)]
    pub package: Option<String>,
    /// The open rollout, if there is one.
    #[serde(default)]
    pub rollout: Option<RolloutSummary>,
    /// When it was first installed.
    pub created_at: String,
    /// When anything about it last changed.
    pub updated_at: String,
}

/// A page of releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleasePage {
    /// By name.
    pub items: Vec<ReleaseSummary>,
    /// Give it as `after` to get the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Everything there is to know about a release now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseStatus {
    /// Its id, for ever its own.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Who owns it.
    pub tenant: String,
    /// The door it belongs to: `releases`, `deploys`, `fleet`.
    pub door: String,
    /// Its state in one word.
    pub state: ReleaseState,
    /// The same as a sentence: `revision 3 serves; rollout … is launching web`.
    pub summary: String,
    /// The revision that serves; absent before the first success and after a delete.
    pub revision: Option<u64>,
    /// The highest revision number given so far.
    pub last_revision: u64,
    /// The package that the serving (else the newest) revision was made of: `name-version`.
    #[serde(default)]
    pub package: Option<String>,
    /// Description given with that revision.
    #[serde(default)]
    pub description: Option<String>,
    /// Its applications, by name.
    pub apps: Vec<AppStatus>,
    /// The open rollout, if there is one; else the last one.
    #[serde(default)]
    pub rollout: Option<RolloutSummary>,
    /// The rollout that waits behind the open one.
    #[serde(default)]
    pub waiting: Option<RolloutSummary>,
    /// Why the newest rollout failed, if it did.
    #[serde(default)]
    pub last_error: Option<CauseView>,
    /// How what runs differs from what should run. Empty when it does not, or while a rollout is open.
    pub drift: Vec<DriftView>,
    /// When it was first installed.
    pub created_at: String,
    /// When anything about it last changed.
    pub updated_at: String,
    /// Counts up with every change; the ETag is made of it.
    pub row_version: u64,
}

/// One application of the serving revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AppStatus {
    /// Its name.
    pub name: String,
    /// The platform account it runs on.
    pub platform: String,
    /// The deployment that serves.
    pub deployment: String,
    /// The revision that launched it; older than the release's when later ones did not change it.
    pub revision: u64,
    /// Its share of the requests, 0 to 100.
    pub weight: u8,
    /// `blue-green`, `recreate`, `rolling` or `canary`: the one that is followed.
    pub strategy: String,
    /// The resource it runs.
    pub resource: String,
    /// Instances that should run.
    pub replicas: u32,
    /// Instances that do.
    pub running: u32,
    /// Where users reach it, through the edge: `http://hello.example.org/`, `http://127.0.0.1:9090/`.
    pub urls: Vec<String>,
    /// Open, `held` or `maintenance`: what the edge does with its requests.
    pub mode: String,
    /// Its instances, by index.
    pub instances: Vec<InstanceStatus>,
}

/// One running copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InstanceStatus {
    /// 0, 1, …
    pub index: u32,
    /// `running`, `exited`, `absent` or `unknown`.
    pub state: String,
    /// How it ended, or why its state is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The platform's own handle: pid, container id.
    #[serde(default)]
    pub handle: Option<String>,
    /// When it was launched.
    #[serde(default)]
    pub started_at: Option<String>,
    /// How often supervision started it again.
    pub restarts: u32,
    /// Where each of its ports is reached behind the edge.
    pub addresses: BTreeMap<String, String>,
}

/// One way in which what runs differs from what should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DriftView {
    /// The application.
    pub app: String,
    /// A sentence.
    pub message: String,
}
