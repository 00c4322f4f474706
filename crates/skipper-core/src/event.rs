//! The immutable record of what happened: ordered, hash-chained, never purged.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    actor::Provenance,
    digest::Sha256,
    name::{ReleaseName, TenantName},
    time::Timestamp,
};

/// An event that is about to be stored. Sequence, previous hash and hash are given under the lock of the chain's head,
/// in the transaction of the change it tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// What happened: dotted, past tense, as `release.installed`, `rollout.failed`, `step.done`.
    pub kind: String,
    /// Whose resource it happened to; `None` for the installation's own.
    pub tenant: Option<TenantName>,
    /// The release, where it is about one.
    pub release: Option<ReleaseName>,
    /// The revision, where it is about one.
    pub revision: Option<u64>,
    /// The rollout, where it is part of one.
    pub rollout: Option<crate::id::RolloutId>,
    /// Who and through what.
    pub provenance: Provenance,
    /// Further facts; no secret is ever in here.
    pub data: Value,
}

/// A stored event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// 1, 2, 3, … without gaps, in the order of commits.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// See [`NewEvent::kind`].
    pub kind: String,
    /// See [`NewEvent::tenant`].
    pub tenant: Option<TenantName>,
    /// See [`NewEvent::release`].
    pub release: Option<ReleaseName>,
    /// See [`NewEvent::revision`].
    pub revision: Option<u64>,
    /// See [`NewEvent::rollout`].
    pub rollout: Option<crate::id::RolloutId>,
    /// See [`NewEvent::provenance`].
    pub provenance: Provenance,
    /// See [`NewEvent::data`].
    pub data: Value,
    /// Hash of the event before; all zeros for the first.
    pub previous: Sha256,
    /// Hash over all of the above.
    pub hash: Sha256,
}

impl Event {
    /// Links a new event to the chain.
    #[must_use]
    pub fn link(new: NewEvent, seq: u64, at: Timestamp, previous: Sha256) -> Self {
        let mut event = Self {
            seq,
            at,
            kind: new.kind,
            tenant: new.tenant,
            release: new.release,
            revision: new.revision,
            rollout: new.rollout,
            provenance: new.provenance,
            data: new.data,
            previous,
            hash: Self::genesis(),
        };
        event.hash = event.compute_hash();
        event
    }

    /// What the first event has as `previous`.
    #[must_use]
    pub const fn genesis() -> Sha256 {
        Sha256::from_bytes([0; 32])
    }

    /// The hash that the event ought to have.
    #[must_use]
    pub fn compute_hash(&self) -> Sha256 {
        let mut json = serde_json::to_value(self).expect("an event is always representable as JSON");
        if let Some(map) = json.as_object_mut() {
            map.remove("hash");
        }
        Sha256::of_json(&json)
    }

    /// Whether the event follows `before` and is unchanged.
    #[must_use]
    pub fn follows(&self, before: Option<&Self>) -> bool {
        let (seq, previous) = before.map_or((1, Self::genesis()), |b| (b.seq + 1, b.hash));
        self.seq == seq && self.previous == previous && self.hash == self.compute_hash()
    }
}
