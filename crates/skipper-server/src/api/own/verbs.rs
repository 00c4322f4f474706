//! The verbs that change what runs, and their plans.

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, StatusCode, header};
use skipper_core::{
    Sha256,
    name::{AppName, PlatformName, ReleaseName, TenantName},
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
        self, Caller, Options, Prepared, Wanted, delete::Delete, install::Install, rollback::Rollback, scale::Scale,
        upgrade::Upgrade,
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
    let accepted = verb::intent::accept(app, caller, prepared, options).await?;
    Ok(answer(&view::accepted(&accepted)))
}

fn options(description: Option<String>, require_plan: Option<String>) -> Result<Options, Error> {
    let require_plan = require_plan.map(|hash| valid("require_plan", hash.parse::<Sha256>())).transpose()?;
    Ok(Options { description: description.filter(|text| !text.trim().is_empty()), require_plan })
}

fn wanted(package: PackageRef) -> Wanted {
    Wanted::stored(package.repository, package.name, package.version)
}

fn platform(named: Option<String>) -> Result<Option<PlatformName>, Error> {
    named.map(PlatformName::new).map(name_of).transpose()
}

fn replicas(
    counts: std::collections::BTreeMap<String, u32>,
) -> Result<std::collections::BTreeMap<AppName, u32>, Error> {
    counts.into_iter().map(|(app, count)| Ok((name_of(AppName::new(app))?, count))).collect()
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
    let wanted = Install {
        tenant,
        name: name_of(ReleaseName::new(body.name))?,
        package: wanted(body.package),
        values: body.values,
        raw: None,
        platform: platform(body.platform)?,
    };
    let prepared = verb::install::prepare(&app, &caller, wanted).await?;
    accept(&app, &caller, prepared, options).await
}

/// Moves a release to another package, version or values.
///
/// Values that are given replace those of before; without any, those of before are kept. `reuse_values` puts the given
/// ones over those of before, `reset_values` forgets those of before.
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
    let wanted = Upgrade {
        package: body.package.map(wanted),
        values: body.values,
        reuse_values: body.reuse_values,
        reset_values: body.reset_values,
        force: body.force,
        platform: platform(body.platform)?,
        ..Upgrade::of(tenant, name_of(ReleaseName::new(name))?)
    };
    let prepared = verb::upgrade::prepare(&app, &caller, wanted).await?;
    accept(&app, &caller, prepared, options).await
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
    let wanted = Rollback::of(tenant, name_of(ReleaseName::new(name))?, body.to);
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
            let platform = platform(body.platform)?;
            let wanted = Install { tenant, name, package, values: body.values, raw: None, platform };
            verb::install::prepare(app, caller, wanted).await
        }
        "upgrade" => {
            let wanted = Upgrade {
                package,
                values: body.values,
                reuse_values: body.reuse_values,
                reset_values: body.reset_values,
                force: body.force,
                platform: platform(body.platform)?,
                ..Upgrade::of(tenant, name)
            };
            verb::upgrade::prepare(app, caller, wanted).await
        }
        "rollback" => verb::rollback::prepare(app, caller, Rollback::of(tenant, name, body.to)).await,
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
