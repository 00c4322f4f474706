//! slip's documents.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of a webhook. What else is in it is passed over, as slip does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeployRequest {
    /// The app.
    pub app: String,
    /// A tag of its image, or `sha256:…`.
    pub tag: String,
    /// The image; when it is named it must be the app's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// In a pod, whole references by the name of their container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// A preview rather than the app itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<PreviewWanted>,
    /// Also a tag that was deployed before what was deployed last.
    #[serde(default)]
    pub force: bool,
}

/// The preview that a webhook asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreviewWanted {
    /// Its id, for example `pr-42`; the first label of its host name.
    pub id: String,
    /// The commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha: Option<String>,
}

/// Body of a rollback.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppRollback {
    /// The tag; what served before when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// An accepted deploy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeployAccepted {
    /// Its id.
    pub deploy_id: String,
    /// The app.
    pub app: String,
    /// What is deployed.
    pub tag: String,
    /// `accepted`.
    pub status: String,
    /// Where a preview will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview_url: Option<String>,
    /// Where it can be watched without any other credential: it holds a token that is good for this deploy alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_url: Option<String>,
}

/// A deploy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeployView {
    /// Its id.
    pub deploy_id: String,
    /// The app.
    pub app: String,
    /// The preview of it, for a deploy of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
    /// What was deployed; null for a removal.
    pub tag: Option<String>,
    /// `accepted`, `pulling`, `configuring`, `starting`, `health_checking`, `stopping_old`, `switching`, `undoing`, and at last
    /// `completed`, `failed`, `cancelled` or `superseded`.
    pub status: String,
    /// When it was accepted.
    pub started_at: String,
    /// When it ended.
    pub finished_at: Option<String>,
    /// Why it did not reach its version.
    pub error: Option<String>,
    /// The revision it makes.
    pub revision: Option<u64>,
    /// What serves now, whatever became of this deploy; only where one deploy is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<Serving>,
    /// `webhook`, `oidc`, `api`, `cli`.
    pub triggered_by: String,
    /// What happened, oldest first; only where one deploy is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<DeployEvent>,
}

/// What serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Serving {
    /// The revision; null where nothing serves.
    pub revision: Option<u64>,
    /// Its tag.
    pub tag: Option<String>,
}

/// One thing that happened in a deploy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeployEvent {
    /// Its number; also its id in the stream.
    pub id: u64,
    /// When.
    pub at: String,
    /// What: `rollout.started`, `step.done`, `rollout.failed`.
    pub event: String,
    /// The step, where it is one: `fetch`, `launch`, `await-healthy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// What there is to say of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Deploys, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeployList {
    /// The deploys.
    pub deploys: Vec<DeployView>,
}

/// A preview.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreviewView {
    /// Its id.
    pub preview_id: String,
    /// The app.
    pub app: String,
    /// The commit.
    pub sha: Option<String>,
    /// `deploying`, `running`, `failed` or `removing`.
    pub status: String,
    /// What serves; what was asked for where nothing does.
    pub tag: Option<String>,
    /// Its host name.
    pub domain: Option<String>,
    /// Its address.
    pub url: Option<String>,
    /// The port of its container.
    pub port: Option<u16>,
    /// Since when.
    pub deployed_at: String,
    /// When it goes by itself; null for never.
    pub expires_at: Option<String>,
    /// The release that it is.
    pub release: String,
}

/// The previews of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreviewList {
    /// By id.
    pub previews: Vec<PreviewView>,
}

/// The previews that are taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TornDown {
    /// Their ids.
    pub torn_down: Vec<String>,
}

/// Done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// `ok`.
    pub status: String,
}

impl Done {
    /// It is.
    pub(super) fn ok() -> Self {
        Self { status: "ok".to_owned() }
    }
}

/// The secrets of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppSecretKeys {
    /// Their keys, in order.
    pub secrets: Vec<String>,
}

/// Secrets to be set.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct AppSecretValues {
    /// Values by key.
    pub secrets: BTreeMap<String, String>,
}

/// Secrets that were set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppSecretsSet {
    /// Their keys, in order.
    pub set: Vec<String>,
}

/// A secret of an app, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppSecret {
    /// The app.
    pub app: String,
    /// Its key.
    pub name: String,
    /// Its current version, from 1.
    pub version: u64,
    /// When it was first set.
    pub created_at: String,
    /// When it was last set.
    pub updated_at: String,
}

/// The server and its apps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusView {
    /// `skipper`.
    pub daemon: String,
    /// Its version.
    pub version: String,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Whether what routes requests answers: `ok` or `error`.
    pub caddy: String,
    /// Whether the apps' container engine is there: `ok` or `error`.
    pub runtime: String,
    /// The apps.
    pub apps: BTreeMap<String, AppStatus>,
}

/// One app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppStatus {
    /// `running` where a version serves, whatever became of a later deploy, and `degraded` where it should and does not; else `not_deployed`, `deploying` or `failed`.
    pub status: String,
    /// What serves.
    pub tag: Option<String>,
    /// Since when.
    pub deployed_at: Option<String>,
    /// The revision that serves.
    pub revision: Option<u64>,
    /// The port of this machine at which what serves is reached; null for a worker.
    pub port: Option<u16>,
    /// The newest deploy.
    pub last_deploy: Option<DeployView>,
    /// What is wrong with what runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Why the app cannot be deployed, where its file is broken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

/// All apps that are configured, in the words of their files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppList {
    /// The apps.
    #[schema(value_type = Vec<Object>)]
    pub apps: Vec<serde_json::Value>,
}
