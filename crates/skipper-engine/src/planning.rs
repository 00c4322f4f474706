//! From a resolved spec and what runs to a plan: the same for a rollout and for a dry run.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use futures::future::join_all;
use skipper_core::{
    deployment::{Deployment, Live, Observed},
    id::ReleaseId,
    name::{ReleaseName, SecretName, TenantName},
    port::{Capabilities, Error as PortError, ErrorKind, Standing},
    rollout::{Action, Plan, PlanError, PlanInput, plan},
    route::{Listener, RouteKey},
    secret::SecretVersions,
    spec::{Route, SecretUse, Spec, Target},
};
use tokio::time::timeout;
use tracing::debug;

use crate::{config::EngineConfig, failure::Failure, supervise::span};

/// Longest a router may think about routes; it looks at its own tables and tries to bind.
const ROUTER_BOUND: Duration = Duration::from_secs(2);

/// What a plan is wanted for.
#[derive(Debug, Clone)]
pub struct PlanRequest<'a> {
    /// The release. For a preview of its install any id will do: a plan's hash does not cover it.
    pub release: ReleaseId,
    /// Its name.
    pub release_name: &'a ReleaseName,
    /// Its tenant.
    pub tenant: &'a TenantName,
    /// What runs for it now.
    pub live: &'a [Live],
    /// The revision and its resolved spec; `None` to take everything away.
    pub target: Option<(u64, &'a Spec)>,
    /// And to forget it.
    pub purge: bool,
}

/// A plan, and the versions of the secrets it takes.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) plan: Plan,
    pub(crate) secrets: SecretVersions,
}

/// Why there is no plan, for the caller who retries what is transient.
#[derive(Debug)]
pub(crate) enum NoPlan {
    Refused(Failure),
    Store(PortError),
}

pub(crate) async fn make(config: &EngineConfig, request: &PlanRequest<'_>) -> Result<Made, Failure> {
    try_make(config, request).await.map_err(|no| match no {
        NoPlan::Refused(failure) => failure,
        NoPlan::Store(error) => Failure::from(&error),
    })
}

pub(crate) async fn try_make(config: &EngineConfig, request: &PlanRequest<'_>) -> Result<Made, NoPlan> {
    let names = secret_names(request.target.map(|(_, spec)| spec));
    let secrets = if names.is_empty() {
        SecretVersions::default()
    } else {
        config.store.secret_versions(request.tenant, &names).await.map_err(|error| match error.kind() {
            ErrorKind::Permanent | ErrorKind::Damaged | ErrorKind::NotFound => NoPlan::Refused(Failure::from(&error)),
            _ => NoPlan::Store(error),
        })?
    };
    let capabilities = capabilities(config, request);
    let unavailable = unavailable(config, request).await;
    let bounded = request.target.map(|(number, spec)| (number, spec.bounded()));
    let input = PlanInput {
        release: request.release,
        release_name: request.release_name,
        tenant: request.tenant,
        current: request.live,
        target: bounded.as_ref().map(|(number, spec)| (*number, &**spec)),
        secrets: &secrets,
        capabilities: &capabilities,
        unavailable: &unavailable,
    };
    let mut plan = plan(&input).map_err(|errors| NoPlan::Refused(refused(&errors)))?;
    plan.purge = request.purge;
    check_cordons(config, &plan).await?;
    check_routes(config, request).await?;
    Ok(Made { plan, secrets })
}

/// Places of the release that are away, take nothing or are not healthy, where the spec goes from place to place.
async fn unavailable(config: &EngineConfig, request: &PlanRequest<'_>) -> BTreeSet<Target> {
    let Some((_, spec)) = request.target.filter(|(_, spec)| spec.waves.is_some()) else { return BTreeSet::new() };
    let serving = || request.live.iter().filter(|live| live.weight > 0);
    let targets: BTreeSet<&Target> =
        spec.applications.iter().map(|app| &app.target).chain(serving().map(|live| live.deployment.target())).collect();
    let bound = config.tuning.observe_bound;
    let idle = targets.into_iter().map(|target| async move {
        let platform = config.platforms.get(target)?;
        let standing = timeout(bound, platform.standing(bound)).await;
        (standing != Ok(Standing::Ready)).then(|| target.place())
    });
    let ill = serving().map(|live| async move {
        let well = is_well(config, &live.deployment, &live.instances).await;
        (!well).then(|| live.deployment.target().place())
    });
    let (idle, ill) = tokio::join!(join_all(idle), join_all(ill));
    idle.into_iter().chain(ill).flatten().collect()
}

/// Refuses what would begin something new where nothing new is taken. What stays as it is there is nobody's business.
async fn check_cordons(config: &EngineConfig, plan: &Plan) -> Result<(), NoPlan> {
    let begins = |action: &Action| {
        matches!(action, Action::Launch { .. } | Action::Begin { .. } | Action::Apply { .. } | Action::RunHook { .. })
    };
    let targets: BTreeSet<&Target> =
        plan.steps.iter().filter(|step| begins(&step.action)).map(|step| &step.target).collect();
    let bound = config.tuning.observe_bound;
    for target in targets {
        let Some(platform) = config.platforms.get(target) else { continue };
        if timeout(bound, platform.standing(bound)).await == Ok(Standing::Cordoned) {
            let place = target.place_name();
            let failure = Failure::new("node-cordoned", format!("node `{place}` is cordoned and takes nothing new"))
                .hint(format!("skipper node uncordon {place}"));
            return Err(NoPlan::Refused(failure));
        }
    }
    Ok(())
}

/// Whether all of those instances run, as far as the platform says within its bound.
pub(crate) async fn is_well(config: &EngineConfig, deployment: &Deployment, instances: &[u32]) -> bool {
    let Some(platform) = config.platforms.get(deployment.target()) else { return false };
    let Some(range) = span(instances) else { return true };
    let bound = config.tuning.observe_bound;
    let Ok(Ok(seen)) = timeout(bound, platform.observe(deployment, range, bound)).await else { return false };
    let mut wanted = range.range().zip(seen).filter(|(index, _)| instances.contains(index));
    wanted.all(|(_, seen)| matches!(seen, Observed::Running(_)))
}

/// Asks the routers about ways in that are new, so that one that can never open is told before anything is launched. What
/// is routed already is not asked about again: it must not stand in the way of other changes. A router that does not answer
/// now is no reason against a plan; the rollout waits for it.
async fn check_routes(config: &EngineConfig, request: &PlanRequest<'_>) -> Result<(), NoPlan> {
    let Some((_, spec)) = request.target else { return Ok(()) };
    let serving = request.live.iter().filter(|live| live.weight > 0);
    let open: HashSet<RouteKey> = serving.flat_map(|live| live.deployment.app.routes.iter().map(Route::key)).collect();
    for app in &spec.applications {
        let keys =
            app.routes.iter().map(Route::key).filter(|key| key.listener != Listener::Auto && !open.contains(key));
        let keys: Vec<RouteKey> = keys.collect();
        if keys.is_empty() {
            continue;
        }
        match timeout(ROUTER_BOUND, config.routers.of(&app.target).check(&keys)).await {
            Ok(Err(error)) if error.kind() == ErrorKind::Permanent => {
                let failure = Failure::from(&error);
                let message = format!("{}: {}", app.name, failure.message);
                return Err(NoPlan::Refused(Failure { message, ..failure }));
            }
            Ok(Err(error)) => debug!(error = error.chain(), "the router cannot say now whether routes can be opened"),
            Err(_) => debug!(bound = ?ROUTER_BOUND, "the router does not say whether routes can be opened"),
            Ok(Ok(())) => {}
        }
    }
    Ok(())
}

fn secret_names(spec: Option<&Spec>) -> Vec<SecretName> {
    let mut names: Vec<SecretName> = spec
        .into_iter()
        .flat_map(|spec| &spec.applications)
        .flat_map(|app| app.secrets.iter().map(SecretUse::secret).cloned())
        .collect();
    names.sort();
    names.dedup();
    names
}

fn capabilities(config: &EngineConfig, request: &PlanRequest<'_>) -> BTreeMap<Target, Capabilities> {
    let wanted = request.target.into_iter().flat_map(|(_, spec)| spec.applications.iter().map(|app| &app.target));
    let current = request.live.iter().map(|live| live.deployment.target());
    wanted
        .chain(current)
        .filter_map(|target| Some((target.clone(), config.platforms.get(target)?.capabilities())))
        .collect()
}

fn refused(errors: &[PlanError]) -> Failure {
    let code = match errors.first() {
        Some(PlanError::UnknownTarget { .. }) => "unknown-platform",
        Some(PlanError::Unsupported { .. }) => "unsupported",
        Some(PlanError::NoRoom { .. }) => "too-many-unavailable",
        Some(PlanError::WaveOrder { .. }) => "wave-order",
        Some(PlanError::Spec(_)) | None => "invalid-spec",
    };
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let failure = Failure::new(code, all.join("; "));
    match code {
        "unknown-platform" => failure.hint("see the configured platforms with `skipper platform list`"),
        "too-many-unavailable" => failure.hint("`skipper node list` shows the nodes; `--max-unavailable` allows more"),
        _ => failure,
    }
}
