//! The durable job that takes a release from one revision to the next: its phases, its plan, and how plans are made.
//!
//! The machine is drawn in `docs/rollout.md`; a test holds the drawing against the code.

mod abandon;
mod bundle;
mod log;
mod phase;
pub mod plan;
#[cfg(test)]
mod plan_json;
pub mod planner;
mod undo;
pub mod waves;

pub use abandon::{ABANDONED, abandoned, settle_abandoned};
pub use bundle::{AppEvidence, FailureBundle};
pub use log::{StepOutcome, StepRecord, StepState};
pub use phase::{Cause, IllegalTransition, Phase, Transition};
pub use plan::{Action, HookPoint, Instances, Plan, Step, Weight};
pub use planner::{PlanError, PlanInput, plan};
pub use waves::{Next, Progress, Wave, Waves};

use serde::{Deserialize, Serialize};

use crate::{
    actor::Provenance,
    id::{ReleaseId, RolloutId},
    secret::SecretVersions,
    time::Timestamp,
};

/// What a rollout was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// The first revision, or the first after a delete.
    Install,
    /// A new revision of something that serves.
    Upgrade,
    /// An earlier revision's manifest and spec as a new revision.
    Rollback,
    /// Other instance counts.
    Scale,
    /// Nothing is to run any more.
    Delete,
}

impl Verb {
    const ALL: [Self; 5] = [Self::Install, Self::Upgrade, Self::Rollback, Self::Scale, Self::Delete];

    /// The word in the store and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Upgrade => "upgrade",
            Self::Rollback => "rollback",
            Self::Scale => "scale",
            Self::Delete => "delete",
        }
    }

    /// The verb of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == word)
    }
}

/// A rollout as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// Its id.
    pub id: RolloutId,
    /// Of which release.
    pub release: ReleaseId,
    /// What was asked.
    pub verb: Verb,
    /// The revision that served when it was accepted.
    pub from: Option<u64>,
    /// The revision to reach; `None` for a delete.
    pub to: Option<u64>,
    /// Where it stands.
    pub phase: Phase,
    /// The steps; `None` until resolved.
    pub plan: Option<Plan>,
    /// The plan's hash that the caller demanded.
    pub required_plan: Option<crate::Sha256>,
    /// A delete that removes revisions, manifests, bundles and logs as well.
    pub purge: bool,
    /// Somebody asked to cancel it.
    pub cancel_requested: bool,
    /// The versions of the secrets it took; empty until resolved.
    pub secrets: SecretVersions,
    /// Who and through what.
    pub provenance: Provenance,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When work on it began.
    pub started_at: Option<Timestamp>,
    /// When it reached a final phase.
    pub finished_at: Option<Timestamp>,
}
