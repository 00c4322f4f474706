//! Past the point of no return: what no longer serves is cleared away. Nothing here fails the rollout; what cannot be
//! done now is left to supervision.

use serde_json::json;
use skipper_core::{
    deployment::{DeploymentId, Live},
    rollout::{Action, Progress, StepState, Transition},
    spec::Target,
};
use tracing::warn;

use super::{Run, record::Entry};
use crate::failure::{Failure, Halt, StepError};

impl Run<'_> {
    pub(super) async fn finish(&mut self) -> Result<(), Halt> {
        self.settle();
        for index in self.plan.commit..u32::try_from(self.plan.steps.len()).unwrap_or(u32::MAX) {
            if matches!(self.state(index), Some(StepState::Done | StepState::Failed)) {
                continue;
            }
            match Box::pin(self.carry_out(index)).await {
                Ok(()) => {}
                Err(StepError::Halt(halt)) => return Err(halt),
                Err(StepError::Failed(failure)) => self.leave(index, &failure).await?,
            }
        }
        self.enter(Transition::Finished, vec![self.reached_event()]).await
    }

    /// From here on every serving deployment is as the target wants it (routes, number, bounds), and what the target
    /// does not have serves no more.
    fn settle(&mut self) {
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
        let gone = self.replaced(|_| true);
        changed.retain(|live| !gone.contains(&live.deployment.id));
        self.jot_live(changed, gone);
    }

    /// Where a rollout ends in the middle of its waves, what was reached stays: each deployment there is as the target wants it.
    pub(super) fn keep_what_is_well(&mut self) {
        let progress = self.plan.progress(&self.records);
        let gone = self.replaced(|target| progress.get(&target.place()) == Some(&Progress::Updated));
        self.jot_live(Vec::new(), gone);
    }

    /// A platform that converges has turned the previous deployment into the new one.
    fn replaced(&self, at: impl Fn(&Target) -> bool) -> Vec<DeploymentId> {
        let replaced = self.plan.steps.iter().filter(|step| at(&step.target)).filter_map(|step| match &step.action {
            Action::Apply { deployment, previous: Some(previous) } if deployment != previous => Some(previous.clone()),
            _ => None,
        });
        replaced.filter(|id| self.lives.contains_key(id)).collect()
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
