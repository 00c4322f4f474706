//! A platform in memory.

mod port;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use skipper_core::{
    Sha256,
    deployment::{Deployment, DeploymentId, Exit, Instance},
    generation::Generation,
    id::ReleaseId,
    name::AppName,
    port::{Capabilities, Clock as _, Error, ErrorKind, Foreign, HookJob, HookState, Launch},
    rollout::Instances,
    spec::Target,
    time::Timestamp,
};
use tokio::{sync::Notify, time::Instant};

use crate::{clock::TestClock, fault::Gate, fixture};

const POISONED: &str = "nothing panics while it holds this lock";

/// How the processes of an application behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behaviour {
    /// Healthy so long after launch; `None` for never.
    pub healthy_after: Option<Duration>,
    /// Exits with this status so long after launch.
    pub exits_after: Option<(Duration, i32)>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { healthy_after: Some(Duration::from_millis(30)), exits_after: None }
    }
}

/// How a hook behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookBehaviour {
    /// How long it runs.
    pub runs_for: Duration,
    /// What it exits with.
    pub code: i32,
}

impl Default for HookBehaviour {
    fn default() -> Self {
        Self { runs_for: Duration::from_millis(100), code: 0 }
    }
}

#[derive(Debug)]
struct Process {
    instance: Instance,
    born: Instant,
    behaviour: Behaviour,
    killed: Option<Exit>,
}

#[derive(Debug, Default)]
struct State {
    processes: BTreeMap<(DeploymentId, u32), Process>,
    fences: BTreeMap<DeploymentId, Generation>,
    folders: BTreeMap<DeploymentId, Generation>,
    behaviours: BTreeMap<String, Behaviour>,
    hooks: BTreeMap<String, (Timestamp, HookBehaviour)>,
    hook_behaviours: BTreeMap<String, HookBehaviour>,
    forgotten_hooks: bool,
    volumes: BTreeMap<String, DeploymentId>,
    /// Resources that cannot be had.
    lacking: BTreeSet<String>,
    /// By image and path.
    image_files: BTreeMap<(String, String), String>,
    foreign: Vec<Foreign>,
    foreign_pods_removed: Vec<String>,
    apps: BTreeMap<DeploymentId, (ReleaseId, AppName)>,
    next_port: u16,
    engine: Option<Target>,
    kept: BTreeSet<Sha256>,
    violations: Vec<String>,
}

/// A platform account in memory, whose processes behave as they are told.
#[derive(Debug, Clone)]
pub struct FakePlatform {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    clock: Arc<TestClock>,
    capabilities: Capabilities,
    gate: Gate,
    watcher: Watcher,
}

type Tell = Box<dyn Fn(bool) + Send + Sync>;

/// Who is told before and after instances are taken away.
#[derive(Clone, Default)]
struct Watcher(Arc<OnceLock<Tell>>);

impl Watcher {
    fn tell(&self, done: bool) {
        if let Some(tell) = self.0.get() {
            tell(done);
        }
    }
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

impl FakePlatform {
    /// An empty account that can do everything.
    #[must_use]
    pub fn new(clock: Arc<TestClock>) -> Self {
        let state = State { next_port: 10_000, ..State::default() };
        let capabilities = fixture::capable();
        Self {
            state: Arc::new(Mutex::new(state)),
            changed: Arc::default(),
            clock,
            capabilities,
            gate: Gate::open(),
            watcher: Watcher::default(),
        }
    }

    /// Another view, through another gate.
    #[must_use]
    pub fn through(&self, gate: Gate) -> Self {
        Self { gate, ..self.clone() }
    }

    /// Calls that from now on before (`false`) and after (`true`) instances are taken away.
    pub(crate) fn around_retire(&self, tell: impl Fn(bool) + Send + Sync + 'static) {
        let _ = self.watcher.0.set(Box::new(tell));
    }

    /// The same with other capabilities.
    #[must_use]
    pub fn capable_of(self, capabilities: Capabilities) -> Self {
        Self { capabilities, ..self }
    }

    /// How processes behave from now on whose application's `VERSION` is `version`.
    pub fn behave(&self, version: &str, behaviour: Behaviour) {
        self.state.lock().expect(POISONED).behaviours.insert(version.to_owned(), behaviour);
    }

    /// From now on that resource cannot be fetched.
    pub fn lack(&self, uri: &str) {
        self.state.lock().expect(POISONED).lacking.insert(uri.to_owned());
    }

    /// Puts a file into an image, by the URI of its resource.
    pub fn image_file(&self, image: &str, path: &str, text: &str) {
        let mut state = self.state.lock().expect(POISONED);
        state.image_files.insert((image.to_owned(), path.to_owned()), text.to_owned());
    }

    /// Puts something there that another program started.
    pub fn add_foreign(&self, id: &str, labels: &[(&str, &str)]) {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let one = Foreign { id: id.to_owned(), name: id.to_owned(), labels, running: true };
        self.state.lock().expect(POISONED).foreign.push(one);
    }

    /// What another program started and is still there.
    #[must_use]
    pub fn foreign_ids(&self) -> Vec<String> {
        self.state.lock().expect(POISONED).foreign.iter().map(|one| one.id.clone()).collect()
    }

    pub(super) fn set_foreign(&self, id: &str, name: &str, running: bool) {
        for one in self.state.lock().expect(POISONED).foreign.iter_mut().filter(|one| one.id == id) {
            (one.name, one.running) = (name.to_owned(), running);
        }
    }

    /// Names of those that run.
    #[must_use]
    pub fn foreign_running(&self) -> Vec<String> {
        let state = self.state.lock().expect(POISONED);
        state.foreign.iter().filter(|one| one.running).map(|one| one.name.clone()).collect()
    }

    /// Pods of another program that were removed.
    #[must_use]
    pub fn foreign_pods_removed(&self) -> Vec<String> {
        self.state.lock().expect(POISONED).foreign_pods_removed.clone()
    }

    /// How hooks behave whose command starts with that word.
    pub fn hook(&self, command: &str, behaviour: HookBehaviour) {
        self.state.lock().expect(POISONED).hook_behaviours.insert(command.to_owned(), behaviour);
    }

    /// From now on nothing can be told of hooks that were started.
    pub fn forget_hooks(&self) {
        self.state.lock().expect(POISONED).forgotten_hooks = true;
    }

    /// Ends a process from outside.
    pub fn kill(&self, deployment: &DeploymentId, index: u32) {
        let at = self.clock.now();
        if let Some(process) = self.state.lock().expect(POISONED).processes.get_mut(&(deployment.clone(), index)) {
            process.killed = Some(Exit { code: None, signal: Some(9), out_of_memory: false, at });
        }
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    /// From now on images are given to the account of that target.
    pub fn give_images_to(&self, engine: Target) {
        self.state.lock().expect(POISONED).engine = Some(engine);
    }

    /// From now on nothing that runs is well.
    pub fn sicken(&self) {
        let mut state = self.state.lock().expect(POISONED);
        state.processes.values_mut().for_each(|process| process.behaviour.healthy_after = None);
    }

    /// From now on all that runs is well.
    pub fn heal(&self) {
        let mut state = self.state.lock().expect(POISONED);
        state.processes.values_mut().for_each(|process| process.behaviour.healthy_after = Some(Duration::ZERO));
    }

    /// Puts something there that no store knows.
    pub fn plant(&self, deployment: &Deployment, index: u32) {
        let mut state = self.state.lock().expect(POISONED);
        self.start(&mut state, deployment, index, Generation::default());
    }

    /// What is there: deployments with the indices of the instances that run.
    #[must_use]
    pub fn running(&self) -> BTreeMap<DeploymentId, Vec<u32>> {
        let state = self.state.lock().expect(POISONED);
        let mut running: BTreeMap<DeploymentId, Vec<u32>> =
            state.folders.keys().map(|id| (id.clone(), Vec::new())).collect();
        for ((id, index), process) in &state.processes {
            if process.exit().is_none() {
                running.entry(id.clone()).or_default().push(*index);
            }
        }
        running
    }

    /// Digests of what is kept for revisions.
    #[must_use]
    pub fn kept_digests(&self) -> BTreeSet<Sha256> {
        self.state.lock().expect(POISONED).kept.clone()
    }

    /// What broke a promise so far.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.state.lock().expect(POISONED).violations.clone()
    }

    /// Whether an instance of the deployment has that address, running or ended by itself.
    pub(crate) fn is_there(&self, deployment: &DeploymentId, address: SocketAddr) -> bool {
        let state = self.state.lock().expect(POISONED);
        let mut own = state.processes.iter().filter(|((id, _), _)| id == deployment);
        own.any(|(_, process)| process.instance.addresses.values().any(|known| *known == address))
    }

    /// Whether a healthy instance of the deployment answers at that address.
    pub(crate) fn serves(&self, deployment: &DeploymentId, address: SocketAddr) -> bool {
        let state = self.state.lock().expect(POISONED);
        let mut own = state.processes.iter().filter(|((id, _), _)| id == deployment);
        own.any(|(_, process)| process.instance.addresses.values().any(|known| *known == address) && process.healthy())
    }

    fn start(&self, state: &mut State, deployment: &Deployment, index: u32, generation: Generation) -> Instance {
        let version = deployment.app.env.get("VERSION").cloned().unwrap_or_default();
        let behaviour = state.behaviours.get(&version).copied().unwrap_or_default();
        let mut addresses = BTreeMap::new();
        for port in &deployment.app.ports {
            addresses.insert(port.name.to_string(), SocketAddr::from(([127, 0, 0, 1], state.next_port)));
            state.next_port += 1;
        }
        let handle = format!("pid {}", state.next_port);
        let instance = Instance {
            index,
            addresses,
            handle,
            started_at: self.clock.now(),
            restarts: 0,
            attributes: BTreeMap::new(),
        };
        let process = Process { instance: instance.clone(), born: Instant::now(), behaviour, killed: None };
        state.processes.insert((deployment.id.clone(), index), process);
        state.folders.insert(deployment.id.clone(), generation);
        instance
    }

    fn claim_volumes(&self, state: &mut State, deployment: &Deployment) {
        for volume in deployment.app.volumes.iter().filter(|volume| !volume.read_only) {
            let name = format!("{}/{}", deployment.release, volume.name);
            let owner = state.volumes.insert(name.clone(), deployment.id.clone());
            let Some(other) = owner.filter(|owner| *owner != deployment.id) else { continue };
            let mut of_other = state.processes.iter().filter(|((id, _), _)| *id == other);
            if of_other.any(|(_, process)| process.exit().is_none()) {
                let text = format!("{} was launched while {other} had volume {name} mounted", deployment.id);
                state.violations.push(text);
            }
        }
    }

    fn do_launch(&self, launch: &Launch<'_>) -> Result<Vec<Instance>, Error> {
        let mut state = self.state.lock().expect(POISONED);
        pass(&mut state, &launch.deployment.id, launch.generation)?;
        self.claim_volumes(&mut state, launch.deployment);
        state.kept.extend(launch.deployment.app.digests());
        let id = &launch.deployment.id;
        state.folders.insert(id.clone(), launch.generation);
        state.apps.insert(id.clone(), (launch.deployment.release, launch.deployment.app.name.clone()));
        if self.capabilities.converges {
            // Whatever else there is of the application has been turned into this one.
            let own = (launch.deployment.release, launch.deployment.app.name.clone());
            let State { apps, processes, folders, .. } = &mut *state;
            let other = |known: &DeploymentId| known != id && apps.get(known) == Some(&own);
            processes
                .retain(|(known, index), _| !other(known) && (known != id || launch.instances.range().contains(index)));
            folders.retain(|known, _| !other(known));
        }
        let indices = launch.instances.range();
        Ok(indices
            .map(|index| match state.processes.get(&(id.clone(), index)) {
                Some(process) if process.exit().is_none() => process.instance.clone(),
                _ => self.start(&mut state, launch.deployment, index, launch.generation),
            })
            .collect())
    }

    fn do_retire(&self, id: &DeploymentId, instances: Instances, last: bool, by: Generation) -> Result<(), Error> {
        self.watcher.tell(false);
        let mut state = self.state.lock().expect(POISONED);
        pass(&mut state, id, by)?;
        state.processes.retain(|(known, index), _| known != id || !(last || instances.range().contains(index)));
        if last {
            state.folders.remove(id);
        }
        drop(state);
        self.watcher.tell(true);
        Ok(())
    }

    fn hook_now(&self, id: &str) -> HookState {
        let state = self.state.lock().expect(POISONED);
        let Some((started, behaviour)) = state.hooks.get(id) else { return HookState::Absent };
        if state.forgotten_hooks {
            return HookState::Unknown;
        }
        if self.clock.now().since(*started) < behaviour.runs_for {
            return HookState::Running;
        }
        HookState::Ended { code: Some(behaviour.code), output: format!("hook {id} ends\n") }
    }

    fn do_hook(&self, job: &HookJob<'_>) -> HookState {
        let mut state = self.state.lock().expect(POISONED);
        let word = job.hook.command.first().cloned().unwrap_or_default();
        let behaviour = state.hook_behaviours.get(&word).copied().unwrap_or_default();
        let now = self.clock.now();
        state.hooks.entry(job.id.to_owned()).or_insert((now, behaviour));
        drop(state);
        self.hook_now(job.id)
    }

    /// How often each hook was started, by command word: never more than once for one id, which is all that is kept.
    #[must_use]
    pub fn hooks_started(&self) -> usize {
        self.state.lock().expect(POISONED).hooks.len()
    }
}

impl Process {
    /// A process does not know of the clock on the wall.
    fn exit(&self) -> Option<Exit> {
        let by_itself = self.behaviour.exits_after.and_then(|(after, code)| {
            let at = self.instance.started_at + after;
            (self.born.elapsed() >= after).then_some(Exit { code: Some(code), signal: None, out_of_memory: false, at })
        });
        self.killed.clone().or(by_itself)
    }

    fn healthy(&self) -> bool {
        self.behaviour.healthy_after.is_some_and(|after| self.born.elapsed() >= after) && self.exit().is_none()
    }
}

fn pass(state: &mut State, id: &DeploymentId, generation: Generation) -> Result<(), Error> {
    let seen = state.fences.entry(id.clone()).or_default();
    if generation < *seen {
        let text = format!("{id} was acted upon under {seen}, {generation} is stale");
        return Err(Error::new(ErrorKind::Fenced, "fenced", text));
    }
    *seen = generation;
    Ok(())
}
