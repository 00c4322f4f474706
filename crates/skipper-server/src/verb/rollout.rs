//! Reading one rollout.

use skipper_core::{id::RolloutId, policy::Action, port::Loaded, rollout::FailureBundle};
use skipper_engine::Activity;

use super::Caller;
use crate::{
    app::App,
    error::{Code, Error},
};

/// A rollout with everything around it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Rollout, release, step log.
    pub loaded: Loaded,
    /// Why it failed, if it did.
    pub bundle: Option<FailureBundle>,
    /// What it is doing right now.
    pub activity: Option<Activity>,
}

/// Looks at a rollout.
///
/// # Errors
///
/// There is none of that id, or it belongs to a tenant that the caller may not know of.
pub async fn rollout(app: &App, caller: &Caller, id: RolloutId) -> Result<Seen, Error> {
    let unknown = || {
        Error::new(Code::RolloutNotFound, format!("there is no rollout {id}"))
            .hint("`skipper history NAME` lists the rollouts of a release")
    };
    // Before the tenant is known, nobody learns more than that.
    let loaded = match app.timed("rollout_load", app.store.rollout_load(id)).await {
        Ok(loaded) => loaded,
        Err(skipper_store::Error::NotFound { .. }) => {
            caller.may_any_tenant(Action::Read)?;
            return Err(unknown());
        }
        Err(error) => return Err(error.into()),
    };
    if let Err(refused) = caller.may(Action::Read, &loaded.release.tenant) {
        return Err(if refused.code() == Code::TenantNotFound { unknown() } else { refused });
    }
    let bundle = if loaded.rollout.phase.cause().is_some() { app.store.bundle_get(id).await? } else { None };
    let activity = app.engine.activity(id);
    Ok(Seen { loaded, bundle, activity })
}
