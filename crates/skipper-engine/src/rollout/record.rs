//! Writing the step log and telling what happened.

use serde_json::{Value, json};
use skipper_core::{
    deployment::{DeploymentId, Live},
    event::NewEvent,
    port::StepNote,
    rollout::{Cause, Step, StepOutcome, StepRecord, StepState, Verb},
};

use super::{Run, persist};
use crate::failure::Halt;

/// What an entry of the step log says besides its state.
#[derive(Debug, Default, Clone)]
pub(crate) struct Entry {
    pub(crate) outcome: StepOutcome,
    pub(crate) live: Vec<Live>,
    pub(crate) gone: Vec<DeploymentId>,
    pub(crate) events: Vec<NewEvent>,
}

impl Run<'_> {
    /// Writes the entry, durably, and then takes it over into memory.
    pub(crate) async fn note(&mut self, index: u32, state: StepState, entry: Entry) -> Result<(), Halt> {
        let now = self.now();
        let started_at = self.records.get(&index).map_or(now, |record| record.started_at);
        let record = StepRecord { index, state, started_at, updated_at: now, outcome: entry.outcome };
        let note = StepNote { record, live: entry.live, gone: entry.gone, events: entry.events };
        let store = &self.shared.config.store;
        persist("write the step log", || store.step(self.lease, note.clone())).await?;
        for live in note.live {
            self.lives.insert(live.deployment.id.clone(), live);
        }
        for id in &note.gone {
            self.lives.remove(id);
        }
        self.records.insert(index, note.record);
        self.shared.board.tick();
        Ok(())
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
