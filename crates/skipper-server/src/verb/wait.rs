//! Waiting for a rollout to get somewhere, for doors that answer only then.

use std::time::Duration;

use skipper_core::{
    id::RolloutId,
    port::Loaded,
    rollout::{Action, Phase, StepState, Verb},
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

/// Whether anything was started at all.
#[must_use]
pub fn was_launched(loaded: &Loaded) -> bool {
    let Some(plan) = &loaded.rollout.plan else { return false };
    plan.steps.iter().enumerate().any(|(index, step)| {
        matches!(step.action, Action::Launch { .. } | Action::Apply { .. })
            && loaded.steps.iter().any(|record| {
                // One that was undone had been done.
                record.index as usize == index
                    && matches!(record.state, StepState::Done | StepState::Undoing | StepState::Undone)
            })
    })
}

/// Whether every instance that the rollout starts has been started, or it is being undone.
#[must_use]
pub fn launched(loaded: &Loaded) -> bool {
    match &loaded.rollout.phase {
        _ if !resolved(loaded) => false,
        Phase::Advancing => loaded.rollout.plan.as_ref().is_some_and(|plan| {
            let starts = plan
                .steps
                .iter()
                .enumerate()
                .filter(|(_, step)| matches!(step.action, Action::Launch { .. } | Action::Apply { .. }));
            let done = |index: usize| {
                let record = loaded.steps.iter().find(|record| record.index as usize == index);
                record.is_some_and(|record| record.state == StepState::Done)
            };
            let starts: Vec<usize> = starts.map(|(index, _)| index).collect();
            // An install of no instances is one as soon as it serves.
            let nothing = starts.is_empty() && loaded.rollout.verb == Verb::Install;
            !nothing && starts.into_iter().all(done)
        }),
        _ => true,
    }
}
