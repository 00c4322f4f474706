//! The controllers of 1.0.

use axum::{
    body::Body as HttpBody,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode, header};
use skipper_core::rollout::Verb;
use skipper_store::VersionFilter;

use super::{
    act, answer,
    asked::{self, Asked},
    extract::{self, Body, Client},
    failure::Failure,
    wire::{Info, InstallProperties, InstallRequest, UpgradeRequest},
};
use crate::{
    api::extract::Path,
    app::App,
    verb::{
        self,
        versions::{Look, Version},
    },
};

/// `POST /api/install`.
pub(super) async fn install(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Body(body): Body<InstallRequest>,
) -> Result<Response, Failure> {
    let version = act::install_request(&app, &client, body).await?;
    answer::release(&app, &asked, StatusCode::CREATED, &version)
}

/// `POST /api/install/{id}`.
pub(super) async fn install_id(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Path(id): Path<String>,
    Body(body): Body<InstallProperties>,
) -> Result<Response, Failure> {
    let version = act::install_id(&app, &client, &id, body).await?;
    answer::release(&app, &asked, StatusCode::CREATED, &version)
}

/// One version of a release, with what its platforms say; also of one that is deleted.
async fn looked_at(app: &App, client: &Client, name: &str, version: Option<&str>) -> Result<Version, Failure> {
    let version = version.map(|text| extract::version(name, text)).transpose()?;
    let release = extract::release(name)?;
    let found = verb::versions::one(app, &client.caller, &client.tenant, &release, version, Look::Always).await;
    found.map_err(|error| Failure::of_verb(error, Verb::Install, name, version))
}

/// `GET /api/status/{name}`.
pub(super) async fn status(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let version = looked_at(&app, &client, &name, None).await?;
    answer::document(StatusCode::OK, asked.plain(), &Info::linked(&asked, &version))
}

/// `GET /api/status/{name}/{version}`.
pub(super) async fn status_version(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let version = looked_at(&app, &client, &name, Some(&version)).await?;
    answer::document(StatusCode::OK, asked.plain(), &Info::linked(&asked, &version))
}

/// `GET /api/manifest/{name}`.
pub(super) async fn manifest(
    State(app): State<App>,
    client: Client,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    Ok(text(&headers, &act::manifest(&app, &client, &name, None).await?))
}

/// `GET /api/manifest/{name}/{version}`.
pub(super) async fn manifest_version(
    State(app): State<App>,
    client: Client,
    headers: HeaderMap,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, Failure> {
    Ok(text(&headers, &act::manifest(&app, &client, &name, Some(&version)).await?))
}

/// The text itself, in the encoding that 1.0 has for it; one that does not fit into that is told in UTF-8.
fn text(headers: &HeaderMap, manifest: &str) -> Response {
    let json = asked::accepted(headers).next() == Some(asked::JSON);
    let latin: Option<Vec<u8>> = manifest.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    let charset = if latin.is_some() { "ISO-8859-1" } else { "UTF-8" };
    let kind = format!("{};charset={charset}", if json { asked::JSON } else { "text/plain" });
    let bytes = latin.unwrap_or_else(|| manifest.as_bytes().to_vec());
    ([(header::CONTENT_TYPE, kind)], HttpBody::from(bytes)).into_response()
}

/// `POST /api/upgrade`.
pub(super) async fn upgrade(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Body(body): Body<UpgradeRequest>,
) -> Result<Response, Failure> {
    let version = act::upgrade(&app, &client, asked.generation, body).await?;
    answer::release(&app, &asked, StatusCode::CREATED, &version)
}

/// `POST /api/rollback/{name}/{version}`.
pub(super) async fn rollback(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let version = extract::number(&version)?;
    let version = Box::pin(act::rollback(&app, &client, Some(name), version, None)).await?;
    answer::release(&app, &asked, StatusCode::CREATED, &version)
}

/// `POST /api/delete/{name}`.
pub(super) async fn delete(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let version = Box::pin(act::delete(&app, &client, &name)).await?;
    answer::release(&app, &asked, StatusCode::CREATED, &version)
}

/// `GET /api/history/{name}/{max}`.
pub(super) async fn history(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Path((name, max)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let max = extract::number(&max)?;
    if max < 1 {
        return Err(Failure::argument("The maximum number of revisions should be greater than zero."));
    }
    // More than there can be of a release.
    let max = u32::try_from(max).unwrap_or(u32::MAX);
    let release = extract::release(&name)?;
    let filter = VersionFilter::History(&release, max);
    let versions = verb::versions::list(&app, &client.caller, &client.tenant, filter, Look::Alive).await?;
    if versions.is_empty() {
        return Err(Failure::not_found(&name, None));
    }
    answer::releases(&app, &asked, &versions)
}

/// `GET /api/list`.
pub(super) async fn list(State(app): State<App>, client: Client, asked: Asked) -> Result<Response, Failure> {
    act::list(&app, &client, &asked, "").await
}

/// `GET /api/list/{name}`.
pub(super) async fn list_name(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    act::list(&app, &client, &asked, &name).await
}
