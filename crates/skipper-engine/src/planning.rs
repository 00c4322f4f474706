//! From a resolved spec and what runs to a plan: the same for a rollout and for a dry run.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use skipper_core::{
    deployment::Live,
    id::ReleaseId,
    name::{ReleaseName, SecretName, TenantName},
    port::{Capabilities, Error as PortError, ErrorKind},
    rollout::{Plan, PlanError, PlanInput, plan},
    route::{Listener, RouteKey},
    secret::SecretVersions,
    spec::{Route, SecretUse, Spec, Target},
};
use tokio::time::timeout;
use tracing::debug;

use crate::{config::EngineConfig, failure::Failure};

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
    let bounded = request.target.map(|(number, spec)| (number, spec.bounded()));
    let input = PlanInput {
        release: request.release,
        release_name: request.release_name,
        tenant: request.tenant,
        current: request.live,
        target: bounded.as_ref().map(|(number, spec)| (*number, &**spec)),
        secrets: &secrets,
        capabilities: &capabilities,
    };
    let mut plan = plan(&input).map_err(|errors| NoPlan::Refused(refused(&errors)))?;
    plan.purge = request.purge;
    check_routes(config, request).await?;
    Ok(Made { plan, secrets })
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
        Some(PlanError::Spec(_)) | None => "invalid-spec",
    };
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let failure = Failure::new(code, all.join("; "));
    match code {
        "unknown-platform" => failure.hint("see the configured platforms with `skipper platform list`"),
        _ => failure,
    }
}
