//! What server this is, and where its paths are.

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use super::{
    answer,
    asked::Asked,
    failure::Failure,
    hal::link::{Link, Links},
};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Both generations' fields at once.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct About {
    name: &'static str,
    version: &'static str,
    version_info: Versions,
}

#[derive(Serialize)]
struct Versions {
    server: Part,
    shell: Part,
}

#[derive(Serialize)]
struct Part {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Linked {
    #[serde(rename = "_links")]
    links: Links,
}

/// `GET /api/about`.
pub(super) async fn about(asked: Asked) -> Result<Response, Failure> {
    let (server, shell) = ("Skipper Server", "Skipper Shell");
    let version_info =
        Versions { server: Part { name: server, version: VERSION }, shell: Part { name: shell, version: VERSION } };
    answer::document(StatusCode::OK, asked.linked(), &About { name: server, version: VERSION, version_info })
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
