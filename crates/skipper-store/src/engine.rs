//! The engine's view: [`RolloutStore`], each method by the verb that does it.

use std::{collections::BTreeSet, time::Duration};

use skipper_core::{
    BoxFuture, Sha256,
    deployment::{DeploymentId, Live},
    event::NewEvent,
    generation::Generation,
    id::{ReleaseId, RolloutId},
    name::{SecretName, TenantName},
    port::{Abandoned, Error, Lease, Loaded, Note, RolloutStore},
    rollout::FailureBundle,
    route::{Mode, ServiceId},
    secret::{SecretValues, SecretVersions},
    time::Timestamp,
};

use crate::Store;

/// Boxes the future and turns the store's errors into the port's.
macro_rules! port {
    ($future:expr) => {
        Box::pin(async move { $future.await.map_err(Error::from) })
    };
}

impl RolloutStore for Store {
    fn due(&self, now: Timestamp, limit: u32) -> BoxFuture<'_, Result<Vec<RolloutId>, Error>> {
        port!(self.lease_due(now, limit))
    }

    fn lease<'a>(
        &'a self,
        rollout: RolloutId,
        owner: &'a str,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Option<Lease>, Error>> {
        port!(self.lease_take(rollout, owner, ttl))
    }

    fn renew<'a>(&'a self, lease: &'a Lease, ttl: Duration) -> BoxFuture<'a, Result<Lease, Error>> {
        port!(self.lease_renew(lease, ttl))
    }

    fn reclaim<'a>(&'a self, owner: &'a str) -> BoxFuture<'a, Result<(), Error>> {
        port!(self.lease_reclaim(owner))
    }

    fn release_lease<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Error>> {
        port!(self.lease_give_back(lease))
    }

    fn load(&self, rollout: RolloutId) -> BoxFuture<'_, Result<Loaded, Error>> {
        port!(self.rollout_load(rollout))
    }

    fn record<'a>(&'a self, lease: &'a Lease, notes: Vec<Note>) -> BoxFuture<'a, Result<(), Error>> {
        port!(self.notes_put(lease, notes))
    }

    fn abandon<'a>(&'a self, lease: &'a Lease, why: &'a str) -> BoxFuture<'a, Result<Abandoned, Error>> {
        port!(self.rollout_abandon(lease, why))
    }

    fn bundle<'a>(&'a self, lease: &'a Lease, bundle: &'a FailureBundle) -> BoxFuture<'a, Result<(), Error>> {
        port!(self.bundle_add(lease, bundle))
    }

    fn cancel_requested(&self, rollout: RolloutId) -> BoxFuture<'_, Result<bool, Error>> {
        port!(self.rollout_cancel_requested(rollout))
    }

    fn cancels(&self) -> BoxFuture<'_, Result<BTreeSet<RolloutId>, Error>> {
        port!(self.rollout_cancels())
    }

    fn secret_versions<'a>(
        &'a self,
        tenant: &'a TenantName,
        names: &'a [SecretName],
    ) -> BoxFuture<'a, Result<SecretVersions, Error>> {
        Box::pin(async move {
            self.secret_current(tenant, names).await.map_err(|error| match error {
                // Not "not found" for the engine: what is missing is a part of what it was told to do.
                crate::Error::NotFound { name, .. } => Error::new(
                    skipper_core::port::ErrorKind::Permanent,
                    "secret-missing",
                    format!("secret `{name}` is not set in tenant `{tenant}`"),
                )
                .hint(match tenant.as_str() {
                    "default" => format!("set it with `skipper secrets set {name}` and try again"),
                    other => format!("set it with `skipper secrets set {name} --tenant {other}` and try again"),
                }),
                other => other.into(),
            })
        })
    }

    fn secret_values<'a>(
        &'a self,
        tenant: &'a TenantName,
        versions: &'a SecretVersions,
    ) -> BoxFuture<'a, Result<SecretValues, Error>> {
        port!(self.secret_open(tenant, versions))
    }

    fn live<'a>(&'a self, after: Option<&'a DeploymentId>, limit: u32) -> BoxFuture<'a, Result<Vec<Live>, Error>> {
        port!(self.live_list(after, limit))
    }

    fn live_of(&self, release: ReleaseId) -> BoxFuture<'_, Result<Vec<Live>, Error>> {
        port!(self.live_for_release(release))
    }

    fn has_open_rollout(&self, release: ReleaseId) -> BoxFuture<'_, Result<bool, Error>> {
        port!(self.rollout_has_open(release))
    }

    fn supervise(&self, release: ReleaseId) -> BoxFuture<'_, Result<Option<Generation>, Error>> {
        port!(self.lease_supervise(release))
    }

    fn live_update<'a>(
        &'a self,
        live: &'a Live,
        generation: Generation,
        events: Vec<NewEvent>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        port!(self.live_supervised(live, generation, events))
    }

    fn live_remove<'a>(
        &'a self,
        id: &'a DeploymentId,
        generation: Generation,
        events: Vec<NewEvent>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        port!(self.live_forget(id, generation, events))
    }

    fn modes(&self) -> BoxFuture<'_, Result<Vec<(ServiceId, Mode)>, Error>> {
        port!(self.mode_list())
    }

    fn mode_set<'a>(&'a self, id: &'a ServiceId, mode: Option<&'a Mode>) -> BoxFuture<'a, Result<(), Error>> {
        port!(self.mode_put(id, mode))
    }

    fn tell(&self, events: Vec<NewEvent>) -> BoxFuture<'_, Result<(), Error>> {
        port!(self.events_tell(events))
    }

    fn needed(&self, revisions: u32, since: Timestamp) -> BoxFuture<'_, Result<BTreeSet<Sha256>, Error>> {
        port!(self.digests_needed(revisions, since))
    }

    fn knows<'a>(&'a self, id: &'a DeploymentId) -> BoxFuture<'a, Result<bool, Error>> {
        port!(self.live_knows(id))
    }
}
