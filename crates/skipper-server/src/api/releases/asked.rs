//! How a request wants to be answered: in which generation's shape, as which media type, and under which address.
//!
//! A path that only one generation has is answered in its shape. On those that both have, a client that accepts
//! `application/json` together with `application/*+json` is the Java client of 2.x; everybody else gets the shape of 1.0.

use axum::extract::FromRequestParts;
use http::{HeaderMap, HeaderValue, Uri, header, request::Parts};

use super::{hal::link, negotiate::Generation};
use crate::{app::App, error::Error};

/// The media types of answers.
pub(in crate::api) const HAL: &str = "application/hal+json";
pub(in crate::api) const JSON: &str = "application/json";
pub(in crate::api) const JSON_UTF8: &str = "application/json;charset=UTF-8";

/// The first part of paths below `/api` that only one generation has.
const M1_ONLY: [&str; 9] =
    ["upload", "install", "status", "manifest", "upgrade", "rollback", "delete", "history", "list"];
const V2_ONLY: [&str; 2] = ["release", "package"];

/// By path and Accept, as the module says.
pub(in crate::api) fn generation(uri: &Uri, headers: &HeaderMap) -> Generation {
    let first = first(uri.path());
    if M1_ONLY.contains(&first) {
        Generation::M1
    } else if V2_ONLY.contains(&first) || is_java_2(headers) {
        Generation::V2
    } else {
        Generation::M1
    }
}

/// Whether only 2.x has the path.
pub(super) fn is_of_2_alone(path: &str) -> bool {
    V2_ONLY.contains(&first(path))
}

fn first(path: &str) -> &str {
    path.strip_prefix("/api/").unwrap_or_default().split('/').next().unwrap_or_default()
}

fn is_java_2(headers: &HeaderMap) -> bool {
    let (mut plain, mut suffixed) = (false, false);
    for media in accepted(headers) {
        plain |= media.eq_ignore_ascii_case(JSON);
        suffixed |= media.eq_ignore_ascii_case("application/*+json");
    }
    plain && suffixed
}

/// The media types of every Accept header, in order, without parameters.
pub(in crate::api) fn accepted(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|media| media.split(';').next().unwrap_or_default().trim())
}

/// How a request wants to be answered.
#[derive(Debug, Clone)]
pub(in crate::api) struct Asked {
    /// In which shape.
    pub(in crate::api) generation: Generation,
    /// Scheme and authority of links: `http://localhost:7577`.
    pub(in crate::api) base: String,
    /// Media type of documents with links in 2.x.
    media: &'static str,
}

impl Asked {
    pub(in crate::api) fn of(uri: &Uri, headers: &HeaderMap) -> Self {
        let first = accepted(headers).find_map(|media| match media {
            JSON => Some(JSON),
            HAL | "application/*+json" | "application/*" | "*/*" => Some(HAL),
            _ => None,
        });
        Self { generation: generation(uri, headers), base: link::base(uri, headers), media: first.unwrap_or(HAL) }
    }

    /// The media type of a document with links.
    pub(in crate::api) fn linked(&self) -> HeaderValue {
        HeaderValue::from_static(match self.generation {
            Generation::M1 => JSON_UTF8,
            Generation::V2 => self.media,
        })
    }

    /// The media type of a document that has none.
    pub(in crate::api) fn plain(&self) -> HeaderValue {
        HeaderValue::from_static(match self.generation {
            Generation::M1 => JSON_UTF8,
            Generation::V2 => JSON,
        })
    }

    /// The address of a path of this server, as the client would write it.
    pub(in crate::api) fn link(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

impl FromRequestParts<App> for Asked {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Error> {
        Ok(Self { base: link::base_of(parts), ..Self::of(&parts.uri, &parts.headers) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JAVA_2: &str = "application/json, application/*+json";

    #[track_caller]
    fn check(path: &str, accept: &str, generation: Generation, linked: &str, plain: &str) {
        let mut headers = HeaderMap::new();
        if !accept.is_empty() {
            headers.insert(header::ACCEPT, accept.parse().expect("a header"));
        }
        let asked = Asked::of(&path.parse().expect("a path"), &headers);
        let told = (asked.generation, asked.linked(), asked.plain());
        assert_eq!(
            told,
            (generation, linked.parse().expect("a type"), plain.parse().expect("a type")),
            "{path} {accept}"
        );
    }

    #[test]
    fn a_path_of_one_generation_is_answered_in_its_shape_whoever_asks() {
        for accept in ["", "*/*", JAVA_2, "application/json", "text/html"] {
            check("/api/list", accept, Generation::M1, JSON_UTF8, JSON_UTF8);
            check("/api/install/7", accept, Generation::M1, JSON_UTF8, JSON_UTF8);
        }
        check("/api/release/list", JAVA_2, Generation::V2, JSON, JSON);
        check("/api/release", "*/*", Generation::V2, HAL, JSON);
        check("/api/package/upload", "", Generation::V2, HAL, JSON);
        check("/api/release/list", "application/hal+json", Generation::V2, HAL, JSON);
        check("/api/release/list", "text/html,application/xml;q=0.9,*/*;q=0.8", Generation::V2, HAL, JSON);
    }

    #[test]
    fn a_path_of_both_is_answered_by_the_accept_header() {
        for path in ["/api", "/api/about", "/api/releases", "/api/listings", "/api/packageMetadata/1"] {
            check(path, JAVA_2, Generation::V2, JSON, JSON);
            check(path, "application/json", Generation::M1, JSON_UTF8, JSON_UTF8);
            check(path, "*/*", Generation::M1, JSON_UTF8, JSON_UTF8);
            check(path, "application/hal+json", Generation::M1, JSON_UTF8, JSON_UTF8);
        }
    }
}
