//! The verbs that change what runs, and their plans.

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;
use skipper_core::{
    Sha256,
    name::{AppName, PlatformName, ReleaseName, TenantName},
    time::Millis,
};

use super::{
    view,
    wire::{
        Accepted, DeleteQuery, InstallRequest, PackageRef, PlanRequest, PlanView, RollbackRequest, ScaleRequest,
        UpgradeRequest,
    },
};
use crate::{
    api::extract::{Json, Path, Query, TenantQuery, name_of, tenant, valid},
    app::App,
    error::{Code, Error},
    verb::{
        self, Caller, Options, Prepared, Wanted,
        delete::Delete,
        install::Install,
        rollback::Rollback,
        scale::Scale,
        upgrade::{Again, Upgrade},
    },
};

/// 202 with the rollout and where to follow it.
pub(super) fn answer(accepted: &Accepted) -> Response {
    let mut response = (StatusCode::ACCEPTED, axum::Json(accepted)).into_response();
    let location = format!("/v1/rollouts/{}", accepted.rollout.id);
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

async fn accept(app: &App, caller: &Caller, prepared: Prepared, options: Options) -> Result<Response, Error> {
    let warnings = prepared.warnings.clone();
    let accepted = verb::intent::accept(app, caller, prepared, options).await?;
    Ok(answer(&Accepted { warnings, ..view::accepted(&accepted) }))
}

fn options(description: Option<String>, require_plan: Option<String>) -> Result<Options, Error> {
    let require_plan = require_plan.map(|hash| valid("require_plan", hash.parse::<Sha256>())).transpose()?;
    Ok(Options { description: description.filter(|text| !text.trim().is_empty()), require_plan, ..Options::default() })
}

fn wanted(package: PackageRef) -> Wanted {
    Wanted::stored(package.repository, package.name, package.version)
}

/// The account that is named. Spring's people call the one that is used by itself `default`, whatever its name is.
fn platform(app: &App, named: Option<String>) -> Result<Option<PlatformName>, Error> {
    let is_there = |name: &str| app.platforms.iter().any(|(target, _)| target.0.as_str() == name);
    let named = named.filter(|name| name != "default" || is_there(name));
    named.map(PlatformName::new).map(name_of).transpose()
}

fn replicas(
    counts: std::collections::BTreeMap<String, u32>,
) -> Result<std::collections::BTreeMap<AppName, u32>, Error> {
    counts.into_iter().map(|(app, count)| Ok((name_of(AppName::new(app))?, count))).collect()
}

/// Longest that a rollout may wait for health: a day.
const LONGEST_TIMEOUT: u64 = 24 * 60 * 60 * 1000;

fn timeout(millis: Option<u64>) -> Result<Option<Millis>, Error> {
    match millis {
        Some(millis) if !(1..=LONGEST_TIMEOUT).contains(&millis) => Err(Error::new(
            Code::Invalid,
            format!("`timeout_ms` is {millis}; it must be between 1 and {LONGEST_TIMEOUT}, a day"),
        )),
        millis => Ok(millis.map(Millis)),
    }
}

/// Values as they are understood, and as the text they came as.
fn values(values: Option<Value>, text: Option<String>) -> Result<(Option<Value>, Option<String>), Error> {
    match (values, text) {
        (Some(_), Some(_)) => Err(Error::new(Code::Invalid, "`values` and `values_text` exclude each other")),
        (None, Some(text)) => Ok((verb::raw_values(Some(&text))?, Some(text))),
        (values, None) => Ok((values, None)),
    }
}

/// The text of values that are to be put over those of before.
fn added(
    additive: bool,
    (reuse, reset): (bool, bool),
    values: Option<&Value>,
    raw: Option<String>,
) -> Result<Option<String>, Error> {
    if additive && (reuse || reset) {
        let what = "`additive` goes with neither `reuse_values` nor `reset_values`";
        return Err(Error::new(Code::Invalid, what));
    }
    Ok(if additive { raw.or_else(|| values.map(skipper_source::yaml::emit)) } else { raw })
}

/// The revision that is meant by the number of either kind.
async fn way_back(
    app: &App,
    caller: &Caller,
    (tenant, name): (&TenantName, &ReleaseName),
    to: Option<u64>,
    to_version: Option<u64>,
) -> Result<Option<u64>, Error> {
    match (to, to_version) {
        (Some(_), Some(_)) => {
            Err(Error::new(Code::Invalid, "`to` and `to_version` mean the same by two numbers; give one of them"))
        }
        (None, Some(version)) => {
            let version = Some(version).filter(|version| *version > 0);
            Ok(Some(verb::versions::way_back(app, caller, tenant, name, version).await?))
        }
        (to, None) => Ok(to),
    }
}

/// Installs a package as a new release.
#[utoipa::path(post, path = "/v1/releases", tag = "releases", params(TenantQuery), request_body = InstallRequest, responses((status = 202, body = Accepted, description = "Durable from now on; Location leads to the rollout")))]
pub(super) async fn install(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<TenantQuery>,
    Json(body): Json<InstallRequest>,
) -> Result<Response, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let options = options(body.description, body.require_plan)?;
    let (values, raw) = values(body.values, body.values_text)?;
    let wanted = Install {
        tenant,
        name: name_of(ReleaseName::new(body.name))?,
        package: wanted(body.package),
        values,
        raw,
        platform: platform(&app, body.platform)?,
    };
    let prepared = verb::install::prepare(&app, &caller, wanted).await?;
    accept(&app, &caller, prepared, options).await
}

/// Moves a release to another package, version or values.
///
/// Values that are given replace those of before; without any, those of before are kept. `reuse_values` puts the given
/// ones over those of before, `reset_values` forgets those of before; `additive` does what 2.x of Spring Cloud Skipper does.
#[utoipa::path(post, path = "/v1/releases/{name}/upgrade", tag = "releases", params(("name" = String, Path, description = "The release"), TenantQuery), request_body = UpgradeRequest, responses((status = 202, body = Accepted)))]
pub(super) async fn upgrade(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<TenantQuery>,
    Json(body): Json<UpgradeRequest>,
) -> Result<Response, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let options = options(body.description, body.require_plan)?;
    let (values, raw) = values(body.values, body.values_text)?;
    // With those of before it is another text.
    let raw = raw.filter(|_| !body.reuse_values);
    let raw = added(body.additive, (body.reuse_values, body.reset_values), values.as_ref(), raw)?;
    let wanted = Upgrade {
        package: body.package.map(wanted),
        values,
        raw,
        additive: body.additive,
        reuse_values: body.reuse_values,
        reset_values: body.reset_values || body.additive,
        force: body.force,
        again: again(body.apps, body.relaunch)?,
        health: timeout(body.timeout_ms)?,
        platform: platform(&app, body.platform)?,
        ..Upgrade::of(tenant, name_of(ReleaseName::new(name))?)
    };
    let prepared = verb::upgrade::prepare(&app, &caller, wanted).await?;
    accept(&app, &caller, prepared, options).await
}

/// Which applications are launched anew although they did not change.
fn again(apps: Vec<String>, all: bool) -> Result<Again, Error> {
    match (apps.is_empty(), all) {
        (true, false) => Ok(Again::No),
        (true, true) => Ok(Again::All),
        (false, false) => Ok(Again::These(apps)),
        (false, true) => Err(Error::new(Code::Invalid, "`apps` and `relaunch` contradict each other")
            .hint("`relaunch` is about all applications, `apps` about those that it names")),
    }
}

/// Goes back to an earlier revision, from its stored manifest.
#[utoipa::path(post, path = "/v1/releases/{name}/rollback", tag = "releases", params(("name" = String, Path, description = "The release"), TenantQuery), request_body = RollbackRequest, responses((status = 202, body = Accepted)))]
pub(super) async fn rollback(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<TenantQuery>,
    Json(body): Json<RollbackRequest>,
) -> Result<Response, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let options = options(body.description, body.require_plan)?;
    let health = timeout(body.timeout_ms)?;
    let name = name_of(ReleaseName::new(name))?;
    let to = way_back(&app, &caller, (&tenant, &name), body.to, body.to_version).await?;
    let wanted = Rollback { health, ..Rollback::of(tenant, name, to) };
    let prepared = verb::rollback::prepare(&app, &caller, wanted).await?;
    accept(&app, &caller, prepared, options).await
}

/// Changes how many instances run.
#[utoipa::path(post, path = "/v1/releases/{name}/scale", tag = "releases", params(("name" = String, Path, description = "The release"), TenantQuery), request_body = ScaleRequest, responses((status = 202, body = Accepted)))]
pub(super) async fn scale(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<TenantQuery>,
    Json(body): Json<ScaleRequest>,
) -> Result<Response, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let options = options(body.description, body.require_plan)?;
    let wanted = Scale { tenant, name: name_of(ReleaseName::new(name))?, replicas: replicas(body.replicas)? };
    let prepared = verb::scale::prepare(&app, &caller, wanted).await?;
    accept(&app, &caller, prepared, options).await
}

/// Stops and removes everything of a release; its history is kept unless `purge` is set.
#[utoipa::path(delete, path = "/v1/releases/{name}", tag = "releases", params(("name" = String, Path, description = "The release"), DeleteQuery), responses((status = 202, body = Accepted)))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<DeleteQuery>,
) -> Result<Response, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let options = options(None, query.require_plan)?;
    let wanted = Delete { tenant, name: name_of(ReleaseName::new(name))?, purge: query.purge };
    let prepared = verb::delete::prepare(&app, &caller, wanted).await?;
    accept(&app, &caller, prepared, options).await
}

/// Stops a release's rollout and undoes what it did.
#[utoipa::path(post, path = "/v1/releases/{name}/cancel", tag = "releases", params(("name" = String, Path, description = "The release"), TenantQuery), responses((status = 202, body = Accepted)))]
pub(super) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<TenantQuery>,
) -> Result<Response, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let name = name_of(ReleaseName::new(name))?;
    let (release, rollout) = verb::cancel::cancel(&app, &caller, &tenant, &name).await?;
    Ok(answer(&view::accepted_of(&release, &rollout)))
}

/// Shows what a verb would do, and does nothing.
#[utoipa::path(post, path = "/v1/plans", tag = "releases", params(TenantQuery), request_body = PlanRequest, responses((status = 200, body = PlanView)))]
pub(super) async fn plan(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<TenantQuery>,
    Json(body): Json<PlanRequest>,
) -> Result<axum::Json<PlanView>, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let prepared = prepare(&app, &caller, tenant, body).await?;
    let planned = verb::plan::plan(&app, &caller, prepared).await?;
    Ok(axum::Json(view::plan(&planned)))
}

async fn prepare(app: &App, caller: &Caller, tenant: TenantName, body: PlanRequest) -> Result<Prepared, Error> {
    let name = name_of(ReleaseName::new(body.name))?;
    let package = match (body.archive, body.package) {
        (None, package) => package.map(wanted),
        (Some(archive), None) => Some(Wanted::inline(valid("archive", STANDARD.decode(archive))?)),
        (Some(_), Some(_)) => return Err(Error::new(Code::Invalid, "`package` and `archive` contradict each other")),
    };
    match body.verb.as_str() {
        "install" => {
            let package = package.ok_or_else(|| Error::new(Code::Invalid, "`package` is needed for an install"))?;
            let platform = platform(app, body.platform)?;
            let wanted = Install { tenant, name, package, values: body.values, raw: None, platform };
            verb::install::prepare(app, caller, wanted).await
        }
        "upgrade" => {
            let raw = added(body.additive, (body.reuse_values, body.reset_values), body.values.as_ref(), None)?;
            let wanted = Upgrade {
                package,
                values: body.values,
                raw,
                additive: body.additive,
                reuse_values: body.reuse_values,
                reset_values: body.reset_values || body.additive,
                force: body.force,
                again: again(body.apps, body.relaunch)?,
                platform: platform(app, body.platform)?,
                ..Upgrade::of(tenant, name)
            };
            verb::upgrade::prepare(app, caller, wanted).await
        }
        "rollback" => {
            let to = way_back(app, caller, (&tenant, &name), body.to, body.to_version).await?;
            verb::rollback::prepare(app, caller, Rollback::of(tenant, name, to)).await
        }
        "scale" => {
            let replicas = replicas(body.replicas)?;
            verb::scale::prepare(app, caller, Scale { tenant, name, replicas }).await
        }
        "delete" => verb::delete::prepare(app, caller, Delete { tenant, name, purge: body.purge }).await,
        other => {
            caller.may(skipper_core::policy::Action::Deploy, &tenant)?;
            let other: String = other.chars().take(40).collect();
            Err(Error::new(
                Code::Invalid,
                format!("`verb` = `{other}`: there is install, upgrade, rollback, scale and delete"),
            ))
        }
    }
}
