//! Answers of this door.

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use skipper_core::{name::PlatformName, spec::Target};

use super::{
    asked::Asked,
    failure::Failure,
    negotiate::Generation,
    wire::{Release, Releases},
};
use crate::{app::App, error::Error, verb::versions::Version};

/// What an application's account is called here that is called `local` by itself: the name that the original gives it.
const DEFAULT: &str = "default";
const LOCAL: &str = "local";

/// About as long as a version of a release is in JSON: a list that grows by doubling is copied and freed as many times.
const RELEASE: usize = 3 << 10;
/// The same of everything else.
const DOCUMENT: usize = 1 << 10;

/// A document with that type.
pub(super) fn document(status: StatusCode, kind: HeaderValue, body: &impl Serialize) -> Result<Response, Failure> {
    sized(status, kind, body, DOCUMENT)
}

/// A document that has about so many bytes.
fn sized(status: StatusCode, kind: HeaderValue, body: &impl Serialize, bytes: usize) -> Result<Response, Failure> {
    let mut text = Vec::with_capacity(bytes);
    serde_json::to_writer(&mut text, body).map_err(|cause| Failure::from(Error::internal(cause)))?;
    let mut response = (status, Body::from(text)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// A version, with the links of its generation.
pub(super) fn release(app: &App, asked: &Asked, status: StatusCode, version: &Version) -> Result<Response, Failure> {
    let body = Release::linked(asked, platform(app, &version.platform), version);
    let kind = if asked.generation == Generation::M1 { asked.plain() } else { asked.linked() };
    let mut response = document(status, kind, &body)?;
    if status == StatusCode::CREATED {
        let path = match asked.generation {
            Generation::M1 => format!("/api/status/{}/{}", version.stored.name, version.stored.version),
            Generation::V2 => format!("/api/release/status/{}/{}", version.stored.name, version.stored.version),
        };
        located(&mut response, &asked.link(&path));
    }
    Ok(response)
}

/// Says where what was made is found.
pub(super) fn located(response: &mut Response, address: &str) {
    if let Ok(location) = HeaderValue::try_from(address) {
        response.headers_mut().insert(header::LOCATION, location);
    }
}

/// Versions: a list in 1.0, an embedded one in 2.x.
pub(super) fn releases(app: &App, asked: &Asked, versions: &[Version]) -> Result<Response, Failure> {
    let all: Vec<Release> =
        versions.iter().map(|version| Release::linked(asked, platform(app, &version.platform), version)).collect();
    let bytes = DOCUMENT + all.len() * RELEASE;
    match asked.generation {
        Generation::M1 => sized(StatusCode::OK, asked.plain(), &all, bytes),
        Generation::V2 => sized(StatusCode::OK, asked.linked(), &Releases::of(all), bytes),
    }
}

/// What this door calls an account: `default` for the account `local` that is used by itself, unless one is called so.
pub(super) fn platform<'a>(app: &App, name: &'a PlatformName) -> &'a str {
    let by_itself = name.as_str() == LOCAL && *name == app.default_platform && !has(app, DEFAULT);
    if by_itself { DEFAULT } else { name.as_str() }
}

/// The account that this door calls so.
pub(super) fn account(app: &App, name: &str) -> Option<PlatformName> {
    if name == DEFAULT && !has(app, DEFAULT) {
        return Some(app.default_platform.clone());
    }
    PlatformName::new(name).ok().filter(|_| has(app, name))
}

fn has(app: &App, name: &str) -> bool {
    PlatformName::new(name).is_ok_and(|name| app.platforms.get(&Target(name)).is_some())
}
