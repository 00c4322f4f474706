use std::{collections::BTreeSet, fmt, time::Duration};

use super::Error;
use crate::{
    BoxFuture,
    deployment::{DeploymentId, Live},
    digest::Sha256,
    event::NewEvent,
    generation::Generation,
    id::{ReleaseId, RolloutId},
    name::{AppName, SecretName, TenantName},
    release::{Release, Revision},
    rollout::{FailureBundle, Phase, Plan, Rollout, StepRecord},
    route::{Mode, ServiceId},
    secret::{SecretValues, SecretVersions},
    spec::Spec,
    time::Timestamp,
};

/// How many deployments are read at a time where all are looked through.
const LIVE_PAGE: u32 = 500;

/// The right to work on a rollout, until it expires or a higher generation is given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// For which rollout.
    pub rollout: RolloutId,
    /// Checked at every write and effect.
    pub generation: Generation,
    /// When it ends unless renewed.
    pub expires_at: Timestamp,
}

/// A rollout with everything needed to go on with it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The rollout.
    pub rollout: Rollout,
    /// Its release.
    pub release: Release,
    /// The revision to reach; `None` for a delete.
    pub target: Option<Revision>,
    /// What runs for the release, leftovers included.
    pub live: Vec<Live>,
    /// The step log, by index.
    pub steps: Vec<StepRecord>,
}

/// One entry of the step log, with what changes together with it.
#[derive(Debug, Clone)]
pub struct StepNote {
    /// The entry.
    pub record: StepRecord,
    /// Deployments that the step launched, shifted or changed.
    pub live: Vec<Live>,
    /// Deployments that the step removed.
    pub gone: Vec<DeploymentId>,
    /// What to tell.
    pub events: Vec<NewEvent>,
}

/// What Resolve made.
#[derive(Debug, Clone)]
pub struct ResolvedNote {
    /// Manifest and spec; `None` where the revision has both, or where there is none.
    pub resolved: Option<(String, Spec)>,
    /// The steps.
    pub plan: Plan,
    /// The versions of the secrets that the rollout takes.
    pub secrets: SecretVersions,
    /// The phase that the rollout moves to; never a final one.
    pub phase: Phase,
    /// What to tell.
    pub events: Vec<NewEvent>,
}

/// Something to be noted of a rollout.
#[derive(Debug, Clone)]
pub enum Note {
    /// See [`RolloutStore::resolved`].
    Resolved(Box<ResolvedNote>),
    /// See [`RolloutStore::step`].
    Step(Box<StepNote>),
    /// What runs has changed without a step.
    Live {
        /// Deployments as they are now.
        changed: Vec<Live>,
        /// Deployments that are gone.
        gone: Vec<DeploymentId>,
    },
    /// See [`RolloutStore::phase`]. After a final one there is nothing more to note.
    Phase {
        /// The phase that the rollout moves to.
        phase: Phase,
        /// What to tell.
        events: Vec<NewEvent>,
    },
}

/// What was settled when a rollout was abandoned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abandoned {
    /// Of which release.
    pub release: ReleaseId,
    /// Every application that it had or was to have: how far its router had been told is not known.
    pub apps: BTreeSet<AppName>,
}

/// The engine's view of the store. Each writing method is one transaction and appends its events to the chain in it.
///
/// Methods that take a [`Lease`] fail as [`super::ErrorKind::Fenced`] when a higher generation holds the rollout.
pub trait RolloutStore: Send + Sync + fmt::Debug {
    /// Open rollouts whose lease is free or expired, oldest first. Waiting ones are not among them.
    fn due(&self, now: Timestamp, limit: u32) -> BoxFuture<'_, Result<Vec<RolloutId>, Error>>;

    /// Takes the lease if it is free, expired, or already the owner's. `None`: somebody else has it.
    fn lease<'a>(
        &'a self,
        rollout: RolloutId,
        owner: &'a str,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Option<Lease>, Error>>;

    /// Makes the lease last `ttl` from now.
    fn renew<'a>(&'a self, lease: &'a Lease, ttl: Duration) -> BoxFuture<'a, Result<Lease, Error>>;

    /// Gives back every lease of an owner that has just started and so cannot be working under any. Without it, what
    /// a killed server left open waits until its leases expire.
    fn reclaim<'a>(&'a self, owner: &'a str) -> BoxFuture<'a, Result<(), Error>> {
        let _ = owner;
        Box::pin(async { Ok(()) })
    }

    /// Gives the lease back, so that the next owner need not wait for it to expire.
    fn release_lease<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Error>>;

    /// Loads a rollout.
    fn load(&self, rollout: RolloutId) -> BoxFuture<'_, Result<Loaded, Error>>;

    /// Writes everything that is noted at once, in this order and in one transaction: all of it or nothing.
    fn record<'a>(&'a self, lease: &'a Lease, notes: Vec<Note>) -> BoxFuture<'a, Result<(), Error>>;

    /// Stores manifest, spec, secret versions and plan, and moves to a phase. A revision's manifest and spec that are
    /// already there are never replaced by others.
    fn resolved<'a>(&'a self, lease: &'a Lease, note: ResolvedNote) -> BoxFuture<'a, Result<(), Error>> {
        self.record(lease, vec![Note::Resolved(Box::new(note))])
    }

    /// Writes the step log.
    fn step<'a>(&'a self, lease: &'a Lease, note: StepNote) -> BoxFuture<'a, Result<(), Error>> {
        self.record(lease, vec![Note::Step(Box::new(note))])
    }

    /// Moves the rollout to a phase. A final phase also settles the revisions (the target is live, failed or cancelled;
    /// the one before is superseded or stays live), the release's serving revision, admits the waiting rollout, and
    /// carries out a purge.
    fn phase<'a>(
        &'a self,
        lease: &'a Lease,
        phase: &'a Phase,
        events: Vec<NewEvent>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        self.record(lease, vec![Note::Phase { phase: phase.clone(), events }])
    }

    /// Ends a rollout whose record cannot be read, without its plan: see [`crate::rollout::abandoned`] and
    /// [`crate::rollout::settle_abandoned`]. `why` is told. Answers what it settled.
    fn abandon<'a>(&'a self, lease: &'a Lease, why: &'a str) -> BoxFuture<'a, Result<Abandoned, Error>>;

    /// Keeps the failure bundle of a rollout. A second one for the same rollout is dropped.
    fn bundle<'a>(&'a self, lease: &'a Lease, bundle: &'a FailureBundle) -> BoxFuture<'a, Result<(), Error>>;

    /// Whether somebody asked to cancel the rollout.
    fn cancel_requested(&self, rollout: RolloutId) -> BoxFuture<'_, Result<bool, Error>>;

    /// All open rollouts that somebody asked to cancel.
    fn cancels(&self) -> BoxFuture<'_, Result<BTreeSet<RolloutId>, Error>>;

    /// The current version of each named secret. A secret that is not there is a permanent error that names it.
    fn secret_versions<'a>(
        &'a self,
        tenant: &'a TenantName,
        names: &'a [SecretName],
    ) -> BoxFuture<'a, Result<SecretVersions, Error>>;

    /// Clear values of those versions.
    fn secret_values<'a>(
        &'a self,
        tenant: &'a TenantName,
        versions: &'a SecretVersions,
    ) -> BoxFuture<'a, Result<SecretValues, Error>>;

    /// Everything that runs for any release, by page: at most `limit` with an id above `after`.
    fn live<'a>(&'a self, after: Option<&'a DeploymentId>, limit: u32) -> BoxFuture<'a, Result<Vec<Live>, Error>>;

    /// Everything that runs for one release, leftovers included. Stores can do better than the pages that this reads.
    fn live_of(&self, release: ReleaseId) -> BoxFuture<'_, Result<Vec<Live>, Error>> {
        Box::pin(async move {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = self.live(after.as_ref(), LIVE_PAGE).await?;
                after = page.last().map(|live| live.deployment.id.clone());
                let full = page.len() >= LIVE_PAGE as usize;
                found.extend(page.into_iter().filter(|live| live.deployment.release == release));
                if !full {
                    return Ok(found);
                }
            }
        })
    }

    /// Whether the release has an open rollout, which then is the only one that may act on it.
    fn has_open_rollout(&self, release: ReleaseId) -> BoxFuture<'_, Result<bool, Error>>;

    /// Takes a new generation for supervision of a release, unless a rollout is open (`None`).
    fn supervise(&self, release: ReleaseId) -> BoxFuture<'_, Result<Option<Generation>, Error>>;

    /// Stores what supervision changed of a deployment (addresses after a restart), unless its generation is stale.
    fn live_update<'a>(
        &'a self,
        live: &'a Live,
        generation: Generation,
        events: Vec<NewEvent>,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// Forgets a deployment that was retired outside a rollout, and tells.
    fn live_remove<'a>(
        &'a self,
        id: &'a DeploymentId,
        generation: Generation,
        events: Vec<NewEvent>,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// What users asked the edge to do with requests, where that is not to forward them.
    fn modes(&self) -> BoxFuture<'_, Result<Vec<(ServiceId, Mode)>, Error>>;

    /// Remembers what is asked; `None` when requests are to be forwarded again. A delete of the release forgets it.
    fn mode_set<'a>(&'a self, id: &'a ServiceId, mode: Option<&'a Mode>) -> BoxFuture<'a, Result<(), Error>>;

    /// Appends events that go with no other change.
    fn tell(&self, events: Vec<NewEvent>) -> BoxFuture<'_, Result<(), Error>>;

    /// Digests of everything that may have to run again: of revisions that serve or are on their way; of the last
    /// `revisions` of each release that served before, unless the release was deleted before `since`; of every revision
    /// about which anything changed after `since`; and of whatever runs.
    fn needed(&self, revisions: u32, since: Timestamp) -> BoxFuture<'_, Result<BTreeSet<Sha256>, Error>>;

    /// Whether that deployment is known, in any state: what is not known and bears our labels is an orphan.
    fn knows<'a>(&'a self, id: &'a DeploymentId) -> BoxFuture<'a, Result<bool, Error>>;
}
