//! Applies a tenant: what its resource says becomes the next revision of the release of its name.

use serde::Deserialize;
use serde_json::json;
use skipper_core::{
    deployment::{Deployment, DeploymentId, Live},
    fleet::OrderKind,
    name::{ReleaseName, TenantName},
    policy::Action,
    release::{Door, Source},
    rollout::{Rollout, Verb},
    secret::SecretVersions,
    spec::{OnFailure, Portion, Spec, WaveTerms},
};
use skipper_source::tenant::{self, Service, Surroundings, Tenant};
use skipper_store::{IntentAccepted, Order, ResourceFilter};

use super::{
    Caller, Options, Prepared, delete, difference, intent,
    resources::{self, Kind},
};
use crate::{
    app::App,
    error::{Code, Error, package_faults},
};

/// Most services of a tenant that have documents of their own.
const MAX_SERVICES: u32 = 1000;

/// What came of an apply.
#[derive(Debug)]
pub struct Applied {
    /// Whose.
    pub tenant: TenantName,
    /// The revision that is wanted.
    pub revision: u64,
    /// The rollout; none where nothing would change.
    pub rollout: Option<Rollout>,
    /// An order for each node whose project changes; the last ones where nothing would.
    pub orders: Vec<Order>,
}

/// How to go from node to node, where the caller says it: what is not said stays as the document has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `waves`, `max_unavailable` or `on_failure`")]
pub struct Terms {
    /// Sizes of waves.
    #[serde(default)]
    pub waves: Option<Vec<Portion>>,
    /// Most nodes that may be unavailable at a time.
    #[serde(default)]
    pub max_unavailable: Option<Portion>,
    /// What a bad node means to the others.
    #[serde(default)]
    pub on_failure: Option<OnFailure>,
}

impl Terms {
    /// The terms that come of it.
    ///
    /// # Errors
    ///
    /// They make no sense together.
    pub fn over(&self, written: Option<WaveTerms>) -> Result<WaveTerms, Error> {
        let written = written.unwrap_or_default();
        let terms = WaveTerms {
            waves: self.waves.clone().unwrap_or(written.waves),
            max_unavailable: self.max_unavailable.or(written.max_unavailable),
            on_failure: self.on_failure.unwrap_or(written.on_failure),
        };
        terms.check().map_err(|wrong| Error::new(Code::Invalid, format!("rollout: {wrong}")))?;
        Ok(terms)
    }
}

/// What an apply would do, found out and rendered.
#[derive(Debug)]
pub(super) enum Wanted {
    /// Nothing: the tenant is as its document says.
    Unchanged(Box<Applied>),
    /// A next revision.
    Change(Box<Prepared>),
}

/// Stores the intent, and an order for each node. Behind an open rollout it waits, in the place of whatever waited before.
///
/// # Errors
///
/// There is no such tenant; what its resource says cannot be carried out.
///
/// # Cancel safety
///
/// Safe to drop: orders that were not made are made by the rollout.
pub async fn apply(app: &App, caller: &Caller, tenant: &TenantName, terms: &Terms) -> Result<Applied, Error> {
    match prepare(app, caller, tenant, terms).await? {
        Wanted::Unchanged(applied) => Ok(*applied),
        Wanted::Change(prepared) => ordered(app, caller, *prepared, Door::Fleet, true).await,
    }
}

/// Finds out what an apply would do.
pub(super) async fn prepare(app: &App, caller: &Caller, tenant: &TenantName, terms: &Terms) -> Result<Wanted, Error> {
    caller.may(Action::Deploy, tenant)?;
    app.fleet.look_at_files().await;
    readable(app, Kind::Tenant, tenant.as_str())?;
    let name = ReleaseName::new(tenant.as_str()).map_err(|wrong| Error::new(Code::Invalid, wrong.to_string()))?;
    let release = app.store.release_get(tenant, &name).await?;
    let Some((manifest, mut spec, resolved)) = rendered(app, tenant).await? else {
        return take_away(app, caller, tenant, name).await.map(Box::new).map(Wanted::Change);
    };
    spec.waves = Some(Box::new(terms.over(spec.waves.map(|written| *written))?));
    if let Some(release) = &release
        && let Some(serving) = release.serving.filter(|_| !release.deleted)
        && app.store.rollout_open(release.id).await?.is_none()
        && let Some(now) = app.store.revision_get(release.id, serving).await?.and_then(|revision| revision.spec)
        && difference::pinned_like(app, &spec, &now).await.is_some_and(|fresh| fresh == now)
    {
        let lives = app.store.live_for_release(release.id).await?;
        if difference::runs_everywhere(&now, &lives) {
            return Ok(Wanted::Unchanged(Box::new(unchanged(app, tenant, serving, &lives).await?)));
        }
    }
    let warnings = app.resolver.review(&spec).await?;
    let there = release.as_ref().is_some_and(|release| !release.deleted);
    Ok(Wanted::Change(Box::new(Prepared {
        tenant: tenant.clone(),
        name,
        release,
        verb: if there { Verb::Upgrade } else { Verb::Install },
        source: Some(Source::Tenant { spec: resolved }),
        rendered: Some((manifest, spec)),
        kept: None,
        warnings,
        expect_serving: None,
        purge: false,
    })))
}

/// What a tenant is told that is as it should be: the revision, and its nodes' last orders.
pub(super) async fn unchanged(app: &App, tenant: &TenantName, revision: u64, lives: &[Live]) -> Result<Applied, Error> {
    let mut orders = Vec::new();
    for live in lives {
        orders.extend(app.store.order_newest(&live.deployment.id, OrderKind::DeployService).await?);
    }
    Ok(Applied { tenant: tenant.clone(), revision, rollout: None, orders })
}

/// Stores the intent and an order for each node that changes; none is handed out before its wave's turn has come.
pub(super) async fn ordered(
    app: &App,
    caller: &Caller,
    prepared: Prepared,
    door: Door,
    wait_behind: bool,
) -> Result<Applied, Error> {
    let spec = prepared.rendered.as_ref().map(|(_, spec)| spec.clone());
    let tenant = prepared.tenant.clone();
    let options = Options { door: Some(door), wait_behind, ..Options::default() };
    let accepted = intent::accept(app, caller, prepared, options).await?;
    let revision = accepted.rollout.to.unwrap_or(accepted.release.last_revision);
    let live = app.store.live_for_release(accepted.release.id).await?;
    let mut orders = Vec::new();
    for application in spec.iter().flat_map(|spec| &spec.applications) {
        let same = |live: &&Live| {
            live.deployment.app.name == application.name && live.deployment.app.edition() == application.edition()
        };
        let Some((node, None)) = application.target.0.node() else { continue };
        if live.iter().any(|one| same(&one)) {
            continue;
        }
        let deployment = Deployment {
            id: DeploymentId::derive(accepted.release.id, &accepted.release.name, &application.name, revision),
            release: accepted.release.id,
            release_name: accepted.release.name.clone(),
            tenant: tenant.clone(),
            revision,
            app: application.clone(),
            secrets: SecretVersions::default(),
        };
        let key = caller.idempotency.as_ref().map(|key| key.key().to_owned());
        let order = app.fleet.platform(node).order(&deployment, caller.provenance.clone(), key, false).await;
        orders.push(order.map_err(|error| Error::new(Code::PlanRefused, error.chain()))?);
    }
    Ok(Applied { tenant, revision, rollout: Some(accepted.rollout), orders })
}

/// What came of an apply that was stored before its server died and was never answered.
///
/// # Errors
///
/// Only the store's.
pub async fn again(app: &App, accepted: IntentAccepted) -> Result<Applied, Error> {
    let IntentAccepted { release, revision: stored, rollout } = accepted;
    let revision = rollout.to.unwrap_or(release.last_revision);
    let mut orders = Vec::new();
    for application in stored.iter().filter_map(|stored| stored.spec.as_ref()).flat_map(|spec| &spec.applications) {
        let id = DeploymentId::derive(release.id, &release.name, &application.name, revision);
        orders.extend(app.store.order_newest(&id, OrderKind::DeployService).await?);
    }
    Ok(Applied { tenant: release.tenant, revision, rollout: Some(rollout), orders })
}

/// What the tenant's resources come to: manifest, spec, and the tenant's spec with all of its services. `None` where they
/// name no service.
async fn rendered(app: &App, tenant: &TenantName) -> Result<Option<(String, Spec, serde_json::Value)>, Error> {
    let resource = app.store.resource_get(Kind::Tenant.as_str(), tenant.as_str()).await?;
    let resource = resource.ok_or_else(|| resources::unknown(Kind::Tenant, tenant.as_str()))?;
    let damaged =
        |error: serde_json::Error| Error::new(Code::Conflict, format!("a stored resource cannot be read: {error}"));
    let document = json!({"kind": "tenant", "id": tenant, "spec": resource.spec});
    let mut wanted: Tenant = serde_json::from_value(document).map_err(damaged)?;
    let filter = ResourceFilter { kind: Kind::Service.as_str(), tenant: Some(tenant), after: "", limit: MAX_SERVICES };
    let mut services: Vec<Service> = Vec::new();
    for service in app.store.resource_list(filter).await? {
        readable(app, Kind::Service, &service.name)?;
        let document = json!({"kind": "service", "id": service.name, "spec": service.spec});
        services.push(serde_json::from_value(document).map_err(damaged)?);
    }
    let refused = |faults: skipper_source::Faults| {
        package_faults(Code::PlanRefused, &format!("tenant `{tenant}` cannot be applied"), &faults)
    };
    let projects = tenant::projects(&wanted, &services, &Surroundings::usual()).map_err(refused)?;
    if projects.iter().all(|project| project.content.services.is_empty()) {
        return Ok(None);
    }
    let mut spec = tenant::spec(&projects).map_err(refused)?;
    spec.waves = wanted.spec.rollout.clone().map(Box::new);
    let manifest = tenant::manifest(&projects);
    wanted.spec.services.extend(services.into_iter().map(|service| (service.id, service.spec.service)));
    Ok(Some((manifest, spec, json!(wanted.spec))))
}

/// Whoever applies means what is in the file: while it cannot be read, what was read before is not applied in its place.
fn readable(app: &App, kind: Kind, id: &str) -> Result<(), Error> {
    let Some(what) = app.fleet.wrong_files().of(kind, id) else { return Ok(()) };
    Err(Error::new(Code::Invalid, what)
        .hint("put the file right; or remove it, and what is stored counts and is written again"))
}

/// A tenant that wants no service has nothing to run.
async fn take_away(app: &App, caller: &Caller, tenant: &TenantName, name: ReleaseName) -> Result<Prepared, Error> {
    if app.store.release_get(tenant, &name).await?.filter(|release| !release.deleted).is_none() {
        return Err(Error::new(Code::PlanRefused, format!("tenant `{tenant}` has no services"))
            .hint("write them into `spec.services` of its resource, or into resources of kind `service`"));
    }
    delete::prepare(app, caller, delete::Delete { tenant: tenant.clone(), name, purge: false }).await
}
