//! Carrying out the steps before the point of no return.

use serde_json::json;
use skipper_core::rollout::{Cause, StepState, Transition};

use super::{Run, record::Entry};
use crate::{
    failure::{Failure, Halt, StepError},
    step::{self, Way},
};

impl Run<'_> {
    pub(super) async fn advance(&mut self) -> Result<(), Halt> {
        for index in 0..self.plan.commit {
            match self.state(index) {
                Some(StepState::Done) => continue,
                // It broke before the crash; only its consequence is missing.
                Some(StepState::Failed) => {
                    let failure = self.logged_failure(index);
                    return self.broke(index, failure).await;
                }
                None | Some(StepState::Started | StepState::Undoing | StepState::Undone) => {}
            }
            if let Some(cause) = self.known_cancelled() {
                return self.cancel(cause).await;
            }
            let (shared, id) = (self.shared, self.rollout.id);
            let done = tokio::select! {
                biased;
                () = shared.cancelled(id) => {
                    let mut cause = self.cancel_cause();
                    cause.step = Some(index);
                    return self.cancel(cause).await;
                }
                done = Box::pin(self.carry_out(index)) => done,
            };
            match done {
                Ok(()) => {}
                Err(StepError::Halt(halt)) => return Err(halt),
                Err(StepError::Failed(failure)) => return self.fail(index, failure).await,
            }
        }
        // The last chance: past this point nothing can be taken back.
        if let Some(cause) = self.cancelled().await? {
            return self.cancel(cause).await;
        }
        // Written before anything is cleared away.
        self.turn(Transition::Committed, vec![self.event("rollout.committed", json!({}))])
    }

    /// One step: recorded as started, done, recorded as done.
    pub(super) async fn carry_out(&mut self, index: u32) -> Result<(), StepError> {
        let Some(step) = self.step(index) else { return Ok(()) };
        let resumed = self.records.contains_key(&index);
        let live = step::prepare(self, &step);
        self.jot(index, StepState::Started, Entry { live, ..Entry::default() });
        let (way, (shared, lease)) = (Way::Forward { resumed }, (self.shared, self.lease));
        let effect = if step::only_looks(self, &step) {
            self.jotted.clone().beside(shared, lease, Box::pin(step::act(self, index, &step, way))).await??
        } else {
            self.write_down().await?;
            step::act(self, index, &step, way).await?
        };
        let event = self.step_event("step.done", index, &step, json!({"message": effect.message}));
        let surface = effect.surface.clone();
        let (entry, published) = effect.into_entry(vec![event]);
        self.jot(index, StepState::Done, entry);
        if published.is_some() {
            self.write_down().await?;
        }
        self.reached(&step.app, surface);
        // Only now: whoever tells a router everything must not find the new weights beside the old ways in.
        drop(published);
        Ok(())
    }

    /// Records that a step broke, before anything else happens.
    async fn fail(&mut self, index: u32, failure: Failure) -> Result<(), Halt> {
        let Some(step) = self.step(index) else { return Err(Halt::Later) };
        let mut data = failure.to_json();
        data["probes"] = self.transcript.to_json();
        let mut entry = Entry::default();
        entry.outcome.message = Some(failure.message.clone());
        entry.outcome.data = data;
        let more = json!({"code": failure.code, "message": failure.message});
        entry.events = vec![self.step_event("step.failed", index, &step, more)];
        self.note(index, StepState::Failed, entry).await?;
        self.broke(index, failure).await
    }

    fn logged_failure(&self, index: u32) -> Failure {
        let outcome = self.records.get(&index).map(|record| &record.outcome);
        outcome
            .and_then(|outcome| Failure::from_json(&outcome.data))
            .unwrap_or_else(|| Failure::new("failed", "the step failed; why was not recorded"))
    }

    /// Keeps the evidence, before it is undone away, and turns back.
    async fn broke(&mut self, index: u32, failure: Failure) -> Result<(), Halt> {
        let exits = failure.exits.clone();
        let cause = failure.into_cause(Some(index), self.now());
        self.keep_bundle(&cause, exits).await?;
        self.turn_back(cause).await
    }

    async fn cancel(&mut self, cause: Cause) -> Result<(), Halt> {
        self.keep_bundle(&cause, Vec::new()).await?;
        self.turn_back(cause).await
    }

    async fn turn_back(&mut self, cause: Cause) -> Result<(), Halt> {
        let data = json!({"code": cause.code, "message": cause.message, "step": cause.step});
        let events = vec![self.event("rollout.undoing", data)];
        self.enter(Transition::Broke(cause), events).await?;
        // A step that was broken off may have left memory behind what is stored.
        Err(Halt::Reload)
    }
}
