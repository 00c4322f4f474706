//! The plan: ordered, serialisable steps and what takes them back.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    deployment::{Deployment, DeploymentId},
    digest::Sha256,
    name::AppName,
    spec::{Hook, RecreateReason, Resource, Route, Target},
    time::{Millis, Timestamp},
};

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
    /// Starts instances. Undone by retiring them.
    Launch {
        /// Of which deployment.
        deployment: DeploymentId,
        /// Which.
        instances: Instances,
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
        /// Longest wait of one request.
        bound: Millis,
        /// Weights before.
        from: Vec<Weight>,
        /// Ways in before.
        routes: Vec<Route>,
    },
    /// Sends new requests by `to`, and opens the service if it was held. Undone by `from`.
    Shift {
        /// Routes and weights before.
        from: Vec<Weight>,
        /// Weights afterwards.
        to: Vec<Weight>,
        /// Ways in before.
        routes_from: Vec<Route>,
        /// Ways in afterwards.
        routes: Vec<Route>,
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
    /// Waits until no request is in flight any more, or the bound has passed (which is no failure).
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
            Self::RunHook { point, hook, .. } => write!(f, "run hook {point:?}: {}", hook.command.join(" ")),
            Self::Launch { deployment, instances } => write!(f, "launch {deployment} [{instances}]"),
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
            Self::Retire { deployment, instances, .. } => write!(f, "retire {deployment} [{instances}]"),
            Self::Unroute => f.write_str("give up the routes"),
            Self::Apply { deployment, .. } => write!(f, "apply {deployment}"),
        }
    }
}

impl Step {
    /// The actions that take the step back, in order. Empty where nothing is to be taken back.
    #[must_use]
    pub fn undo(&self) -> Vec<Action> {
        match &self.action {
            Action::Launch { deployment, instances } => {
                vec![Action::Retire {
                    deployment: deployment.clone(),
                    instances: *instances,
                    last: instances.from == 0,
                }]
            }
            Action::Retire { deployment, instances, .. } => vec![
                Action::Launch { deployment: deployment.clone(), instances: *instances },
                Action::AwaitHealthy { deployment: deployment.clone(), instances: *instances },
            ],
            Action::Shift { from, to, routes_from, routes } => vec![Action::Shift {
                from: to.clone(),
                to: from.clone(),
                routes_from: routes.clone(),
                routes: routes_from.clone(),
            }],
            Action::Hold { from, routes, .. } => vec![Action::Shift {
                from: Vec::new(),
                to: from.clone(),
                routes_from: routes.clone(),
                routes: routes.clone(),
            }],
            Action::Apply { deployment, previous: Some(previous) } => {
                vec![Action::Apply { deployment: previous.clone(), previous: Some(deployment.clone()) }]
            }
            Action::Apply { deployment, previous: None } => {
                vec![Action::Retire { deployment: deployment.clone(), instances: Instances::first(0), last: true }]
            }
            Action::Fetch { .. }
            | Action::RunHook { .. }
            | Action::AwaitHealthy { .. }
            | Action::Verify { .. }
            | Action::Bake { .. }
            | Action::Drain { .. }
            | Action::Unroute => Vec::new(),
        }
    }
}

impl Plan {
    /// What `--require-plan` compares: equal plans, equal hashes.
    #[must_use]
    pub fn hash(&self) -> Sha256 {
        let steps = serde_json::to_value(&self.steps).expect("steps are always representable as JSON");
        Sha256::of_json(&json!({"version": self.version, "steps": steps, "commit": self.commit}))
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

/// Which way a step was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// Its effect may have begun.
    Started,
    /// It is done.
    Done,
    /// It failed.
    Failed,
    /// Its undoing may have begun.
    Undoing,
    /// It was taken back.
    Undone,
}

impl StepState {
    const ALL: [Self; 5] = [Self::Started, Self::Done, Self::Failed, Self::Undoing, Self::Undone];

    /// The word in the store and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
        }
    }

    /// The state of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What the log holds of one step: its latest state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRecord {
    /// Index in the plan.
    pub index: u32,
    /// Latest state.
    pub state: StepState,
    /// When it was first started.
    pub started_at: Timestamp,
    /// When it reached its latest state.
    pub updated_at: Timestamp,
    /// What was found or what broke, for people and for a later undo.
    pub outcome: StepOutcome,
}

/// What a step leaves in the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepOutcome {
    /// A sentence, where there is something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Facts: addresses, digests, counts.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub data: serde_json::Value,
}
