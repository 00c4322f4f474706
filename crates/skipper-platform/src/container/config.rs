//! What an account of a container engine is told when it is opened, and which engines are there without being named.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use skipper_core::{
    compose::Policy,
    name::PlatformName,
    port::{Clock, Error, ErrorKind},
    secret::SecretValue,
};
use tokio_util::task::TaskTracker;

/// Which engine it is. Both speak Docker's API; they differ in how output is kept and what an image is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// Docker.
    Docker,
    /// Podman, through the service that speaks Docker's API.
    Podman,
}

impl EngineKind {
    /// As it is written in the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }

    /// Where its socket usually is, the likeliest first. `env` is the server's environment.
    #[must_use]
    pub fn usual_hosts(self, env: &BTreeMap<String, String>) -> Vec<String> {
        let var = |name: &str| env.get(name).filter(|value| !value.is_empty());
        match self {
            Self::Docker => {
                let told = var("DOCKER_HOST").cloned();
                told.map_or_else(|| vec!["unix:///var/run/docker.sock".to_owned()], |host| vec![host])
            }
            Self::Podman => {
                let own = var("XDG_RUNTIME_DIR").map(|dir| format!("unix://{dir}/podman/podman.sock"));
                own.into_iter().chain(["unix:///run/podman/podman.sock".to_owned()]).collect()
            }
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Docker => "Docker",
            Self::Podman => "Podman",
        })
    }
}

/// Whether an engine may be at a host: somebody listens on the socket now. Never waits for an answer; an address of the
/// network is believed, since somebody has written it down.
#[must_use]
pub fn answers(host: &str) -> bool {
    match host.split_once("://") {
        Some(("unix", path)) => accepts(Path::new(path)),
        Some(("tcp" | "http", _)) => true,
        _ => false,
    }
}

/// A full queue is an answer as well.
fn accepts(path: &Path) -> bool {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let Ok(socket) = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None) else { return false };
    let Ok(address) = SocketAddrUnix::new(path) else { return false };
    match connect(&socket, &address) {
        Ok(()) => true,
        Err(error) => error == rustix::io::Errno::AGAIN,
    }
}

/// When an image is fetched from its registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pull {
    /// For every new revision.
    Always,
    /// When it is not here.
    #[default]
    Missing,
    /// Never; it has to be here.
    Never,
}

impl Pull {
    /// Reads the word of a configuration.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "always" => Some(Self::Always),
            "missing" => Some(Self::Missing),
            "never" => Some(Self::Never),
            _ => None,
        }
    }
}

/// Who we are to one registry.
#[derive(Debug, Clone)]
pub struct RegistryLogin {
    /// Name of the user.
    pub username: String,
    /// Password or token.
    pub password: SecretValue,
}

/// Settings of an account as they are written in a configuration.
#[derive(Debug, Clone, Default)]
pub struct EngineSettings {
    /// `unix:///path`, `tcp://host:port` or `http://host:port`; the usual socket when `None`.
    pub host: Option<String>,
    /// The network of containers whose application names none; `skipper` when `None`.
    pub network: Option<String>,
    /// When images are fetched whose application does not say.
    pub pull: Pull,
    /// The address of the engine's host at which ports are published, and reached from here; 127.0.0.1 when `None`.
    pub publish: Option<std::net::IpAddr>,
    /// Credentials by the registry's host name, with its port if it has one.
    pub registries: BTreeMap<String, RegistryLogin>,
    /// What applications may ask of the host, where somebody else than its owner deploys here; `None`: whoever deploys may mount any
    /// folder, and run pods that ask for anything.
    pub policy: Option<Policy>,
    /// Who is asked for those that are not among them.
    pub logins: Option<Arc<dyn Logins>>,
}

impl EngineSettings {
    /// Who we are to a registry, by the first of its names that is known.
    pub(super) fn login(&self, names: &[&str]) -> Option<RegistryLogin> {
        let written = names.iter().find_map(|name| self.registries.get(*name).cloned());
        written.or_else(|| names.iter().find_map(|name| self.logins.as_ref()?.of(name)))
    }
}

/// Credentials that may change while the server runs.
pub trait Logins: Send + Sync + std::fmt::Debug {
    /// Who we are to the registry of that host name now.
    fn of(&self, host: &str) -> Option<RegistryLogin>;
}

/// Settings of one account.
#[derive(Debug, Clone)]
pub struct ContainerConfig {
    /// The account's name.
    pub account: PlatformName,
    /// Which engine.
    pub kind: EngineKind,
    /// Where it listens.
    pub host: String,
    /// Who it is that this server's containers belong to: another server on the same engine leaves them alone.
    pub owner: String,
    /// The account's own folder, `DATA/containers/<account>`: fences, counters and files of secrets.
    pub root: PathBuf,
    /// What the configuration says.
    pub settings: EngineSettings,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where the account's tasks run; wait for it after [`super::ContainerPlatform::close`].
    pub tasks: TaskTracker,
}

impl ContainerConfig {
    /// That a folder of the host may not be mounted, or `Ok`.
    pub(super) fn admits_folder(&self, source: &str) -> Result<(), Error> {
        match &self.settings.policy {
            Some(policy) if !policy.allows_folder(source) => {
                let what = format!("{source} of the host is not to be mounted on platform {}", self.account);
                Err(Error::new(ErrorKind::Permanent, "volume-refused", what)
                    .hint(format!("leave `source` out, or have the node's owner allow it: AGENT_ALLOW=bind:{source}")))
            }
            _ => Ok(()),
        }
    }

    /// That pods may not be run, or `Ok`: what they ask of the host is not looked at one by one.
    pub(super) fn admits_pods(&self) -> Result<(), Error> {
        if self.settings.policy.as_ref().is_none_or(Policy::allows_privileged) {
            return Ok(());
        }
        let what = format!("pods are not to be run on platform {}", self.account);
        Err(Error::new(ErrorKind::Permanent, "pods-refused", what)
            .hint("have the node's owner allow it: AGENT_ALLOW=privileged"))
    }

    /// Whether the engine runs on this machine, so that its containers can be given our folders.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.host.starts_with("unix://")
    }
}
