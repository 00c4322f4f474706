//! What this node offers a server beside work orders: accounts of platforms, and an edge.
//!
//! Both are opened by the owner of the node, not by the server: which ones, is in the agent's settings.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use skipper_core::{
    Sha256,
    name::PlatformName,
    port::{Platform, Router},
    spec::Target,
};
use skipper_edge::{EdgeProcess, EdgeRouter, EdgeSupervisor, control_path};
use skipper_platform::{
    artifact::{Cache, FetchLimits},
    container::{ContainerConfig, ContainerPlatform, EngineKind, EngineSettings, answers},
    local::{DEFAULT_RANGE, LocalConfig, LocalPlatform, PortPool},
    remote::Desk,
};
use skipper_server::config::LogFormat;
use tokio_util::task::TaskTracker;

use super::settings::{EdgeSettings, Offered, Settings};
use crate::world::SystemClock;

/// Everything that a server may ask this node for, opened.
pub(super) struct Accounts {
    /// Answers for it.
    pub(super) desk: Desk,
    /// Sees to it that the edge runs, where one is wanted.
    pub(super) edge: Option<EdgeSupervisor>,
    /// The accounts, and their kinds.
    pub(super) kinds: BTreeMap<String, String>,
    close: Vec<Box<dyn Fn() + Send + Sync>>,
}

impl Accounts {
    /// Opens what the settings name and what is there. Asks no engine anything yet.
    ///
    /// # Errors
    ///
    /// A folder of theirs cannot be made, or the own program cannot be found.
    pub(super) fn open(settings: &Settings, tasks: &TaskTracker) -> io::Result<Self> {
        let mut opening = Opening { settings, tasks, all: BTreeMap::new(), close: Vec::new() };
        let docker = settings.engine.host.clone();
        let podman = EngineKind::Podman.usual_hosts(&settings.engine.env);
        let podman = podman.iter().find(|host| answers(host)).or(podman.first()).cloned();
        for (kind, host) in [(EngineKind::Docker, Some(docker)), (EngineKind::Podman, podman)] {
            if let Some(host) = host.filter(|host| opening.wants(kind, host)) {
                opening.engine(kind, host)?;
            }
        }
        if settings.platforms.contains(Offered::Local) {
            opening.local()?;
        }
        let Opening { all, close, .. } = opening;
        let process = settings.edge.as_ref().map(|edge| edge_process(settings, edge)).transpose()?;
        let router =
            process.as_ref().map(|process| Arc::new(EdgeRouter::new(process.control.clone())) as Arc<dyn Router>);
        let names: Vec<&str> = all.keys().map(PlatformName::as_str).collect();
        tracing::info!(
            platforms = names.join(","),
            edge = router.is_some(),
            "what this node offers beside work orders"
        );
        // Each is called by its kind: a node has one of each.
        let kinds = names.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect();
        let desk = Desk::new(env!("CARGO_PKG_VERSION"), Arc::new(SystemClock), all, router);
        Ok(Self { desk, edge: process.map(EdgeSupervisor::new), kinds, close })
    }

    /// Ends all watching; what runs goes on.
    pub(super) fn close(&self) {
        self.close.iter().for_each(|close| close());
    }
}

struct Opening<'a> {
    settings: &'a Settings,
    tasks: &'a TaskTracker,
    all: BTreeMap<PlatformName, Arc<dyn Platform>>,
    close: Vec<Box<dyn Fn() + Send + Sync>>,
}

impl Opening<'_> {
    /// Whether an engine is wanted: because it is named, because it is there, or because it was and will be back.
    fn wants(&self, kind: EngineKind, host: &str) -> bool {
        let offered = if kind == EngineKind::Docker { Offered::Docker } else { Offered::Podman };
        let was = || self.folder(kind).read_dir().is_ok_and(|mut entries| entries.next().is_some());
        let found = || self.settings.platforms.contains(Offered::EnginesFound) && (answers(host) || was());
        self.settings.platforms.contains(offered) || found()
    }

    fn folder(&self, kind: EngineKind) -> PathBuf {
        self.settings.dir.join("containers").join(kind.word())
    }

    fn engine(&mut self, kind: EngineKind, host: String) -> io::Result<()> {
        let name = named(kind.word())?;
        let settings = EngineSettings {
            host: Some(host.clone()),
            pull: self.settings.engine.pull,
            // What the owner of the node lets tenants' projects do, and no more.
            policy: Some(self.settings.engine.policy.clone()),
            ..EngineSettings::default()
        };
        let config = ContainerConfig {
            account: name.clone(),
            kind,
            host,
            owner: owner(self.settings),
            root: self.folder(kind),
            settings,
            clock: Arc::new(SystemClock),
            tasks: self.tasks.clone(),
        };
        let platform = Arc::new(ContainerPlatform::new(config)?);
        let closed = Arc::clone(&platform);
        self.close.push(Box::new(move || closed.close()));
        self.all.insert(name, platform);
        Ok(())
    }

    fn local(&mut self) -> io::Result<()> {
        let name = named("local")?;
        let dir = &self.settings.dir;
        let artifacts = Arc::new(Cache::new(dir.join("artifacts"), FetchLimits::default())?);
        let ports = Arc::new(PortPool::new(DEFAULT_RANGE));
        let usual = LocalConfig::new(name.clone(), dir, artifacts, ports, Arc::new(SystemClock), self.tasks.clone())?;
        // Images that are meant for processes of this host go to the first engine of it.
        let engine = self.all.keys().next().cloned().map(Target);
        let platform = Arc::new(LocalPlatform::new(LocalConfig { engine, ..usual })?);
        let closed = Arc::clone(&platform);
        self.close.push(Box::new(move || closed.close()));
        self.all.insert(name, platform);
        Ok(())
    }
}

fn named(word: &str) -> io::Result<PlatformName> {
    PlatformName::new(word).map_err(io::Error::other)
}

/// What is written on containers that are this agent's: another agent, or a server, on the same engine leaves them alone.
fn owner(settings: &Settings) -> String {
    format!("node-{}-{}", settings.node, Sha256::of(settings.dir.as_os_str().as_encoded_bytes()).short())
}

/// How the edge of this node is started where none answers; the arguments are those of `skipper edge`.
fn edge_process(settings: &Settings, edge: &EdgeSettings) -> io::Result<EdgeProcess> {
    let state = settings.dir.join("edge");
    let control = control_path(&state, settings.runtime_dir.as_deref());
    let log = state.join("edge.log");
    let format = match settings.log.format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    let pairs: [(&str, OsString); 9] = [
        ("--data-dir", settings.dir.clone().into()),
        ("--socket", control.clone().into()),
        ("--http", edge.http.clone().into()),
        ("--https", edge.https.clone().into()),
        ("--bind", edge.bind.to_string().into()),
        ("--tls-dir", state.join("tls").into()),
        ("--log-file", log.clone().into()),
        ("--log-format", format.into()),
        ("--log-level", settings.log.level.clone().into()),
    ];
    let mut args: Vec<OsString> = vec!["edge".into()];
    args.extend(pairs.into_iter().flat_map(|(flag, value)| [flag.into(), value]));
    args.push("--detach".into());
    // Another release, other settings: another edge, which takes over from the one that runs.
    let text = args.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join("\0");
    let origin = Sha256::of(format!("{}\0{text}", env!("CARGO_PKG_VERSION")).as_bytes()).short();
    args.extend(["--origin".into(), origin.clone().into()]);
    let exe = std::env::current_exe()?;
    make_dir(&state)?;
    Ok(EdgeProcess { exe, args, control, log, origin: Some(origin) })
}

fn make_dir(path: &Path) -> io::Result<()> {
    super::disk::make_dir(path)
}
