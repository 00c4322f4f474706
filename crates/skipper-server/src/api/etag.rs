//! ETags by row version.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

/// Answers with an ETag, or with 304 when the caller has this version.
///
/// Weak: what is observed of a platform may differ between two answers of one version.
pub(crate) fn answer<T: Serialize>(headers: &HeaderMap, version: &str, body: T) -> Response {
    let tag = format!("W/\"{version}\"");
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let matches = known.flat_map(|list| list.split(',')).any(|given| given.trim() == tag || given.trim() == "*");
    let mut response = if matches { StatusCode::NOT_MODIFIED.into_response() } else { Json(body).into_response() };
    if let Ok(value) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}
