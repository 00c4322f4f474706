//! Adds, changes and removes apps of the directory.

use serde_json::Value;
use skipper_core::{
    name::{ReleaseName, TenantName},
    policy::Action,
    release::Door,
};
use skipper_source::app::Edited;

use super::{
    Caller,
    delete::{self, Delete},
    deploy, intent, previews,
};
use crate::{
    app::App,
    apps::{LiveApps, Refusal, secrets, takeover},
    error::{Code, Error, package_faults},
};

/// Writes the file of a new app, from the body of slip's `POST /v1/apps`.
///
/// # Errors
///
/// It is there already, is called as a release of another door is, or would be refused when it is loaded.
///
/// # Cancel safety
///
/// Safe to drop: the file is written or not.
pub async fn create(app: &App, caller: &Caller, body: Value) -> Result<Edited, Error> {
    caller.may_all(Action::Administer)?;
    let named = body.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Ok(name) = ReleaseName::new(named.clone()) {
        let known = app.store.release_get(&TenantName::default_tenant(), &name).await?;
        if known.is_some_and(|release| release.door != Door::Deploys) {
            return Err(Error::new(Code::NameTaken, format!("`{name}` is a release that was made of a package"))
                .hint("an app is the release of its name: call it otherwise"));
        }
    }
    let edited = written(app, &named, move |apps| apps.create(&body)).await?;
    tracing::info!(app = %edited.app.name, actor = %caller.actor(), "an app was added");
    Ok(edited)
}

/// Changes the file of an app, from the body of slip's `PATCH /v1/apps/{name}`, or with `merge` a merge patch (RFC 7396). What
/// runs is changed by the next deploy.
///
/// # Errors
///
/// There is no such app; the outcome would be refused when it is loaded.
///
/// # Cancel safety
///
/// As [`create`].
pub async fn change(app: &App, caller: &Caller, name: &str, body: Value, merge: bool) -> Result<Edited, Error> {
    caller.may_all(Action::Administer)?;
    let known = known(name)?;
    let edited = written(app, name, move |apps| apps.change(known.as_str(), &body, merge)).await?;
    tracing::info!(app = name, actor = %caller.actor(), "the file of an app was changed");
    Ok(edited)
}

/// Takes an app away: what runs of it, its previews, its secrets, and last its file. Repeated after a crash it goes on.
///
/// # Errors
///
/// There is no such app; its file cannot be removed.
pub async fn remove(app: &App, caller: &Caller, name: &str) -> Result<(), Error> {
    caller.may_all(Action::Administer)?;
    let known = known(name)?;
    // It may have been written by hand a moment ago.
    blocking(app, LiveApps::reload).await?.map_err(|what| Error::new(Code::Conflict, what))?;
    let apps = app.apps.get().filter(|_| app.apps.dir().is_some()).ok_or_else(no_directory)?;
    if apps.get(name).is_none() {
        return Err(deploy::unknown(name));
    }
    // No webhook brings it back meanwhile.
    let _alone = app.webhooks.alone(name).await;
    previews::tear_down(app, caller, &known, None).await?;
    stop(app, caller, &known).await?;
    Box::pin(takeover::remove_of(app, &known)).await;
    secrets::remove_all(&app.store, &known, |other| apps.get(other).is_some(), &caller.provenance).await?;
    let file = known.clone();
    written(app, name, move |apps| apps.remove(file.as_str())).await?;
    tracing::info!(app = name, actor = %caller.actor(), "an app was removed");
    Ok(())
}

/// Has its release deleted, behind what is under way and in the place of what waits.
async fn stop(app: &App, caller: &Caller, name: &ReleaseName) -> Result<(), Error> {
    let tenant = TenantName::default_tenant();
    let Some(release) = app.store.release_get(&tenant, name).await? else { return Ok(()) };
    if release.door != Door::Deploys {
        return Ok(());
    }
    let open = app.store.rollout_open(release.id).await?;
    if release.deleted && open.is_none() {
        return Ok(());
    }
    // The key of the request is that of the whole removal, and not of this part.
    let caller = Caller { idempotency: None, ..caller.clone() };
    let wanted = Delete { tenant, name: name.clone(), purge: false };
    let accepted = match delete::prepare(app, &caller, wanted).await {
        Ok(prepared) => intent::accept(app, &caller, prepared, deploy::options()).await.map(drop),
        Err(error) => Err(error),
    };
    match accepted {
        Err(error) if !matches!(error.code(), Code::ReleaseNotFound | Code::NotServing) => return Err(error),
        _ => {}
    }
    if let Some(open) = open.filter(|open| open.verb != skipper_core::rollout::Verb::Delete) {
        // Past its point of no return it comes to its end; the removal waits behind it either way.
        let _ = app.store.rollout_cancel(open.id, &caller.provenance).await;
        app.engine.wake();
    }
    Ok(())
}

/// A name that a file can have: what is no name of a release would lead elsewhere.
fn known(name: &str) -> Result<ReleaseName, Error> {
    ReleaseName::new(name).map_err(|_| deploy::unknown(name))
}

async fn blocking<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(&LiveApps) -> T + Send + 'static,
) -> Result<T, Error> {
    let apps = app.apps.clone();
    apps.hold_what_serves(&app.store).await?;
    tokio::task::spawn_blocking(move || work(&apps)).await.map_err(Error::internal)
}

async fn written<T: Send + 'static>(
    app: &App,
    name: &str,
    work: impl FnOnce(&LiveApps) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Error> {
    blocking(app, work).await?.map_err(|refusal| refused(name, refusal))
}

fn refused(name: &str, refusal: Refusal) -> Error {
    let shown: String = name.chars().take(80).collect();
    match refusal {
        Refusal::NoDirectory => no_directory(),
        Refusal::Exists => Error::new(Code::Conflict, format!("app '{shown}' already exists"))
            .hint("PATCH /v1/apps/NAME changes it, and DELETE removes it"),
        Refusal::Unknown => deploy::unknown(name),
        Refusal::Faulty(faults) => {
            let unnamed = faults.findings().iter().any(|finding| finding.code == "name-invalid");
            let code = if unnamed { Code::BadRequest } else { Code::Invalid };
            package_faults(code, &format!("app `{shown}` is not written"), &faults)
        }
        Refusal::Failed(what) => Error::new(Code::Conflict, what)
            .hint("the server's user must be able to write the folder `apps` of its directory"),
    }
}

fn no_directory() -> Error {
    Error::new(Code::Conflict, "this server has no directory in which apps are written down")
        .hint("start it with `skipper server --config DIR`, where DIR has a slip.toml and a folder apps")
}
