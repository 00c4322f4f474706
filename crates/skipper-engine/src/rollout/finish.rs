//! Past the point of no return: what no longer serves is cleared away. Nothing here fails the rollout; what cannot be
//! done now is left to supervision.

use serde_json::json;
use skipper_core::{
    deployment::Live,
    rollout::{Action, Progress, StepState, Transition},
    spec::Target,
};
use tracing::warn;

use super::{Run, persist, record::Entry};
use crate::{
    failure::{Failure, Halt, StepError},
    step::{self, Way},
};

impl Run<'_> {
    pub(super) async fn finish(&mut self) -> Result<(), Halt> {
        self.settle().await?;
        for index in self.plan.commit..u32::try_from(self.plan.steps.len()).unwrap_or(u32::MAX) {
            if matches!(self.state(index), Some(StepState::Done | StepState::Failed)) {
                continue;
            }
            match Box::pin(self.clear_away(index)).await {
                Ok(()) => {}
                Err(StepError::Halt(halt)) => return Err(halt),
                Err(StepError::Failed(failure)) => self.leave(index, &failure).await?,
            }
        }
        self.enter(Transition::Finished, vec![self.reached_event()]).await
    }

    /// From here on every serving deployment is as the target wants it (routes, number, bounds), and what the target
    /// does not have serves no more.
    async fn settle(&mut self) -> Result<(), Halt> {
        let spec = self.target.as_ref().and_then(|target| target.spec.clone());
        let mut changed: Vec<Live> = Vec::new();
        for live in self.lives.values().filter(|live| live.weight > 0) {
            let mut settled = live.clone();
            match spec.as_ref().and_then(|spec| spec.application(&live.deployment.app.name)) {
                Some(app) => settled.deployment.app = app.clone(),
                None => settled.weight = 0,
            }
            if settled != *live {
                settled.generation = self.lease.generation;
                changed.push(settled);
            }
        }
        let store = &self.shared.config.store;
        for live in changed {
            persist("settle what serves", || store.live_update(&live, self.lease.generation, Vec::new())).await?;
            self.lives.insert(live.deployment.id.clone(), live);
        }
        self.forget_replaced(|_| true).await
    }

    /// Where a rollout ends in the middle of its waves, what was reached stays: each deployment there is as the target wants it.
    pub(super) async fn keep_what_is_well(&mut self) -> Result<(), Halt> {
        let progress = self.plan.progress(&self.records);
        let updated = |target: &Target| progress.get(&target.place()) == Some(&Progress::Updated);
        self.forget_replaced(updated).await
    }

    /// A platform that converges has turned the previous deployment into the new one.
    async fn forget_replaced(&mut self, at: impl Fn(&Target) -> bool) -> Result<(), Halt> {
        let replaced = self.plan.steps.iter().filter(|step| at(&step.target)).filter_map(|step| match &step.action {
            Action::Apply { deployment, previous: Some(previous) } if deployment != previous => Some(previous.clone()),
            _ => None,
        });
        let store = &self.shared.config.store;
        for id in replaced.collect::<Vec<_>>() {
            if self.lives.contains_key(&id) {
                persist("forget what was replaced", || store.live_remove(&id, self.lease.generation, Vec::new()))
                    .await?;
                self.lives.remove(&id);
            }
        }
        Ok(())
    }

    async fn clear_away(&mut self, index: u32) -> Result<(), StepError> {
        let Some(step) = self.step(index) else { return Ok(()) };
        let resumed = self.records.contains_key(&index);
        self.note(index, StepState::Started, Entry::default()).await?;
        let effect = step::act(self, index, &step, Way::Forward { resumed }).await?;
        let event = self.step_event("step.done", index, &step, json!({"message": effect.message}));
        let surface = effect.surface.clone();
        let (entry, published) = effect.into_entry(vec![event]);
        self.note(index, StepState::Done, entry).await?;
        self.reached(&step.app, surface);
        // Only now: whoever tells a router everything must not find the new weights beside the old ways in.
        drop(published);
        Ok(())
    }

    /// What could not be cleared away keeps weight 0, by which supervision finds it.
    async fn leave(&mut self, index: u32, failure: &Failure) -> Result<(), Halt> {
        let Some(step) = self.step(index) else { return Ok(()) };
        warn!(code = failure.code, "{} is left to supervision: {failure}", step.action);
        // Whatever the router was not told.
        self.shared.ward.mark_dirty(self.release.id, &step.app);
        let mut entry = Entry::default();
        entry.outcome.message = Some(format!("left to supervision: {failure}"));
        entry.outcome.data = failure.to_json();
        let more = json!({"code": failure.code, "message": failure.message});
        entry.events = vec![self.step_event("step.left-over", index, &step, more)];
        self.note(index, StepState::Failed, entry).await
    }
}
