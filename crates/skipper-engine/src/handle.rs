//! What the rest of the server holds of the engine.

use std::sync::Arc;

use skipper_core::{
    id::{ReleaseId, RolloutId},
    name::AppName,
    port::Error as PortError,
    rollout::Plan,
    route::Mode,
};
use tokio::sync::watch;

use crate::{
    engine::Shared,
    failure::Failure,
    planning::{self, PlanRequest},
    status::{Activity, ReleaseHealth},
};

/// Wakes the engine and reads what it knows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EngineHandle {
    pub(crate) shared: Arc<Shared>,
}

impl EngineHandle {
    /// Says that the store holds something new: an accepted rollout, a cancel. Never waits; a wake-up is never lost.
    pub fn wake(&self) {
        self.shared.wake();
    }

    /// The plan that a rollout would carry out, made the same way. Stores nothing.
    ///
    /// # Errors
    ///
    /// A [`Failure`] with the code and sentence that the rollout would fail with.
    pub async fn preview(&self, request: &PlanRequest<'_>) -> Result<Plan, Failure> {
        planning::make(&self.shared.config, request).await.map(|made| made.plan)
    }

    /// How a release fares; `None` when supervision knows of nothing but good.
    #[must_use]
    pub fn health(&self, release: ReleaseId) -> Option<ReleaseHealth> {
        self.shared.board.health(release)
    }

    /// Every release that supervision has something to say about.
    #[must_use]
    pub fn troubled(&self) -> Vec<(ReleaseId, ReleaseHealth)> {
        self.shared.board.troubled()
    }

    /// What an open rollout is doing right now; `None` when this engine does not work on it.
    #[must_use]
    pub fn activity(&self, rollout: RolloutId) -> Option<Activity> {
        self.shared.board.activity(rollout)
    }

    /// Ticks whenever a step, a phase or a release's health has changed: what a live view waits for.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.board.changes()
    }

    /// Rollouts being worked on right now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.shared.running()
    }

    /// Sets what the edge does with the requests of a release (of one application, or of all), until it is set to `None`
    /// again: later shifts keep it, and so does a restart of the server.
    ///
    /// # Errors
    ///
    /// `rollout-open` while a rollout of the release is open; otherwise what the store or the router said.
    ///
    /// # Cancel safety
    ///
    /// Dropping it may leave some applications set and others not; set again.
    pub async fn set_mode(
        &self,
        release: ReleaseId,
        app: Option<&AppName>,
        mode: Option<Mode>,
    ) -> Result<(), PortError> {
        crate::modes::apply(&self.shared, release, app, mode).await
    }
}
