//! `/v1/previews`: which there are, and their end.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use http::HeaderMap;
use skipper_core::{
    actor::{Actor, Provenance},
    name::ReleaseName,
    release::Revision,
    route::{Host, Listener},
};

use super::{
    outside::Outside,
    proof::Proof,
    read,
    wire::{Done, PreviewList, PreviewView, TornDown},
};
use crate::{
    api::{
        extract::{Path, Query, TenantQuery},
        observe::Ids,
        own,
    },
    app::App,
    apps::{
        Apps,
        previews::Preview,
        takeover::{self, previews::SlipPreview},
    },
    error::Error,
    verb::{Caller, deploy, previews},
};

/// Lists the previews of an app.
#[utoipa::path(get, path = "/v1/previews/{app}", tag = "deploys", params(("app" = String, Path, description = "The app"), TenantQuery), responses((status = 200, body = PreviewList)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<TenantQuery>,
) -> Result<Json<PreviewList>, Error> {
    let (of, apps) = known(&app, &caller, &name, query.tenant.as_ref())?;
    let found = previews::list(&app, &caller, &of).await?;
    let outside = Outside::of(&app).await;
    let mut previews: Vec<PreviewView> = found.iter().map(|preview| view(preview, &apps, &outside)).collect();
    let of_slip = takeover::previews::list(&app, &of);
    previews.extend(of_slip.into_iter().filter(|one| !found.iter().any(|ours| ours.of.id == one.id)).map(view_of_slip));
    Ok(Json(PreviewList { previews }))
}

/// Shows a preview.
#[utoipa::path(get, path = "/v1/previews/{app}/{id}", tag = "deploys", params(("app" = String, Path, description = "The app"), ("id" = String, Path, description = "The preview, for example `pr-42`"), TenantQuery), responses((status = 200, body = PreviewView)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((name, id)): Path<(String, String)>,
    Query(query): Query<TenantQuery>,
) -> Result<Json<PreviewView>, Error> {
    let (of, apps) = known(&app, &caller, &name, query.tenant.as_ref())?;
    let found = previews::one(&app, &caller, &of, &id).await?;
    Ok(Json(view(&found, &apps, &Outside::of(&app).await)))
}

/// Takes a preview away; that there is none is fine. With a token, or signed as `X-Slip-Signature` over `APP:ID`.
#[utoipa::path(delete, path = "/v1/previews/{app}/{id}", tag = "deploys", params(("app" = String, Path, description = "The app"), ("id" = String, Path, description = "The preview"), TenantQuery), responses((status = 200, body = Done)))]
pub(super) async fn remove(
    State(app): State<App>,
    Extension(ids): Extension<Ids>,
    actor: Option<Extension<Actor>>,
    headers: HeaderMap,
    Path((name, id)): Path<(String, String)>,
    _query: Query<TenantQuery>,
) -> Result<Json<Done>, Error> {
    let caller = signer(&app, actor, ids, &headers, &name, &id).await?;
    let (of, _) = known(&app, &caller, &name, None)?;
    previews::tear_down(&app, &caller, &of, Some(&id)).await?;
    Ok(Json(Done::ok()))
}

/// Takes all previews of an app away. With a token, or signed as `X-Slip-Signature` over `APP:*`.
#[utoipa::path(delete, path = "/v1/previews/{app}", tag = "deploys", params(("app" = String, Path, description = "The app"), TenantQuery), responses((status = 200, body = TornDown)))]
pub(super) async fn remove_all(
    State(app): State<App>,
    Extension(ids): Extension<Ids>,
    actor: Option<Extension<Actor>>,
    headers: HeaderMap,
    Path(name): Path<String>,
    _query: Query<TenantQuery>,
) -> Result<Json<TornDown>, Error> {
    let caller = signer(&app, actor, ids, &headers, &name, "*").await?;
    let (of, _) = known(&app, &caller, &name, None)?;
    let torn_down = previews::tear_down(&app, &caller, &of, None).await?;
    Ok(Json(TornDown { torn_down }))
}

/// Who asks: the bearer of a token, whom the guard let in, or whoever signed what is to go.
async fn signer(
    app: &App,
    actor: Option<Extension<Actor>>,
    ids: Ids,
    headers: &HeaderMap,
    name: &str,
    id: &str,
) -> Result<Caller, Error> {
    let mut trigger = "api";
    let actor = match actor {
        Some(Extension(actor)) => actor,
        None => {
            trigger = "webhook";
            Proof::of(headers)?.signs(app, name, &format!("{name}:{id}")).await?
        }
    };
    let provenance =
        Provenance { actor, trigger: trigger.to_owned(), request: ids.request, correlation: ids.correlation };
    Ok(Caller { provenance, idempotency: None })
}

/// The app, which has to be configured, or to have a release of its own.
fn known(app: &App, caller: &Caller, name: &str, tenant: Option<&String>) -> Result<(ReleaseName, Arc<Apps>), Error> {
    let (_, apps) = super::allowed(app, caller, skipper_core::policy::Action::Read, tenant)?;
    let apps = apps.filter(|apps| apps.get(name).is_some());
    ReleaseName::new(name).ok().zip(apps).ok_or_else(|| deploy::unknown(name))
}

fn view(preview: &Preview, apps: &Apps, outside: &Outside) -> PreviewView {
    let host = preview.terms.as_ref().and_then(|terms| terms.hosts.first());
    let shown = preview.serving.as_ref().unwrap_or(&preview.newest);
    let status = match (preview.open, &preview.serving) {
        (Some(_), _) if preview.is_leaving() => "removing",
        (Some(_), _) => "deploying",
        (None, Some(_)) => "running",
        (None, None) => "failed",
    };
    let port = shown.spec.as_ref().and_then(|spec| spec.applications.first()?.ports.first()?.fixed);
    PreviewView {
        preview_id: preview.of.id.clone(),
        app: preview.of.app.to_string(),
        sha: preview.of.sha.clone(),
        status: status.to_owned(),
        tag: read::tag_of_source(&shown.source),
        domain: host.map(ToString::to_string),
        url: host.map(|host| outside.url(host, serves_tls(shown, host))),
        port,
        deployed_at: own::time(preview.deployed_at()),
        expires_at: preview.expires_at(apps).map(own::time),
        release: preview.release.name.to_string(),
    }
}

/// One that slip made, which its Caddy leads to.
fn view_of_slip(preview: SlipPreview) -> PreviewView {
    PreviewView {
        status: "running".to_owned(),
        url: preview.domain.as_ref().map(|domain| format!("https://{domain}")),
        deployed_at: own::time(preview.deployed_at.unwrap_or_default()),
        expires_at: preview.expires_at.map(own::time),
        release: String::new(),
        preview_id: preview.id,
        app: preview.app,
        sha: preview.sha,
        tag: preview.tag,
        domain: preview.domain,
        port: preview.port,
    }
}

/// Whether a revision has a route for the host with TLS.
fn serves_tls(shown: &Revision, host: &Host) -> bool {
    let apps = shown.spec.iter().flat_map(|spec| &spec.applications);
    apps.flat_map(|app| &app.routes).any(|route| route.listener == Listener::Https && route.host.as_ref() == Some(host))
}
