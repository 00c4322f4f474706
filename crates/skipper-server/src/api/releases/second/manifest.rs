use axum::{extract::State, response::Response};
use http::StatusCode;

use crate::{
    api::{
        extract::Path,
        releases::{
            act, answer,
            asked::Asked,
            extract::Client,
            failure::Failure,
            hal::link::{Link, Links},
            wire::Manifest,
        },
    },
    app::App,
};

/// `GET /api/release/manifest/{name}`.
pub(in crate::api::releases) async fn manifest(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    of(&app, &client, &asked, &name, None).await
}

/// `GET /api/release/manifest/{name}/{version}`.
pub(in crate::api::releases) async fn manifest_version(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, Failure> {
    of(&app, &client, &asked, &name, Some(&version)).await
}

async fn of(app: &App, client: &Client, asked: &Asked, name: &str, version: Option<&str>) -> Result<Response, Failure> {
    let data = Some(act::manifest(app, client, name, version).await?);
    let links = Some(Links::default().with("status", Link::to(asked.link("/api/release/status/{name}"))));
    answer::document(StatusCode::OK, asked.linked(), &Manifest::Object { data, links })
}
