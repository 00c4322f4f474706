//! `plan`: from what runs and what is wanted to the ordered steps in between. Pure.
//!
//! The order, for the applications that change:
//!
//! 1. every resource is fetched, so that nothing starts moving before all of it is here;
//! 2. in dependency order, applications are brought up: `blue-green` and `canary` beside the old one, `recreate` and
//!    `rolling` in its place;
//! 3. traffic of those that stand beside is shifted and verified, then everything is watched for its bake time;
//! 4. past the point of no return, what no longer serves is drained and retired, dependants first.

mod app;
mod waves;

#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use self::app::Mover;
use super::{
    plan::{Action, Instances, Notice, Plan, Step, Weight},
    waves::Waves,
};
use crate::{
    deployment::{Deployment, DeploymentId, Live},
    id::ReleaseId,
    name::{AppName, ReleaseName, TenantName},
    port::Capabilities,
    secret::SecretVersions,
    spec::{Application, Spec, SpecError, Target},
    time::Millis,
};

/// Version of the plan document.
const PLAN_VERSION: u16 = 1;

/// Everything a plan is made of.
#[derive(Debug, Clone)]
pub struct PlanInput<'a> {
    /// The release.
    pub release: ReleaseId,
    /// Its name.
    pub release_name: &'a ReleaseName,
    /// Its tenant.
    pub tenant: &'a TenantName,
    /// What runs for it now. Deployments with weight 0 are leftovers and none of the plan's business.
    pub current: &'a [Live],
    /// The revision to reach and its resolved spec; `None` to take everything away.
    pub target: Option<(u64, &'a Spec)>,
    /// The versions that new deployments will take of every secret the spec names.
    pub secrets: &'a SecretVersions,
    /// What each platform account that the spec or the current deployments name can do.
    pub capabilities: &'a BTreeMap<Target, Capabilities>,
    /// Places (see [`Target::place`]) of the release that are away, take nothing, or are not healthy now. Asked for only where the
    /// spec wants waves.
    pub unavailable: &'a BTreeSet<Target>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The spec contradicts itself.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// No such platform account.
    #[error("application `{app}` asks for platform `{target}`, which is not configured")]
    UnknownTarget {
        /// Who asks.
        app: AppName,
        /// For what.
        target: Target,
    },
    /// The platform cannot do what the application needs.
    #[error("application `{app}`: platform `{target}` cannot do this: {what}")]
    Unsupported {
        /// Who asks.
        app: AppName,
        /// Of which platform.
        target: Target,
        /// What it cannot do, and what to do instead.
        what: String,
    },
    /// As many places as may be unavailable are so already.
    #[error(
        "at most {most} of {of} nodes may be unavailable at a time, and {} already: {}; mend them or allow more",
        if .away.len() == 1 { "one is".to_owned() } else { format!("{} are", .away.len()) },
        .away.join(", ")
    )]
    NoRoom {
        /// How many may be.
        most: usize,
        /// Of how many.
        of: usize,
        /// Which are.
        away: Vec<String>,
    },
    /// An application would begin before what it depends on.
    #[error(
        "application `{app}` on `{place}` depends on `{needs}`, which is changed in a later wave; use larger waves"
    )]
    WaveOrder {
        /// Who depends.
        app: AppName,
        /// Where.
        place: String,
        /// On what.
        needs: AppName,
    },
}

/// Computes the plan.
///
/// # Errors
///
/// All faults of the input, not only the first.
pub fn plan(input: &PlanInput<'_>) -> Result<Plan, Vec<PlanError>> {
    let empty = Spec::new(Vec::new());
    let (revision, spec) = input.target.unwrap_or((0, &empty));
    if input.target.is_some() {
        check(input, spec)?;
    }
    let groups = spec.start_order().map_err(|circle| vec![PlanError::Spec(SpecError::DependencyCycle(circle))])?;
    let movers: Vec<Mover<'_>> = groups
        .iter()
        .flatten()
        .filter_map(|name| spec.application(name))
        .filter_map(|app| Mover::new(input, revision, app, serving(input.current, &app.name)))
        .collect();
    let mut builder = Builder::default();
    match waves::sorted(input, spec, &movers)? {
        Some(waves) => waves::advance(&waves, &movers, &mut builder),
        None => advance(spec, &movers, &mut builder),
    }
    builder.commit();
    for mover in movers.iter().rev() {
        mover.clear_away(&mut builder);
    }
    for live in removed(input.current, spec) {
        app::take_away(live, &mut builder);
    }
    Ok(builder.finish())
}

/// The steps up to the point of no return, where everything changes or nothing.
fn advance(spec: &Spec, movers: &[Mover<'_>], builder: &mut Builder) {
    for mover in movers {
        mover.fetch(builder);
    }
    // One that others wait for, and that nobody can reach yet, gets its ways in as soon as it is healthy: those who need
    // it to start could never get healthy otherwise. One that serves already moves with the others, when all are well.
    let early = |mover: &Mover<'_>| {
        mover.is_first() && spec.applications.iter().any(|app| app.depends_on.contains(mover.name()))
    };
    for mover in movers {
        mover.bring_up(builder);
        if early(mover) {
            mover.shift(builder);
        }
    }
    for mover in movers.iter().filter(|mover| !early(mover)) {
        mover.shift(builder);
    }
    bake(movers.iter(), builder);
}

/// The one deployment of the application that serves now.
fn serving<'a>(current: &'a [Live], app: &AppName) -> Option<&'a Live> {
    current.iter().find(|live| live.weight > 0 && live.deployment.app.name == *app)
}

/// Serving deployments whose application is not wanted any more, dependants first.
fn removed<'a>(current: &'a [Live], spec: &Spec) -> Vec<&'a Live> {
    let gone: Vec<&Live> = current
        .iter()
        .filter(|live| live.weight > 0 && spec.application(&live.deployment.app.name).is_none())
        .collect();
    let old = Spec::new(gone.iter().map(|l| l.deployment.app.clone()).collect());
    let position: BTreeMap<AppName, usize> = old
        .start_order()
        .unwrap_or_default()
        .into_iter()
        .enumerate()
        .flat_map(|(level, names)| names.into_iter().map(move |name| (name, level)))
        .collect();
    let mut ordered = gone;
    ordered.sort_by_key(|live| {
        let name = &live.deployment.app.name;
        (Reverse(position.get(name).copied()), name.clone(), live.deployment.id.clone())
    });
    ordered
}

fn check(input: &PlanInput<'_>, spec: &Spec) -> Result<(), Vec<PlanError>> {
    let mut errors: Vec<PlanError> =
        spec.validate().err().unwrap_or_default().into_iter().map(PlanError::Spec).collect();
    for app in &spec.applications {
        match input.capabilities.get(&app.target) {
            None => errors.push(PlanError::UnknownTarget { app: app.name.clone(), target: app.target.clone() }),
            Some(capabilities) => {
                errors.extend(unsupported(app, capabilities).into_iter().map(|what| PlanError::Unsupported {
                    app: app.name.clone(),
                    target: app.target.clone(),
                    what,
                }));
            }
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// What an application needs and its platform lacks, as sentences.
fn unsupported(app: &Application, can: &Capabilities) -> Vec<String> {
    let mut lacks = Vec::new();
    let mut need = |needed: bool, able: bool, sentence: &str| {
        if needed && !able {
            lacks.push(sentence.to_owned());
        }
    };
    need(app.replicas > 1, can.replicas, "more than one instance");
    need(!app.volumes.is_empty(), can.volumes, "volumes");
    need(app.limits.memory_bytes.is_some(), can.memory_limits, "a memory limit (no writable cgroup was found)");
    need(app.limits.cpu_millis.is_some(), can.cpu_limits, "a CPU limit (no writable cgroup was found)");
    need(app.hooks != crate::spec::Hooks::default(), can.hooks, "hooks");
    let scheme = app.resource.uri.split_once(':').map_or("", |(scheme, _)| scheme);
    if !can.schemes.iter().any(|known| known == scheme) {
        lacks.push(format!(
            "resource `{}`; it runs resources of these kinds: {}",
            app.resource.uri,
            can.schemes.iter().map(|s| format!("{s}:")).collect::<Vec<_>>().join(", ")
        ));
    }
    if app.replicas > 1 && app.ports.iter().any(|p| p.fixed.is_some()) && !can.own_network {
        lacks.push("several instances on one fixed port; let the process take the port from its environment".into());
    }
    lacks
}

/// One watch for all: the longest bake counts, and while it passes each application is looked at.
fn bake<'m, 'a: 'm>(movers: impl Iterator<Item = &'m Mover<'a>>, builder: &mut Builder) {
    let mut watched: Vec<&Mover<'_>> = movers.filter(|m| m.bake().0 > 0).collect();
    watched.sort_by_key(|m| m.bake());
    let mut passed = Millis(0);
    for mover in watched {
        let span = Millis(mover.bake().0 - passed.0);
        passed = mover.bake();
        mover.watch(span, builder);
    }
}

/// Collects steps and the deployments they name.
#[derive(Debug, Default)]
struct Builder {
    steps: Vec<Step>,
    commit: Option<usize>,
    notices: Vec<Notice>,
    waves: Option<Box<Waves>>,
    deployments: BTreeMap<DeploymentId, Deployment>,
}

impl Builder {
    fn name(&mut self, deployment: &Deployment) {
        self.deployments.entry(deployment.id.clone()).or_insert_with(|| deployment.clone());
    }

    fn push(&mut self, app: &Application, action: Action) {
        let bound = action.bound(app);
        self.steps.push(Step { app: app.name.clone(), target: app.target.clone(), action, bound });
    }

    /// Starts instances and waits for their health.
    fn launch(&mut self, deployment: &Deployment, instances: Instances, fresh: bool) {
        if instances.is_empty() {
            return;
        }
        let id = deployment.id.clone();
        self.push(&deployment.app, Action::Launch { deployment: id.clone(), instances, fresh });
        self.push(&deployment.app, Action::AwaitHealthy { deployment: id, instances });
    }

    /// Lets requests finish and stops instances.
    fn retire(&mut self, deployment: &Deployment, instances: Instances, last: bool) {
        let id = deployment.id.clone();
        if deployment.app.is_routed() && !instances.is_empty() {
            self.push(&deployment.app, Action::Drain { deployment: id.clone(), instances });
        }
        if !instances.is_empty() || last {
            self.push(&deployment.app, Action::Retire { deployment: id, instances, last });
        }
    }

    fn commit(&mut self) {
        self.commit = Some(self.steps.len());
    }

    fn finish(self) -> Plan {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Plan {
            version: PLAN_VERSION,
            commit: count(self.commit.unwrap_or(self.steps.len())),
            steps: self.steps,
            notices: self.notices,
            purge: false,
            waves: self.waves,
            deployments: self.deployments.into_values().collect(),
        }
    }
}

fn all(deployment: &DeploymentId) -> Vec<Weight> {
    vec![Weight { deployment: deployment.clone(), weight: 100 }]
}
