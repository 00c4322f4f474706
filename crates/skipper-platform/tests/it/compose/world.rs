//! A base folder of its own, a driver on it, and each compose that is here.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use serde_json::{Value, json};
use skipper_core::{
    compose::Policy,
    fleet::Outcome,
    generation::Generation,
    name::PlatformName,
    port::Error,
    secret::{SecretValue, SecretValues},
};
use skipper_platform::{
    compose::{ComposeConfig, Container, Driver, Report, Wanted},
    container::{EngineKind, Pull},
};
use skipper_source::{
    tenant::{self, Project, Surroundings},
    yaml::{Input, read_one},
};
use tokio_util::task::TaskTracker;

use crate::{
    container::world::{host, prepare_image},
    world::{PATIENCE, RealClock, generation},
};

/// An image with a shell, here and nowhere else.
pub(crate) const IMAGE: &str = "skipper-it:1";

/// A compose that is here.
pub(crate) struct Tool {
    pub words: Vec<String>,
    /// Where Docker's client finds it as a plugin.
    pub config: Option<tempfile::TempDir>,
}

/// The first generation as Debian has it, and the second one as a plugin: that of `SKIPPER_TEST_COMPOSE`, or one that is installed.
fn tools() -> Vec<Tool> {
    let answers = |program: &str, words: &[&str]| {
        let told = Command::new(program).args(words).stderr(Stdio::null()).output();
        told.ok()
            .filter(|told| told.status.success())
            .map(|told| String::from_utf8_lossy(&told.stdout).trim().to_owned())
    };
    let mut tools = Vec::new();
    if answers("docker-compose", &["version", "--short"]).is_some_and(|version| version.starts_with("1.")) {
        tools.push(Tool { words: vec!["docker-compose".to_owned()], config: None });
    } else {
        eprintln!("skipped: compose 1.x is not here");
    }
    let words = vec!["docker".to_owned(), "compose".to_owned()];
    if let Some(plugin) = std::env::var_os("SKIPPER_TEST_COMPOSE").map(PathBuf::from) {
        let config = tempfile::tempdir().expect("temp dirs can be made");
        let plugins = config.path().join("cli-plugins");
        std::fs::create_dir(&plugins).expect("it is ours");
        std::os::unix::fs::symlink(plugin, plugins.join("docker-compose")).expect("it is ours");
        tools.push(Tool { words, config: Some(config) });
    } else if answers("docker", &["compose", "version"]).is_some() {
        tools.push(Tool { words, config: None });
    } else {
        eprintln!("skipped: compose 2.x is not here (SKIPPER_TEST_COMPOSE names it)");
    }
    tools
}

/// Runs the test with every compose that is here, one after the other.
pub(crate) async fn each<F: Future<Output = ()>>(name: &str, test: impl Fn(World) -> F) {
    let Some(host) = host(EngineKind::Docker) else { return };
    prepare_image(EngineKind::Docker, &host).await;
    for tool in tools() {
        eprintln!("== {name} with {}", tool.words.join(" "));
        // Boxed: what a test needs is large.
        Box::pin(test(World::new(name, &host, tool))).await;
    }
}

pub(crate) struct World {
    pub dir: tempfile::TempDir,
    pub tool: Tool,
    pub host: String,
    pub tenant: String,
    pub driver: Driver,
}

impl World {
    fn new(name: &str, host: &str, tool: Tool) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let tenant = format!("it-{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = tempfile::tempdir().expect("temp dirs can be made");
        let driver = Driver::new(config(dir.path(), host, &tool));
        Self { dir, tool, host: host.to_owned(), tenant, driver }
    }

    /// As the driver has it, to be changed.
    pub(crate) fn config(&self) -> ComposeConfig {
        config(self.dir.path(), &self.host, &self.tool)
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.path().join(&self.tenant)
    }

    pub(crate) fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder().join(name)).unwrap_or_default()
    }

    /// The tenant's project of these services.
    pub(crate) fn project(&self, services: &Value) -> Project {
        let text = json!({"kind": "tenant", "id": self.tenant, "spec": {"services": services}}).to_string();
        let read = tenant::tenant("t", text.as_bytes()).unwrap_or_else(|faults| panic!("{faults}"));
        let mut all = tenant::projects(&read.resource, &[], &Surroundings::usual()).expect("projects");
        all.remove(0)
    }

    pub(crate) fn wanted(&self, services: &Value, secrets: &[(&str, &str)], counter: u64) -> Wanted {
        let project = self.project(services);
        let secrets: SecretValues = secrets
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), SecretValue::new((*value).to_owned())))
            .collect();
        Wanted {
            folder: self.tenant.clone(),
            project: project.name.clone(),
            files: project.content.filled(&secrets).expect("all secrets are there"),
            services: project.content.services,
            secrets,
            generation: generation(counter),
            owner: None,
        }
    }

    /// A project of that text.
    pub(crate) fn written(&self, text: &str, counter: u64) -> Wanted {
        Wanted {
            folder: self.tenant.clone(),
            project: self.tenant.clone(),
            files: BTreeMap::from([("docker-compose.yml".to_owned(), text.to_owned())]),
            services: BTreeMap::new(),
            secrets: SecretValues::new(),
            generation: generation(counter),
            owner: None,
        }
    }

    pub(crate) async fn try_apply(&self, wanted: Wanted) -> Result<Report, Error> {
        self.driver.apply(wanted, 4 * PATIENCE).await
    }

    pub(crate) async fn apply(&self, wanted: Wanted) -> Report {
        self.try_apply(wanted).await.unwrap_or_else(|error| panic!("apply: {}", error.chain()))
    }

    pub(crate) async fn good(&self, services: &Value, counter: u64) -> Report {
        let report = self.apply(self.wanted(services, &[], counter)).await;
        assert_eq!(report.status, Outcome::Succeeded, "{report:#?}");
        report
    }

    pub(crate) async fn bad(&self, services: &Value, counter: u64) -> Report {
        let report = self.apply(self.wanted(services, &[], counter)).await;
        assert_eq!(report.status, Outcome::Failed, "{report:#?}");
        report
    }

    pub(crate) async fn containers(&self) -> Vec<Container> {
        self.driver.look(&self.tenant).await.unwrap_or_else(|error| panic!("look: {}", error.chain()))
    }

    /// Ids by service.
    pub(crate) async fn ids(&self) -> BTreeMap<String, String> {
        self.containers().await.into_iter().map(|one| (one.service, one.id)).collect()
    }

    pub(crate) async fn remove(&self, counter: u64) -> Report {
        let removed =
            self.driver.remove(&self.tenant, &self.tenant, Generation { epoch: 1, counter }, 2 * PATIENCE).await;
        removed.unwrap_or_else(|error| panic!("remove: {}", error.chain()))
    }

    pub(crate) async fn environment(&self, service: &str) -> BTreeMap<String, String> {
        let words = ["cat", "/proc/1/environ"].map(str::to_owned);
        let ran = self.driver.exec(&self.tenant, service, 1, &words, PATIENCE).await;
        let ran = ran.unwrap_or_else(|error| panic!("exec: {}", error.chain()));
        let pairs = ran.output.split('\0').filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

impl Drop for World {
    /// Whatever a failing test left, and the volumes.
    fn drop(&mut self) {
        let label = format!("label=com.docker.compose.project={}", self.tenant);
        for (list, remove) in [
            (&["ps", "-aq"][..], &["rm", "-fv"][..]),
            (&["network", "ls", "-q"], &["network", "rm"]),
            (&["volume", "ls", "-q"], &["volume", "rm", "-f"]),
        ] {
            let listed = Command::new("docker").args(list).args(["--filter", &label]).output();
            let listed = listed.map(|listed| String::from_utf8_lossy(&listed.stdout).into_owned()).unwrap_or_default();
            let ids: Vec<&str> = listed.split_whitespace().collect();
            if !ids.is_empty() {
                let _ =
                    Command::new("docker").args(remove).args(ids).stdout(Stdio::null()).stderr(Stdio::null()).status();
            }
        }
    }
}

pub(crate) fn yaml(text: &str) -> Result<Value, String> {
    let read = read_one(Input::plain("compose", text)).map_err(|faults| faults.to_string())?;
    Ok(read.map(|node| node.to_value()).unwrap_or_default())
}

fn config(base: &Path, host: &str, tool: &Tool) -> ComposeConfig {
    let mut env: BTreeMap<String, String> = std::env::vars().collect();
    if let Some(config) = &tool.config {
        env.insert("DOCKER_CONFIG".to_owned(), config.path().display().to_string());
    }
    ComposeConfig {
        account: PlatformName::new("compose").expect("it is valid"),
        owner: "it".to_owned(),
        base: base.to_owned(),
        host: host.to_owned(),
        command: Some(tool.words.clone()),
        pull: Pull::Missing,
        policy: Policy::default(),
        env,
        yaml,
        clock: Arc::new(RealClock),
        tasks: TaskTracker::new(),
    }
}

/// A service that goes on until it is told to end.
pub(crate) fn idle(more: &Value) -> Value {
    running("sleep 1000", more)
}

/// A service that runs this beside waiting for the word to end.
pub(crate) fn running(what: &str, more: &Value) -> Value {
    let mut service = json!({"image": IMAGE, "command": ["sh", "-c", format!("trap 'exit 0' TERM; {what} & wait")]});
    for (key, value) in more.as_object().into_iter().flatten() {
        service[key] = value.clone();
    }
    service
}

/// A port of the host that is free now.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there are free ports");
    listener.local_addr().expect("it listens").port()
}
