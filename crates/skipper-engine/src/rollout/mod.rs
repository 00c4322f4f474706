//! One rollout, from wherever its log says it stands to its end.
//!
//! Nothing but the store is trusted: after a crash, after a write whose outcome is not known and after a broken step
//! alike, everything is loaded anew and the phase decides what comes next.

mod advance;
mod bundle;
mod finish;
mod record;
pub(crate) mod replay;
mod resolve;
mod undo;

pub(crate) use record::Entry;
use record::Jotted;

use std::{collections::BTreeMap, time::Duration};

use skipper_core::{
    deployment::{Deployment, DeploymentId, Live},
    event::NewEvent,
    name::AppName,
    port::{Abandoned, Error as PortError, ErrorKind, Lease, Loaded, Note},
    release::{Release, Revision},
    rollout::{Cause, Phase, Plan, Rollout, StepRecord, StepState, Transition, Verb},
    time::Timestamp,
};
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

use crate::{engine::Shared, failure::Halt, place::Place, retry::Backoff, service::Surface};

/// How long a store that does not answer is asked again before the rollout is put down for a while, and longest that one
/// question to it may take.
const STORE_PATIENCE: Duration = Duration::from_secs(30);

/// How the work on a rollout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It reached a final phase.
    Final,
    /// The lease is lost.
    Lost,
    /// The engine stops.
    Stopped,
    /// It cannot go on now.
    Later,
}

/// Works on the rollout until it ends or the work has to.
///
/// # Cancel safety
///
/// May be dropped at any await, which is a crash: whoever takes the rollout up again goes on from the log.
pub(crate) async fn drive(shared: &Shared, lease: &Lease, place: &Place) -> End {
    loop {
        place.take().await;
        let run = match Run::load(shared, lease, place).await {
            Ok(Some(run)) => run,
            Ok(None) => return End::Final,
            Err(Halt::Lost) => return End::Lost,
            Err(Halt::Reload | Halt::Later) => return End::Later,
            Err(Halt::Unreadable) => return abandon(shared, lease).await,
        };
        match Box::pin(run.go()).await {
            Ok(()) => return End::Final,
            Err(Halt::Reload) => {}
            Err(Halt::Lost) => return End::Lost,
            Err(Halt::Later) => return End::Later,
            Err(Halt::Unreadable) => return abandon(shared, lease).await,
        }
    }
}

/// Ends a rollout that nobody can go on with.
async fn abandon(shared: &Shared, lease: &Lease) -> End {
    let store = &shared.config.store;
    let why = match timeout(STORE_PATIENCE, store.load(lease.rollout)).await {
        Ok(Err(error)) if error.kind() == ErrorKind::Damaged => error.chain(),
        _ => return End::Later,
    };
    match timeout(STORE_PATIENCE, store.abandon(lease, &why)).await {
        Ok(Ok(Abandoned { release, apps })) => {
            error!("the rollout was given up: {why}");
            for app in &apps {
                shared.ward.mark_dirty(release, app);
            }
            shared.ward.rollout_ended(release);
            End::Final
        }
        Ok(Err(error)) if matches!(error.kind(), ErrorKind::Fenced | ErrorKind::NotFound) => End::Lost,
        Ok(Err(error)) => {
            error!(
                error = error.chain(),
                "the rollout cannot be read ({why}), and not be given up either; trying again later"
            );
            End::Later
        }
        Err(_) => End::Later,
    }
}

/// A rollout being worked on: what the store said, kept up to date with every write.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) lease: &'a Lease,
    pub(crate) place: &'a Place,
    pub(crate) rollout: Rollout,
    pub(crate) release: Release,
    pub(crate) target: Option<Revision>,
    pub(crate) plan: Plan,
    pub(crate) lives: BTreeMap<DeploymentId, Live>,
    pub(crate) records: BTreeMap<u32, StepRecord>,
    /// How each application is reached right now.
    pub(crate) surfaces: BTreeMap<AppName, Surface>,
    pub(crate) transcript: bundle::Transcript,
    jotted: Jotted,
}

impl<'a> Run<'a> {
    /// `None` when it is final, or gone.
    async fn load(shared: &'a Shared, lease: &'a Lease, place: &'a Place) -> Result<Option<Self>, Halt> {
        let loaded = persist("load the rollout", || shared.config.store.load(lease.rollout)).await?;
        let Loaded { rollout, release, target, live, steps } = loaded;
        if rollout.phase.is_final() || matches!(rollout.phase, Phase::Waiting) {
            return Ok(None);
        }
        let plan = rollout.plan.clone().unwrap_or_else(|| Plan {
            version: 0,
            steps: Vec::new(),
            commit: 0,
            notices: Vec::new(),
            purge: false,
            waves: None,
            deployments: Vec::new(),
        });
        let lives: BTreeMap<_, _> = live.into_iter().map(|live| (live.deployment.id.clone(), live)).collect();
        let records: BTreeMap<_, _> = steps.into_iter().map(|record| (record.index, record)).collect();
        let surfaces = replay::surfaces(&plan, &lives, &records);
        let transcript = bundle::Transcript::default();
        let jotted = Jotted::default();
        let run =
            Self { shared, lease, place, rollout, release, target, plan, lives, records, surfaces, transcript, jotted };
        shared.ward.rollout_surfaces(run.release.id, &run.surfaces);
        Ok(Some(run))
    }

    async fn go(mut self) -> Result<(), Halt> {
        loop {
            match self.rollout.phase.clone() {
                Phase::Accepted => self.begin().await?,
                Phase::Resolving { deadline } => Box::pin(self.resolve(deadline)).await?,
                Phase::Advancing => Box::pin(self.advance()).await?,
                Phase::Undoing { cause } => Box::pin(self.undo(&cause)).await?,
                Phase::Finishing => Box::pin(self.finish()).await?,
                Phase::Waiting
                | Phase::Succeeded
                | Phase::Failed { .. }
                | Phase::Cancelled { .. }
                | Phase::Superseded => {
                    self.shared.ward.rollout_ended(self.release.id);
                    if self.rollout.verb == Verb::Delete && self.rollout.phase == Phase::Succeeded {
                        self.shared.modes.forget(self.release.id);
                    }
                    return Ok(());
                }
            }
        }
    }

    async fn begin(&mut self) -> Result<(), Halt> {
        if let Some(cause) = self.known_cancelled() {
            return self.end_early(cause).await;
        }
        let deadline = self.now() + self.shared.config.tuning.resolve_bound;
        let events = vec![self.event("rollout.started", serde_json::json!({"verb": self.rollout.verb.as_str()}))];
        self.turn(Transition::Begun { deadline }, events)
    }

    /// Ends a rollout before there is anything to undo.
    async fn end_early(&mut self, cause: Cause) -> Result<(), Halt> {
        self.keep_bundle(&cause, Vec::new()).await?;
        let events = vec![self.ended_event(&cause)];
        self.enter(Transition::Broke(cause), events).await
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.shared.config.clock.now()
    }

    pub(crate) fn state(&self, index: u32) -> Option<StepState> {
        self.records.get(&index).map(|record| record.state)
    }

    /// What is known of a deployment: as it is, or as the plan would launch it.
    pub(crate) fn deployment(&self, id: &DeploymentId) -> Option<Deployment> {
        let live = self.lives.get(id).map(|live| &live.deployment);
        self.plan.deployment(id).or(live).cloned()
    }

    /// Whether somebody has asked to cancel the rollout by now, as a cause.
    pub(crate) async fn cancelled(&self) -> Result<Option<Cause>, Halt> {
        let id = self.rollout.id;
        let asked = persist("read whether it is cancelled", || self.shared.config.store.cancel_requested(id)).await?;
        Ok(asked.then(|| self.cancel_cause()))
    }

    /// The same as far as it is known here; who asks in the meantime is heard while the next step goes on.
    pub(crate) fn known_cancelled(&self) -> Option<Cause> {
        let asked = self.rollout.cancel_requested || self.shared.is_cancelled(self.rollout.id);
        asked.then(|| self.cancel_cause())
    }

    pub(crate) fn cancel_cause(&self) -> Cause {
        Cause {
            code: Cause::CANCELLED.to_owned(),
            message: "the rollout was cancelled".to_owned(),
            hint: None,
            step: None,
            at: self.now(),
        }
    }

    /// Moves to the next phase, durably.
    pub(crate) async fn enter(&mut self, transition: Transition, events: Vec<NewEvent>) -> Result<(), Halt> {
        self.turn(transition, events)?;
        self.write_down().await
    }

    /// Moves to the next phase; it is written with what is noted next.
    fn turn(&mut self, transition: Transition, events: Vec<NewEvent>) -> Result<(), Halt> {
        let next = match self.rollout.phase.clone().apply(transition) {
            Ok(next) => next,
            Err(illegal) => {
                // Nothing the engine does leads here; a rollout that is put down can still be looked at and cancelled.
                error!(%illegal, "the engine wanted a transition that does not exist");
                return Err(Halt::Later);
            }
        };
        info!(
            release.name = %self.release.name,
            release.revision = self.rollout.to,
            "{} `{}`: {}",
            self.rollout.verb.as_str(),
            self.release.name,
            next.name()
        );
        self.jotted.push(Note::Phase { phase: next.clone(), events });
        self.rollout.phase = next;
        Ok(())
    }
}

/// Asks the store until it answers, the lease is lost or patience ends. `what` is a verb phrase for the log.
pub(crate) async fn persist<'f, T, F>(what: &str, ask: F) -> Result<T, Halt>
where
    F: Fn() -> skipper_core::BoxFuture<'f, Result<T, PortError>>,
{
    let begun = Instant::now();
    let mut backoff = Backoff::step();
    loop {
        let error = match timeout(STORE_PATIENCE, ask()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => PortError::new(ErrorKind::Unknown, "no-answer", "the store does not answer"),
        };
        match error.kind() {
            ErrorKind::Fenced => return Err(Halt::Lost),
            // The rollout is gone: purged by somebody else.
            ErrorKind::NotFound => return Err(Halt::Lost),
            ErrorKind::Unknown => {
                warn!(error = error.chain(), "{what}: the outcome is not known; looking again");
                // So that a store which always answers like this is not asked in a tight loop.
                sleep(Duration::from_millis(50)).await;
                return Err(Halt::Reload);
            }
            ErrorKind::Damaged => return Err(Halt::Unreadable),
            ErrorKind::Permanent => {
                error!(error = error.chain(), "{what}: the store cannot; trying the rollout again later");
                return Err(Halt::Later);
            }
            ErrorKind::Transient if begun.elapsed() > STORE_PATIENCE => {
                error!(error = error.chain(), "{what}: the store does not answer; trying the rollout again later");
                return Err(Halt::Later);
            }
            ErrorKind::Transient => {
                warn!(error = error.chain(), "{what}: trying again");
                backoff.wait().await;
            }
        }
    }
}
