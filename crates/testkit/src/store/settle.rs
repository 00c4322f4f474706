use skipper_core::{
    id::RolloutId,
    release::RevisionState,
    rollout::{Phase, Transition},
    time::Timestamp,
};

use super::State;

impl State {
    /// What a final phase settles: revisions, the serving one, whoever waits, and a purge.
    pub(super) fn settle(&mut self, id: RolloutId, now: Timestamp) {
        let ended = {
            let rollout = self.rollout_mut(id);
            rollout.finished_at = Some(now);
            rollout.clone()
        };
        self.leases.remove(&id);
        let succeeded = ended.phase == Phase::Succeeded;
        let target = match ended.phase {
            Phase::Succeeded => RevisionState::Live,
            Phase::Failed { .. } => RevisionState::Failed,
            _ => RevisionState::Cancelled,
        };
        if succeeded {
            let before = if ended.to.is_some() { RevisionState::Superseded } else { RevisionState::Deleted };
            for ((release, _), revision) in &mut self.revisions {
                if *release == ended.release && revision.state == RevisionState::Live {
                    revision.state = before;
                }
            }
        }
        if let Some(revision) = ended.to.and_then(|number| self.revisions.get_mut(&(ended.release, number))) {
            revision.state = target;
        }
        let waiting = self.rollouts.iter_mut().find(|r| r.release == ended.release && r.phase == Phase::Waiting);
        if let Some(release) = self.releases.get_mut(&ended.release) {
            if succeeded {
                release.serving = ended.to;
                release.deleted = ended.to.is_none();
            }
            release.updated_at = now;
            if let Some(waiting) = waiting {
                waiting.phase = Phase::Waiting.apply(Transition::Admitted).expect("a waiting rollout can be admitted");
                waiting.from = release.serving;
            }
        }
        if succeeded && ended.purge {
            self.revisions.retain(|(release, _), _| *release != ended.release);
            self.steps.remove(&id);
            self.bundles.remove(&id);
        }
    }
}
