use std::collections::BTreeSet;

use skipper_core::{
    deployment::Live,
    id::RolloutId,
    port::{Abandoned, Lease},
    release::RevisionState,
    rollout::{Phase, Transition, abandoned, settle_abandoned},
    time::Timestamp,
};

use super::State;

impl State {
    /// Ends a rollout that cannot be read.
    pub(super) fn abandon(&mut self, lease: &Lease, why: &str, now: Timestamp) -> Abandoned {
        let rollout = self.rollout_mut(lease.rollout);
        rollout.phase = abandoned(rollout.phase.name(), why, now);
        rollout.plan = None;
        let ended = rollout.clone();
        let succeeded = ended.phase == Phase::Succeeded;
        let serving = self.releases.get(&ended.release).and_then(|release| release.serving);
        let apps_of = |number: Option<u64>| match number {
            None => Some(BTreeSet::new()),
            Some(number) => {
                let spec = self.revisions.get(&(ended.release, number)).and_then(|revision| revision.spec.as_ref());
                spec.map(|spec| spec.applications.iter().map(|app| app.name.clone()).collect::<BTreeSet<_>>())
            }
        };
        let (before, wanted) = (apps_of(serving), apps_of(ended.to));
        let serve = if succeeded { &wanted } else { &before };
        let mut lives = self.of_release(ended.release);
        settle_abandoned(&mut lives, ended.verb, ended.to, succeeded, serve.as_ref());
        let running = lives.iter().map(|live| live.deployment.app.name.clone());
        let apps = running.chain(before.into_iter().flatten()).chain(wanted.into_iter().flatten()).collect();
        for live in lives {
            self.live.insert(live.deployment.id.clone(), Live { generation: lease.generation, ..live });
        }
        self.unreadable.remove(&lease.rollout);
        self.settle(lease.rollout, now);
        Abandoned { release: ended.release, apps }
    }

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
                let (id, deleted) = (release.id, release.deleted);
                self.modes.retain(|service, _| !deleted || service.release != id);
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
