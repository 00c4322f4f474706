//! What a verb would do: resolved and planned as its rollout would be, and nothing stored.

use skipper_core::{
    Sha256, deployment::Live, id::ReleaseId, policy::Action, rollout::Plan, route::Listener, spec::Spec,
};
use skipper_engine::PlanRequest;

use super::{Caller, Prepared, diff, find};
use crate::{
    app::App,
    error::{Code, Error, plan_failure},
    resolver::Owner,
};

/// A plan with what it is about.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// What it is made of.
    pub prepared: Prepared,
    /// The manifest as it would be stored; `None` for a delete.
    pub manifest: Option<String>,
    /// Unified diff from what serves; `None` when there is none or nothing differs.
    pub diff: Option<String>,
}

/// Resolves and plans.
///
/// # Errors
///
/// What the rollout would fail with: a resource that cannot be had, a platform that cannot do it, a missing secret.
pub async fn plan(app: &App, caller: &Caller, prepared: Prepared) -> Result<Planned, Error> {
    caller.may(Action::Deploy, &prepared.tenant)?;
    if let Some((_, spec)) = &prepared.rendered {
        app.tenant_platforms.permit_all(caller.actor(), spec)?;
    }
    let (plan, resolved) = make(app, &prepared).await?;
    let text = || prepared.rendered.as_ref().map(|(text, _)| text.clone()).unwrap_or_default();
    let manifest = resolved.as_ref().map(|spec| skipper_source::manifest::of(spec, text()));
    let serving = prepared.release.as_ref().and_then(|release| Some((release, release.serving?)));
    let diff = match (&manifest, serving) {
        (Some(new), Some((release, number))) => {
            let old = find::revision(app, release, number).await?.manifest.unwrap_or_default();
            let to = format!("revision {} (planned)", prepared.number());
            Some(diff::unified(&old, new, &format!("revision {number}"), &to)).filter(|text| !text.is_empty())
        }
        _ => None,
    };
    Ok(Planned { plan, prepared, manifest, diff })
}

/// Refuses unless the plan has this hash. `Some`: what the rollout's own plan must have. `None` where a port is chosen
/// only then, which no plan before it can know.
pub(super) async fn must_be(app: &App, prepared: &Prepared, required: Sha256) -> Result<Option<Sha256>, Error> {
    let (plan, resolved) = make(app, prepared).await?;
    let hash = plan.hash();
    if hash == required {
        let mut routes = resolved.iter().flat_map(|spec| &spec.applications).flat_map(|app| &app.routes);
        let open = routes.any(|route| route.listener == Listener::Auto);
        return Ok((!open).then_some(hash));
    }
    Err(Error::new(Code::PlanChanged, format!("the plan's hash is {hash} now, and {required} was required"))
        .hint("look at the plan again, and require its hash"))
}

async fn make(app: &App, prepared: &Prepared) -> Result<(Plan, Option<Spec>), Error> {
    let release = release_id(app, prepared);
    let live = live_of(app, prepared).await?;
    let resolved = match &prepared.rendered {
        None => None,
        Some((_, spec)) => {
            let owner = Owner { release: prepared.release.as_ref().map(|known| known.id), name: &prepared.name };
            Some(app.resolver.preview(spec, owner).await?)
        }
    };
    let request = PlanRequest {
        release,
        release_name: &prepared.name,
        tenant: &prepared.tenant,
        live: &live,
        target: resolved.as_ref().map(|spec| (prepared.number(), spec)),
        purge: prepared.purge,
    };
    let plan = app.engine.preview(&request).await.map_err(|failure| plan_failure(&failure))?;
    Ok((plan, resolved))
}

/// The release's id; any will do where there is none yet.
pub(super) fn release_id(app: &App, prepared: &Prepared) -> ReleaseId {
    prepared.release.as_ref().map_or_else(|| ReleaseId::from_uuid(app.ids.next()), |release| release.id)
}

/// What runs for the release now.
pub(super) async fn live_of(app: &App, prepared: &Prepared) -> Result<Vec<Live>, Error> {
    match &prepared.release {
        None => Ok(Vec::new()),
        Some(release) => Ok(app.store.live_for_release(release.id).await?),
    }
}
