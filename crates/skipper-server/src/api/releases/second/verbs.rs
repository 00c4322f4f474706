//! What changes releases.

use axum::{extract::State, response::Response};
use http::{StatusCode, Uri};
use serde::Serialize;

use crate::{
    api::{
        extract::Path,
        releases::{
            act, answer,
            asked::Asked,
            extract::{self, Body, Client},
            failure::Failure,
            wire::{CancelRequest, InstallProperties, InstallRequest, RollbackRequest, ScaleRequest, UpgradeRequest},
        },
    },
    app::App,
};

/// `POST /api/package/install`.
pub(in crate::api::releases) async fn install(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Body(body): Body<InstallRequest>,
) -> Result<Response, Failure> {
    let version = act::install_request(&app, &client, body).await?;
    answer::release(&app, &asked, StatusCode::CREATED, &version)
}

/// `POST /api/package/install/{id}`.
pub(in crate::api::releases) async fn install_id(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Path(id): Path<String>,
    Body(body): Body<InstallProperties>,
) -> Result<Response, Failure> {
    let version = act::install_id(&app, &client, &id, body).await?;
    answer::release(&app, &asked, StatusCode::CREATED, &version)
}

/// `POST /api/release/upgrade`.
pub(in crate::api::releases) async fn upgrade(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Body(body): Body<UpgradeRequest>,
) -> Result<Response, Failure> {
    let version = act::upgrade(&app, &client, asked.generation, body).await?;
    answer::release(&app, &asked, StatusCode::CREATED, &version)
}

/// `POST /api/release/rollback`.
pub(in crate::api::releases) async fn rollback(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Body(body): Body<RollbackRequest>,
) -> Result<Response, Failure> {
    let version = body.version.unwrap_or(0);
    let version = Box::pin(act::rollback(&app, &client, body.release_name, version, body.timeout)).await?;
    answer::release(&app, &asked, StatusCode::CREATED, &version)
}

/// `POST /api/release/rollback/{name}/{version}`.
pub(in crate::api::releases) async fn rollback_path(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let version = extract::number(&version)?;
    let version = Box::pin(act::rollback(&app, &client, Some(name), version, None)).await?;
    answer::release(&app, &asked, StatusCode::CREATED, &version)
}

#[derive(Serialize)]
struct Cancelled {
    accepted: bool,
}

/// `POST /api/release/cancel`.
pub(in crate::api::releases) async fn cancel(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Body(body): Body<CancelRequest>,
) -> Result<Response, Failure> {
    let accepted = act::cancel(&app, &client, body.release_name).await?;
    answer::document(StatusCode::OK, asked.plain(), &Cancelled { accepted })
}

/// `POST /api/release/scale/{name}`.
pub(in crate::api::releases) async fn scale(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Path(name): Path<String>,
    Body(body): Body<ScaleRequest>,
) -> Result<Response, Failure> {
    let version = act::scale(&app, &client, &name, body).await?;
    answer::release(&app, &asked, StatusCode::CREATED, &version)
}

/// `DELETE /api/release/upgrade` and the like, where a release is called as a path is.
pub(in crate::api::releases) async fn delete_like_path(
    state: State<App>,
    client: Client,
    asked: Asked,
    uri: Uri,
) -> Result<Response, Failure> {
    let name = uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    delete(state, client, asked, Path(name)).await
}

/// `DELETE /api/release/{name}`.
pub(in crate::api::releases) async fn delete(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let version = Box::pin(act::delete(&app, &client, &name)).await?;
    answer::release(&app, &asked, StatusCode::OK, &version)
}
