//! What the log holds of each step.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Which way a step was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// Its effect may have begun.
    Started,
    /// It is done.
    Done,
    /// It failed.
    Failed,
    /// Its undoing may have begun.
    Undoing,
    /// It was taken back.
    Undone,
}

impl StepState {
    const ALL: [Self; 5] = [Self::Started, Self::Done, Self::Failed, Self::Undoing, Self::Undone];

    /// The word in the store and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
        }
    }

    /// The state of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What the log holds of one step: its latest state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRecord {
    /// Index in the plan.
    pub index: u32,
    /// Latest state.
    pub state: StepState,
    /// When it was first started.
    pub started_at: Timestamp,
    /// When it reached its latest state.
    pub updated_at: Timestamp,
    /// What was found or what broke, for people and for a later undo.
    pub outcome: StepOutcome,
}

/// What a step leaves in the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepOutcome {
    /// A sentence, where there is something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Facts: addresses, digests, counts.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub data: serde_json::Value,
}
