//! Carrying out the steps before the point of no return.

use serde_json::json;
use skipper_core::rollout::{Cause, Next, Progress, StepRecord, StepState, Transition};

use super::{Run, record::Entry};
use crate::{
    failure::{Failure, Halt, StepError},
    step::{self, Way},
};

impl Run<'_> {
    pub(super) async fn advance(&mut self) -> Result<(), Halt> {
        if self.plan.waves.is_some() {
            return Box::pin(self.advance_in_waves()).await;
        }
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
            match self.carry_out_unless_cancelled(index).await? {
                Ok(()) => {}
                Err(failure) => return self.fail(index, failure).await,
            }
        }
        self.commit().await
    }

    /// The same from wave to wave: what breaks turns its own place back, and the plan says what that means to the others.
    async fn advance_in_waves(&mut self) -> Result<(), Halt> {
        while let Some(next) = self.plan.next_in_waves(&self.records) {
            match next {
                Next::Step(index) => {
                    if let Err(failure) = self.carry_out_unless_cancelled(index).await? {
                        return self.fail_in_wave(index, failure).await;
                    }
                }
                Next::TakeBack(index) => {
                    let Some(step) = self.step(index) else { return Err(Halt::Later) };
                    Box::pin(self.take_back(index, &step)).await?;
                }
                Next::Broken(index) => {
                    let mut cause = self.logged_failure(index).into_cause(Some(index), self.now());
                    if self.plan.keeps_what_is_well() {
                        cause.message = format!("{}; {}", cause.message, self.standing());
                        cause.hint = Some(self.way_on());
                    }
                    return self.turn_back(cause).await;
                }
                Next::Commit => break,
            }
        }
        self.commit().await
    }

    /// How many places run the new revision, and which do not, as a sentence.
    fn standing(&self) -> String {
        let progress = self.plan.progress(&self.records);
        let waves = self.plan.waves.iter().flat_map(|waves| &waves.waves);
        let places: Vec<_> = waves.flat_map(|wave| &wave.places).collect();
        let of = |wanted: fn(Progress) -> bool| {
            let names = places.iter().filter(|place| progress.get(**place).copied().is_some_and(wanted));
            names.map(|place| place.place_name()).collect::<Vec<_>>()
        };
        let (updated, back) =
            (of(|p| p == Progress::Updated), of(|p| matches!(p, Progress::WentBack | Progress::GoingBack)));
        let untouched = of(|p| p == Progress::NotBegun);
        let revision = self.rollout.to.unwrap_or_default();
        let mut said = format!("{} of {} run revision {revision}", updated.len(), places.len());
        for (what, names) in [("went back", back), ("not begun", untouched)] {
            if !names.is_empty() {
                said = format!("{said}; {what}: {}", listed(&names));
            }
        }
        said
    }

    fn way_on(&self) -> String {
        let name = &self.release.name;
        format!(
            "mend it and `skipper fleet converge {name}`, or `skipper fleet roll-back {name}` takes all of them back"
        )
    }

    async fn commit(&mut self) -> Result<(), Halt> {
        // The last chance: past this point nothing can be taken back.
        if let Some(cause) = self.cancelled().await? {
            return self.cancel(cause).await;
        }
        // Written before anything is cleared away.
        self.turn(Transition::Committed, vec![self.event("rollout.committed", json!({}))])
    }

    /// A step, unless somebody asks to cancel meanwhile: then the rollout has turned back.
    async fn carry_out_unless_cancelled(&mut self, index: u32) -> Result<Result<(), Failure>, Halt> {
        if let Some(cause) = self.known_cancelled() {
            self.cancel(cause).await?;
        }
        let (shared, id) = (self.shared, self.rollout.id);
        let done = tokio::select! {
            biased;
            () = shared.cancelled(id) => {
                let mut cause = self.cancel_cause();
                cause.step = Some(index);
                self.cancel(cause).await?;
                return Err(Halt::Reload);
            }
            done = Box::pin(self.carry_out(index)) => done,
        };
        match done {
            Ok(()) => Ok(Ok(())),
            Err(StepError::Halt(halt)) => Err(halt),
            Err(StepError::Failed(failure)) => Ok(Err(failure)),
        }
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
        self.note_failure(index, &failure).await?;
        self.broke(index, failure).await
    }

    /// Records that a place is bad. The first one leaves its evidence, before it is undone away.
    async fn fail_in_wave(&mut self, index: u32, failure: Failure) -> Result<(), Halt> {
        let turned = |record: &StepRecord| !matches!(record.state, StepState::Started | StepState::Done);
        let first = !self.records.values().any(turned);
        self.note_failure(index, &failure).await?;
        if first {
            let exits = failure.exits.clone();
            let cause = failure.into_cause(Some(index), self.now());
            self.keep_bundle(&cause, exits).await?;
        }
        // A step that was broken off may have left memory behind what is stored.
        Err(Halt::Reload)
    }

    async fn note_failure(&mut self, index: u32, failure: &Failure) -> Result<(), Halt> {
        let Some(step) = self.step(index) else { return Err(Halt::Later) };
        let mut data = failure.to_json();
        data["probes"] = self.transcript.to_json();
        let mut entry = Entry::default();
        entry.outcome.message = Some(failure.message.clone());
        entry.outcome.data = data;
        let more = json!({"code": failure.code, "message": failure.message});
        entry.events = vec![self.step_event("step.failed", index, &step, more)];
        self.note(index, StepState::Failed, entry).await
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

/// Names, as many as a sentence takes.
fn listed(names: &[String]) -> String {
    const MOST: usize = 10;
    match names.len().checked_sub(MOST) {
        Some(more @ 1..) => format!("{} and {more} more", names[..MOST].join(", ")),
        _ => names.join(", "),
    }
}
