use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// 1, 2, 3, … in the order of commits; the id of the event in the stream.
    pub seq: u64,
    /// When.
    pub at: String,
    /// What happened: `release.installed`, `rollout.failed`, `step.done`.
    pub kind: String,
    /// Whose resource it happened to; absent for the installation's own.
    #[serde(default)]
    pub tenant: Option<String>,
    /// The release, where it is about one.
    #[serde(default)]
    pub release: Option<String>,
    /// The revision, where it is about one.
    #[serde(default)]
    pub revision: Option<u64>,
    /// The rollout, where it is part of one.
    #[serde(default)]
    pub rollout: Option<String>,
    /// Who.
    pub actor: String,
    /// Through which door.
    pub trigger: String,
    /// The request that asked.
    pub request_id: String,
    /// What the caller calls the larger job.
    pub correlation_id: String,
    /// Further facts.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub data: Value,
    /// Hash of the event before.
    pub previous: String,
    /// Hash over all of the above.
    pub hash: String,
}

/// A page of events, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    /// The events.
    pub items: Vec<EventView>,
    /// Give it as `after` to get what comes later; present whenever there are items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Whether the chain of events is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerifyView {
    /// Whether every event follows the one before and is unchanged.
    pub intact: bool,
    /// How many were looked at.
    pub events: u64,
    /// Sequence of the first event that does not fit.
    #[serde(default)]
    pub broken_at: Option<u64>,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Hash of the newest event: keep it elsewhere to notice a chain that was cut short.
    pub head: String,
}
