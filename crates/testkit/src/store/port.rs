use std::{collections::BTreeSet, ops::Bound, time::Duration};

use skipper_core::{
    BoxFuture, Sha256,
    deployment::{DeploymentId, Live},
    event::NewEvent,
    generation::Generation,
    id::{ReleaseId, RolloutId},
    name::{SecretName, TenantName},
    port::{Abandoned, Error, ErrorKind, Lease, Loaded, Note, ResolvedNote, RolloutStore, StepNote},
    release::{Revision, RevisionState},
    rollout::FailureBundle,
    route::{Mode, ServiceId},
    secret::{SecretValues, SecretVersions},
    spec::Application,
    time::Timestamp,
};

use super::{Held, MemoryStore, State, is_open, not_found};

impl MemoryStore {
    /// One call through the gate, with everything it does under one lock.
    fn transaction<'a, T: Send + 'a>(
        &'a self,
        what: &'static str,
        detail: String,
        act: impl FnOnce(&mut State, Timestamp) -> Result<T, Error> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, Error>> {
        Box::pin(async move {
            let passing = self.gate.enter(what, detail).await?;
            let answer = act(&mut self.lock(), self.now());
            passing.leave(answer).await
        })
    }

    /// A question that is asked by the clock: it is never broken, so that the numbers of the other calls do not depend
    /// on time; but a dead server asks nothing.
    fn look<'a, T: Send + 'a>(
        &'a self,
        act: impl FnOnce(&mut State, Timestamp) -> Result<T, Error> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, Error>> {
        Box::pin(async move {
            if self.gate.is_dead() {
                return std::future::pending().await;
            }
            // As a real store, it lets others run.
            tokio::task::yield_now().await;
            act(&mut self.lock(), self.now())
        })
    }
}

fn detail(note: &StepNote) -> String {
    format!("{} {}", note.record.index, note.record.state.as_str())
}

fn said(note: &Note) -> String {
    match note {
        Note::Resolved(_) => "resolved".to_owned(),
        Note::Step(note) => detail(note),
        Note::Live { .. } => "live".to_owned(),
        Note::Phase { phase, .. } => phase.name().to_owned(),
    }
}

impl State {
    fn note(&mut self, lease: &Lease, note: Note, now: Timestamp) {
        match note {
            Note::Resolved(note) => {
                let ResolvedNote { resolved, plan, secrets, phase, events } = *note;
                let rollout = self.rollout_mut(lease.rollout);
                rollout.plan = Some(plan);
                rollout.secrets = secrets;
                rollout.phase = phase;
                let key = (rollout.release, rollout.to.unwrap_or_default());
                if let (Some(revision), Some((manifest, spec))) = (self.revisions.get_mut(&key), resolved) {
                    revision.manifest.get_or_insert(manifest);
                    revision.spec.get_or_insert(spec);
                }
                self.tell(events, now);
            }
            Note::Step(note) => {
                let StepNote { record, live, gone, events } = *note;
                self.steps.entry(lease.rollout).or_default().insert(record.index, record);
                self.run(lease, live, &gone);
                self.tell(events, now);
            }
            Note::Live { changed, gone } => self.run(lease, changed, &gone),
            Note::Phase { phase, events } => {
                let rollout = self.rollout_mut(lease.rollout);
                rollout.phase = phase.clone();
                rollout.started_at.get_or_insert(now);
                self.tell(events, now);
                if phase.is_final() {
                    self.settle(lease.rollout, now);
                }
            }
        }
    }

    fn run(&mut self, lease: &Lease, changed: Vec<Live>, gone: &[DeploymentId]) {
        for live in changed {
            let live = Live { generation: lease.generation, ..live };
            self.live.insert(live.deployment.id.clone(), live);
        }
        for id in gone {
            self.live.remove(id);
        }
    }
}

impl RolloutStore for MemoryStore {
    fn due(&self, now: Timestamp, limit: u32) -> BoxFuture<'_, Result<Vec<RolloutId>, Error>> {
        self.look(move |state, _| {
            let free = |id: &RolloutId| {
                state.leases.get(id).is_none_or(|held: &Held| held.owner.is_none() || held.expires_at <= now)
            };
            let open = state.rollouts.iter().filter(|rollout| is_open(rollout)).map(|rollout| rollout.id);
            Ok(open.filter(free).take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
        })
    }

    fn lease<'a>(
        &'a self,
        rollout: RolloutId,
        owner: &'a str,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Option<Lease>, Error>> {
        self.transaction("store.lease", owner.to_owned(), move |state, now| {
            if !is_open(state.rollout_mut(rollout)) {
                return Ok(None);
            }
            let held = state.leases.get(&rollout);
            let free = held.is_none_or(|held| {
                held.expires_at <= now || held.owner.as_deref().is_none_or(|holder| holder == owner)
            });
            Ok(free.then(|| state.grant(rollout, owner, now + ttl)))
        })
    }

    fn renew<'a>(&'a self, lease: &'a Lease, ttl: Duration) -> BoxFuture<'a, Result<Lease, Error>> {
        self.look(move |state, now| {
            state.fence(lease)?;
            let held = state.leases.get_mut(&lease.rollout).ok_or_else(|| not_found("lease"))?;
            held.expires_at = now + ttl;
            Ok(Lease { expires_at: now + ttl, ..lease.clone() })
        })
    }

    fn reclaim<'a>(&'a self, owner: &'a str) -> BoxFuture<'a, Result<(), Error>> {
        self.look(move |state, _| {
            for held in state.leases.values_mut().filter(|held| held.owner.as_deref() == Some(owner)) {
                held.owner = None;
            }
            Ok(())
        })
    }

    fn release_lease<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), Error>> {
        self.look(move |state, _| {
            if state.fence(lease).is_ok()
                && let Some(held) = state.leases.get_mut(&lease.rollout)
            {
                held.owner = None;
            }
            Ok(())
        })
    }

    fn load(&self, rollout: RolloutId) -> BoxFuture<'_, Result<Loaded, Error>> {
        self.transaction("store.load", rollout.to_string(), move |state, _| {
            if state.unreadable.contains(&rollout) {
                return Err(Error::new(ErrorKind::Damaged, "store-corrupt", "the plan was made unreadable"));
            }
            let found = state.rollouts.iter().find(|known| known.id == rollout).cloned();
            let rollout = found.ok_or_else(|| not_found("rollout"))?;
            let release = state.releases.get(&rollout.release).cloned().ok_or_else(|| not_found("release"))?;
            let target = rollout.to.and_then(|number| state.revisions.get(&(release.id, number)).cloned());
            let live = state.of_release(release.id);
            let steps = state.steps.get(&rollout.id).into_iter().flat_map(|steps| steps.values().cloned()).collect();
            Ok(Loaded { rollout, release, target, live, steps })
        })
    }

    fn record<'a>(&'a self, lease: &'a Lease, notes: Vec<Note>) -> BoxFuture<'a, Result<(), Error>> {
        let (what, detail) = match notes.as_slice() {
            [Note::Resolved(note)] => ("store.resolved", note.phase.name().to_owned()),
            [Note::Step(note)] => ("store.step", detail(note)),
            [Note::Phase { phase, .. }] => ("store.phase", phase.name().to_owned()),
            several => ("store.record", several.iter().map(said).collect::<Vec<_>>().join(", ")),
        };
        self.transaction(what, detail, move |state, now| {
            state.fence(lease)?;
            for note in notes {
                state.note(lease, note, now);
            }
            Ok(())
        })
    }

    fn abandon<'a>(&'a self, lease: &'a Lease, why: &'a str) -> BoxFuture<'a, Result<Abandoned, Error>> {
        self.transaction("store.abandon", why.to_owned(), move |state, now| {
            state.fence(lease)?;
            Ok(state.abandon(lease, why, now))
        })
    }

    fn bundle<'a>(&'a self, lease: &'a Lease, bundle: &'a FailureBundle) -> BoxFuture<'a, Result<(), Error>> {
        self.transaction("store.bundle", bundle.cause.code.clone(), move |state, _| {
            state.fence(lease)?;
            state.bundles.entry(lease.rollout).or_insert_with(|| bundle.clone());
            Ok(())
        })
    }

    fn cancel_requested(&self, rollout: RolloutId) -> BoxFuture<'_, Result<bool, Error>> {
        self.look(move |state, _| Ok(state.rollout_mut(rollout).cancel_requested))
    }

    fn cancels(&self) -> BoxFuture<'_, Result<BTreeSet<RolloutId>, Error>> {
        self.look(move |state, _| {
            let asked = state.rollouts.iter().filter(|rollout| is_open(rollout) && rollout.cancel_requested);
            Ok(asked.map(|rollout| rollout.id).collect())
        })
    }

    fn secret_versions<'a>(
        &'a self,
        _: &'a TenantName,
        names: &'a [SecretName],
    ) -> BoxFuture<'a, Result<SecretVersions, Error>> {
        self.transaction("store.secret_versions", names.len().to_string(), move |state, _| {
            let mut versions = SecretVersions::default();
            for name in names {
                let count = state.secrets.get(name).map_or(0, Vec::len);
                if count == 0 {
                    let text = format!("secret `{name}` is not set");
                    return Err(Error::new(ErrorKind::Permanent, "secret-missing", text));
                }
                versions.0.insert(name.clone(), u64::try_from(count).unwrap_or(u64::MAX));
            }
            Ok(versions)
        })
    }

    fn secret_values<'a>(
        &'a self,
        _: &'a TenantName,
        versions: &'a SecretVersions,
    ) -> BoxFuture<'a, Result<SecretValues, Error>> {
        self.transaction("store.secret_values", versions.0.len().to_string(), move |state, _| {
            let mut values = SecretValues::new();
            for (name, version) in &versions.0 {
                let index = usize::try_from(*version).unwrap_or(usize::MAX).wrapping_sub(1);
                let value = state.secrets.get(name).and_then(|known| known.get(index));
                values.insert(name.clone(), value.cloned().ok_or_else(|| not_found(format!("secret {name}")))?);
            }
            Ok(values)
        })
    }

    fn live<'a>(&'a self, after: Option<&'a DeploymentId>, limit: u32) -> BoxFuture<'a, Result<Vec<Live>, Error>> {
        self.look(move |state, _| {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            Ok(state
                .live
                .range::<DeploymentId, _>((from, Bound::Unbounded))
                .take(limit)
                .map(|(_, l)| l.clone())
                .collect())
        })
    }

    fn live_of(&self, release: ReleaseId) -> BoxFuture<'_, Result<Vec<Live>, Error>> {
        self.look(move |state, _| Ok(state.of_release(release)))
    }

    fn has_open_rollout(&self, release: ReleaseId) -> BoxFuture<'_, Result<bool, Error>> {
        self.look(move |state, _| Ok(state.open_of(release).is_some()))
    }

    fn supervise(&self, release: ReleaseId) -> BoxFuture<'_, Result<Option<Generation>, Error>> {
        self.look(move |state, _| {
            if state.open_of(release).is_some() {
                return Ok(None);
            }
            let generation = state.next_generation();
            state.rights.insert(release, generation);
            Ok(Some(generation))
        })
    }

    fn live_update<'a>(
        &'a self,
        live: &'a Live,
        generation: Generation,
        events: Vec<NewEvent>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        self.transaction("store.live_update", live.deployment.id.to_string(), move |state, now| {
            state.fence_right(live.deployment.release, generation)?;
            let stored = state.live.get_mut(&live.deployment.id).ok_or_else(|| not_found("deployment"))?;
            *stored = Live { generation, ..live.clone() };
            state.tell(events, now);
            Ok(())
        })
    }

    fn live_remove<'a>(
        &'a self,
        id: &'a DeploymentId,
        generation: Generation,
        events: Vec<NewEvent>,
    ) -> BoxFuture<'a, Result<(), Error>> {
        self.transaction("store.live_remove", id.to_string(), move |state, now| {
            if let Some(live) = state.live.get(id) {
                state.fence_right(live.deployment.release, generation)?;
                state.live.remove(id);
            }
            state.tell(events, now);
            Ok(())
        })
    }

    fn modes(&self) -> BoxFuture<'_, Result<Vec<(ServiceId, Mode)>, Error>> {
        self.look(move |state, _| Ok(state.modes.iter().map(|(id, mode)| (id.clone(), mode.clone())).collect()))
    }

    fn mode_set<'a>(&'a self, id: &'a ServiceId, mode: Option<&'a Mode>) -> BoxFuture<'a, Result<(), Error>> {
        self.transaction("store.mode_set", id.to_string(), move |state, _| {
            match mode {
                Some(mode) => state.modes.insert(id.clone(), mode.clone()),
                None => state.modes.remove(id),
            };
            Ok(())
        })
    }

    fn tell(&self, events: Vec<NewEvent>) -> BoxFuture<'_, Result<(), Error>> {
        self.look(move |state, now| {
            state.tell(events, now);
            Ok(())
        })
    }

    fn needed(&self, revisions: u32, since: Timestamp) -> BoxFuture<'_, Result<BTreeSet<Sha256>, Error>> {
        self.look(move |state, _| {
            let mut needed: BTreeSet<Sha256> = BTreeSet::new();
            let keep = usize::try_from(revisions).unwrap_or(usize::MAX);
            for release in state.releases.values() {
                let own = || state.revisions.values().filter(|revision| revision.release == release.id);
                let before = [RevisionState::Superseded, RevisionState::Deleted];
                let numbers: Vec<u64> = own().filter(|one| before.contains(&one.state)).map(|one| one.number).collect();
                let counted = if release.deleted && release.updated_at < since { &[] } else { numbers.as_slice() };
                let counted = &counted[counted.len().saturating_sub(keep)..];
                let is_needed = |one: &&Revision| {
                    matches!(one.state, RevisionState::Pending | RevisionState::Live)
                        || one.created_at >= since
                        || counted.contains(&one.number)
                };
                let specs = own().filter(is_needed).filter_map(|revision| revision.spec.as_ref());
                needed.extend(specs.flat_map(|spec| &spec.applications).flat_map(Application::digests));
            }
            needed.extend(state.live.values().flat_map(|live| live.deployment.app.digests()));
            Ok(needed)
        })
    }

    fn knows<'a>(&'a self, id: &'a DeploymentId) -> BoxFuture<'a, Result<bool, Error>> {
        self.look(move |state, _| {
            let mut open = state.rollouts.iter().filter(|rollout| is_open(rollout));
            let planned = open.any(|rollout| rollout.plan.as_ref().is_some_and(|plan| plan.deployment(id).is_some()));
            Ok(planned || state.live.contains_key(id))
        })
    }
}
