//! The second half of every verb that changes what runs: check what can be checked now, store the intent, wake the engine.

use skipper_core::{
    Sha256,
    actor::Provenance,
    name::{ReleaseName, TenantName},
    policy::Action,
    release::{Door, Release, Source},
    rollout::Verb,
    spec::Spec,
};
use skipper_engine::PlanRequest;
use skipper_store::{IntentAccepted, NewIntent, Once};

use super::{Caller, plan};
use crate::{
    app::App,
    error::{Error, plan_failure},
};

/// What is wanted, found out and rendered.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Whose release.
    pub tenant: TenantName,
    /// Which release.
    pub name: ReleaseName,
    /// The release as it was seen; `None` where the name is new.
    pub release: Option<Release>,
    /// What is wanted.
    pub verb: Verb,
    /// What the revision is made of; `None` for a delete.
    pub source: Option<Source>,
    /// Manifest and spec; `None` for a delete.
    pub rendered: Option<(String, Spec)>,
    /// The package as a document that outlives it, where it is made of one.
    pub kept: Option<String>,
    /// What was odd in the source, but no fault.
    pub warnings: Vec<String>,
    /// Only if this is what serves.
    pub expect_serving: Option<u64>,
    /// A delete that removes the history as well.
    pub purge: bool,
}

/// What may be said with any of these verbs.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Free text for the history.
    pub description: Option<String>,
    /// Only if the plan has this hash.
    pub require_plan: Option<Sha256>,
    /// The door that the name belongs to; that of packages when absent.
    pub door: Option<Door>,
    /// Only if nothing newer was accepted before; see [`NewIntent::in_order`].
    pub in_order: bool,
    /// Behind an open rollout wait, in the place of whatever waited before.
    pub wait_behind: bool,
}

impl Prepared {
    /// The door that the name belongs to where nobody says: what is there can be taken back, scaled and taken away by
    /// everybody, whichever door it came through; a package is for packages.
    fn door(&self) -> Door {
        let there = self.release.as_ref().filter(|release| !release.deleted);
        match self.verb {
            Verb::Rollback | Verb::Scale | Verb::Delete => there.map_or(Door::Releases, |release| release.door),
            Verb::Install | Verb::Upgrade => Door::Releases,
        }
    }

    /// What the store is told. `options.require_plan` is the hash that the plan itself must have.
    #[must_use]
    pub fn into_intent(self, options: Options, provenance: Provenance, idempotency: Option<Once>) -> NewIntent {
        NewIntent {
            door: options.door.unwrap_or_else(|| self.door()),
            tenant: self.tenant,
            name: self.name,
            verb: self.verb,
            source: self.source,
            rendered: self.rendered,
            require_plan: options.require_plan,
            expect_serving: self.expect_serving,
            in_order: options.in_order,
            purge: self.purge,
            provenance,
            description: options.description,
            wait_behind: options.wait_behind,
            kept: self.kept,
            idempotency,
        }
    }

    /// The number that the new revision would get.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.release.as_ref().map_or(0, |release| release.last_revision) + 1
    }
}

/// Stores the intent; when this returns it is on disk.
///
/// # Errors
///
/// What the plan would be refused for, so that nothing is stored that cannot be carried out; then what the store says:
/// the release is busy, its name taken, a route claimed.
///
/// # Cancel safety
///
/// Safe to drop: the intent is stored as a whole or not at all.
pub async fn accept(app: &App, caller: &Caller, prepared: Prepared, options: Options) -> Result<IntentAccepted, Error> {
    caller.may(Action::Deploy, &prepared.tenant)?;
    if let Some((_, spec)) = &prepared.rendered {
        app.tenant_platforms.permit_all(caller.actor(), spec)?;
    }
    let mut require_plan = None;
    if let Some(required) = options.require_plan {
        require_plan = Box::pin(plan::must_be(app, &prepared, required)).await?;
    } else if let Some((_, spec)) = &prepared.rendered {
        Box::pin(feasible(app, &prepared, spec)).await?;
    }
    let options = Options { require_plan, ..options };
    let warnings = prepared.warnings.clone();
    let intent = prepared.into_intent(options, caller.provenance.clone(), caller.idempotency.clone());
    let accepted = app.timed("intent_create", Box::pin(app.store.intent_create(intent))).await?;
    app.engine.wake();
    tracing::info!(
        rollout.id = %accepted.rollout.id,
        release.name = %accepted.release.name,
        release.revision = accepted.rollout.to,
        actor = %caller.actor(),
        "accepted {} of `{}`",
        accepted.rollout.verb.as_str(),
        accepted.release.name
    );
    for warning in &warnings {
        tracing::warn!(
            rollout.id = %accepted.rollout.id,
            release.name = %accepted.release.name,
            release.revision = accepted.rollout.to,
            "{warning}"
        );
    }
    Ok(accepted)
}

/// Plans without pinning anything, to refuse at once what the rollout would fail with later: an unknown platform, an
/// ability it lacks, a secret that is not there.
async fn feasible(app: &App, prepared: &Prepared, spec: &Spec) -> Result<(), Error> {
    let live = plan::live_of(app, prepared).await?;
    let spec = &app.resolver.handed_over(spec).await;
    let request = PlanRequest {
        release: plan::release_id(app, prepared),
        release_name: &prepared.name,
        tenant: &prepared.tenant,
        live: &live,
        target: Some((prepared.number(), spec)),
        purge: prepared.purge,
    };
    app.engine.preview(&request).await.map(drop).map_err(|failure| plan_failure(&failure))
}
