//! What server this is, and where its paths are.

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use super::{answer, asked::Asked, failure::Failure, wire::Links};

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
    let links = Links::new()
        .with("actuator/name/app/id", to("actuator/{name}/{app}/{id}?endpoint={endpoint}"))
        .with("actuator/name/app/id", to("actuator/{name}/{app}/{id}"))
        .with("logs/name", to("logs/{name}"))
        .with("status/name", to("status/{name}"))
        .with("status/name/version", to("status/{name}/{version}"))
        .with("manifest", to("manifest/{name}"))
        .with("manifest/name/version", to("manifest/{name}/{version}"))
        .with("upgrade", to("upgrade"))
        .with("rollback", to("rollback/{name}/123"))
        .with("list", to("list"))
        .with("list/name", to("list/{name}"));
    answer::document(StatusCode::OK, asked.linked(), &Linked { links })
}

/// `GET /api/package`.
pub(super) async fn package(asked: Asked) -> Result<Response, Failure> {
    let to = |path: &str| asked.link(&format!("/api/package/{path}"));
    let links = Links::new()
        .with("upload", to("upload"))
        .with("install", to("install"))
        .with("install/id", to("install/{id}"));
    answer::document(StatusCode::OK, asked.linked(), &Linked { links })
}
