use skipper_core::{
    Sha256,
    id::{ReleaseId, RolloutId},
    name::ReleaseName,
    port::Ids as _,
    release::{Door, Release, Revision, RevisionState, Source},
    rollout::{Cause, Phase, Rollout, Transition, Verb},
    secret::SecretVersions,
    spec::Spec,
};

use super::MemoryStore;
use crate::fixture;

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct Intent {
    /// What is to be done.
    pub verb: Verb,
    /// The rendered spec of the revision to come; `None` for a delete, and where `source` is to be resolved.
    pub spec: Option<Spec>,
    /// What the revision is made of; a package that is rendered already where `None`.
    pub source: Option<Source>,
    /// The hash that the plan must have.
    pub required_plan: Option<Sha256>,
    /// A delete that forgets everything.
    pub purge: bool,
}

impl Intent {
    /// A verb with the spec to reach.
    #[must_use]
    pub const fn new(verb: Verb, spec: Spec) -> Self {
        Self { verb, spec: Some(spec), source: None, required_plan: None, purge: false }
    }

    /// A delete.
    #[must_use]
    pub const fn delete() -> Self {
        Self { verb: Verb::Delete, spec: None, source: None, required_plan: None, purge: false }
    }
}

/// One rollout is open and one waits already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The open one.
    pub open: RolloutId,
}

impl MemoryStore {
    /// Stores an intent: a revision and a rollout, as a verb of the server would. A second one for a release waits.
    ///
    /// # Errors
    ///
    /// [`Refused`] for a third one.
    pub fn accept(&self, name: &ReleaseName, intent: Intent) -> Result<(ReleaseId, RolloutId), Refused> {
        let now = self.now();
        let (new_release, id) = (ReleaseId::from_uuid(self.ids.next()), RolloutId::from_uuid(self.ids.next()));
        let mut state = self.lock();
        let known = state.releases.values().find(|release| release.name == *name).map(|release| release.id);
        let release = known.unwrap_or(new_release);
        let phase = match state.open_of(release).map(|open| open.id) {
            None => Phase::Accepted,
            Some(open) => {
                let waits = state.rollouts.iter().any(|r| r.release == release && r.phase == Phase::Waiting);
                if waits {
                    return Err(Refused { open });
                }
                Phase::Waiting
            }
        };
        let entry = state.releases.entry(release).or_insert_with(|| Release {
            id: release,
            tenant: fixture::tenant(),
            name: name.clone(),
            door: Door::Releases,
            serving: None,
            last_revision: 0,
            deleted: false,
            created_at: now,
            updated_at: now,
            row_version: 0,
        });
        let from = entry.serving;
        let to = (intent.verb != Verb::Delete).then(|| {
            entry.last_revision += 1;
            entry.last_revision
        });
        if let Some(number) = to {
            let rendered = || Source::Package {
                repository: "local".into(),
                name: name.to_string(),
                version: number.to_string(),
                sha256: Sha256::of(b""),
                values: serde_json::Value::Null,
                platform: None,
                raw: None,
            };
            let revision = Revision {
                release,
                number,
                state: RevisionState::Pending,
                source: intent.source.unwrap_or_else(rendered),
                manifest: intent.spec.as_ref().map(|_| format!("# revision {number}\n")),
                spec: intent.spec,
                provenance: fixture::provenance(),
                description: None,
                created_at: now,
            };
            state.revisions.insert((release, number), revision);
        }
        state.rollouts.push(Rollout {
            id,
            release,
            verb: intent.verb,
            from,
            to,
            phase,
            plan: None,
            required_plan: intent.required_plan,
            purge: intent.purge,
            cancel_requested: false,
            secrets: SecretVersions::default(),
            provenance: fixture::provenance(),
            created_at: now,
            started_at: None,
            finished_at: None,
        });
        Ok((release, id))
    }

    /// Asks to cancel a rollout; one that waits is ended at once.
    pub fn cancel(&self, id: RolloutId) {
        let at = self.now();
        let mut state = self.lock();
        let rollout = state.rollout_mut(id);
        rollout.cancel_requested = true;
        if rollout.phase == Phase::Waiting {
            let code = Cause::CANCELLED.to_owned();
            let cause = Cause { code, message: "cancelled while it waited".into(), hint: None, step: None, at };
            rollout.phase = Phase::Waiting.apply(Transition::Broke(cause)).expect("a waiting rollout can end");
        }
    }
}
