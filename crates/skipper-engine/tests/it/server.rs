//! A server that runs the engine in a [`World`], and waiting for things to come true there.

use std::{sync::Arc, time::Duration};

use skipper_core::{
    id::{ReleaseId, RolloutId},
    name::PlatformName,
    rollout::{Phase, Verb},
    spec::{Spec, Target},
};
use skipper_engine::{Engine, EngineConfig, EngineHandle, Platforms, Routers, Tuning};
use testkit::{Gate, World, fixture};
use tokio::time::{Instant, sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Simulated time after which something that has not come true never will.
const PATIENCE: Duration = Duration::from_secs(3 * 3600);

/// Nodes that there are in every world: the same platform under other names.
const NODES: usize = 6;

/// The target of a node.
pub(crate) fn node(number: usize) -> Target {
    Target(PlatformName::new(format!("node:n{number}")).expect("a name"))
}

pub(crate) struct Server {
    pub(crate) handle: EngineHandle,
    pub(crate) gate: Gate,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    pub(crate) fn start(world: &World) -> Self {
        Self::tuned(world, Tuning::default())
    }

    pub(crate) fn tuned(world: &World, tuning: Tuning) -> Self {
        Self::named(world, "server", tuning)
    }

    pub(crate) fn named(world: &World, owner: &str, tuning: Tuning) -> Self {
        let ports = world.server();
        let engine = Engine::new(EngineConfig {
            store: ports.store,
            platforms: (0..NODES)
                .fold(Platforms::default(), |all, number| all.with(node(number), Arc::clone(&ports.platform)))
                .with(fixture::target(), ports.platform),
            routers: Routers::new(ports.router),
            resolver: ports.resolver,
            clock: ports.clock,
            ids: ports.ids,
            owner: owner.to_owned(),
            tuning,
        });
        let (handle, stop, tasks) = (engine.handle(), CancellationToken::new(), TaskTracker::new());
        let stopped = stop.clone();
        tasks.spawn(async move { engine.run(stopped).await });
        Self { handle, gate: ports.gate, stop, tasks }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A world with a server in it. When a fault kills the server, another one is started.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) server: Server,
    /// Of this server and of those that come after it.
    pub(crate) tuning: Tuning,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::on(World::default())
    }

    pub(crate) fn on(world: World) -> Self {
        Self::tuned(world, Tuning::default())
    }

    pub(crate) fn tuned(world: World, tuning: Tuning) -> Self {
        let server = Server::tuned(&world, tuning.clone());
        Self { world, server, tuning }
    }

    /// Asks and waits for the end.
    pub(crate) async fn rollout(&mut self, verb: Verb, spec: Spec) -> (RolloutId, Phase) {
        let (_, rollout) = self.world.ask(verb, spec);
        (rollout, self.end_of(rollout).await)
    }

    /// A release `shop` that serves.
    pub(crate) async fn serving(spec: Spec) -> Self {
        let mut stage = Self::new();
        stage.install(spec).await;
        stage
    }

    pub(crate) async fn install(&mut self, spec: Spec) -> ReleaseId {
        let (release, rollout) = self.world.ask(Verb::Install, spec);
        let phase = self.end_of(rollout).await;
        assert_eq!(phase, Phase::Succeeded, "the install is only the beginning of this test");
        self.world.router.strict(true);
        release
    }

    pub(crate) async fn end_of(&mut self, rollout: RolloutId) -> Phase {
        self.server.handle.wake();
        self.until("the rollout ends", |stage| stage.world.phase(rollout).is_final()).await;
        self.world.phase(rollout)
    }

    /// Until store, platform and router tell the same story.
    pub(crate) async fn settled(&mut self) {
        self.until("everything is settled", |stage| stage.world.disagreements().is_empty()).await;
    }

    pub(crate) async fn until(&mut self, what: &str, mut came_true: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !came_true(self) {
            if self.server.gate.is_dead() {
                self.server = Server::tuned(&self.world, self.tuning.clone());
            }
            if begun.elapsed() > PATIENCE {
                let calls = self.world.script.calls();
                let last: Vec<_> = calls.iter().rev().take(20).rev().collect();
                panic!(
                    "waited in vain until {what}\ndisagreements: {:#?}\nlive: {:#?}\nlast calls: {last:#?}",
                    self.world.disagreements(),
                    self.world.serving(),
                );
            }
            sleep(Duration::from_millis(20).max(begun.elapsed() / 100)).await;
        }
    }
}
