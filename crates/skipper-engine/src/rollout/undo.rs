//! Taking back what was started, last first.

use serde_json::json;
use skipper_core::{
    name::AppName,
    rollout::{Action, Cause, Step, StepOutcome, StepState, Transition, Weight},
    route::ServiceId,
};
use tracing::warn;

use super::{Run, persist, record::Entry};
use crate::{
    failure::{Failure, Halt, StepError},
    step::{self, Way},
};

/// Where the log keeps why the undo of a step was left to supervision.
const LEFT: &str = "undo_left";

impl Run<'_> {
    pub(super) async fn undo(&mut self, cause: &Cause) -> Result<(), Halt> {
        let kept = self.plan.keeps_what_is_well() && cause.code != Cause::CANCELLED;
        if kept {
            // The bad ones have gone back already.
            self.keep_what_is_well();
        }
        let started: Vec<u32> = if kept { Vec::new() } else { self.records.keys().copied().collect() };
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

    pub(super) async fn take_back(&mut self, index: u32, step: &Step) -> Result<(), Halt> {
        let undo = self.plan.undo(step);
        // What the step found or what broke stays in the log.
        let outcome = self.records.get(&index).map(|record| record.outcome.clone()).unwrap_or_default();
        if undo.is_empty() {
            let entry = Entry { outcome, ..Entry::default() };
            return self.note(index, StepState::Undone, entry).await;
        }
        let left = match self.obstacle(step) {
            None => self.act_back(index, step, &undo, &outcome).await?,
            Some(obstacle) => {
                for action in &undo {
                    self.give_up(index, action, &outcome, false).await?;
                }
                Some(obstacle)
            }
        };
        let mut entry = Entry { outcome, ..Entry::default() };
        let (kind, more) = match left {
            None => ("step.undone", json!({})),
            Some(failure) => {
                let before = entry.outcome.message.take().map(|message| format!("{message}; ")).unwrap_or_default();
                entry.outcome.message = Some(format!("{before}not undone, left to supervision: {failure}"));
                if !entry.outcome.data.is_object() {
                    entry.outcome.data = json!({});
                }
                entry.outcome.data[LEFT] = failure.code.clone().into();
                ("step.undo-failed", json!({"code": failure.code, "message": failure.message}))
            }
        };
        entry.events = vec![self.step_event(kind, index, step, more)];
        self.note(index, StepState::Undone, entry).await
    }

    /// Carries the undo of a step out; what could not be done is left to supervision.
    async fn act_back(
        &mut self,
        index: u32,
        step: &Step,
        undo: &[Step],
        outcome: &StepOutcome,
    ) -> Result<Option<Failure>, Halt> {
        for action in undo {
            let live = step::prepare(self, action);
            let entry = Entry { outcome: outcome.clone(), live, ..Entry::default() };
            self.note(index, StepState::Undoing, entry).await?;
            match step::act(self, index, action, Way::Back).await {
                Ok(effect) => {
                    let surface = effect.surface.clone();
                    let (mut entry, published) = effect.into_entry(Vec::new());
                    entry.outcome = outcome.clone();
                    self.note(index, StepState::Undoing, entry).await?;
                    self.reached(&step.app, surface);
                    drop(published);
                }
                Err(StepError::Halt(halt)) => return Err(halt),
                Err(StepError::Failed(failure)) => {
                    warn!(code = failure.code, "{} cannot be undone now: {failure}", step.action);
                    self.refresh().await?;
                    self.give_up(index, action, outcome, true).await?;
                    return Ok(Some(failure));
                }
            }
        }
        Ok(None)
    }

    /// Why a step must not be taken back now, although nothing has failed yet.
    fn obstacle(&self, step: &Step) -> Option<Failure> {
        let recreated = self.is_recreated(&step.app);
        let service = ServiceId { release: self.release.id, app: step.app.clone() };
        match &step.action {
            // Requests may still go there, because the router was not told otherwise. One that was recreated goes all the
            // same: two of it never run at once.
            Action::Launch { .. } | Action::Begin { .. } | Action::Apply { .. }
                if !recreated && self.shared.ward.is_dirty(&service) =>
            {
                Some(Failure::new("edge-not-told", "the router has not been told yet, so it is kept running"))
            }
            Action::Retire { .. } | Action::Drain { .. } if recreated && self.is_left(&step.app) => {
                Some(Failure::new("still-running", "the new one could not be stopped, and the two never run at once"))
            }
            // Supervision opens it with the first one that comes up; until then waiting is better than an error.
            Action::Hold { from, .. } if !from.is_empty() && from.iter().all(|weight| self.is_down(weight)) => {
                Some(Failure::new("nobody-there", "nobody is there yet to answer what is held"))
            }
            _ => None,
        }
    }

    /// Whether the plan stops the old one before it launches the new one.
    fn is_recreated(&self, app: &AppName) -> bool {
        let at = |wanted: fn(&Action) -> bool| self.plan.steps.iter().position(|s| s.app == *app && wanted(&s.action));
        let (retired, launched) = (
            at(|action| matches!(action, Action::Retire { .. })),
            at(|action| matches!(action, Action::Launch { .. })),
        );
        retired.zip(launched).is_some_and(|(retired, launched)| retired < launched)
    }

    /// Whether what was launched for the application could not be stopped again.
    fn is_left(&self, app: &AppName) -> bool {
        self.records.values().any(|record| {
            let launch = self.step(record.index);
            let launch = launch.is_some_and(|s| s.app == *app && matches!(s.action, Action::Launch { .. }));
            launch && record.state == StepState::Undone && record.outcome.data.get(LEFT).is_some()
        })
    }

    /// Whether a deployment should run and does not.
    fn is_down(&self, weight: &Weight) -> bool {
        let live = self.lives.get(&weight.deployment);
        live.is_none_or(|live| !live.instances.is_empty() && live.addresses.is_empty())
    }

    /// Stores what an undo that could not be carried out was to reach, so that supervision reaches it; `tell` the router
    /// too.
    async fn give_up(&mut self, index: u32, action: &Step, outcome: &StepOutcome, tell: bool) -> Result<(), Halt> {
        let (mut live, mut surface) = (step::prepare(self, action), None);
        if let Some((weighted, reached)) = step::intended(self, action) {
            live = weighted;
            if tell {
                self.shared.ward.mark_dirty(self.release.id, &action.app);
                surface = Some(reached);
            }
        }
        let entry = Entry { outcome: outcome.clone(), live, ..Entry::default() };
        self.note(index, StepState::Undoing, entry).await?;
        self.reached(&action.app, surface);
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
