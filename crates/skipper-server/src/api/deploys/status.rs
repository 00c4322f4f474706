//! `GET /v1/status`.

use axum::{Json, extract::State};
use skipper_core::{
    name::{ReleaseName, TenantName},
    policy::Action,
    release::Door,
    spec::Target,
};

use super::{
    allowed,
    outside::LOOK,
    read,
    wire::{AppStatus, StatusView},
};
use crate::{
    api::{
        extract::{Path, Query, TenantQuery},
        own,
    },
    app::App,
    apps::{Apps, previews},
    caddy::CaddyHealth,
    edge::EdgeState,
    error::Error,
    verb::{
        Caller, deploy, edge,
        wrong::{self, Evidence, Serving},
    },
};

/// Shows the server and every app. An app is `running`, with the tag that serves, also where a later deploy failed.
#[utoipa::path(get, path = "/v1/status", tag = "deploys", params(TenantQuery), responses((status = 200, body = StatusView)))]
pub(super) async fn status(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<TenantQuery>,
) -> Result<Json<StatusView>, Error> {
    let (tenant, apps) = allowed(&app, &caller, Action::Read, query.tenant.as_ref())?;
    let word = |good: bool| if good { "ok" } else { "error" }.to_owned();
    let usual = app.apps.get().map(|apps| Target(app.apps.target(&apps, None)));
    let runtime = match usual.and_then(|usual| app.platforms.get(&usual)) {
        Some(engine) => engine.describe().await.reachable,
        None => false,
    };
    let seen = edge::seen(&app, LOOK).await;
    let mut view = StatusView {
        daemon: "skipper".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_seconds: app.uptime().as_secs(),
        // Without a Caddy, what serves host names is the edge.
        caddy: word(match app.caddy.state() {
            Some(caddy) => caddy.health == CaddyHealth::Ok,
            None => seen.is_some(),
        }),
        runtime: word(runtime),
        apps: Default::default(),
    };
    if let Some(apps) = apps {
        for name in apps.names() {
            view.apps.insert(name.to_owned(), one(&app, &apps, &tenant, name, seen.as_ref()).await?);
        }
        for name in left_behind(&app, &apps, &tenant).await? {
            let mut status = one(&app, &apps, &tenant, &name, seen.as_ref()).await?;
            status.faults.push(format!(
                "apps/{name}.toml is gone, and what runs of it is not: write it again, or `skipper delete {name}`"
            ));
            view.apps.insert(name, status);
        }
    }
    Ok(Json(view))
}

/// Shows how one app is.
#[utoipa::path(get, path = "/v1/apps/{name}/status", tag = "deploys", params(("name" = String, Path, description = "The app"), TenantQuery), responses((status = 200, body = AppStatus)))]
pub(super) async fn one_app(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<TenantQuery>,
) -> Result<Json<AppStatus>, Error> {
    let (tenant, apps) = allowed(&app, &caller, Action::Read, query.tenant.as_ref())?;
    let apps = apps.filter(|apps| apps.get(&name).is_some()).ok_or_else(|| deploy::unknown(&name))?;
    let seen = edge::seen(&app, LOOK).await;
    one(&app, &apps, &tenant, &name, seen.as_ref()).await.map(Json)
}

/// Apps that run, and whose files are gone.
async fn left_behind(app: &App, apps: &Apps, tenant: &TenantName) -> Result<Vec<String>, Error> {
    let own = app.store.release_list_of_door(tenant, Door::Deploys, "").await?;
    let left = own.into_iter().map(|listed| listed.release).filter(|release| {
        release.serving.is_some() && apps.get(release.name.as_str()).is_none() && !previews::is_one(&release.name)
    });
    Ok(left.map(|release| release.name.to_string()).collect())
}

async fn one(
    app: &App,
    apps: &Apps,
    tenant: &TenantName,
    name: &str,
    edge: Option<&EdgeState>,
) -> Result<AppStatus, Error> {
    let faults = match apps.get(name) {
        Some(Err(faults)) => faults.findings().iter().map(ToString::to_string).collect(),
        Some(Ok(_)) | None => Vec::new(),
    };
    let mut status = AppStatus {
        status: "not_deployed".to_owned(),
        tag: None,
        deployed_at: None,
        revision: None,
        port: None,
        last_deploy: None,
        detail: None,
        faults,
    };
    let Ok(name) = ReleaseName::new(name) else { return Ok(status) };
    let release = app.store.release_get(tenant, &name).await?;
    let Some(release) = release.filter(|release| release.door == Door::Deploys) else {
        of_slip(app, &name, &mut status);
        return Ok(status);
    };
    let mut open = false;
    let mut failed = false;
    if let Some(latest) = app.store.rollout_latest(release.id).await? {
        open = !latest.phase.is_final();
        failed = !open && latest.phase.cause().is_some();
        status.last_deploy = Some(read::view(app, &app.store.rollout_load(latest.id).await?));
    }
    if let Some(number) = release.serving.filter(|_| !release.deleted)
        && let Some(revision) = app.store.revision_get(release.id, number).await?
    {
        status.tag = read::tag_of(&revision);
        status.deployed_at = Some(own::time(revision.created_at));
        status.revision = Some(number);
        let lives = app.store.live_for_release(release.id).await?;
        let (health, caddy) = (app.engine.health(release.id), app.caddy.state());
        let serving = lives.iter().filter(|live| live.weight > 0);
        // No platform is asked: what supervision has seen is enough for whoever asks every second.
        let serving = serving.map(|live| Serving { app: &live.deployment.app, seen: None }).collect();
        let drift = wrong::drift(&Evidence { health: health.as_ref(), edge, caddy: caddy.as_ref(), serving });
        status.detail = wrong::degraded(health.as_ref(), &drift);
        let mut ports = lives.iter().filter(|live| live.weight > 0).flat_map(|live| live.addresses.values());
        status.port = ports.find_map(|ports| ports.values().next()).map(std::net::SocketAddr::port);
    }
    let word = match (open, status.revision) {
        (true, _) => "deploying",
        (false, Some(_)) if status.detail.is_some() => "degraded",
        (false, Some(_)) => "running",
        (false, None) if failed && !release.deleted => "failed",
        (false, None) => "not_deployed",
    };
    word.clone_into(&mut status.status);
    if status.revision.is_none() {
        of_slip(app, &name, &mut status);
    }
    Ok(status)
}

/// Until something is deployed here, what slip ran before us serves.
fn of_slip(app: &App, name: &ReleaseName, status: &mut AppStatus) {
    let Some(tag) = app.slips.tag(name.as_str()) else { return };
    if status.status != "deploying" {
        "running".clone_into(&mut status.status);
    }
    status.tag = Some(tag).filter(|tag| !tag.is_empty());
    status.detail = Some("slip's container serves until a deploy has taken its place".to_owned());
}
