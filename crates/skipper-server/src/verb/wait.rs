//! Waiting for a rollout to get somewhere, for doors that answer only then.

use std::time::Duration;

use skipper_core::{
    id::RolloutId,
    port::Loaded,
    rollout::{Action, Phase, StepRecord, StepState, Verb},
};

use crate::{app::App, error::Error};

/// Waits until the rollout is as far as `enough` says, or has ended, at most `bound`. Answers where it stands then.
///
/// # Errors
///
/// Only the store's.
///
/// # Cancel safety
///
/// Safe to drop: it only reads.
pub async fn until(
    app: &App,
    rollout: RolloutId,
    bound: Duration,
    enough: impl Fn(&Loaded) -> bool + Send,
) -> Result<Loaded, Error> {
    let deadline = tokio::time::Instant::now() + bound;
    let mut changes = app.store.events_subscribe();
    loop {
        // Before the store is read, so that no change is lost.
        changes.mark_unchanged();
        let loaded = app.store.rollout_load(rollout).await?;
        if loaded.rollout.phase.is_final() || enough(&loaded) {
            return Ok(loaded);
        }
        match tokio::time::timeout_at(deadline, changes.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Ok(loaded),
        }
    }
}

/// Whether everything that the rollout needs has been found, or was given up.
#[must_use]
pub fn resolved(loaded: &Loaded) -> bool {
    !matches!(loaded.rollout.phase, Phase::Waiting | Phase::Accepted | Phase::Resolving { .. })
}

/// Whether anything was started at all, whatever has become of it since.
#[must_use]
pub fn was_launched(loaded: &Loaded) -> bool {
    starts(loaded).any(was_started)
}

/// Whether every instance that the rollout starts was started, whatever has become of it since.
#[must_use]
pub fn all_were_launched(loaded: &Loaded) -> bool {
    loaded.rollout.plan.is_some() && starts(loaded).all(was_started)
}

/// Whether every instance that the rollout starts has been started, or it is being undone.
#[must_use]
pub fn launched(loaded: &Loaded) -> bool {
    match &loaded.rollout.phase {
        _ if !resolved(loaded) => false,
        // An install of no instances is one as soon as it serves.
        Phase::Advancing if loaded.rollout.verb == Verb::Install && starts(loaded).next().is_none() => false,
        Phase::Advancing => all_were_launched(loaded),
        _ => true,
    }
}

/// What the log says of each step that starts something.
fn starts(loaded: &Loaded) -> impl Iterator<Item = Option<&StepRecord>> {
    let steps = loaded.rollout.plan.iter().flat_map(|plan| plan.steps.iter().enumerate());
    let starts = steps.filter(|(_, step)| matches!(step.action, Action::Launch { .. } | Action::Apply { .. }));
    starts.map(|(index, _)| loaded.steps.iter().find(|record| record.index as usize == index))
}

/// What a step found stays in the log when it is taken back, and so does why one failed, which is taken back as well.
fn was_started(record: Option<&StepRecord>) -> bool {
    record.is_some_and(|record| match record.state {
        StepState::Done => true,
        StepState::Undoing | StepState::Undone => record.outcome.data["instances"].is_array(),
        StepState::Started | StepState::Failed => false,
    })
}
