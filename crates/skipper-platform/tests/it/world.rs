//! A data directory of its own, a platform on it, and a look at the host's processes.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use skipper_core::{
    deployment::{Deployment, DeploymentId, Instance, Observed},
    generation::Generation,
    id::ReleaseId,
    name::{AppName, PlatformName, PortName, ReleaseName, TenantName},
    port::{Clock, Error, Launch, Platform},
    rollout::plan::Instances,
    secret::{SecretValues, SecretVersions},
    spec::{Application, Check, Health, Limits, Port, Resource, StopPolicy, Strategy, Target},
    time::{Millis, Timestamp},
};
use skipper_platform::{
    artifact::{Cache, FetchLimits},
    local::{DeployerSettings, KeeperCommand, LocalConfig, LocalPlatform, LogBounds, PortPool, base_env},
};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::remote::{Side, far};

pub(crate) const FIXTURE: &str = env!("CARGO_BIN_EXE_skipper-platform-fixture");
pub(crate) const NOBODY: [i32; 0] = [];
/// Long enough for a machine under load; nothing waits that long when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct RealClock;

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "real processes, real time")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
        Timestamp::from_micros(i64::try_from(since.as_micros()).expect("it is before 294000"))
    }
}

pub(crate) struct World {
    pub dir: tempfile::TempDir,
    /// What is tested: it, or what it is from afar.
    pub platform: Arc<dyn Platform>,
    pub own: Arc<LocalPlatform>,
    pub ports: Arc<PortPool>,
    pub logs: LogBounds,
    pub fetch: FetchLimits,
    pub base_env: BTreeMap<String, String>,
    pub deployer: DeployerSettings,
    /// Where images go, from the next restart on.
    pub engine: Option<Target>,
    /// Keepers are started as `nohup` and `&` start a program, from the next restart on.
    pub is_in_background: bool,
}

/// Each test a range of ports, so that tests running side by side do not meet.
fn own_ports() -> Arc<PortPool> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let block = u16::try_from(NEXT.fetch_add(1, Ordering::Relaxed)).expect("there are not that many tests");
    let from = 22_000 + block * 70 % 7_000;
    Arc::new(PortPool::new(from..=from + 69))
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(LogBounds::default(), FetchLimits::default())
    }

    pub(crate) fn with(logs: LogBounds, fetch: FetchLimits) -> Self {
        Self::open(logs, fetch, DeployerSettings::default())
    }

    pub(crate) fn deploying(deployer: DeployerSettings) -> Self {
        Self::open(LogBounds::default(), FetchLimits::default(), deployer)
    }

    fn open(logs: LogBounds, fetch: FetchLimits, deployer: DeployerSettings) -> Self {
        let dir = tempfile::tempdir().expect("temp dirs can be made");
        let ports = own_ports();
        let base_env = base_env();
        let own = open(dir.path(), &ports, logs, &fetch, &base_env, &deployer, (None, false));
        let platform = seen(&own);
        Self { dir, platform, own, ports, logs, fetch, base_env, deployer, engine: None, is_in_background: false }
    }

    /// As a server that was killed and started anew: nothing in memory stays.
    pub(crate) fn restart(&mut self) {
        self.ports = own_ports();
        let another = self.another();
        let before = std::mem::replace(&mut self.own, another);
        self.platform = seen(&self.own);
        before.close();
    }

    /// A second server on the same folder.
    pub(crate) fn another(&self) -> Arc<LocalPlatform> {
        let way = (self.engine.clone(), self.is_in_background);
        open(self.dir.path(), &self.ports, self.logs, &self.fetch, &self.base_env, &self.deployer, way)
    }

    pub(crate) fn folder(&self, deployment: &Deployment, index: u32) -> PathBuf {
        self.dir.path().join("local/here").join(deployment.id.as_str()).join(index.to_string())
    }

    pub(crate) async fn launch(&self, deployment: &Deployment, count: u32) -> Result<Vec<Instance>, Error> {
        launch_on(self.platform.as_ref(), deployment, count, generation(1)).await
    }

    pub(crate) async fn start(&self, deployment: &Deployment) -> Instance {
        let mut all = self.launch(deployment, 1).await.unwrap_or_else(|error| panic!("launch: {}", error.chain()));
        all.remove(0)
    }

    pub(crate) async fn observe(&self, deployment: &Deployment) -> Observed {
        let seen = self.platform.observe(deployment, Instances::first(1), PATIENCE).await.expect("it can be observed");
        seen.into_iter().next().expect("one was asked for")
    }

    pub(crate) async fn retire(&self, deployment: &Deployment) -> Result<(), Error> {
        let all = Instances::first(deployment.app.replicas.max(1));
        self.platform.retire(deployment, all, true, generation(1), PATIENCE).await
    }

    /// Waits until the first instance has ended.
    pub(crate) async fn ended(&self, deployment: &Deployment) -> skipper_core::deployment::Exit {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            match self.observe(deployment).await {
                Observed::Exited { exit, .. } => return exit,
                _ => {
                    let _ = tokio::time::timeout(Duration::from_millis(200), self.platform.changed()).await;
                }
            }
        }
        panic!("the instance did not end")
    }

    /// What the keeper recorded, as a document.
    pub(crate) fn state(&self, deployment: &Deployment) -> serde_json::Value {
        let bytes = fs::read(self.folder(deployment, 0).join("state.json")).expect("there is a record");
        serde_json::from_slice(&bytes).expect("it is JSON")
    }

    pub(crate) fn keeper_pid(&self, deployment: &Deployment) -> i32 {
        number(&self.state(deployment)["keeper"]["pid"])
    }

    pub(crate) fn app_pid(&self, deployment: &Deployment) -> i32 {
        number(&self.state(deployment)["app"]["pid"])
    }
}

impl Drop for World {
    /// Whatever a failing test left.
    fn drop(&mut self) {
        let here = self.dir.path().display().to_string();
        for _ in 0..3 {
            for pid in pids_where(|pid| mentions(pid, &here)) {
                kill(pid, "KILL");
            }
        }
    }
}

fn open(
    dir: &Path,
    ports: &Arc<PortPool>,
    logs: LogBounds,
    fetch: &FetchLimits,
    base_env: &BTreeMap<String, String>,
    deployer: &DeployerSettings,
    (engine, is_in_background): (Option<Target>, bool),
) -> Arc<LocalPlatform> {
    let artifacts = Arc::new(Cache::new(dir.join("artifacts"), fetch.clone()).expect("the folder can be made"));
    let mut keeper = KeeperCommand { program: FIXTURE.into(), args: vec!["keeper".into()] };
    if is_in_background {
        let script = format!("trap '' HUP INT QUIT USR1; exec {FIXTURE} keeper \"$@\"");
        keeper = KeeperCommand { program: "/bin/sh".into(), args: vec!["-c".into(), script.into(), "sh".into()] };
    }
    let config = LocalConfig {
        account: PlatformName::new("here").expect("it is valid"),
        root: dir.join("local/here"),
        volumes: dir.join("volumes"),
        artifacts,
        keeper,
        builtins: BTreeMap::from([("sample".to_owned(), vec![FIXTURE.into(), "sample".into()])]),
        ports: Arc::clone(ports),
        clock: Arc::new(RealClock),
        base_env: base_env.clone(),
        deployer: deployer.clone(),
        engine,
        logs,
        tasks: TaskTracker::new(),
    };
    Arc::new(LocalPlatform::new(config).expect("the folder can be made"))
}

/// From the side of the test that runs.
fn seen(own: &Arc<LocalPlatform>) -> Arc<dyn Platform> {
    let own: Arc<dyn Platform> = Arc::clone(own) as _;
    match Side::now() {
        Side::Here => own,
        Side::Far => far(own),
    }
}

pub(crate) async fn launch_on(
    platform: &dyn Platform,
    deployment: &Deployment,
    count: u32,
    generation: Generation,
) -> Result<Vec<Instance>, Error> {
    let secrets = SecretValues::new();
    let launch = Launch { deployment, instances: Instances::first(count), secrets: &secrets, generation };
    platform.launch(launch, PATIENCE).await
}

pub(crate) fn generation(counter: u64) -> Generation {
    Generation { epoch: 1, counter }
}

/// A deployment of that command; every one has an id of its own.
pub(crate) fn deployment(command: &[&str]) -> Deployment {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let unique = u128::from(NEXT.fetch_add(1, Ordering::Relaxed)) + (u128::from(std::process::id()) << 64);
    let release = ReleaseId::from_uuid(Uuid::from_u128(unique));
    let release_name = ReleaseName::new("shop").expect("it is valid");
    let name = AppName::new("web").expect("it is valid");
    let app = Application {
        name: name.clone(),
        target: Target(PlatformName::new("here").expect("it is valid")),
        resource: Resource { uri: "builtin:sample".to_owned(), sha256: None },
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        args: Vec::new(),
        env: BTreeMap::new(),
        secrets: Vec::new(),
        ports: Vec::new(),
        health: Health::with_defaults(Check::Running),
        routes: Vec::new(),
        strategy: Strategy::BlueGreen { bake: Millis(0) },
        replicas: 1,
        limits: Limits::default(),
        volumes: Vec::new(),
        hooks: Default::default(),
        depends_on: Vec::new(),
        stop: StopPolicy { grace: Millis::secs(5), ..StopPolicy::default() },
        bounds: Default::default(),
        working_dir: None,
        platform_options: BTreeMap::new(),
        images: BTreeMap::new(),
        deployer: None,
        relaunched: None,
    };
    Deployment {
        id: DeploymentId::derive(release, &release_name, &name, 1),
        release,
        release_name,
        tenant: TenantName::default_tenant(),
        revision: 1,
        app,
        secrets: SecretVersions::default(),
    }
}

/// A deployment of a shell script.
pub(crate) fn script(text: &str) -> Deployment {
    deployment(&["sh", "-c", text])
}

pub(crate) fn port(name: &str) -> Port {
    let name = PortName::new(name).expect("it is valid");
    Port { name, env: None, fixed: None, direct: false, container: None }
}

/// Waits for a condition.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn write_program(path: &Path, text: &str) {
    fs::write(path, text).expect("it is ours");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

/// Living processes of a deployment, in whatever session.
pub(crate) fn processes_of(deployment: &Deployment) -> Vec<i32> {
    let entry = format!("SKIPPER_DEPLOYMENT={}", deployment.id);
    pids_where(|pid| {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|env| env.split(|b| *b == 0).any(|e| e == entry.as_bytes()))
    })
}

/// Keepers of a deployment.
pub(crate) fn keepers_of(deployment: &Deployment) -> Vec<i32> {
    pids_where(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(" keeper ") && line.contains(deployment.id.as_str())
    })
}

fn mentions(pid: i32, text: &str) -> bool {
    ["environ", "cmdline"].iter().any(|file| {
        fs::read(format!("/proc/{pid}/{file}")).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text))
    })
}

fn pids_where(fits: impl Fn(i32) -> bool) -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("proc is there");
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| is_alive(*pid) && fits(*pid)).collect()
}

/// Neither gone nor a zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !matches!(stat.rsplit_once(") ").map_or("X", |(_, rest)| &rest[..1]), "Z" | "X"))
}

pub(crate) fn kill(pid: i32, signal: &str) {
    let _ = std::process::Command::new("kill")
        .args(["-s", signal, &pid.to_string()])
        .stderr(std::process::Stdio::null())
        .status();
}

pub(crate) fn number(value: &serde_json::Value) -> i32 {
    value.as_i64().and_then(|number| i32::try_from(number).ok()).expect("it is a pid")
}
