//! Deploys an app of the configuration at a tag: the next revision of the release of its name.

use skipper_core::{
    name::{ReleaseName, SecretName, TenantName},
    policy::Action,
    release::{Door, Release, RevisionState, Source},
    rollout::Verb,
    secret::SecretValues,
    spec::{Application, SecretUse, Spec, Target},
    time::Timestamp,
};
use skipper_source::app::{self, Inputs};
use skipper_store::IntentAccepted;

use super::{Caller, Options, Prepared, intent};
use crate::{
    app::App,
    config::Apps,
    error::{Code, Error, package_faults},
};

/// How many revisions are looked at to tell a webhook that was sent again from a new one.
const LOOK_BACK: u32 = 200;

/// What is to be deployed.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The app, by its name.
    pub app: String,
    /// What of it.
    pub deploy: app::Deploy,
    /// Also a tag that was deployed before what runs now.
    pub force: bool,
    /// When it was signed, where that is known: it says which of two is the newer one, in whatever order they come.
    pub signed_at: Option<Timestamp>,
}

/// Builds the app and stores the intent. Behind an open rollout it waits, in the place of whatever waited before.
///
/// # Errors
///
/// The app is unknown or disabled; it cannot be built, or not be run; the tag was deployed before another one.
pub async fn accept(app: &App, caller: &Caller, wanted: Wanted) -> Result<IntentAccepted, Error> {
    let tenant = TenantName::default_tenant();
    caller.may(Action::Deploy, &tenant)?;
    let apps = app.apps.as_deref().ok_or_else(|| unknown(&wanted.app))?;
    let file = configured(apps, &wanted.app)?;
    // What is older is found out, and what is accepted made known, by one delivery of an app at a time.
    let _turn = app.webhooks.turn(file.name.as_str()).await;
    let release = app.store.release_get(&tenant, &file.name).await?;
    if let Some(release) = release.as_ref().filter(|_| !wanted.force) {
        refuse_outdated(app, release, &wanted.deploy.tag, wanted.signed_at).await?;
    }
    let target = apps.target(|name| app.platforms.get(&Target(name.clone())).is_some());
    let inputs = Inputs {
        app: file,
        server: apps.server(),
        repo: None,
        manifest: None,
        deploy: &wanted.deploy,
        target: &target,
        secrets: &[],
        preview_secrets: &[],
        tls: false,
    };
    let built = app::applications(&inputs)
        .map_err(|faults| package_faults(Code::Invalid, &format!("app `{}`", file.name), &faults))?;
    let mut applications = built.applications;
    seal(app, caller, &tenant, &built.release, built.sealed, &mut applications).await?;
    let spec = Spec::new(applications);
    let mut warnings: Vec<String> = built.warnings.iter().map(ToString::to_string).collect();
    warnings.extend(app.resolver.review(&spec).await?);
    let there = release.as_ref().is_some_and(|release| !release.deleted);
    let prepared = Prepared {
        tenant,
        name: built.release,
        release,
        verb: if there { Verb::Upgrade } else { Verb::Install },
        source: Some(Source::App { image: file.image.clone(), tag: wanted.deploy.tag, signed_at: wanted.signed_at }),
        rendered: Some((skipper_source::manifest::write(&spec), spec)),
        kept: None,
        warnings,
        expect_serving: None,
        purge: false,
    };
    intent::accept(app, caller, prepared, options()).await
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

/// In slip's words.
#[must_use]
pub fn unknown(name: &str) -> Error {
    let name: String = name.chars().take(80).collect();
    Error::new(Code::ReleaseNotFound, format!("unknown app: {name}"))
}

/// An old delivery must not bring its version back. Which of two is the older one is told by when they were signed; slip's
/// webhook does not say that, so a tag that was deployed before another one is taken for one that was sent again.
async fn refuse_outdated(app: &App, release: &Release, tag: &str, signed_at: Option<Timestamp>) -> Result<(), Error> {
    let past = app.store.revision_list(release.id, None, LOOK_BACK).await?;
    let counts = [RevisionState::Pending, RevisionState::Live, RevisionState::Superseded];
    let mut past = past.iter().filter(|revision| counts.contains(&revision.state));
    let is_it = |source: &Source| matches!(source, Source::App { tag: deployed, .. } if deployed == tag);
    let (why, newer) = if let Some(at) = signed_at {
        let is_newer = |source: &Source| matches!(source, Source::App { signed_at: Some(then), .. } if *then > at);
        ("signed before", past.find(|revision| is_newer(&revision.source) && !is_it(&revision.source)))
    } else {
        let newest = past.next().filter(|newest| !is_it(&newest.source));
        ("deployed before", newest.filter(|_| past.any(|revision| is_it(&revision.source))))
    };
    let Some(newer) = newer else { return Ok(()) };
    let (name, number) = (&release.name, newer.number);
    Err(Error::new(
        Code::Conflict,
        format!("`{tag}` of `{name}` was {why}, and something else since (revision {number})"),
    )
    .hint("send `\"force\": true` with it, or roll back"))
}

/// Values out of the environment become secrets of the release.
async fn seal(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    release: &ReleaseName,
    sealed: SecretValues,
    applications: &mut [Application],
) -> Result<(), Error> {
    let of_release = |name: &SecretName| {
        SecretName::new(format!("{release}.{name}")).map_err(|wrong| Error::new(Code::Invalid, wrong.to_string()))
    };
    for (name, value) in &sealed {
        app.store.secret_set(tenant, &of_release(name)?, value, &caller.provenance).await?;
    }
    for used in applications.iter_mut().flat_map(|application| &mut application.secrets) {
        let (SecretUse::Env { secret, .. } | SecretUse::File { secret, .. }) = used;
        if sealed.contains_key(secret) {
            *secret = of_release(secret)?;
        }
    }
    Ok(())
}
