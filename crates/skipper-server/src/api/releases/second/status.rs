use axum::{extract::State, response::Response};
use http::StatusCode;
use skipper_core::rollout::Verb;

use crate::{
    api::{
        extract::Path,
        releases::{
            act, answer,
            asked::Asked,
            extract::{self, Client},
            failure::Failure,
            wire::Info,
        },
    },
    app::App,
    verb::{self, versions::Look},
};

/// `GET /api/release/status/{name}`.
pub(in crate::api::releases) async fn status(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    of(&app, &client, &asked, &name, None).await
}

/// `GET /api/release/status/{name}/{version}`.
pub(in crate::api::releases) async fn status_version(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, Failure> {
    of(&app, &client, &asked, &name, Some(extract::version(&name, &version)?)).await
}

async fn of(app: &App, client: &Client, asked: &Asked, name: &str, version: Option<u64>) -> Result<Response, Failure> {
    let release = extract::release(name)?;
    let found = verb::versions::one(app, &client.caller, &client.tenant, &release, version, Look::Alive).await;
    let found = found.map_err(|error| Failure::of_verb(error, Verb::Install, name, version))?;
    answer::document(StatusCode::OK, asked.linked(), &Info::linked(asked, &found))
}

/// `GET /api/release/list`.
pub(in crate::api::releases) async fn list(
    State(app): State<App>,
    client: Client,
    asked: Asked,
) -> Result<Response, Failure> {
    act::list(&app, &client, &asked, "").await
}

/// `GET /api/release/list/{name}`.
pub(in crate::api::releases) async fn list_name(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    act::list(&app, &client, &asked, &name).await
}
