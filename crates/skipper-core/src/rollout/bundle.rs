use serde::{Deserialize, Serialize};

use super::Cause;
use crate::{deployment::Exit, health::Attempt, name::AppName, time::Timestamp};

/// Everything that tells why a rollout failed, kept with the rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureBundle {
    /// When it was put together: before anything was undone.
    pub at: Timestamp,
    /// What broke.
    pub cause: Cause,
    /// What each affected application left behind.
    pub applications: Vec<AppEvidence>,
}

/// What one application left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppEvidence {
    /// Which one.
    pub app: AppName,
    /// The last lines of its output, secrets redacted; bounded by the collector.
    pub logs: Vec<String>,
    /// The last probe attempts.
    pub probes: Vec<Attempt>,
    /// How instances ended, by index.
    pub exits: Vec<(u32, Exit)>,
}
