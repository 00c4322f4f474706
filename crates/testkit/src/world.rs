use std::sync::Arc;

use skipper_core::{
    deployment::Live,
    id::{ReleaseId, RolloutId},
    port::{Clock, Ids, Platform, Resolver, RolloutStore, Router},
    rollout::{Phase, Verb},
    spec::Spec,
};

use crate::{
    clock::TestClock,
    fault::{Gate, Script},
    fixture,
    ids::SeededIds,
    platform::FakePlatform,
    resolver::FakeResolver,
    router::FakeRouter,
    store::{Intent, MemoryStore},
};

/// Everything outside a server: it goes on when one dies.
#[derive(Debug, Clone)]
pub struct World {
    /// The time.
    pub clock: Arc<TestClock>,
    /// The source of ids.
    pub ids: Arc<SeededIds>,
    /// The store, without faults.
    pub store: MemoryStore,
    /// The platform account `local`, without faults.
    pub platform: FakePlatform,
    /// The edge, without faults.
    pub router: FakeRouter,
    /// The resolver, without faults.
    pub resolver: FakeResolver,
    /// Which calls of the servers break.
    pub script: Script,
}

/// The ports of one server.
#[derive(Debug, Clone)]
pub struct Ports {
    /// What kills it.
    pub gate: Gate,
    /// Its store.
    pub store: Arc<dyn RolloutStore>,
    /// Its only platform account, [`fixture::target`].
    pub platform: Arc<dyn Platform>,
    /// Its edge.
    pub router: Arc<dyn Router>,
    /// Its resolver.
    pub resolver: Arc<dyn Resolver>,
    /// Its clock.
    pub clock: Arc<dyn Clock>,
    /// Its ids.
    pub ids: Arc<dyn Ids>,
}

impl Default for World {
    fn default() -> Self {
        let clock = Arc::new(TestClock::default());
        let platform = FakePlatform::new(Arc::clone(&clock));
        Self::on(clock, platform)
    }
}

impl World {
    /// A world whose platform cannot do everything, or does it by itself.
    #[must_use]
    pub fn on(clock: Arc<TestClock>, platform: FakePlatform) -> Self {
        let ids = Arc::new(SeededIds::default());
        let store = MemoryStore::new(Arc::clone(&clock), Arc::clone(&ids));
        let router = FakeRouter::new(platform.clone());
        let watching = router.clone();
        platform.around_retire(move |done| watching.around_retire(done));
        let script = Script::default();
        store.obey(&script);
        Self { clock, ids, store, platform, router, resolver: FakeResolver::default(), script }
    }

    /// The ports of a new server, through a gate of its own.
    #[must_use]
    pub fn server(&self) -> Ports {
        let gate = self.script.new_server();
        Ports {
            store: Arc::new(self.store.through(gate.clone())),
            platform: Arc::new(self.platform.through(gate.clone())),
            router: Arc::new(self.router.through(gate.clone())),
            resolver: Arc::new(self.resolver.through(gate.clone())),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            ids: Arc::clone(&self.ids) as Arc<dyn Ids>,
            gate,
        }
    }

    /// Somebody asks the release `shop` to reach a spec.
    ///
    /// # Panics
    ///
    /// When one rollout is open and another waits.
    pub fn ask(&self, verb: Verb, spec: Spec) -> (ReleaseId, RolloutId) {
        self.intend(Intent::new(verb, spec))
    }

    /// Somebody asks the release `shop` for something.
    ///
    /// # Panics
    ///
    /// As [`World::ask`].
    pub fn intend(&self, intent: Intent) -> (ReleaseId, RolloutId) {
        self.store.accept(&fixture::release("shop"), intent).expect("the release is not busy")
    }

    /// Where a rollout stands.
    #[must_use]
    pub fn phase(&self, rollout: RolloutId) -> Phase {
        self.store.rollout(rollout).phase
    }

    /// What serves, by application: revision and weight of everything with a weight.
    #[must_use]
    pub fn serving(&self) -> Vec<(String, u64, u8)> {
        let mut serving: Vec<_> = self
            .store
            .all_live()
            .into_iter()
            .filter(|live: &Live| live.weight > 0)
            .map(|live| (live.deployment.app.name.to_string(), live.deployment.revision, live.weight))
            .collect();
        serving.sort();
        serving
    }

    /// Everything that broke a promise: of the router, the platform, and where store and world differ.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let mut violations = self.router.violations();
        violations.extend(self.platform.violations());
        violations
    }

    /// Where the store, the platform and the router tell different stories, once everything is settled.
    #[must_use]
    pub fn disagreements(&self) -> Vec<String> {
        let mut all = Vec::new();
        let running = self.platform.running();
        let live = self.store.all_live();
        for (id, instances) in &running {
            match live.iter().find(|live| live.deployment.id == *id) {
                None => all.push(format!("{id} runs and nobody knows it")),
                Some(live) if live.instances != *instances => {
                    all.push(format!("{id} runs {instances:?} and should run {:?}", live.instances));
                }
                Some(_) => {}
            }
        }
        for live in &live {
            let id = &live.deployment.id;
            if live.weight == 0 {
                all.push(format!("{id} is left over"));
            }
            if !live.instances.is_empty() && !running.contains_key(id) {
                all.push(format!("{id} should run and does not"));
            }
            for index in &live.instances {
                if !live.addresses.contains_key(index) {
                    all.push(format!("{id} [{index}] has no address"));
                }
            }
        }
        let table = self.router.table();
        for live in live.iter().filter(|live| live.weight > 0 && live.deployment.app.is_routed()) {
            let deployment = &live.deployment;
            let service =
                table.values().find(|s| s.id.release == deployment.release && s.id.app == deployment.app.name);
            let backend = service.and_then(|s| s.backends.iter().find(|b| b.deployment == deployment.id));
            match (service, backend) {
                (None, _) => all.push(format!("{} is not routed", deployment.id)),
                (Some(_), None) => all.push(format!("{} is not in its service", deployment.id)),
                (Some(service), Some(backend)) => {
                    if service.mode != skipper_core::route::Mode::Open {
                        all.push(format!("{} is not open", service.label));
                    }
                    let reached = backend.addresses.values().map(Vec::len).max().unwrap_or(0);
                    if backend.weight != live.weight || reached != live.instances.len() {
                        all.push(format!("{} has {} % at {reached} addresses", deployment.id, backend.weight));
                    }
                }
            }
        }
        for service in table.values() {
            if !live.iter().any(|l| l.weight > 0 && l.deployment.app.name == service.id.app) {
                all.push(format!("{} is routed and nothing of it is live", service.label));
            }
        }
        all
    }
}
