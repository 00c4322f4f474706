//! What is known of a tenant's release: what was last wanted of it, what each place runs, and how its rollout went.

use skipper_core::{
    deployment::Live,
    name::{ReleaseName, TenantName},
    release::{Release, Revision, Source},
    rollout::{Plan, Progress, Rollout, StepRecord, Verb, waves::Records},
    spec::{Spec, Target},
};

use super::NodeState;
use crate::{
    app::App,
    error::{Code, Error},
    verb::{Prepared, apply::Terms, difference, find},
};

/// The release of a tenant, with what was last wanted of it and how it went.
pub(super) struct Known {
    pub(super) release: Release,
    pub(super) lives: Vec<Live>,
    pub(super) rollout: Option<Rollout>,
    pub(super) records: Records,
    /// Of the rollout.
    pub(super) target: Option<Revision>,
    /// Of what serves.
    pub(super) serving: Option<Revision>,
}

impl Known {
    pub(super) async fn of(app: &App, tenant: &TenantName) -> Result<Self, Error> {
        let name = ReleaseName::new(tenant.as_str()).map_err(|wrong| Error::new(Code::Invalid, wrong.to_string()))?;
        let release = find::release(app, tenant, &name).await?;
        let serving = match release.serving.filter(|_| !release.deleted) {
            Some(number) => app.store.revision_get(release.id, number).await?,
            None => None,
        };
        let Some(latest) = app.store.rollout_latest(release.id).await? else {
            let lives = app.store.live_for_release(release.id).await?;
            return Ok(Self { release, lives, rollout: None, records: Records::new(), target: None, serving });
        };
        let loaded = app.store.rollout_load(latest.id).await?;
        let records = loaded.steps.into_iter().map(|record: StepRecord| (record.index, record)).collect();
        Ok(Self { release, lives: loaded.live, rollout: Some(loaded.rollout), records, target: loaded.target, serving })
    }

    /// What was last wanted: of the newest rollout, or what serves where that one was never resolved.
    pub(super) fn wanted(&self) -> Option<&Revision> {
        let target = self.target.as_ref().filter(|target| target.spec.is_some());
        if self.rollout.as_ref().is_some_and(|rollout| rollout.to.is_none()) {
            None
        } else {
            target.or(self.serving.as_ref())
        }
    }

    pub(super) fn plan(&self) -> Option<&Plan> {
        self.rollout.as_ref()?.plan.as_ref()
    }

    fn is_open(&self) -> bool {
        self.rollout.as_ref().is_some_and(|rollout| !rollout.phase.is_final())
    }

    /// Whether everything that is wanted of a place runs there, and nothing else.
    fn runs(&self, revision: &Revision, place: &Target) -> bool {
        let Some(spec) = &revision.spec else { return false };
        let own = Spec::new(spec.applications.iter().filter(|app| app.target.place() == *place).cloned().collect());
        let lives: Vec<Live> =
            self.lives.iter().filter(|live| live.deployment.target().place() == *place).cloned().collect();
        difference::runs_everywhere(&own, &lives)
    }

    /// The revision that a place runs: the newest that is as it is there.
    pub(super) fn revision(&self, place: &Target) -> Option<u64> {
        let mut serving =
            self.lives.iter().filter(|live| live.weight > 0 && live.deployment.target().place() == *place);
        let launched = serving.next()?.deployment.revision;
        let candidates = [self.wanted(), self.serving.as_ref()].into_iter().flatten();
        let same = candidates.filter(|revision| self.runs(revision, place)).map(|revision| revision.number);
        Some(same.max().unwrap_or(launched))
    }

    pub(super) fn state(&self, place: &Target, progress: Option<Progress>) -> NodeState {
        let reached = self.wanted().is_none_or(|wanted| self.runs(wanted, place));
        match progress.filter(|_| self.is_open()) {
            Some(Progress::NotBegun) => NodeState::Waiting,
            Some(Progress::Updating) => NodeState::Updating,
            Some(Progress::Updated) => NodeState::Updated,
            Some(Progress::GoingBack) => NodeState::GoingBack,
            Some(Progress::WentBack) => NodeState::WentBack,
            None if reached => NodeState::Current,
            None if self.is_open() => NodeState::Waiting,
            None => match progress {
                Some(Progress::WentBack | Progress::GoingBack) => NodeState::WentBack,
                _ => NodeState::NotBegun,
            },
        }
    }

    /// What the log says of a place that is or was bad.
    pub(super) fn said(&self, place: &Target) -> Option<String> {
        let plan = self.plan()?;
        let of_place = |index: &u32| {
            let step = usize::try_from(*index).ok().and_then(|index| plan.steps.get(index));
            step.is_some_and(|step| step.target.place() == *place)
        };
        let broken = self.records.iter().filter(|(index, _)| of_place(index)).map(|(_, record)| &record.outcome);
        broken.filter_map(|outcome| outcome.data.get("message")?.as_str().map(str::to_owned)).next()
    }

    /// Refuses while a rollout is open.
    pub(super) fn at_rest(&self) -> Result<(), Error> {
        let Some(open) = self.rollout.as_ref().filter(|_| self.is_open()) else { return Ok(()) };
        Err(skipper_store::Error::Busy {
            release: self.release.name.clone(),
            rollout: open.id,
            phase: open.phase.name().to_owned(),
        }
        .into())
    }

    /// The revision's manifest and spec as a next revision, with the way to go there.
    pub(super) fn to(&self, revision: &Revision, terms: &Terms) -> Result<Prepared, Error> {
        let (Some(manifest), Some(mut spec)) = (revision.manifest.clone(), revision.spec.clone()) else {
            let (number, name) = (revision.number, &self.release.name);
            let what = format!("revision {number} of `{name}` was never resolved, so there is nothing to go to");
            return Err(Error::new(Code::Conflict, what).hint(format!("skipper deploy apply --tenant-id {name}")));
        };
        spec.waves = Some(Box::new(terms.over(spec.waves.map(|written| *written))?));
        Ok(Prepared {
            tenant: self.release.tenant.clone(),
            name: self.release.name.clone(),
            verb: if self.release.serving.is_some() { Verb::Rollback } else { Verb::Install },
            source: Some(Source::Revision { number: revision.number }),
            rendered: Some((manifest, spec)),
            kept: None,
            warnings: Vec::new(),
            expect_serving: self.release.serving,
            release: Some(self.release.clone()),
            purge: false,
        })
    }
}
