//! Writing the step log and telling what happened.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use skipper_core::{
    deployment::{DeploymentId, Live},
    event::NewEvent,
    port::{Lease, Note, StepNote},
    rollout::{Cause, Step, StepOutcome, StepRecord, StepState, Verb},
};
use tokio::time::timeout;

use super::{Run, persist};
use crate::{engine::Shared, failure::Halt};

/// How long something that has no effect is waited for before what was jotted down is written: mostly it is over by then, and
/// its outcome is written along with its beginning.
const AT_ONCE: Duration = Duration::from_millis(20);
const POISONED: &str = "nothing panics while it holds this lock";

/// What is to be written with the next note. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Jotted(Arc<Mutex<Vec<Note>>>);

impl Jotted {
    pub(crate) fn push(&self, note: Note) {
        let mut notes = self.0.lock().expect(POISONED);
        match (notes.last_mut(), note) {
            // Of a step that begins and ends at once only the end has to be written.
            (Some(Note::Step(last)), Note::Step(note)) if last.record.index == note.record.index => {
                let StepNote { record, live, gone, events } = *note;
                last.record = record;
                last.live.retain(|known| !live.iter().any(|live| live.deployment.id == known.deployment.id));
                last.live.extend(live);
                last.gone.extend(gone);
                last.events.extend(events);
            }
            (_, note) => notes.push(note),
        }
    }

    /// Makes everything durable, all at once.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may be written once more, which changes nothing but the events.
    pub(crate) async fn write(&self, shared: &Shared, lease: &Lease) -> Result<(), Halt> {
        let notes = self.0.lock().expect(POISONED).clone();
        if notes.is_empty() {
            return Ok(());
        }
        let store = &shared.config.store;
        persist("write the rollout's notes", || store.record(lease, notes.clone())).await?;
        self.0.lock().expect(POISONED).drain(..notes.len());
        shared.board.tick();
        Ok(())
    }

    /// Waits for something that has no effect, and writes only where that takes long.
    pub(crate) async fn beside<T>(
        self,
        shared: &Shared,
        lease: &Lease,
        work: impl Future<Output = T>,
    ) -> Result<T, Halt> {
        let mut work = std::pin::pin!(work);
        if let Ok(done) = timeout(AT_ONCE, &mut work).await {
            return Ok(done);
        }
        // Side by side: the work may hold the writer's place, which the notes wait for.
        let mut written = std::pin::pin!(self.write(shared, lease));
        tokio::select! {
            biased;
            done = &mut written => done?,
            done = &mut work => {
                written.await?;
                return Ok(done);
            }
        }
        Ok(work.await)
    }
}

/// What an entry of the step log says besides its state.
#[derive(Debug, Default, Clone)]
pub(crate) struct Entry {
    pub(crate) outcome: StepOutcome,
    pub(crate) live: Vec<Live>,
    pub(crate) gone: Vec<DeploymentId>,
    pub(crate) events: Vec<NewEvent>,
}

impl Run<'_> {
    /// Writes the entry, durably, with whatever was jotted down before it.
    pub(crate) async fn note(&mut self, index: u32, state: StepState, entry: Entry) -> Result<(), Halt> {
        self.jot(index, state, entry);
        self.write_down().await
    }

    /// Takes the entry over into memory. It is written with what is noted next: at the latest before anything has an effect,
    /// so that a crash in between leaves no more than a step to be repeated.
    pub(crate) fn jot(&mut self, index: u32, state: StepState, entry: Entry) {
        let now = self.now();
        let started_at = self.records.get(&index).map_or(now, |record| record.started_at);
        let record = StepRecord { index, state, started_at, updated_at: now, outcome: entry.outcome };
        self.records.insert(index, record.clone());
        let note = StepNote { record, live: entry.live, gone: entry.gone, events: entry.events };
        self.remember(&note.live, &note.gone);
        self.jotted.push(Note::Step(Box::new(note)));
    }

    /// The same of what runs, where no step changes it.
    pub(crate) fn jot_live(&mut self, changed: Vec<Live>, gone: Vec<DeploymentId>) {
        if !changed.is_empty() || !gone.is_empty() {
            self.remember(&changed, &gone);
            self.jotted.push(Note::Live { changed, gone });
        }
    }

    fn remember(&mut self, changed: &[Live], gone: &[DeploymentId]) {
        for live in changed {
            self.lives.insert(live.deployment.id.clone(), live.clone());
        }
        for id in gone {
            self.lives.remove(id);
        }
    }

    /// Makes what was jotted down durable, all at once.
    pub(crate) async fn write_down(&self) -> Result<(), Halt> {
        self.jotted.write(self.shared, self.lease).await
    }

    /// An event of this rollout.
    pub(crate) fn event(&self, kind: &str, data: Value) -> NewEvent {
        NewEvent {
            kind: kind.to_owned(),
            tenant: Some(self.release.tenant.clone()),
            release: Some(self.release.name.clone()),
            revision: self.rollout.to,
            rollout: Some(self.rollout.id),
            provenance: self.rollout.provenance.clone(),
            data,
        }
    }

    pub(crate) fn step_event(&self, kind: &str, index: u32, step: &Step, more: Value) -> NewEvent {
        let mut data = json!({
            "step": index,
            "action": step.action.name(),
            "app": step.app,
            "what": step.action.to_string(),
        });
        if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
            data.extend(more);
        }
        self.event(kind, data)
    }

    /// What is told when a rollout ends without having reached its revision.
    pub(crate) fn ended_event(&self, cause: &Cause) -> NewEvent {
        let kind = if cause.code == Cause::CANCELLED { "rollout.cancelled" } else { "rollout.failed" };
        let data = json!({
            "verb": self.rollout.verb.as_str(),
            "code": cause.code,
            "message": cause.message,
            "hint": cause.hint,
            "step": cause.step,
            "serving": self.release.serving,
        });
        self.event(kind, data)
    }

    /// What is told when the revision is reached.
    pub(crate) fn reached_event(&self) -> NewEvent {
        let kind = match self.rollout.verb {
            Verb::Install => "release.installed",
            Verb::Upgrade => "release.upgraded",
            Verb::Rollback => "release.rolled-back",
            Verb::Scale => "release.scaled",
            Verb::Delete => "release.deleted",
        };
        self.event(kind, json!({"from": self.rollout.from}))
    }
}
