//! Which generation's shape, and which media type: both are told by `Accept`.

use axum::{
    extract::FromRequestParts,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode, header, request::Parts};

use crate::{api::problem::Rendered, app::App};

/// Whose shape an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api::releases) enum Generation {
    /// 1.0.0.M1, whose guide is the reference for everybody who does not ask for something else.
    M1,
    /// 2.x, whose Java client asks for `application/json` together with `application/*+json`.
    V2,
}

/// What an answer is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api::releases) enum Media {
    /// `application/hal+json`.
    Hal,
    /// `application/json`, with the same contents.
    Json,
    /// `application/alps+json`, of profiles.
    Alps,
    /// `application/schema+json`, of profiles.
    Schema,
}

/// What the client accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api::releases) struct Accepted {
    pub(in crate::api::releases) generation: Generation,
    pub(in crate::api::releases) media: Media,
}

/// More types than any client names; the rest of the header is not read.
const MOST: usize = 32;

impl Accepted {
    /// `None` when nothing that is here would do.
    pub(in crate::api::releases) fn of(headers: &HeaderMap) -> Option<Self> {
        let lines = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut ranges: Vec<(String, f32)> = lines.flat_map(|line| line.split(',')).take(MOST).map(range).collect();
        if ranges.iter().all(|(range, _)| range.is_empty()) {
            return Some(Self { generation: Generation::M1, media: Media::Hal });
        }
        let asks = |wanted: &str| ranges.iter().any(|(range, _)| range == wanted);
        let both = asks("application/json") && asks("application/*+json");
        ranges.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let media = ranges.iter().filter(|(_, quality)| *quality > 0.0).find_map(|(range, _)| media(range))?;
        Some(Self { generation: if both { Generation::V2 } else { Generation::M1 }, media })
    }

    /// The `Content-Type`. The first generation says what it is encoded in; the second says that to nobody.
    pub(in crate::api::releases) const fn content_type(self) -> &'static str {
        match (self.media, self.generation) {
            (Media::Hal, Generation::M1) => "application/hal+json;charset=UTF-8",
            (Media::Hal, Generation::V2) => "application/hal+json",
            (Media::Json, Generation::M1) => "application/json;charset=UTF-8",
            (Media::Json, Generation::V2) => "application/json",
            (Media::Alps, _) => "application/alps+json;charset=UTF-8",
            (Media::Schema, _) => "application/schema+json;charset=UTF-8",
        }
    }
}

/// A media range in lower case, and its quality.
fn range(text: &str) -> (String, f32) {
    let mut parts = text.split(';');
    let name = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let quality = parts.find_map(|parameter| parameter.trim().strip_prefix("q=")?.parse::<f32>().ok());
    (name, quality.filter(|quality| quality.is_finite()).unwrap_or(1.0))
}

fn media(range: &str) -> Option<Media> {
    match range {
        "*/*" | "application/*" | "application/*+json" | "application/hal+json" => Some(Media::Hal),
        "application/json" => Some(Media::Json),
        "application/alps+json" => Some(Media::Alps),
        "application/schema+json" => Some(Media::Schema),
        _ => None,
    }
}

impl FromRequestParts<App> for Accepted {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Response> {
        Self::of(&parts.headers).ok_or_else(|| {
            let mut response = StatusCode::NOT_ACCEPTABLE.into_response();
            response.extensions_mut().insert(Rendered);
            response
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept: &str, expected: Option<(Generation, Media)>) {
        let mut headers = HeaderMap::new();
        if !accept.is_empty() {
            headers.insert(header::ACCEPT, accept.parse().expect("a header"));
        }
        assert_eq!(Accepted::of(&headers).map(|found| (found.generation, found.media)), expected, "{accept}");
    }

    #[test]
    fn the_shape_of_2_x_is_for_its_java_client_only() {
        check("application/json, application/*+json", Some((Generation::V2, Media::Json)));
        check("application/*+json;q=0.5,APPLICATION/JSON", Some((Generation::V2, Media::Json)));
        for first in ["", "*/*", "application/hal+json", "application/hal+json, application/*+json"] {
            check(first, Some((Generation::M1, Media::Hal)));
        }
        check("application/json", Some((Generation::M1, Media::Json)));
    }

    #[test]
    fn the_type_that_is_wanted_most_is_taken() {
        check("application/json;q=0.1, application/hal+json", Some((Generation::M1, Media::Hal)));
        check("text/html, application/xml;q=0.9, */*;q=0.8", Some((Generation::M1, Media::Hal)));
        check("application/schema+json", Some((Generation::M1, Media::Schema)));
        check("text/html", None);
        check("application/json;q=0", None);
    }
}
