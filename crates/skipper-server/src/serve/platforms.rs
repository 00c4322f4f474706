//! The platform accounts of a server, opened: what the configuration names, and the engines that are there without it.

use std::{path::PathBuf, sync::Arc};

use skipper_core::{name::PlatformName, port::Platform, spec::Target};
use skipper_platform::{
    artifact::{Cache, FetchLimits},
    compose::{ComposeConfig, ComposePlatform},
    container::{ContainerConfig, ContainerPlatform, EngineKind, EngineSettings, answers},
    local::{KeeperCommand, LocalConfig, LocalPlatform, PortPool},
};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::{Error, World};
use crate::config::{ComposeSettings, Config, PlatformConfig, PlatformKind};

/// An account that is open.
pub(super) enum Opened {
    Local(Arc<LocalPlatform>),
    Container(Arc<ContainerPlatform>),
    Compose(Arc<ComposePlatform>),
}

impl Opened {
    pub(super) fn as_platform(&self) -> Arc<dyn Platform> {
        match self {
            Self::Local(local) => Arc::clone(local) as Arc<dyn Platform>,
            Self::Container(container) => Arc::clone(container) as Arc<dyn Platform>,
            Self::Compose(compose) => Arc::clone(compose) as Arc<dyn Platform>,
        }
    }

    fn engine_kind(&self) -> Option<EngineKind> {
        match self {
            Self::Container(container) => Some(container.kind()),
            Self::Local(_) | Self::Compose(_) => None,
        }
    }

    /// Ends its watching; what runs goes on.
    pub(super) fn close(&self) {
        match self {
            Self::Local(local) => local.close(),
            Self::Container(container) => container.close(),
            Self::Compose(compose) => compose.close(),
        }
    }
}

/// Opens all. `owner` is written on what is shared with others, as an engine is.
pub(super) fn open(
    config: &Config,
    world: &World,
    owner: &str,
    tasks: &TaskTracker,
) -> Result<Vec<(Target, Opened)>, Error> {
    let opening = Opening { config, world, owner, tasks, ports: Arc::new(PortPool::new(config.local_ports.clone())) };
    let mut all = Vec::new();
    for (name, account) in &config.platforms {
        if let PlatformKind::Container(kind, settings) = &account.kind {
            all.push((Target(name.clone()), opening.engine(name, *kind, settings.clone())?));
        }
    }
    for (kind, hosts) in &config.usual_engines {
        let Ok(name) = PlatformName::new(kind.word()) else { continue };
        let root = opening.containers(&name);
        let has_ours = || root.read_dir().is_ok_and(|mut entries| entries.next().is_some());
        let host = match hosts.iter().find(|host| answers(host)) {
            Some(host) => host,
            None => match hosts.first() {
                // It will be back: what ran on it is not to be taken for something that nobody has configured.
                Some(host) if has_ours() => host,
                _ => continue,
            },
        };
        info!(platform = %name, host, answers = answers(host), "found a container engine");
        let settings = EngineSettings { host: Some(host.clone()), ..EngineSettings::default() };
        let opened = opening.engine(&name, *kind, settings)?;
        all.push((Target(name), opened));
    }
    let kinds = all.iter().filter_map(|(target, opened)| Some((target.0.clone(), opened.engine_kind()?)));
    config.apps.found(kinds.collect());
    // Images that are meant for processes of this host go to the first of them.
    let engine = all.first().map(|(target, _)| target.clone());
    for (name, account) in &config.platforms {
        if let PlatformKind::Compose(settings) = &account.kind {
            all.push((Target(name.clone()), opening.compose(name, settings)?));
        }
    }
    let mut artifacts = None;
    for (name, account) in &config.platforms {
        if matches!(account.kind, PlatformKind::Local) {
            let artifacts = match &artifacts {
                Some(shared) => Arc::clone(shared),
                None => Arc::clone(artifacts.insert(opening.cache(name)?)),
            };
            all.push((Target(name.clone()), opening.local(name, account, artifacts, engine.clone())?));
        }
    }
    Ok(all)
}

struct Opening<'a> {
    config: &'a Config,
    world: &'a World,
    owner: &'a str,
    tasks: &'a TaskTracker,
    ports: Arc<PortPool>,
}

impl Opening<'_> {
    fn cache(&self, name: &PlatformName) -> Result<Arc<Cache>, Error> {
        let cache = Cache::new(self.config.data_dir.join("artifacts"), FetchLimits::default()).map_err(failed(name))?;
        Ok(Arc::new(cache.with_maven(self.config.maven.clone())))
    }

    fn local(
        &self,
        name: &PlatformName,
        account: &PlatformConfig,
        artifacts: Arc<Cache>,
        engine: Option<Target>,
    ) -> Result<Opened, Error> {
        let usual = LocalConfig::new(
            name.clone(),
            &self.config.data_dir,
            artifacts,
            Arc::clone(&self.ports),
            Arc::clone(&self.world.clock),
            self.tasks.clone(),
        )
        .map_err(failed(name))?;
        let program = self.world.program.clone();
        let local = LocalConfig {
            keeper: KeeperCommand { program: program.clone(), args: vec!["keeper".into()] },
            builtins: [("sample".to_owned(), vec![program.into_os_string(), "sample".into()])].into(),
            deployer: account.deployer.clone(),
            engine,
            ..usual
        };
        Ok(Opened::Local(Arc::new(LocalPlatform::new(local).map_err(failed(name))?)))
    }

    /// The folder of an account with an engine.
    fn containers(&self, name: &PlatformName) -> PathBuf {
        self.config.data_dir.join("containers").join(name.as_str())
    }

    fn compose(&self, name: &PlatformName, settings: &ComposeSettings) -> Result<Opened, Error> {
        let config = ComposeConfig {
            account: name.clone(),
            owner: self.owner.to_owned(),
            base: settings.base.clone(),
            host: settings.host.clone(),
            command: settings.command.clone(),
            pull: settings.pull,
            policy: settings.policy.clone(),
            env: settings.env.clone(),
            yaml: read_yaml,
            clock: Arc::clone(&self.world.clock),
            tasks: self.tasks.clone(),
        };
        let platform = Arc::new(ComposePlatform::new(config).map_err(failed(name))?);
        let (asked, name) = (Arc::clone(&platform), name.clone());
        self.tasks.spawn(async move {
            for warning in asked.driver().warnings().await {
                warn!(platform = %name, "{warning}");
            }
        });
        Ok(Opened::Compose(platform))
    }

    fn engine(&self, name: &PlatformName, kind: EngineKind, mut settings: EngineSettings) -> Result<Opened, Error> {
        for (host, login) in &self.config.registries {
            settings.registries.entry(host.clone()).or_insert_with(|| login.clone());
        }
        // What the account itself, or skipper.toml, names for a registry counts.
        settings.logins = Some(Arc::new(self.config.apps.clone()));
        let config = ContainerConfig {
            account: name.clone(),
            kind,
            host: settings.host.clone().unwrap_or_default(),
            owner: self.owner.to_owned(),
            root: self.containers(name),
            settings,
            clock: Arc::clone(&self.world.clock),
            tasks: self.tasks.clone(),
        };
        Ok(Opened::Container(Arc::new(ContainerPlatform::new(config).map_err(failed(name))?)))
    }
}

/// How the platforms that need it read YAML.
pub(crate) fn read_yaml(text: &str) -> Result<serde_json::Value, String> {
    let input = skipper_source::yaml::Input::plain("docker-compose.yml", text);
    let read = skipper_source::yaml::read_one(input).map_err(|faults| faults.to_string())?;
    Ok(read.map(|node| node.to_value()).unwrap_or_default())
}

fn failed(name: &PlatformName) -> impl Fn(std::io::Error) -> Error {
    let name = name.to_string();
    move |cause| Error::Platform { name: name.clone(), cause }
}
