//! Takes a release away.

use std::collections::BTreeSet;

use skipper_core::{
    name::{ReleaseName, TenantName},
    policy::Action,
    release::Release,
    rollout::Verb,
};

use super::{Caller, Prepared, find};
use crate::{
    app::App,
    error::{Code, Error},
};

/// What is to go.
#[derive(Debug, Clone)]
pub struct Delete {
    /// Whose release.
    pub tenant: TenantName,
    /// Which release.
    pub name: ReleaseName,
    /// Its revisions, manifests, bundles and logs too.
    pub purge: bool,
}

/// Looks whether there is something to delete.
///
/// # Errors
///
/// There is no such release; it was deleted already and its history is not to go.
pub async fn prepare(app: &App, caller: &Caller, wanted: Delete) -> Result<Prepared, Error> {
    caller.may(Action::Deploy, &wanted.tenant)?;
    let Delete { tenant, name, purge } = wanted;
    let release = find::release(app, &tenant, &name).await?;
    if release.deleted && !purge {
        return Err(Error::new(Code::ReleaseNotFound, format!("release `{name}` was deleted already"))
            .hint(format!("`skipper delete {name} --purge` removes its history as well")));
    }
    let warnings = left_running(app, &release).await?;
    Ok(Prepared { warnings, ..of(release, purge) })
}

/// What goes on running all the same: nobody here can stop what is on an account that is gone from the configuration.
async fn left_running(app: &App, release: &Release) -> Result<Vec<String>, Error> {
    if app.tended_by.borrow().is_some() {
        return Ok(Vec::new());
    }
    let live = app.store.live_for_release(release.id).await?;
    let targets: BTreeSet<_> = live.iter().map(|live| live.deployment.target()).collect();
    let gone = targets.into_iter().filter(|target| app.platforms.get(target).is_none());
    let told = gone.map(|target| {
        format!(
            "platform `{target}` is not configured any more: what `{}` runs there goes on, and is taken away once the platform \
             is configured again",
            release.name
        )
    });
    Ok(told.collect())
}

/// The end of a release that was found already.
#[must_use]
pub fn of(release: Release, purge: bool) -> Prepared {
    Prepared {
        tenant: release.tenant.clone(),
        name: release.name.clone(),
        verb: Verb::Delete,
        source: None,
        rendered: None,
        kept: None,
        warnings: Vec::new(),
        expect_serving: None,
        release: Some(release),
        purge,
    }
}
