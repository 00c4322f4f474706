//! Previews of an app: which there are, and their end.

use skipper_core::{
    name::{ReleaseName, TenantName},
    policy::Action,
    release::PreviewOf,
    route::Host,
};
use skipper_source::app;

use super::{Caller, cancel};
use crate::{
    app::App,
    apps::{
        previews::{self, Preview},
        takeover,
    },
    error::{Code, Error},
};

/// The previews of an app that are there, by id.
///
/// # Errors
///
/// The caller may not read them.
pub async fn list(app: &App, caller: &Caller, of: &ReleaseName) -> Result<Vec<Preview>, Error> {
    let tenant = TenantName::default_tenant();
    caller.may(Action::Read, &tenant)?;
    Ok(previews::list(&app.store, &tenant, Some(of)).await?)
}

/// One preview, by its app and its id.
///
/// # Errors
///
/// There is none.
pub async fn one(app: &App, caller: &Caller, of: &ReleaseName, id: &str) -> Result<Preview, Error> {
    caller.may(Action::Read, &TenantName::default_tenant())?;
    found(app, of, id).await?.ok_or_else(|| {
        let id: String = id.chars().take(80).collect();
        Error::new(Code::ReleaseNotFound, format!("preview `{id}` of `{of}` not found"))
    })
}

async fn found(app: &App, of: &ReleaseName, id: &str) -> Result<Option<Preview>, Error> {
    let Ok(name) = app::preview_release(of, id) else { return Ok(None) };
    let release = app.store.release_get(&TenantName::default_tenant(), &name).await?;
    let Some(release) = release.filter(|release| !release.deleted) else { return Ok(None) };
    let open = app.store.rollout_open(release.id).await?.map(|open| open.verb);
    Ok(previews::one(&app.store, release, open).await?)
}

/// Takes one away, or all of the app; a deploy that is under way is stopped. Returns the ids of those that were there: that
/// there is none is no error.
///
/// # Errors
///
/// The caller may not deploy.
pub async fn tear_down(app: &App, caller: &Caller, of: &ReleaseName, id: Option<&str>) -> Result<Vec<String>, Error> {
    let tenant = TenantName::default_tenant();
    caller.may(Action::Deploy, &tenant)?;
    let all = match id {
        Some(id) => found(app, of, id).await?.into_iter().collect(),
        None => previews::list(&app.store, &tenant, Some(of)).await?,
    };
    // What is on its way out already is nobody's second removal.
    let all: Vec<Preview> = all.into_iter().filter(|preview| !preview.is_leaving()).collect();
    for preview in &all {
        if preview.open.is_some() && !preview.is_leaving() {
            // Past its point of no return it comes to its end; the removal waits behind it either way.
            let _ = cancel::cancel(app, caller, &tenant, &preview.release.name).await;
        }
        previews::remove(&app.store, preview, "it was asked for", caller.provenance.clone()).await?;
    }
    app.engine.wake();
    let mut ids: Vec<String> = all.into_iter().map(|preview| preview.of.id).collect();
    // What slip made is closed as well.
    let of_slip = takeover::previews::tear_down(app, of, id).await?;
    ids.extend(of_slip.into_iter().filter(|id| !ids.contains(id)).collect::<Vec<_>>());
    Ok(ids)
}

/// The first host name that a preview will have, or has.
#[must_use]
pub fn host(app: &App, of: &PreviewOf) -> Option<Host> {
    let apps = app.apps.get()?;
    let file = apps.get(of.app.as_str())?.as_ref().ok()?;
    let domain = file.preview.domain.as_ref().or_else(|| apps.server().preview.as_ref().map(|preview| &preview.domain));
    let release = app::preview_release(&of.app, &of.id).ok()?;
    let (_, label) = app::split_preview(release.as_str());
    Host::new(&format!("{}.{}", label?, domain?)).ok()
}
