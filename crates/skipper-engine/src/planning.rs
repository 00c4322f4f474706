//! From a resolved spec and what runs to a plan: the same for a rollout and for a dry run.

use std::collections::BTreeMap;

use skipper_core::{
    deployment::Live,
    id::ReleaseId,
    name::{ReleaseName, SecretName, TenantName},
    port::{Capabilities, Error as PortError, ErrorKind},
    rollout::{Plan, PlanError, PlanInput, plan},
    secret::SecretVersions,
    spec::{SecretUse, Spec, Target},
};

use crate::{config::EngineConfig, failure::Failure};

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
    let input = PlanInput {
        release: request.release,
        release_name: request.release_name,
        tenant: request.tenant,
        current: request.live,
        target: request.target,
        secrets: &secrets,
        capabilities: &capabilities,
    };
    match plan(&input) {
        Ok(plan) => Ok(Made { plan, secrets }),
        Err(errors) => Err(NoPlan::Refused(refused(&errors))),
    }
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
