//! Applies a tenant: what its resource says becomes the next revision of the release of its name.

use serde_json::json;
use skipper_core::{
    deployment::{Deployment, DeploymentId},
    fleet::OrderKind,
    name::{ReleaseName, TenantName},
    policy::Action,
    release::{Door, Source},
    rollout::{Rollout, Verb},
    secret::SecretVersions,
    spec::Spec,
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

/// Stores the intent, and an order for each node. Behind an open rollout it waits, in the place of whatever waited before.
///
/// # Errors
///
/// There is no such tenant; what its resource says cannot be carried out.
///
/// # Cancel safety
///
/// Safe to drop: orders that were not made are made by the rollout.
pub async fn apply(app: &App, caller: &Caller, tenant: &TenantName) -> Result<Applied, Error> {
    caller.may(Action::Deploy, tenant)?;
    app.fleet.look_at_files().await;
    let name = ReleaseName::new(tenant.as_str()).map_err(|wrong| Error::new(Code::Invalid, wrong.to_string()))?;
    let release = app.store.release_get(tenant, &name).await?;
    let Some((manifest, spec, resolved)) = rendered(app, tenant).await? else {
        return take_away(app, caller, tenant, name).await;
    };
    if let Some(release) = &release
        && let Some(serving) = release.serving.filter(|_| !release.deleted)
        && app.store.rollout_open(release.id).await?.is_none()
        && let Some(now) = app.store.revision_get(release.id, serving).await?.and_then(|revision| revision.spec)
        && difference::pinned_like(app, &spec, &now).await.is_some_and(|fresh| fresh == now)
    {
        let mut orders = Vec::new();
        for live in app.store.live_for_release(release.id).await? {
            orders.extend(app.store.order_newest(&live.deployment.id, OrderKind::DeployService).await?);
        }
        return Ok(Applied { tenant: tenant.clone(), revision: serving, rollout: None, orders });
    }
    let warnings = app.resolver.review(&spec).await?;
    let there = release.as_ref().is_some_and(|release| !release.deleted);
    let prepared = Prepared {
        tenant: tenant.clone(),
        name,
        release,
        verb: if there { Verb::Upgrade } else { Verb::Install },
        source: Some(Source::Tenant { spec: resolved }),
        rendered: Some((manifest, spec.clone())),
        kept: None,
        warnings,
        expect_serving: None,
        purge: false,
    };
    let options = Options { door: Some(Door::Fleet), wait_behind: true, ..Options::default() };
    let accepted = intent::accept(app, caller, prepared, options).await?;
    let revision = accepted.rollout.to.unwrap_or(accepted.release.last_revision);
    let live = app.store.live_for_release(accepted.release.id).await?;
    let mut orders = Vec::new();
    for application in &spec.applications {
        let same = |live: &&skipper_core::deployment::Live| {
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
    Ok(Applied { tenant: tenant.clone(), revision, rollout: Some(accepted.rollout), orders })
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
    let spec = tenant::spec(&projects).map_err(refused)?;
    let manifest = tenant::manifest(&projects);
    wanted.spec.services.extend(services.into_iter().map(|service| (service.id, service.spec.service)));
    Ok(Some((manifest, spec, json!(wanted.spec))))
}

/// A tenant that wants no service has nothing to run.
async fn take_away(app: &App, caller: &Caller, tenant: &TenantName, name: ReleaseName) -> Result<Applied, Error> {
    let release = app.store.release_get(tenant, &name).await?.filter(|release| !release.deleted);
    let Some(release) = release else {
        return Err(Error::new(Code::PlanRefused, format!("tenant `{tenant}` has no services"))
            .hint("write them into `spec.services` of its resource, or into resources of kind `service`"));
    };
    let wanted = delete::Delete { tenant: tenant.clone(), name, purge: false };
    let prepared = delete::prepare(app, caller, wanted).await?;
    let options = Options { door: Some(Door::Fleet), wait_behind: true, ..Options::default() };
    let accepted = intent::accept(app, caller, prepared, options).await?;
    Ok(Applied {
        tenant: tenant.clone(),
        revision: release.last_revision,
        rollout: Some(accepted.rollout),
        orders: Vec::new(),
    })
}
