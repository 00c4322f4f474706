//! `OPTIONS`: what a resource lets one do.

use axum::response::Response;
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};

use super::{
    context::bare,
    resource::{RESOURCES, Resource},
};

/// What can be sent to change an item in part.
const PATCHES: &str = "application/merge-patch+json,application/json";

/// Of a collection.
pub(super) async fn collection(uri: Uri) -> Response {
    let methods = resource(&uri).map_or(&[][..], |resource| resource.on_collection);
    allowed(methods)
}

/// Of an item.
pub(super) async fn item(uri: Uri) -> Response {
    let methods = resource(&uri).map_or(&[][..], |resource| resource.on_item);
    let mut response = allowed(methods);
    if methods.contains(&Method::PATCH) {
        let name = HeaderName::from_static("accept-patch");
        response.headers_mut().insert(name, HeaderValue::from_static(PATCHES));
    }
    response
}

fn resource(uri: &Uri) -> Option<&'static Resource> {
    let rel = uri.path().strip_prefix("/api/")?.split('/').next()?;
    RESOURCES.into_iter().find(|resource| resource.rel == rel)
}

fn allowed(methods: &[Method]) -> Response {
    let all = [Method::GET, Method::HEAD].iter().chain(methods).chain([&Method::OPTIONS]).map(Method::as_str);
    let mut response = bare(StatusCode::OK);
    if let Ok(value) = HeaderValue::try_from(all.collect::<Vec<_>>().join(",")) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}
