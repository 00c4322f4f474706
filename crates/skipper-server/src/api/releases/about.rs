//! What server this is, and where its paths are.

use axum::{extract::State, response::Response};
use http::StatusCode;
use serde::Serialize;

use super::{
    answer,
    asked::Asked,
    failure::Failure,
    hal::link::{Link, Links},
};
use crate::app::App;

/// Both generations' fields at once.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct About<'a> {
    name: &'a str,
    version: &'a str,
    version_info: Versions<'a>,
}

#[derive(Serialize)]
struct Versions<'a> {
    server: Part<'a>,
    shell: Part<'a>,
}

#[derive(Serialize)]
struct Part<'a> {
    name: &'a str,
    version: &'a str,
}

#[derive(Serialize)]
struct Linked {
    #[serde(rename = "_links")]
    links: Links,
}

/// `GET /api/about`.
pub(super) async fn about(State(app): State<App>, asked: Asked) -> Result<Response, Failure> {
    let (name, version) = (app.about.name.as_str(), app.about.version.as_str());
    let shell = Part { name: &app.about.shell_name, version: &app.about.shell_version };
    let version_info = Versions { server: Part { name, version }, shell };
    answer::document(StatusCode::OK, asked.linked(), &About { name, version, version_info })
}

/// `GET /api/release`.
pub(super) async fn release(asked: Asked) -> Result<Response, Failure> {
    let to = |path: &str| asked.link(&format!("/api/release/{path}"));
    let links = Links::default()
        .with("actuator/name/app/id", Link::to(to("actuator/{name}/{app}/{id}?endpoint={endpoint}")))
        .with("actuator/name/app/id", Link::to(to("actuator/{name}/{app}/{id}")))
        .with("logs/name", Link::to(to("logs/{name}")))
        .with("status/name", Link::to(to("status/{name}")))
        .with("status/name/version", Link::to(to("status/{name}/{version}")))
        .with("manifest", Link::to(to("manifest/{name}")))
        .with("manifest/name/version", Link::to(to("manifest/{name}/{version}")))
        .with("upgrade", Link::to(to("upgrade")))
        .with("rollback", Link::to(to("rollback/{name}/123")))
        .with("list", Link::to(to("list")))
        .with("list/name", Link::to(to("list/{name}")));
    answer::document(StatusCode::OK, asked.linked(), &Linked { links })
}

/// `GET /api/package`.
pub(super) async fn package(asked: Asked) -> Result<Response, Failure> {
    let to = |path: &str| asked.link(&format!("/api/package/{path}"));
    let links = Links::default()
        .with("upload", Link::to(to("upload")))
        .with("install", Link::to(to("install")))
        .with("install/id", Link::to(to("install/{id}")));
    answer::document(StatusCode::OK, asked.linked(), &Linked { links })
}
