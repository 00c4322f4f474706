use axum::{extract::State, response::Response};
use http::StatusCode;
use serde::Serialize;
use skipper_core::rollout::Verb;

use crate::{
    api::{
        extract::Path,
        releases::{
            answer,
            asked::Asked,
            extract::{self, Client},
            failure::Failure,
        },
    },
    app::App,
    verb,
};

#[derive(Serialize)]
struct Logs {
    logs: std::collections::BTreeMap<String, String>,
}

/// `GET /api/release/logs/{name}`.
pub(in crate::api::releases) async fn logs(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    of(&app, &client, &asked, &name, None).await
}

/// `GET /api/release/logs/{name}/{app}`: of one deployment id, or of one application.
pub(in crate::api::releases) async fn logs_app(
    State(app): State<App>,
    client: Client,
    asked: Asked,
    Path((name, only)): Path<(String, String)>,
) -> Result<Response, Failure> {
    of(&app, &client, &asked, &name, Some(&only)).await
}

async fn of(app: &App, client: &Client, asked: &Asked, name: &str, only: Option<&str>) -> Result<Response, Failure> {
    let release = extract::release(name)?;
    let texts = verb::versions::logs(app, &client.caller, &client.tenant, &release, only).await;
    let logs = texts.map_err(|error| Failure::of_verb(error, Verb::Install, name, None))?;
    answer::document(StatusCode::OK, asked.linked(), &Logs { logs: logs.into_iter().collect() })
}
