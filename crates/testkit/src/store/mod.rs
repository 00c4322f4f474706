//! The store in memory: what the real one keeps in tables, under one lock that stands for its transactions.

mod intent;
mod port;
mod settle;

pub use intent::{Intent, Refused};

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use skipper_core::{
    deployment::{DeploymentId, Live},
    event::{Event, NewEvent},
    generation::Generation,
    id::{ReleaseId, RolloutId},
    name::SecretName,
    port::{Clock, Error, ErrorKind, Lease},
    release::{Release, Revision},
    rollout::{FailureBundle, Rollout, StepRecord},
    route::{Mode, ServiceId},
    secret::SecretValue,
    time::Timestamp,
};

use crate::{
    clock::TestClock,
    fault::{Fault, Gate, Script},
    ids::SeededIds,
};

const POISONED: &str = "nothing panics while it holds this lock";

#[derive(Debug)]
struct Held {
    owner: Option<String>,
    generation: Generation,
    expires_at: Timestamp,
}

#[derive(Debug, Default)]
struct State {
    generation: Generation,
    releases: BTreeMap<ReleaseId, Release>,
    /// Newest right given out for each release.
    rights: BTreeMap<ReleaseId, Generation>,
    revisions: BTreeMap<(ReleaseId, u64), Revision>,
    /// In the order they were accepted.
    rollouts: Vec<Rollout>,
    leases: BTreeMap<RolloutId, Held>,
    steps: BTreeMap<RolloutId, BTreeMap<u32, StepRecord>>,
    bundles: BTreeMap<RolloutId, FailureBundle>,
    live: BTreeMap<DeploymentId, Live>,
    secrets: BTreeMap<SecretName, Vec<SecretValue>>,
    events: Vec<Event>,
    modes: BTreeMap<ServiceId, Mode>,
    /// Rollouts whose record was scribbled over.
    unreadable: BTreeSet<RolloutId>,
}

/// Keeps the promises of [`skipper_core::port::RolloutStore`] in memory.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    clock: Arc<TestClock>,
    ids: Arc<SeededIds>,
    gate: Gate,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Arc<TestClock>, ids: Arc<SeededIds>) -> Self {
        Self { state: Arc::default(), clock, ids, gate: Gate::open() }
    }

    /// Another view, through another gate.
    #[must_use]
    pub fn through(&self, gate: Gate) -> Self {
        Self { gate, ..self.clone() }
    }

    /// Lets the script take leases and cancel rollouts here.
    pub(crate) fn obey(&self, script: &Script) {
        let (state, clock) = (Arc::clone(&self.state), Arc::clone(&self.clock));
        script.outside(move |fault| {
            let mut state = state.lock().expect(POISONED);
            let open: Vec<RolloutId> = state.rollouts.iter().filter(|r| is_open(r)).map(|r| r.id).collect();
            for id in open {
                match fault {
                    Fault::Scribble => drop(state.unreadable.insert(id)),
                    Fault::Cancel => state.rollout_mut(id).cancel_requested = true,
                    // Held by a stranger who does nothing with it and lets it expire.
                    _ => drop(state.grant(id, "stranger", clock.now())),
                }
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(POISONED)
    }

    /// A rollout as it is stored.
    ///
    /// # Panics
    ///
    /// When there is none of that id.
    #[must_use]
    pub fn rollout(&self, id: RolloutId) -> Rollout {
        self.lock().rollout_mut(id).clone()
    }

    /// The step log of a rollout.
    #[must_use]
    pub fn steps(&self, id: RolloutId) -> Vec<StepRecord> {
        self.lock().steps.get(&id).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    /// The failure bundle of a rollout.
    #[must_use]
    pub fn bundle_of(&self, id: RolloutId) -> Option<FailureBundle> {
        self.lock().bundles.get(&id).cloned()
    }

    /// A release as it is stored.
    ///
    /// # Panics
    ///
    /// When there is none of that id.
    #[must_use]
    pub fn release(&self, id: ReleaseId) -> Release {
        self.lock().releases[&id].clone()
    }

    /// A revision as it is stored.
    #[must_use]
    pub fn revision(&self, id: ReleaseId, number: u64) -> Option<Revision> {
        self.lock().revisions.get(&(id, number)).cloned()
    }

    /// Everything that runs as far as the store knows.
    #[must_use]
    pub fn all_live(&self) -> Vec<Live> {
        self.lock().live.values().cloned().collect()
    }

    /// Every event so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }

    /// Sets a secret, as a new version.
    pub fn set_secret(&self, name: &str, value: &str) {
        let name = SecretName::new(name).expect("the test gives a valid name");
        self.lock().secrets.entry(name).or_default().push(SecretValue::new(value.to_owned()));
    }

    /// Puts a deployment there that no rollout made, as an incomplete undo or a hand on the database would.
    pub fn put_live(&self, live: Live) {
        self.lock().live.insert(live.deployment.id.clone(), live);
    }
}

fn is_open(rollout: &Rollout) -> bool {
    !rollout.phase.is_final() && rollout.phase.name() != "waiting"
}

fn not_found(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::NotFound, "not-found", format!("there is no {what}"))
}

impl State {
    fn rollout_mut(&mut self, id: RolloutId) -> &mut Rollout {
        self.rollouts.iter_mut().find(|rollout| rollout.id == id).expect("the test asks for a rollout that is there")
    }

    fn next_generation(&mut self) -> Generation {
        self.generation.epoch = 1;
        self.generation.counter += 1;
        self.generation
    }

    fn grant(&mut self, id: RolloutId, owner: &str, expires_at: Timestamp) -> Lease {
        let generation = self.next_generation();
        let release = self.rollout_mut(id).release;
        self.rights.insert(release, generation);
        self.leases.insert(id, Held { owner: Some(owner.to_owned()), generation, expires_at });
        Lease { rollout: id, generation, expires_at }
    }

    /// Refuses a lease that is not the newest.
    fn fence(&self, lease: &Lease) -> Result<(), Error> {
        match self.leases.get(&lease.rollout) {
            Some(held) if held.owner.is_some() && held.generation == lease.generation => Ok(()),
            Some(_) => Err(Error::new(ErrorKind::Fenced, "fenced", "the lease is held by somebody else")),
            None => Err(not_found("lease of that rollout")),
        }
    }

    fn fence_right(&self, release: ReleaseId, generation: Generation) -> Result<(), Error> {
        if self.rights.get(&release).is_some_and(|newest| generation < *newest) {
            return Err(Error::new(ErrorKind::Fenced, "stale-generation", "a newer right was given out"));
        }
        Ok(())
    }

    fn tell(&mut self, events: Vec<NewEvent>, at: Timestamp) {
        for event in events {
            let seq = u64::try_from(self.events.len()).unwrap_or(u64::MAX) + 1;
            let previous = self.events.last().map_or(Event::genesis(), |event| event.hash);
            self.events.push(Event::link(event, seq, at, previous));
        }
    }

    fn of_release(&self, release: ReleaseId) -> Vec<Live> {
        self.live.values().filter(|live| live.deployment.release == release).cloned().collect()
    }

    fn open_of(&self, release: ReleaseId) -> Option<&Rollout> {
        self.rollouts.iter().find(|rollout| rollout.release == release && is_open(rollout))
    }
}

impl MemoryStore {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
