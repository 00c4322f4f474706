use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{Deployer, Health, RecreateReason, Strategy, Target};
use crate::{
    digest::Sha256,
    name::{AppName, PortName, SecretName},
    route::{Host, Listener, PathPrefix, RouteKey},
    time::Millis,
};

/// One application of a revision: what runs, where, and how traffic reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Unique within the release.
    pub name: AppName,
    /// The platform account it runs on.
    pub target: Target,
    /// What is run.
    pub resource: Resource,
    /// Replaces the resource's own entry point, where the platform knows one. Empty: the resource itself.
    #[serde(default)]
    pub command: Vec<String>,
    /// Arguments after the command.
    #[serde(default)]
    pub args: Vec<String>,
    /// Environment variables. They may hold `{port.NAME}` placeholders, as may arguments.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Secrets and how each one reaches the process.
    #[serde(default)]
    pub secrets: Vec<SecretUse>,
    /// Ports it listens on.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// When an instance counts as healthy.
    pub health: Health,
    /// Ways in through the edge.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// How one revision follows another.
    pub strategy: Strategy,
    /// How many instances.
    pub replicas: u32,
    /// Limits of one instance.
    #[serde(default)]
    pub limits: Limits,
    /// Folders that outlive a revision.
    #[serde(default)]
    pub volumes: Vec<Volume>,
    /// Jobs that run once in a rollout.
    #[serde(default)]
    pub hooks: Hooks,
    /// Applications of the same release that must be healthy first.
    #[serde(default)]
    pub depends_on: Vec<AppName>,
    /// How an instance is stopped.
    #[serde(default)]
    pub stop: StopPolicy,
    /// How long each phase of a rollout may take for this application.
    #[serde(default)]
    pub bounds: Bounds,
    /// Working folder; the platform's own for each instance when `None`.
    #[serde(default)]
    pub working_dir: Option<String>,
    /// Settings that only one platform understands, kept as they were written.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub platform_options: BTreeMap<String, serde_json::Value>,
    /// In a pod, what its containers are made of, by their names; Resolve pins it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, Resource>,
    /// Properties and options, where it was written for Spring's deployers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployer: Option<Deployer>,
    /// The revision that launched it anew because somebody asked for that, and not because anything had changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relaunched: Option<u64>,
}

impl Application {
    /// What decides whether running instances can stay: everything but their number and the way a rollout proceeds.
    #[must_use]
    pub fn edition(&self) -> Edition {
        let mut same = self.clone();
        same.replicas = 0;
        same.strategy = Strategy::BlueGreen { bake: Millis(0) };
        same.bounds = Bounds::default();
        same.depends_on.clear();
        same.hooks = Hooks::default();
        same.routes.clear();
        let json = serde_json::to_value(&same).expect("an application is always representable as JSON");
        Edition(Sha256::of_json(&json))
    }

    /// The strategy that will be followed, with the reason where it is not the one asked for.
    #[must_use]
    pub fn effective_strategy(&self) -> (Strategy, Option<RecreateReason>) {
        let recreate = Strategy::Recreate { bake: self.strategy.bake() };
        if matches!(self.strategy, Strategy::Recreate { .. }) {
            return (recreate, None);
        }
        if let Some(volume) = self.volumes.iter().find(|v| !v.read_only) {
            return (recreate, Some(RecreateReason::SingleWriter { volume: volume.name.clone() }));
        }
        if let Some(port) = self.ports.iter().find(|p| p.direct) {
            return (recreate, Some(RecreateReason::DirectPort { port: port.name.clone() }));
        }
        (self.strategy.clone(), None)
    }

    /// Digests of everything it is made of, as far as it is pinned.
    pub fn digests(&self) -> impl Iterator<Item = Sha256> + '_ {
        [&self.resource].into_iter().chain(self.images.values()).filter_map(|resource| resource.sha256)
    }

    /// Whether traffic reaches it through the edge.
    #[must_use]
    pub fn is_routed(&self) -> bool {
        !self.routes.is_empty()
    }
}

/// Hash of what decides whether running instances can stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Edition(pub Sha256);

/// What is run, by address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// `file:…`, `http(s)://…`, later `docker:…`, `maven:…`; `builtin:NAME` is the binary's own sample.
    pub uri: String,
    /// Digest of the bytes: what the author demands, or what Resolve pinned. A resolved spec always has it where the
    /// kind of resource has bytes.
    #[serde(default)]
    pub sha256: Option<Sha256>,
}

/// A secret and how the process sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "kebab-case")]
pub enum SecretUse {
    /// As the environment variable `var`.
    Env {
        /// Which secret.
        secret: SecretName,
        /// Name of the variable.
        var: String,
    },
    /// As a file (mode 0400) of that name in the instance's secrets folder, whose path is in `SKIPPER_SECRETS_DIR`.
    File {
        /// Which secret.
        secret: SecretName,
        /// Plain file name.
        file: String,
    },
}

impl SecretUse {
    /// The secret that is used.
    #[must_use]
    pub const fn secret(&self) -> &SecretName {
        match self {
            Self::Env { secret, .. } | Self::File { secret, .. } => secret,
        }
    }
}

/// A port an instance listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Unique within the application.
    pub name: PortName,
    /// Environment variable that tells the process its port.
    #[serde(default)]
    pub env: Option<String>,
    /// The port the process insists on. `None`: it takes the one it is told.
    #[serde(default)]
    pub fixed: Option<u16>,
    /// The process owns `fixed` on the host; the edge is not in front of it. Forces `recreate`.
    #[serde(default)]
    pub direct: bool,
    /// In a pod, the container that listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

/// One way in through the edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where the edge listens. [`Listener::Auto`] becomes a port in Resolve.
    pub listener: Listener,
    /// Host name; `None` for any.
    #[serde(default)]
    pub host: Option<Host>,
    /// Path prefix.
    #[serde(default)]
    pub path: PathPrefix,
    /// The application's port that answers.
    pub port: PortName,
}

impl Route {
    /// Its key in the edge's table.
    #[must_use]
    pub fn key(&self) -> RouteKey {
        RouteKey { listener: self.listener, host: self.host.clone(), path: self.path.clone() }
    }
}

/// Limits of one instance; `None` is unlimited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Thousandths of a CPU.
    #[serde(default)]
    pub cpu_millis: Option<u64>,
}

/// A folder that outlives a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Name, unique within the release: two applications that name it share it.
    pub name: String,
    /// Where the process sees it. On `local` its path is given in the variable named by `env`.
    pub path: String,
    /// Environment variable that tells the path.
    #[serde(default)]
    pub env: Option<String>,
    /// A folder of the host instead of a managed one.
    #[serde(default)]
    pub source: Option<String>,
    /// Mounted without write access; several generations may share it.
    #[serde(default)]
    pub read_only: bool,
}

/// A job that runs to its end within a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Program and arguments. The application's environment and secrets are set.
    pub command: Vec<String>,
    /// Longest it may run.
    pub timeout: Millis,
}

/// The command as a shell would be told it.
impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
        for (index, word) in self.command.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            if !word.is_empty() && word.chars().all(plain) {
                write!(f, "{space}{word}")?;
            } else {
                write!(f, "{space}'{}'", word.replace('\'', r"'\''"))?;
            }
        }
        Ok(())
    }
}

/// Jobs of a rollout.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// Before the first new instance is launched, for example a migration.
    #[serde(default)]
    pub before_launch: Option<Hook>,
    /// When the new instances are healthy, before traffic moves.
    #[serde(default)]
    pub before_shift: Option<Hook>,
    /// After traffic has moved and was verified.
    #[serde(default)]
    pub after_shift: Option<Hook>,
}

/// The signal that asks an instance to stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    /// SIGTERM.
    #[default]
    Term,
    /// SIGINT.
    Int,
    /// SIGQUIT.
    Quit,
    /// SIGHUP.
    Hup,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
}

/// How an instance is stopped: the signal, then after `grace` SIGKILL to the whole group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPolicy {
    /// The polite signal.
    #[serde(default)]
    pub signal: Signal,
    /// Time between the polite signal and SIGKILL.
    pub grace: Millis,
}

impl Default for StopPolicy {
    fn default() -> Self {
        // Docker's default; Kubernetes waits 30 s, which is long on a single host.
        Self { signal: Signal::Term, grace: Millis::secs(10) }
    }
}

/// How long each phase of a rollout may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Fetching the resource.
    pub fetch: Millis,
    /// From launch until the platform reports the instances as started.
    pub start: Millis,
    /// From launch until healthy.
    pub health: Millis,
    /// Requests held at the edge while an application is recreated.
    pub hold: Millis,
    /// Requests in flight on the way out.
    pub drain: Millis,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            fetch: Millis::secs(600),
            start: Millis::secs(30),
            health: Millis::secs(120),
            hold: Millis::secs(60),
            drain: Millis::secs(30),
        }
    }
}
