use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use skipper_core::{
    BoxFuture,
    deployment::DeploymentId,
    generation::Generation,
    port::{DeploymentStats, Error, ErrorKind, Router, Verified},
    route::{Mode, RouteKey, Service, ServiceId},
};

use crate::{fault::Gate, platform::FakePlatform};

const POISONED: &str = "nothing panics while it holds this lock";

#[derive(Debug, Default)]
struct State {
    table: BTreeMap<ServiceId, Service>,
    fences: BTreeMap<ServiceId, Generation>,
    stats: BTreeMap<DeploymentId, DeploymentStats>,
    in_flight: BTreeMap<DeploymentId, u64>,
    lost: bool,
    verified: u64,
    violations: Vec<String>,
    unanswered_before: Vec<String>,
    /// Somebody has to answer on every open service.
    strict: bool,
}

/// An edge in memory: a fenced table that is checked at every change.
#[derive(Debug, Clone)]
pub struct FakeRouter {
    state: Arc<Mutex<State>>,
    platform: FakePlatform,
    gate: Gate,
}

impl FakeRouter {
    /// An empty table in front of what runs on `platform`.
    #[must_use]
    pub fn new(platform: FakePlatform) -> Self {
        Self { state: Arc::default(), platform, gate: Gate::open() }
    }

    /// Another view, through another gate.
    #[must_use]
    pub fn through(&self, gate: Gate) -> Self {
        Self { gate, ..self.clone() }
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> BTreeMap<ServiceId, Service> {
        self.state.lock().expect(POISONED).table.clone()
    }

    /// From now on every open service must have somebody to answer, whatever is changed.
    pub fn strict(&self, strict: bool) {
        self.state.lock().expect(POISONED).strict = strict;
    }

    /// Forgets everything, as an edge that was started anew without its snapshot.
    pub fn lose_everything(&self) {
        let mut state = self.state.lock().expect(POISONED);
        state.table.clear();
        state.lost = true;
    }

    /// What the edge is to have counted for a deployment.
    pub fn count(&self, deployment: &DeploymentId, stats: DeploymentStats) {
        self.state.lock().expect(POISONED).stats.insert(deployment.clone(), stats);
    }

    /// Requests that stay in flight at a deployment.
    pub fn keep_in_flight(&self, deployment: &DeploymentId, requests: u64) {
        self.state.lock().expect(POISONED).in_flight.insert(deployment.clone(), requests);
    }

    /// What broke a promise so far.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.state.lock().expect(POISONED).violations.clone()
    }

    /// Looks whether everybody is answered, after the router was told something.
    fn check(&self, after: &str) {
        let mut state = self.state.lock().expect(POISONED);
        let unanswered = self.unanswered(&state);
        if state.strict {
            let sentences = unanswered.iter().map(|label| format!("after {after}: nobody answers on {label}"));
            state.violations.extend(sentences);
        }
    }

    /// Looks whether taking instances away leaves somebody unanswered who was answered before.
    pub(crate) fn around_retire(&self, done: bool) {
        let mut state = self.state.lock().expect(POISONED);
        let unanswered = self.unanswered(&state);
        if done && state.strict {
            let before = std::mem::take(&mut state.unanswered_before);
            let sentences = unanswered.iter().filter(|label| !before.contains(label));
            let sentences: Vec<String> =
                sentences.map(|label| format!("nobody is left to answer on {label}")).collect();
            state.violations.extend(sentences);
        } else {
            state.unanswered_before = unanswered;
        }
    }

    fn unanswered(&self, state: &State) -> Vec<String> {
        let open = state.table.values().filter(|service| service.mode == Mode::Open);
        open.filter(|service| !self.answers(service)).map(|service| service.label.clone()).collect()
    }

    fn answers(&self, service: &Service) -> bool {
        service.backends.iter().filter(|backend| backend.weight > 0).any(|backend| {
            let mut addresses = backend.addresses.values().flatten();
            addresses.any(|address| self.platform.serves(&backend.deployment, *address))
        })
    }

    fn put(&self, service: &Service) -> Result<(), Error> {
        let mut state = self.state.lock().expect(POISONED);
        pass(&mut state, &service.id, service.generation)?;
        let weights: u32 = service.backends.iter().map(|backend| u32::from(backend.weight)).sum();
        if weights != 100 {
            state.violations.push(format!("the weights of {} add up to {weights}", service.label));
        }
        for backend in &service.backends {
            for address in backend.addresses.values().flatten() {
                if !self.platform.is_there(&backend.deployment, *address) {
                    let text = format!("{} routes to {address}, which nobody has", service.label);
                    state.violations.push(text);
                }
            }
        }
        state.table.insert(service.id.clone(), service.clone());
        drop(state);
        self.check("router.set");
        Ok(())
    }

    fn ask(&self, key: &RouteKey) -> Result<Verified, Error> {
        let mut state = self.state.lock().expect(POISONED);
        state.verified += 1;
        let turn = u32::try_from(state.verified * 37 % 100).unwrap_or(0);
        let owner = state.table.values().find(|service| service.routes.values().flatten().any(|own| own == key));
        let nobody = |code, why: &str| Err(Error::new(ErrorKind::Transient, code, format!("{key}: {why}")));
        let Some(service) = owner else { return nobody("no-route", "no such route") };
        if service.mode != Mode::Open {
            return nobody("not-open", "the service is not open");
        }
        let mut passed = 0;
        let chosen = service.backends.iter().find(|backend| {
            passed += u32::from(backend.weight);
            turn < passed
        });
        let Some(backend) = chosen else { return nobody("no-backend", "no backend") };
        let mut addresses = backend.addresses.values().flatten();
        if addresses.any(|address| self.platform.serves(&backend.deployment, *address)) {
            return Ok(Verified { deployment: backend.deployment.clone(), status: 200 });
        }
        nobody("no-answer", "the backend does not answer")
    }
}

fn pass(state: &mut State, id: &ServiceId, generation: Generation) -> Result<(), Error> {
    let seen = state.fences.entry(id.clone()).or_default();
    if generation < *seen {
        let text = format!("{id} was set under {seen}, {generation} is stale");
        return Err(Error::new(ErrorKind::Fenced, "fenced", text));
    }
    *seen = generation;
    Ok(())
}

impl Router for FakeRouter {
    fn set<'a>(&'a self, service: &'a Service) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let passing = self.gate.enter("router.set", service.label.clone()).await?;
            passing.leave(self.put(service)).await
        })
    }

    fn remove<'a>(&'a self, id: &'a ServiceId, generation: Generation) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let passing = self.gate.enter("router.remove", id.to_string()).await?;
            let removed = {
                let mut state = self.state.lock().expect(POISONED);
                pass(&mut state, id, generation).map(|()| drop(state.table.remove(id)))
            };
            passing.leave(removed).await
        })
    }

    fn sync<'a>(&'a self, services: &'a [Service]) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let passing = self.gate.enter("router.sync", services.len().to_string()).await?;
            {
                let mut state = self.state.lock().expect(POISONED);
                state.table = services.iter().map(|service| (service.id.clone(), service.clone())).collect();
                state.lost = false;
            }
            self.check("router.sync");
            passing.leave(Ok(())).await
        })
    }

    fn drain<'a>(&'a self, deployment: &'a DeploymentId, bound: Duration) -> BoxFuture<'a, Result<u64, Error>> {
        Box::pin(async move {
            let passing = self.gate.enter("router.drain", deployment.to_string()).await?;
            let left = self.state.lock().expect(POISONED).in_flight.get(deployment).copied().unwrap_or(0);
            if left > 0 {
                tokio::time::sleep(bound).await;
            }
            passing.leave(Ok(left)).await
        })
    }

    fn verify<'a>(&'a self, key: &'a RouteKey, _: &'a str) -> BoxFuture<'a, Result<Verified, Error>> {
        Box::pin(async move {
            let passing = self.gate.enter("router.verify", key.to_string()).await?;
            passing.leave(self.ask(key)).await
        })
    }

    fn stats<'a>(&'a self, deployment: &'a DeploymentId) -> BoxFuture<'a, Result<DeploymentStats, Error>> {
        Box::pin(async move {
            let passing = self.gate.enter("router.stats", deployment.to_string()).await?;
            let stats = self.state.lock().expect(POISONED).stats.get(deployment).cloned().unwrap_or_default();
            passing.leave(Ok(stats)).await
        })
    }

    fn needs_sync(&self) -> BoxFuture<'_, bool> {
        // Not through the gate: it is asked by the clock, which would shift the numbers of all other calls.
        Box::pin(async move { self.state.lock().expect(POISONED).lost })
    }
}
