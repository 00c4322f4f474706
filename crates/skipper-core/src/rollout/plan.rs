//! The plan: ordered, serialisable steps and what takes them back.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    deployment::{Deployment, DeploymentId},
    digest::Sha256,
    name::AppName,
    spec::{Application, Hook, RecreateReason, Resource, Route, Target},
    time::Millis,
};

use super::waves::Waves;

/// Setting a table at the edge takes milliseconds; ten seconds cover an edge that is being restarted.
pub(super) const EDGE_BOUND: Millis = Millis::secs(10);
/// Handing an order over is a write to the store.
const BEGIN_BOUND: Millis = Millis::secs(30);
/// A verified answer through the edge follows a healthy probe, so it comes at once or something is wrong.
const VERIFY_BOUND: Millis = Millis::secs(5);
/// Slack over a step's own span, for the platform's answers.
const SLACK: Millis = Millis::secs(15);
/// What stopping may take over its grace: the last signal is given ten seconds, and an engine that is busy takes its time to
/// take away what a pod was made of.
const REMOVAL: Millis = Millis::secs(45);

/// The ordered steps of one rollout, computed before anything happens.
///
/// Steps before `commit` are undone, last first, when one of them fails. Steps from `commit` on clear away what no longer
/// serves: they are repeated until they succeed or the reconciler takes over, and never fail the rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of this document.
    pub version: u16,
    /// The steps.
    pub steps: Vec<Step>,
    /// Index of the first step past the point of no return; `steps.len()` when there is none.
    pub commit: u32,
    /// What was decided against the letter of the source, for people.
    pub notices: Vec<Notice>,
    /// Everything that is remembered of the release goes as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub purge: bool,
    /// How the steps go from place to place; `None`: what breaks takes everything back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waves: Option<Box<Waves>>,
    /// Every deployment that a step names, so that a plan can be carried out (and undone) from the log alone.
    pub deployments: Vec<Deployment>,
}

/// A decision that the author of the source should know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The application.
    pub app: AppName,
    /// Why it is recreated although it asked for something else.
    pub recreate: RecreateReason,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The application it is about.
    pub app: AppName,
    /// The platform account it happens on.
    pub target: Target,
    /// What is done.
    #[serde(flatten)]
    pub action: Action,
    /// Longest it may take; then it counts as failed.
    pub bound: Millis,
}

/// A half-open range of instance indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instances {
    /// First index.
    pub from: u32,
    /// One past the last index.
    pub to: u32,
}

impl Instances {
    /// `0..count`.
    #[must_use]
    pub const fn first(count: u32) -> Self {
        Self { from: 0, to: count }
    }

    /// The indices.
    #[must_use]
    pub const fn range(self) -> std::ops::Range<u32> {
        self.from..self.to
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.from >= self.to
    }
}

impl fmt::Display for Instances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.to == self.from + 1 {
            write!(f, "{}", self.from)
        } else {
            write!(f, "{}-{}", self.from, self.to.saturating_sub(1))
        }
    }
}

/// A share of new requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// Who gets it.
    pub deployment: DeploymentId,
    /// Per cent.
    pub weight: u8,
}

/// Where a hook runs in a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookPoint {
    /// Before the first new instance is launched.
    BeforeLaunch,
    /// Before traffic moves.
    BeforeShift,
    /// After traffic moved.
    AfterShift,
}

impl HookPoint {
    /// The key of the hook in a package.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::BeforeLaunch => "beforeLaunch",
            Self::BeforeShift => "beforeShift",
            Self::AfterShift => "afterShift",
        }
    }
}

/// What a step does. Every action is idempotent by deployment, instance and generation, except [`Action::RunHook`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// Brings the pinned resource to the platform.
    Fetch {
        /// What.
        resource: Resource,
    },
    /// Runs a job once; an unknown outcome is a failure, never a second run.
    RunHook {
        /// For which deployment.
        deployment: DeploymentId,
        /// Which hook.
        point: HookPoint,
        /// What it runs.
        hook: Hook,
    },
    /// Starts instances. Undone by draining and retiring them.
    Launch {
        /// Of which deployment.
        deployment: DeploymentId,
        /// Which.
        instances: Instances,
        /// Nothing of the deployment was there before, so its undo removes the deployment's folders as well.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        fresh: bool,
    },
    /// Waits until instances are healthy, or one has died, or the bound has passed.
    AwaitHealthy {
        /// Of which deployment.
        deployment: DeploymentId,
        /// Which.
        instances: Instances,
    },
    /// Keeps new requests waiting at the edge. Undone by shifting back to `from`, which also opens the service.
    Hold {
        /// Longest wait of one request. Called otherwise on the wire, where the step's own bound stands beside it.
        #[serde(rename = "wait")]
        bound: Millis,
        /// Weights before.
        from: Vec<Weight>,
        /// Ways in before.
        routes: Vec<Route>,
    },
    /// Sends new requests by `to`, and opens the service if it was held. Undone by `from`, or by holding again.
    Shift {
        /// Routes and weights before.
        from: Vec<Weight>,
        /// Weights afterwards.
        to: Vec<Weight>,
        /// Ways in before.
        routes_from: Vec<Route>,
        /// Ways in afterwards.
        routes: Vec<Route>,
        /// Requests were held before, each for at most this long: nobody but `to` can answer them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held: Option<Millis>,
    },
    /// Sends a request through the edge and sees that the deployment answers it.
    Verify {
        /// Which one must answer.
        deployment: DeploymentId,
    },
    /// Watches for a while: an instance that dies or gets unhealthy fails the step.
    Bake {
        /// Who is watched.
        deployment: DeploymentId,
        /// How long.
        span: Millis,
        /// Judge by the edge's error rate and latency against the others too.
        judge: bool,
    },
    /// Takes instances out of the edge's table and waits until no request is in flight at them any more, or the bound
    /// has passed (which is no failure). Undone by taking them in again.
    Drain {
        /// Whose requests.
        deployment: DeploymentId,
        /// Which instances.
        instances: Instances,
    },
    /// Stops and removes instances. Undone by launching them again.
    Retire {
        /// Of which deployment.
        deployment: DeploymentId,
        /// Which.
        instances: Instances,
        /// The last of the deployment: its folders and claims go too.
        last: bool,
    },
    /// Gives up the routes of the application.
    Unroute,
    /// Waits until the deployments of other places leave room for this wave.
    Gate {
        /// Who is looked at.
        deployments: Vec<DeploymentId>,
        /// Most of them that may be away or not healthy.
        most: u32,
    },
    /// Lets a platform that converges by itself begin, without waiting for it: others begin beside it. Undone as [`Action::Apply`],
    /// which waits.
    Begin {
        /// What to reach.
        deployment: DeploymentId,
        /// What was applied before.
        previous: Option<DeploymentId>,
    },
    /// Hands the whole deployment to a platform that converges by itself. Undone by applying `previous`.
    Apply {
        /// What to reach.
        deployment: DeploymentId,
        /// What was applied before.
        previous: Option<DeploymentId>,
    },
}

impl Action {
    /// The word on the wire and in logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Fetch { .. } => "fetch",
            Self::RunHook { .. } => "run-hook",
            Self::Launch { .. } => "launch",
            Self::AwaitHealthy { .. } => "await-healthy",
            Self::Hold { .. } => "hold",
            Self::Shift { .. } => "shift",
            Self::Verify { .. } => "verify",
            Self::Bake { .. } => "bake",
            Self::Drain { .. } => "drain",
            Self::Retire { .. } => "retire",
            Self::Unroute => "unroute",
            Self::Gate { .. } => "gate",
            Self::Begin { .. } => "begin",
            Self::Apply { .. } => "apply",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weights = |list: &[Weight]| {
            let parts: Vec<_> = list.iter().map(|w| format!("{} {}%", w.deployment, w.weight)).collect();
            if parts.is_empty() { "nobody".to_owned() } else { parts.join(", ") }
        };
        match self {
            Self::Fetch { resource } => write!(f, "fetch {}", resource.uri),
            Self::RunHook { point, hook, .. } => write!(f, "run hook {}: {hook}", point.key()),
            Self::Launch { deployment, instances, .. } => write!(f, "launch {deployment} [{instances}]"),
            Self::AwaitHealthy { deployment, instances } => write!(f, "await healthy {deployment} [{instances}]"),
            Self::Hold { bound, .. } => write!(f, "hold requests for at most {bound}"),
            Self::Shift { to, .. } => write!(f, "shift traffic to {}", weights(to)),
            Self::Verify { deployment } => write!(f, "verify through the edge that {deployment} answers"),
            Self::Bake { deployment, span, judge } => {
                write!(
                    f,
                    "bake {deployment} for {span}{}",
                    if *judge { ", judged by its errors and latency" } else { "" }
                )
            }
            Self::Drain { deployment, instances } => write!(f, "drain {deployment} [{instances}]"),
            Self::Retire { deployment, instances, .. } if instances.is_empty() => {
                write!(f, "clear away what is left of {deployment}")
            }
            Self::Retire { deployment, instances, .. } => write!(f, "retire {deployment} [{instances}]"),
            Self::Unroute => f.write_str("give up the routes"),
            Self::Gate { most, .. } => write!(f, "wait until at most {most} elsewhere are away or not healthy"),
            Self::Begin { deployment, .. } => write!(f, "begin {deployment}"),
            Self::Apply { deployment, .. } => write!(f, "apply {deployment}"),
        }
    }
}

impl Action {
    /// The deployment it is about, where it is about one.
    #[must_use]
    pub const fn deployment(&self) -> Option<&DeploymentId> {
        match self {
            Self::RunHook { deployment, .. }
            | Self::Launch { deployment, .. }
            | Self::AwaitHealthy { deployment, .. }
            | Self::Verify { deployment }
            | Self::Bake { deployment, .. }
            | Self::Drain { deployment, .. }
            | Self::Retire { deployment, .. }
            | Self::Begin { deployment, .. }
            | Self::Apply { deployment, .. } => Some(deployment),
            Self::Fetch { .. } | Self::Hold { .. } | Self::Shift { .. } | Self::Unroute | Self::Gate { .. } => None,
        }
    }

    /// Longest it may take for an application.
    #[must_use]
    pub fn bound(&self, app: &Application) -> Millis {
        let bounds = &app.bounds;
        match self {
            Self::Fetch { .. } => bounds.fetch,
            Self::RunHook { hook, .. } => Millis(hook.timeout.0.saturating_add(SLACK.0)),
            Self::Launch { .. } | Self::Apply { .. } => bounds.start,
            Self::AwaitHealthy { .. } | Self::Gate { .. } => bounds.health,
            Self::Begin { .. } => BEGIN_BOUND,
            Self::Hold { .. } | Self::Shift { .. } | Self::Unroute => EDGE_BOUND,
            Self::Verify { .. } => VERIFY_BOUND,
            Self::Bake { span, .. } => Millis(span.0.saturating_add(SLACK.0)),
            Self::Drain { .. } => Millis(bounds.drain.0.saturating_add(SLACK.0)),
            Self::Retire { .. } => Millis(app.stop.grace.0.saturating_add(REMOVAL.0)),
        }
    }
}

impl Plan {
    /// What `--require-plan` compares: plans that do the same to the same have one hash.
    ///
    /// It covers what each deployment runs and leaves out what only names it (release id, revision number), so that the
    /// plan of an install has its hash before there is a release.
    #[must_use]
    pub fn hash(&self) -> Sha256 {
        let contents: BTreeMap<&str, String> = self
            .deployments
            .iter()
            .map(|d| (d.id.as_str(), Sha256::of_json(&json!({"app": d.app, "secrets": d.secrets})).to_string()))
            .collect();
        let mut steps = serde_json::to_value(&self.steps).expect("steps are always representable as JSON");
        rename(&mut steps, &contents);
        let mut hashed = json!({"version": self.version, "steps": steps, "commit": self.commit});
        if self.purge {
            hashed["purge"] = true.into();
        }
        if let Some(waves) = &self.waves {
            hashed["waves"] = json!(waves);
        }
        Sha256::of_json(&hashed)
    }

    /// The deployment of that id, as the plan would launch it.
    #[must_use]
    pub fn deployment(&self, id: &DeploymentId) -> Option<&Deployment> {
        self.deployments.iter().find(|d| d.id == *id)
    }

    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// Replaces every text that is a key of `names`.
fn rename(value: &mut Value, names: &BTreeMap<&str, String>) {
    match value {
        Value::String(text) => {
            if let Some(name) = names.get(text.as_str()) {
                text.clone_from(name);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, names)),
        Value::Object(map) => map.values_mut().for_each(|item| rename(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
