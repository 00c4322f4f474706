use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The answer to a verb that starts a rollout (202): durable from now on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    /// The release's name.
    pub release: String,
    /// Its tenant.
    pub tenant: String,
    /// The revision that the rollout is to reach; absent for a delete.
    pub revision: Option<u64>,
    /// The rollout.
    pub rollout: RolloutSummary,
    /// What is odd in what was asked for, or will not be done as it was asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A rollout in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RolloutSummary {
    /// Its id.
    pub id: String,
    /// `install`, `upgrade`, `rollback`, `scale` or `delete`.
    pub verb: String,
    /// `waiting`, `accepted`, `resolving`, `advancing`, `undoing`, `finishing`, `succeeded`, `failed`, `cancelled` or
    /// `superseded`.
    pub phase: String,
    /// Whether nothing can move it any more.
    pub finished: bool,
    /// The revision that served when it was accepted.
    #[serde(default)]
    pub from: Option<u64>,
    /// The revision to reach; absent for a delete.
    #[serde(default)]
    pub to: Option<u64>,
    /// What broke, if anything did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<CauseView>,
    /// When it was accepted.
    pub created_at: String,
    /// When it reached a final phase.
    #[serde(default)]
    pub finished_at: Option<String>,
}

/// Why a rollout did not reach its revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CauseView {
    /// A stable word: `unhealthy`, `exited`, `start-timeout`, `fetch-failed`, `cancelled`, …
    pub code: String,
    /// A sentence.
    pub message: String,
    /// What to do, where something is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Index of the step that broke.
    #[serde(default)]
    pub step: Option<u32>,
    /// When.
    pub at: String,
}

/// A rollout with its steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutView {
    /// Its id.
    pub id: String,
    /// The release's name.
    pub release: String,
    /// Its tenant.
    pub tenant: String,
    /// `install`, `upgrade`, `rollback`, `scale` or `delete`.
    pub verb: String,
    /// See [`RolloutSummary::phase`].
    pub phase: String,
    /// Whether nothing can move it any more.
    pub finished: bool,
    /// Whether somebody asked to cancel it.
    pub cancel_requested: bool,
    /// The revision that served when it was accepted.
    #[serde(default)]
    pub from: Option<u64>,
    /// The revision to reach; absent for a delete.
    #[serde(default)]
    pub to: Option<u64>,
    /// Who asked: `local`, `token:ci`.
    pub actor: String,
    /// Through which door: `cli`, `api`.
    pub trigger: String,
    /// The request that asked.
    pub request_id: String,
    /// What the caller calls the larger job.
    pub correlation_id: String,
    /// What `--require-plan` compares; absent until resolved.
    #[serde(default)]
    pub plan_hash: Option<String>,
    /// Steps from this index on clear away and never fail the rollout.
    #[serde(default)]
    pub commit: Option<u32>,
    /// The steps, in order; empty until resolved.
    pub steps: Vec<StepView>,
    /// What was decided against the letter of the source.
    pub notices: Vec<String>,
    /// Versions of the secrets it took.
    pub secrets: BTreeMap<String, u64>,
    /// What broke, if anything did.
    #[serde(default)]
    pub cause: Option<CauseView>,
    /// Everything that tells why it failed.
    #[serde(default)]
    pub bundle: Option<BundleView>,
    /// When it was accepted.
    pub created_at: String,
    /// When work on it began.
    #[serde(default)]
    pub started_at: Option<String>,
    /// When it reached a final phase.
    #[serde(default)]
    pub finished_at: Option<String>,
    /// From accepted to finished, or to now.
    pub duration_ms: u64,
}

/// One step of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepView {
    /// Its place in the plan.
    pub index: u32,
    /// The application it is about.
    pub app: String,
    /// The platform account it happens on.
    pub platform: String,
    /// `fetch`, `run-hook`, `launch`, `await-healthy`, `hold`, `shift`, `verify`, `bake`, `drain`, `retire`, `unroute`
    /// or `apply`.
    pub action: String,
    /// What it does, as a sentence.
    pub text: String,
    /// `pending`, `started`, `done`, `failed`, `undoing` or `undone`.
    pub state: String,
    /// Whether it only clears away what no longer serves.
    pub after_commit: bool,
    /// Longest it may take.
    pub bound_ms: u64,
    /// What was found or what broke.
    #[serde(default)]
    pub message: Option<String>,
    /// When it was started.
    #[serde(default)]
    pub started_at: Option<String>,
    /// When it reached its state, unless it is under way.
    #[serde(default)]
    pub finished_at: Option<String>,
    /// How long it took, or has taken so far.
    #[serde(default)]
    pub duration_ms: Option<u64>,
}

/// What is kept of a failed rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BundleView {
    /// When it was put together: before anything was undone.
    pub at: String,
    /// What broke.
    pub cause: CauseView,
    /// What each affected application left behind.
    pub applications: Vec<AppEvidenceView>,
}

/// What one application left behind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AppEvidenceView {
    /// Which one.
    pub app: String,
    /// The last lines of its output, secrets redacted.
    pub logs: Vec<String>,
    /// The last probe attempts.
    pub probes: Vec<ProbeView>,
    /// How instances ended.
    pub exits: Vec<ExitView>,
}

/// One probe attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProbeView {
    /// When it was made.
    pub at: String,
    /// Which instance was asked.
    pub instance: u32,
    /// Whether the answer was the expected one.
    pub ok: bool,
    /// What was answered.
    pub detail: String,
}

/// How an instance ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExitView {
    /// Which instance.
    pub instance: u32,
    /// Exit status, when it ended by itself.
    #[serde(default)]
    pub code: Option<i32>,
    /// Signal number, when it was killed.
    #[serde(default)]
    pub signal: Option<i32>,
    /// Killed for want of memory.
    pub out_of_memory: bool,
    /// The same as a sentence.
    pub text: String,
    /// When.
    pub at: String,
}
