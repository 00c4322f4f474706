//! What both generations do alike: from a request to a verb, and from what came of it to a version.

use std::{collections::BTreeMap, time::Duration};

use axum::response::Response;
use skipper_core::{
    name::{AppName, PlatformName, ReleaseName},
    rollout::{Phase, Rollout, Verb},
    time::Millis,
};
use skipper_store::IntentAccepted;

use super::{
    answer,
    asked::Asked,
    extract::Client,
    failure::{Failure, Kind},
    hal::number::meant,
    negotiate::Generation,
    wire::{InstallProperties, InstallRequest, PackageIdentifier, ScaleRequest, UpgradeRequest},
};
use crate::{
    app::App,
    error::{Code, Error},
    verb::{
        self, Caller, Options, Prepared, Wanted,
        delete::Delete,
        install::Install,
        rollback::Rollback,
        scale::{MAX_REPLICAS, Scale},
        upgrade::{Again, Upgrade},
        versions::{Look, Version},
        wait,
    },
};

/// What is left of the bound of a request for the answer itself.
const FOR_THE_ANSWER: Duration = Duration::from_secs(2);

/// How long a cancel waits until what was begun is undone.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// How long an upgrade that is told at once waits for what it is going to run: what is not there, or is no jar, is told then.
const FOUND_WITHIN: Duration = Duration::from_secs(5);

/// Longest that instances may take to get healthy: a day.
const LONGEST_HEALTH: u64 = 24 * 60 * 60 * 1000;

/// How long an answer may wait for a rollout.
pub(super) fn patience(app: &App) -> Duration {
    let bound = app.limits.request_timeout;
    bound.saturating_sub(FOR_THE_ANSWER.min(bound / 4))
}

/// A text that must be there and say something.
fn given(text: Option<String>, missing: &str) -> Result<String, Failure> {
    text.filter(|text| !text.trim().is_empty()).ok_or_else(|| Failure::argument(missing))
}

/// The package that an identifier names. Its repository counts for nothing, as ever.
pub(super) fn identified(identifier: Option<PackageIdentifier>) -> Result<Wanted, Failure> {
    let identifier = identifier.ok_or_else(|| Failure::argument("Package identifier must not be null"))?;
    let name = given(identifier.package_name, "Package name must not be empty")?;
    let version = identifier.package_version.filter(|version| !version.trim().is_empty());
    Ok(Wanted::stored(None, name, version))
}

/// What the original says of a package that is not there.
fn without_package(wanted: &Wanted) -> Failure {
    Failure::new(
        Kind::Missing,
        match &wanted.version {
            Some(version) => format!("Can not find package '{}', version '{version}'", wanted.name),
            None => format!("Can not find a package named '{}'", wanted.name),
        },
    )
}

fn refused(error: Error, verb: Verb, release: &ReleaseName, package: Option<&Wanted>) -> Failure {
    match (error.code(), package) {
        (Code::PackageNotFound, Some(package)) => without_package(package).because(error),
        (Code::RepositoryFailed | Code::PackageInvalid, Some(_)) => {
            let text = format!("Could not download an deserialize package.  {}", error.detail());
            Failure::skipper(text).because(error)
        }
        (Code::ApplicationNotFound, _) => Failure::argument(error.detail()).because(error),
        _ => Failure::of_verb(error, verb, release.as_str(), None),
    }
}

fn account(app: &App, name: &str) -> Result<PlatformName, Failure> {
    answer::account(app, name).ok_or_else(|| Failure::new(Kind::Missing, format!("No deployer named '{name}'")))
}

/// A name for a release that is to be.
fn new_name(name: Option<String>) -> Result<ReleaseName, Failure> {
    let name = given(name, "Release name must not be empty")?;
    ReleaseName::new(name).map_err(|wrong| Failure::argument(wrong.to_string()))
}

/// Installs and answers when the platforms were told.
pub(super) async fn install(
    app: &App,
    client: &Client,
    package: Wanted,
    properties: InstallProperties,
) -> Result<Version, Failure> {
    let platform = given(properties.platform_name, "Platform name must not be empty")?;
    let name = new_name(properties.release_name)?;
    let raw = properties.config_values.and_then(|values| values.raw);
    let blank = raw.clone().filter(|raw| raw.trim().is_empty());
    settled(app, client, &name, Verb::Install).await?;
    let wanted = Install {
        tenant: client.tenant.clone(),
        name: name.clone(),
        package: package.clone(),
        values: values(raw.as_deref())?,
        raw,
        platform: Some(account(app, &platform)?),
    };
    let prepared = verb::install::prepare(app, &client.caller, wanted).await;
    let prepared = prepared.map_err(|error| refused(error, Verb::Install, &name, Some(&package)))?;
    let accepted = accept(app, client, prepared).await?;
    let version = launched(app, client, &accepted, &platform).await?;
    Ok(Version { blank, ..version })
}

/// Values as what they say.
fn values(raw: Option<&str>) -> Result<Option<serde_json::Value>, Failure> {
    verb::raw_values(raw).map_err(|error| {
        // The sentence that clients know, without what is put in front of it elsewhere.
        let known = error.detail().find("Was expecting override values");
        let message = known.map_or_else(|| error.detail().to_owned(), |at| error.detail()[at..].to_owned());
        Failure::skipper(message).because(error)
    })
}

async fn accept(app: &App, client: &Client, prepared: Prepared) -> Result<IntentAccepted, Failure> {
    let (verb, name) = (prepared.verb, prepared.name.clone());
    let accepted = verb::intent::accept(app, &client.caller, prepared, Options::default()).await;
    accepted.map_err(|error| refused(error, verb, &name, None))
}

/// Waits until what was installed was started, and says so, also where it has already failed by then; what could not be
/// started is an error, and stays in the history.
pub(super) async fn launched(
    app: &App,
    client: &Client,
    accepted: &IntentAccepted,
    platform: &str,
) -> Result<Version, Failure> {
    let loaded = wait::until(app, accepted.rollout.id, patience(app), wait::launched).await?;
    let name = &accepted.release.name;
    let version = newest(app, client, name).await?;
    match loaded.rollout.phase.cause() {
        Some(cause) if !wait::was_launched(&loaded) => {
            let apps = loaded.target.iter().flat_map(|target| &target.spec).flat_map(|spec| &spec.applications);
            let apps: Vec<String> = apps.map(|app| app.name.to_string()).collect();
            Err(Failure::skipper(format!(
                "Could not install AppDeployRequest [{}]  to platform [{platform}].  Error Message = [{}]",
                apps.join(", "),
                cause.message
            )))
        }
        _ if wait::all_were_launched(&loaded) => Ok(version.as_launched()),
        _ => Ok(version),
    }
}

/// Waits a moment until what an upgrade needs was found. What cannot be had is an error, and stays in the history.
pub(super) async fn found(app: &App, accepted: &IntentAccepted, version: &Version) -> Result<(), Failure> {
    let bound = FOUND_WITHIN.min(patience(app));
    let loaded = wait::until(app, accepted.rollout.id, bound, wait::resolved).await?;
    match &loaded.rollout.phase {
        Phase::Failed { cause } if loaded.rollout.plan.is_none() => Err(Failure::skipper(format!(
            "Could not find Resource in replacing release name [{}], version [{}].  Error Message = [{}]",
            accepted.release.name, version.stored.version, cause.message
        ))),
        _ => Ok(()),
    }
}

pub(super) async fn newest(app: &App, client: &Client, name: &ReleaseName) -> Result<Version, Failure> {
    let found = verb::versions::one(app, &client.caller, &client.tenant, name, None, Look::Alive).await;
    found.map_err(|error| Failure::of_verb(error, Verb::Install, name.as_str(), None))
}

/// Installs what a request names.
pub(super) async fn install_request(app: &App, client: &Client, body: InstallRequest) -> Result<Version, Failure> {
    let properties = body.install_properties.ok_or_else(|| Failure::argument("Install properties must not be null"))?;
    // In the order in which the original looks.
    given(properties.platform_name.clone(), "Platform name must not be empty")?;
    given(properties.release_name.clone(), "Release name must not be empty")?;
    let package = identified(body.package_identifier)?;
    install(app, client, package, properties).await
}

/// Installs the package of a number.
pub(super) async fn install_id(
    app: &App,
    client: &Client,
    id: &str,
    properties: InstallProperties,
) -> Result<Version, Failure> {
    super::extract::number(id)?;
    let entry = match meant(id) {
        Some(num) => verb::catalog::by_number(app, &client.caller, num).await?,
        None => None,
    };
    let entry =
        entry.ok_or_else(|| Failure::new(Kind::Missing, format!("Package with id='{id}' can not be found.")))?;
    let package = Wanted::stored(Some(entry.repository.to_string()), entry.name.to_string(), Some(entry.version));
    install(app, client, package, properties).await
}

/// Waits for what was told as done and still goes on: whoever was told so may ask for the next thing.
async fn settled(app: &App, client: &Client, name: &ReleaseName, next: Verb) -> Result<(), Failure> {
    let open = verb::versions::open(app, &client.caller, &client.tenant, name).await?;
    // An install and a scaling count as done since they were started, and anything else once it only clears away or is
    // being undone.
    let told = |open: &Rollout| {
        matches!(open.verb, Verb::Install | Verb::Scale)
            || matches!(open.phase, Phase::Finishing | Phase::Undoing { .. })
    };
    // The name of an install that goes on is taken, and there is nothing to wait for.
    let taken = |open: &Rollout| next == Verb::Install && !matches!(open.phase, Phase::Undoing { .. });
    if let Some(open) = open.filter(|open| told(open) && !taken(open)) {
        wait::until(app, open.id, patience(app), |_| false).await?;
    }
    Ok(())
}

/// How long the new instances may take to get healthy.
fn health(timeout: Option<i64>) -> Result<Option<Millis>, Failure> {
    match timeout {
        None => Ok(None),
        Some(timeout) => match u64::try_from(timeout).ok().filter(|timeout| (1..=LONGEST_HEALTH).contains(timeout)) {
            Some(timeout) => Ok(Some(Millis(timeout))),
            None => Err(Failure::argument(format!("`timeout` = {timeout}: between 1 and {LONGEST_HEALTH} ms"))),
        },
    }
}

/// Upgrades and answers as soon as it is known what is going to run.
pub(super) async fn upgrade(
    app: &App,
    client: &Client,
    generation: Generation,
    body: UpgradeRequest,
) -> Result<Version, Failure> {
    let properties = body.upgrade_properties.ok_or_else(|| Failure::argument("Upgrade properties must not be null"))?;
    let named = given(properties.release_name, "Release name must not be empty")?;
    let package = identified(body.package_identifier)?;
    let name = super::extract::release(&named)?;
    let raw = properties.config_values.and_then(|values| values.raw);
    let v2 = generation == Generation::V2;
    let app_names = body.app_names.filter(|_| v2).unwrap_or_default();
    let again = match (v2 && body.force.unwrap_or(false), app_names.is_empty()) {
        (false, _) => Again::No,
        (true, true) => Again::All,
        (true, false) => Again::These(app_names),
    };
    settled(app, client, &name, Verb::Upgrade).await?;
    let wanted = Upgrade {
        package: Some(package.clone()),
        values: values(raw.as_deref())?,
        raw,
        additive: v2,
        reset_values: true,
        again,
        health: health(body.timeout.filter(|_| v2))?,
        ..Upgrade::of(client.tenant.clone(), name.clone())
    };
    let prepared = verb::upgrade::prepare(app, &client.caller, wanted).await;
    let prepared = prepared.map_err(|error| refused(error, Verb::Upgrade, &name, Some(&package)))?;
    let accepted = accept(app, client, prepared).await?;
    let version = newest(app, client, &accepted.release.name).await?;
    found(app, &accepted, &version).await?;
    Ok(version.as_accepted(Verb::Upgrade))
}

/// Goes back to a version, 0 for the one before. What is deleted is installed again, and answered for as an install.
pub(super) async fn rollback(
    app: &App,
    client: &Client,
    name: Option<String>,
    version: i64,
    timeout: Option<i64>,
) -> Result<Version, Failure> {
    let named = given(name, "Release name must not be empty")?;
    let Ok(wanted) = u64::try_from(version) else {
        return Err(Failure::argument(format!("Rollback version can not be less than zero.  Value = {version}")));
    };
    let name = super::extract::release(&named)?;
    settled(app, client, &name, Verb::Rollback).await?;
    let wanted_version = (wanted > 0).then_some(wanted);
    let target = verb::versions::way_back(app, &client.caller, &client.tenant, &name, wanted_version).await;
    let target = target.map_err(|error| match error.code() {
        Code::NotServing => {
            Failure::skipper("Rollback version should either be in deployed or deleted status.").because(error)
        }
        _ => Failure::of_verb(error, Verb::Rollback, &named, wanted_version),
    })?;
    let wanted =
        Rollback { tenant: client.tenant.clone(), name: name.clone(), to: Some(target), health: health(timeout)? };
    let prepared = verb::rollback::prepare(app, &client.caller, wanted).await;
    let prepared = prepared.map_err(|error| Failure::of_verb(error, Verb::Rollback, &named, wanted_version))?;
    let accepted = accept(app, client, prepared).await?;
    let version = newest(app, client, &name).await?;
    if accepted.rollout.verb == Verb::Install {
        let platform = answer::platform(app, &version.platform).to_owned();
        return launched(app, client, &accepted, &platform).await;
    }
    found(app, &accepted, &version).await?;
    Ok(version.as_accepted(Verb::Rollback))
}

/// Takes the deployed version away and answers when that is done.
pub(super) async fn delete(app: &App, client: &Client, named: &str) -> Result<Version, Failure> {
    let name = super::extract::release(named)?;
    settled(app, client, &name, Verb::Delete).await?;
    let refused = |error| Failure::of_verb(error, Verb::Delete, named, None);
    let deployed = verb::versions::to_delete(app, &client.caller, &client.tenant, &name).await.map_err(refused)?;
    let wanted = Delete { tenant: client.tenant.clone(), name: name.clone(), purge: false };
    let prepared = verb::delete::prepare(app, &client.caller, wanted).await.map_err(refused)?;
    let accepted = accept(app, client, prepared).await?;
    let loaded = wait::until(app, accepted.rollout.id, patience(app), |_| false).await?;
    if let Phase::Failed { cause } | Phase::Cancelled { cause } = &loaded.rollout.phase {
        return Err(Failure::skipper(format!("Could not delete release [{named}]: {}", cause.message)));
    }
    let version = Some(deployed.stored.version);
    let gone = verb::versions::one(app, &client.caller, &client.tenant, &name, version, Look::Alive)
        .await
        .map_err(|error| Failure::of_verb(error, Verb::Delete, named, version))?;
    Ok(gone.as_deleted())
}

/// Takes the deployed version away, and then every version of its package. What would keep the package is said before
/// anything is taken away.
pub(super) async fn delete_with_package(
    app: &App,
    client: &Client,
    named: &str,
    refused: impl Fn(Error, &str, bool) -> Failure + Send,
) -> Result<Version, Failure> {
    let name = super::extract::release(named)?;
    settled(app, client, &name, Verb::Delete).await?;
    let package = verb::publish::package_of(app, &client.caller, &client.tenant, &name).await;
    let package = package.map_err(|error| Failure::of_verb(error, Verb::Delete, named, None))?;
    let except = Some((&client.tenant, &name));
    let all = verb::publish::removable(app, &client.caller, &package, except).await;
    let all = all.map_err(|error| refused(error, &package, true))?;
    // The key of the request is that of the whole removal, and not of this part.
    let caller = Caller { idempotency: None, ..client.caller.clone() };
    let part = Client { caller, tenant: client.tenant.clone() };
    let version = Box::pin(delete(app, &part, named)).await?;
    verb::publish::remove(app, &client.caller, all).await.map_err(|error| refused(error, &package, true))?;
    Ok(version)
}

/// Changes how many instances there are; the version stays the same.
pub(super) async fn scale(app: &App, client: &Client, named: &str, body: ScaleRequest) -> Result<Version, Failure> {
    let name = super::extract::release(named)?;
    let mut replicas = BTreeMap::new();
    for item in body.scale.unwrap_or_default() {
        let app_name = given(item.name, "Application name must not be empty")?;
        let count = item.count.ok_or_else(|| Failure::argument(format!("`count` of app {app_name} is missing")))?;
        let count = u32::try_from(count).ok().filter(|count| *count <= MAX_REPLICAS).ok_or_else(|| {
            Failure::argument(format!("`count` of app {app_name} is {count}: between 0 and {MAX_REPLICAS}"))
        })?;
        let app_name = AppName::new(&app_name)
            .map_err(|_| Failure::argument(format!("app {app_name} is not found in release {named}")))?;
        replicas.insert(app_name, count);
    }
    if replicas.is_empty() {
        return Err(Failure::argument(
            "`scale` names no application: write {\"scale\": [{\"name\": …, \"count\": …}]}",
        ));
    }
    settled(app, client, &name, Verb::Scale).await?;
    let refused = |error: Error| refused(error, Verb::Scale, &name, None);
    let wanted = Scale { tenant: client.tenant.clone(), name: name.clone(), replicas };
    match verb::scale::prepare(app, &client.caller, wanted).await {
        Ok(prepared) => {
            let accepted = accept(app, client, prepared).await?;
            wait::until(app, accepted.rollout.id, patience(app), wait::launched).await?;
        }
        // There are as many already.
        Err(error) if error.code() == Code::NoDifference => {}
        Err(error) => return Err(refused(error)),
    }
    verb::versions::deployed(app, &client.caller, &client.tenant, &name).await.map_err(refused)
}

/// Asks to stop what goes on; `false` where nothing does.
pub(super) async fn cancel(app: &App, client: &Client, name: Option<String>) -> Result<bool, Failure> {
    let named = given(name, "Release name must not be empty")?;
    let Ok(name) = ReleaseName::new(named) else { return Ok(false) };
    let open = verb::versions::open(app, &client.caller, &client.tenant, &name).await?;
    // Scaling makes no version that could be given up.
    if open.is_some_and(|open| open.verb == Verb::Scale) {
        return Ok(false);
    }
    match verb::cancel::cancel(app, &client.caller, &client.tenant, &name).await {
        Ok((_, rollout)) => {
            // So that whoever looks next sees it, and finds nothing of it in use.
            wait::until(app, rollout.id, TOLD_WITHIN, |_| false).await?;
            Ok(true)
        }
        Err(error) if matches!(error.code(), Code::ReleaseNotFound | Code::NotCancellable) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The manifest of a version, of the newest one where none is named.
pub(super) async fn manifest(app: &App, client: &Client, name: &str, version: Option<&str>) -> Result<String, Failure> {
    let version = version.map(|text| super::extract::version(name, text)).transpose()?;
    let release = super::extract::release(name)?;
    let found = verb::versions::one(app, &client.caller, &client.tenant, &release, version, Look::Never).await;
    let found = found.map_err(|error| Failure::of_verb(error, Verb::Install, name, version))?;
    Ok(found.stored.manifest.clone().unwrap_or_default())
}

/// Every version that is deployed or failed.
pub(super) async fn list(app: &App, client: &Client, asked: &Asked, q: &str) -> Result<Response, Failure> {
    let versions = verb::versions::deployed_or_failed(app, &client.caller, &client.tenant, q).await?;
    answer::releases(app, asked, &versions)
}
