//! `GET /api`: where everything is, of both generations; and the searches of each resource.

use axum::response::Response;

use super::{
    context::Context,
    link::Links,
    resource::{APP_DEPLOYER_DATAS, DEPLOYERS, PACKAGE_METADATA, RELEASES, REPOSITORIES, RESOURCES, Resource},
};
use crate::error::Error;

/// Calls that are no resources. Where a number stands in the path, the original has an example instead of a variable.
const CALLS: [(&str, &str); 16] = [
    ("about", "/api/about"),
    ("upload", "/api/upload"),
    ("install", "/api/install"),
    ("install/id", "/api/install/{id}"),
    ("status/name", "/api/status/{name}"),
    ("status/name/version", "/api/status/{name}/123"),
    ("manifest", "/api/manifest/{name}"),
    ("manifest/name/version", "/api/manifest/{name}/123"),
    ("upgrade", "/api/upgrade"),
    ("rollback", "/api/rollback/{name}/123"),
    ("delete", "/api/delete/{name}"),
    ("history", "/api/history/{name}/123"),
    ("list", "/api/list"),
    ("list/name", "/api/list/{name}"),
    ("release", "/api/release"),
    ("package", "/api/package"),
];

/// The index.
pub(super) async fn index(context: Context) -> Result<Response, Error> {
    let mut links = Links::default();
    for resource in RESOURCES {
        links = links.with(resource.rel, context.link(&format!("/api/{}{}", resource.rel, resource.template())));
    }
    for (rel, path) in CALLS {
        links = links.with(rel, context.link(path));
    }
    context.links(links.with("profile", context.link("/api/profile")))
}

fn searches(context: &Context, resource: &Resource) -> Result<Response, Error> {
    let root = format!("/api/{}/search", resource.rel);
    let mut links = Links::default();
    for search in resource.searches(context.is_v2()) {
        let template = search.template(resource.projects);
        links = links.with(search.name, context.link(&format!("{root}/{}{template}", search.name)));
    }
    context.links(links.with("self", context.link(&root)))
}

pub(super) async fn releases(context: Context) -> Result<Response, Error> {
    searches(&context, &RELEASES)
}

pub(super) async fn deployers(context: Context) -> Result<Response, Error> {
    searches(&context, &DEPLOYERS)
}

pub(super) async fn app_deployer_datas(context: Context) -> Result<Response, Error> {
    searches(&context, &APP_DEPLOYER_DATAS)
}

pub(super) async fn package_metadata(context: Context) -> Result<Response, Error> {
    searches(&context, &PACKAGE_METADATA)
}

pub(super) async fn repositories(context: Context) -> Result<Response, Error> {
    searches(&context, &REPOSITORIES)
}
