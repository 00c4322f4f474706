//! Deploys an app of the configuration at a tag: the next revision of the release of its name, or of the release of one of
//! its previews. What it comes to is built when it is resolved, once its image is here.

use std::{collections::BTreeMap, path::PathBuf};

use skipper_core::{
    name::{ReleaseName, TenantName},
    policy::Action,
    release::{Door, PreviewOf, Release, Source},
    rollout::Verb,
    time::Timestamp,
};
use skipper_source::app;
use skipper_store::IntentAccepted;

use super::{Caller, Options, Prepared, intent};
use crate::{
    app::App,
    apps::Apps,
    config::read_text,
    error::{Code, Error, package_faults},
};

/// What is to be deployed.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The app, by its name.
    pub app: String,
    /// The tag, or `sha256:…`.
    pub tag: String,
    /// In a pod, whole references by the name of their container.
    pub images: BTreeMap<String, String>,
    /// A preview rather than the app itself: its id, and the commit where it is known.
    pub preview: Option<(String, Option<String>)>,
    /// Also a tag that was deployed before what runs now.
    pub force: bool,
    /// When it was signed, where that is known: it says which of two is the newer one, in whatever order they come.
    pub signed_at: Option<Timestamp>,
}

/// Stores the intent. Behind an open rollout it waits, in the place of whatever waited before.
///
/// # Errors
///
/// The app is unknown or disabled; previews are not to be had; the tag was deployed before another one.
pub async fn accept(app: &App, caller: &Caller, wanted: Wanted) -> Result<IntentAccepted, Error> {
    let tenant = TenantName::default_tenant();
    caller.may(Action::Deploy, &tenant)?;
    let apps = app.apps.get().ok_or_else(|| unknown(&wanted.app))?;
    let file = configured(&apps, &wanted.app)?;
    refuse_early(&apps, file, &wanted).await?;
    let preview = wanted.preview.map(|(id, sha)| Box::new(PreviewOf { app: file.name.clone(), id, sha }));
    let name = match &preview {
        None => file.name.clone(),
        Some(preview) => preview_release(&apps, file, &preview.id)?,
    };
    // Not while the app is being removed. Of two previews that would be one release, the second one has to see the first.
    let (_turn, _alone) = match &preview {
        None => (Some(app.webhooks.turn(file.name.as_str()).await), None),
        Some(_) => (None, Some(app.webhooks.alone(file.name.as_str()).await)),
    };
    let source = Source::App {
        image: file.image.clone(),
        tag: wanted.tag,
        images: wanted.images,
        preview,
        signed_at: wanted.signed_at,
    };
    let place = (tenant, name);
    match accept_source(app, caller, &place, source.clone(), wanted.force).await {
        // Its removal, or its first deploy, came to its end between the look and the intent.
        Err(error) if matches!(error.code(), Code::NotServing | Code::ReleaseExists) => {
            accept_source(app, caller, &place, source, wanted.force).await
        }
        done => done,
    }
}

async fn accept_source(
    app: &App,
    caller: &Caller,
    (tenant, name): &(TenantName, ReleaseName),
    source: Source,
    force: bool,
) -> Result<IntentAccepted, Error> {
    let release = app.store.release_get(tenant, name).await?;
    if let (Source::App { preview: Some(preview), .. }, Some(release)) =
        (&source, release.as_ref().filter(|release| !release.deleted))
    {
        refuse_another_preview(app, release, preview).await?;
    }
    let there = release.as_ref().is_some_and(|release| !release.deleted);
    let prepared = Prepared {
        tenant: tenant.clone(),
        name: name.clone(),
        release,
        verb: if there { Verb::Upgrade } else { Verb::Install },
        source: Some(source),
        rendered: None,
        kept: None,
        warnings: Vec::new(),
        expect_serving: None,
        purge: false,
    };
    // An old delivery must not bring its version back: the store tells, whichever server takes it.
    intent::accept(app, caller, prepared, Options { in_order: !force, ..options() }).await
}

/// What the server's own files tell is wrong is told at once, rather than when the image is here.
async fn refuse_early(apps: &Apps, file: &app::App, wanted: &Wanted) -> Result<(), Error> {
    app::check_tag(&wanted.tag).map_err(|why| Error::new(Code::BadRequest, why))?;
    let manifest = match &file.manifest {
        Some(path) if !wanted.images.is_empty() => {
            let path = PathBuf::from(path);
            let read = tokio::task::spawn_blocking(move || read_text(&path)).await;
            read.ok().and_then(Result::ok)
        }
        _ => None,
    };
    let preview = wanted.preview.clone().map(|(id, sha)| app::PreviewRequest { id, sha });
    let deploy = app::Deploy { tag: wanted.tag.clone(), image: None, images: wanted.images.clone(), preview };
    app::check_request(file, apps.server(), &deploy, manifest.as_deref()).map_err(|faults| {
        let told: Vec<String> = faults.findings().iter().map(ToString::to_string).collect();
        Error::new(Code::BadRequest, told.join("; "))
    })
}

/// The release of a preview, where the server and the app have any.
fn preview_release(apps: &Apps, file: &app::App, id: &str) -> Result<ReleaseName, Error> {
    let bad = |what: String| Error::new(Code::BadRequest, what);
    if file.preview.domain.is_none() && apps.server().preview.is_none() {
        let what = "preview deployments not configured for this server: slip.toml has no [preview]";
        return Err(bad(what.to_owned()));
    }
    app::preview_release(&file.name, id).map_err(bad)
}

/// `a_b` and `a-b` would have one host name.
async fn refuse_another_preview(app: &App, release: &Release, wanted: &PreviewOf) -> Result<(), Error> {
    let newest = app.store.revision_get(release.id, release.last_revision).await?;
    let Some(Source::App { preview: Some(there), .. }) = newest.map(|newest| newest.source) else { return Ok(()) };
    if there.id == wanted.id {
        return Ok(());
    }
    let message = format!("preview `{}` has the host name that `{}` would have", there.id, wanted.id);
    Err(Error::new(Code::Conflict, message).hint("choose another id, or tear that preview down first"))
}

/// Apps belong to their own door, and the newest of those that wait wins.
#[must_use]
pub fn options() -> Options {
    Options { door: Some(Door::Deploys), wait_behind: true, ..Options::default() }
}

/// An app that can be deployed.
///
/// # Errors
///
/// There is none of that name, or its file is broken.
pub fn configured<'a>(apps: &'a Apps, name: &str) -> Result<&'a app::App, Error> {
    match apps.get(name) {
        None => Err(unknown(name)),
        Some(Ok(app)) => Ok(app),
        Some(Err(faults)) => Err(package_faults(Code::Conflict, &format!("app `{name}` is disabled"), faults)),
    }
}

/// Reads the directory for an app that was not there when it was read last.
///
/// # Errors
///
/// As [`configured`].
pub async fn look_again(app: &App, name: &str) -> Result<(), Error> {
    let apps = app.apps.clone();
    apps.hold_what_serves(&app.store).await?;
    let read = tokio::task::spawn_blocking(move || apps.reload()).await;
    if let Ok(Err(what)) = read {
        tracing::warn!("the configuration of the apps has faults; what was read before holds\n{what}");
    }
    let apps = app.apps.get().ok_or_else(|| unknown(name))?;
    configured(&apps, name).map(drop)
}

/// In slip's words.
#[must_use]
pub fn unknown(name: &str) -> Error {
    let name: String = name.chars().take(80).collect();
    Error::new(Code::ReleaseNotFound, format!("unknown app: {name}"))
}
