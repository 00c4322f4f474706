//! Taking back what was started, last first.

use serde_json::json;
use skipper_core::rollout::{Cause, Step, StepState, Transition};
use tracing::warn;

use super::{Run, persist, record::Entry};
use crate::{
    failure::{Failure, Halt, StepError},
    step::{self, Way},
};

impl Run<'_> {
    pub(super) async fn undo(&mut self, cause: &Cause) -> Result<(), Halt> {
        let started: Vec<u32> = self.records.keys().copied().collect();
        for index in started.into_iter().rev() {
            if self.state(index) == Some(StepState::Undone) {
                continue;
            }
            let Some(step) = self.step(index) else { continue };
            Box::pin(self.take_back(index, &step)).await?;
        }
        let events = vec![self.ended_event(cause)];
        self.enter(Transition::Undone, events).await
    }

    async fn take_back(&mut self, index: u32, step: &Step) -> Result<(), Halt> {
        let undo = self.plan.undo(step);
        // What the step found or what broke stays in the log.
        let outcome = self.records.get(&index).map(|record| record.outcome.clone()).unwrap_or_default();
        if undo.is_empty() {
            let entry = Entry { outcome, ..Entry::default() };
            return self.note(index, StepState::Undone, entry).await;
        }
        let mut left: Option<Failure> = None;
        for action in &undo {
            let live = step::prepare(self, action);
            let entry = Entry { outcome: outcome.clone(), live, ..Entry::default() };
            self.note(index, StepState::Undoing, entry).await?;
            match step::act(self, index, action, Way::Back).await {
                Ok(effect) => {
                    let surface = effect.surface.clone();
                    let (mut entry, published) = effect.into_entry(Vec::new());
                    entry.outcome = outcome.clone();
                    self.note(index, StepState::Undoing, entry).await?;
                    drop(published);
                    self.reached(&step.app, surface);
                }
                Err(StepError::Halt(halt)) => return Err(halt),
                Err(StepError::Failed(failure)) => {
                    warn!(code = failure.code, "{} cannot be undone now: {failure}", step.action);
                    self.refresh().await?;
                    self.give_up(index, action, &outcome).await?;
                    left = Some(failure);
                    break;
                }
            }
        }
        let mut entry = Entry { outcome, ..Entry::default() };
        let (kind, more) = match left {
            None => ("step.undone", json!({})),
            Some(failure) => {
                let before = entry.outcome.message.take().map(|message| format!("{message}; ")).unwrap_or_default();
                entry.outcome.message = Some(format!("{before}not undone, left to supervision: {failure}"));
                ("step.undo-failed", json!({"code": failure.code, "message": failure.message}))
            }
        };
        entry.events = vec![self.step_event(kind, index, step, more)];
        self.note(index, StepState::Undone, entry).await
    }

    /// Stores what an undo that could not be carried out was to reach, so that supervision reaches it: the desired
    /// instances are written before every launch, so only weights are missing.
    async fn give_up(
        &mut self,
        index: u32,
        action: &Step,
        outcome: &skipper_core::rollout::StepOutcome,
    ) -> Result<(), Halt> {
        let Some((live, surface)) = step::intended(self, action) else { return Ok(()) };
        self.shared.ward.mark_dirty(self.release.id, &action.app);
        let entry = Entry { outcome: outcome.clone(), live, ..Entry::default() };
        self.note(index, StepState::Undoing, entry).await?;
        self.reached(&action.app, Some(surface));
        Ok(())
    }

    /// Reads again what is live and what is logged, after an action was broken off.
    pub(crate) async fn refresh(&mut self) -> Result<(), Halt> {
        let store = &self.shared.config.store;
        let loaded = persist("load the rollout", || store.load(self.lease.rollout)).await?;
        self.lives = loaded.live.into_iter().map(|live| (live.deployment.id.clone(), live)).collect();
        self.records = loaded.steps.into_iter().map(|record| (record.index, record)).collect();
        Ok(())
    }
}
