//! The server's own endpoints under `/actuator`, as far as the original opens them: what probes of containers ask.

use std::time::Duration;

use axum::{extract::State, response::Response};
use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::{answer, asked::Asked, failure::Failure};
use crate::app::App;

const KIND: HeaderValue = HeaderValue::from_static("application/vnd.spring-boot.actuator.v3+json");
/// Longest that the database is waited for.
const LOOK: Duration = Duration::from_millis(900);

/// `GET /actuator`.
pub(super) async fn index(asked: Asked) -> Result<Response, Failure> {
    let link = |path: &str| json!({"href": asked.link(path), "templated": false});
    let links = json!({
        "self": link("/actuator"), "health": link("/actuator/health"), "info": link("/actuator/info")
    });
    answer::document(StatusCode::OK, KIND, &json!({"_links": links}))
}

/// `GET /actuator/health`.
pub(super) async fn health(State(app): State<App>) -> Result<Response, Failure> {
    let writable = tokio::time::timeout(LOOK, app.store.writable()).await;
    let (status, word) = match writable {
        Ok(Ok(())) if !app.stop.is_cancelled() => (StatusCode::OK, "UP"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "DOWN"),
    };
    answer::document(status, KIND, &json!({"status": word}))
}

/// `GET /actuator/info`.
pub(super) async fn info(State(app): State<App>) -> Result<Response, Failure> {
    let build = json!({"artifact": "skipper", "name": app.about.name, "version": app.about.version});
    answer::document(StatusCode::OK, KIND, &json!({"build": build}))
}
