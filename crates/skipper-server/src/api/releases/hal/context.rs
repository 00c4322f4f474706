//! What every handler here works with: the request as far as links and answers depend on it.

use axum::{
    body::Body,
    extract::FromRequestParts,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, request::Parts};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::{
    link::{self, Link, Links},
    page::{Numbers, Wanted},
    pretty,
};
use crate::{
    api::{
        problem::Rendered,
        releases::negotiate::{Accepted, Generation, Media},
    },
    app::App,
    error::{Code, Error},
};

/// The request.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) accepted: Accepted,
    pub(super) query: Vec<(String, String)>,
    base: String,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

/// One resource: its own fields, and where they lead.
#[derive(Debug, Serialize)]
pub(super) struct Item<T> {
    #[serde(flatten)]
    pub(super) fields: T,
    #[serde(rename = "_links")]
    pub(super) links: Links,
}

/// A list of resources.
#[derive(Debug, Serialize)]
struct Collection<T> {
    #[serde(rename = "_embedded")]
    embedded: Embedded<T>,
    #[serde(rename = "_links")]
    links: Links,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<Numbers>,
}

#[derive(Debug)]
struct Embedded<T>(&'static str, Vec<T>);

impl<T: Serialize> Serialize for Embedded<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, &self.1)?;
        map.end()
    }
}

/// Nothing but links.
#[derive(Debug, Serialize)]
struct Linked {
    #[serde(rename = "_links")]
    links: Links,
}

impl FromRequestParts<App> for Context {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let accepted = Accepted::from_request_parts(parts, app).await?;
        let is_profile = matches!(accepted.media, Media::Alps | Media::Schema);
        if is_profile && !parts.uri.path().starts_with("/api/profile/") {
            return Err(bare(StatusCode::NOT_ACCEPTABLE));
        }
        let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        Ok(Self {
            accepted,
            query: query.map(|query| query.0).unwrap_or_default(),
            base: link::base_of(parts),
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
        })
    }
}

impl Context {
    pub(super) fn is_v2(&self) -> bool {
        self.accepted.generation == Generation::V2
    }

    /// The first value of a parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn generation(&self) -> Generation {
        self.accepted.generation
    }

    /// A parameter that must be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, Error> {
        let missing = || Error::new(Code::Invalid, format!("the parameter `{name}` is missing"));
        self.parameter(name).ok_or_else(missing)
    }

    /// Whether the version that the client means to change is the present one, or it does not say.
    pub(super) fn still_means(&self, version: &str) -> bool {
        !self.headers.contains_key(header::IF_MATCH) || self.names(&header::IF_MATCH, &tag(version))
    }

    pub(super) fn page(&self) -> Wanted {
        Wanted::of(&self.query)
    }

    /// A link to a path of this server, or to a template of one.
    pub(super) fn link(&self, path: &str) -> Link {
        Link::to(format!("{}{path}", self.base))
    }

    /// Where the request itself went.
    fn here(&self) -> String {
        let target = self.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        format!("{}{target}", self.base)
    }

    /// A page of a resource, and where the others are.
    pub(super) fn collection<T: Serialize>(
        &self,
        rel: &'static str,
        items: Vec<T>,
        wanted: &Wanted,
        total: u64,
    ) -> Result<Response, Error> {
        let numbers = Numbers::of(wanted, total);
        let turn = |page| Link { href: self.turned(wanted, page), templated: false };
        let mut links = Links::default();
        let several = numbers.previous().is_some() || numbers.next().is_some();
        if several {
            links = links.with("first", turn(0));
        }
        if let Some(previous) = numbers.previous() {
            links = links.with("prev", turn(previous));
        }
        links = links.with("self", self.collection_itself(rel, wanted));
        if let Some(next) = numbers.next() {
            links = links.with("next", turn(next));
        }
        if several {
            links = links.with("last", turn(numbers.last()));
        }
        links = links
            .with("profile", self.link(&format!("/api/profile/{rel}")))
            .with("search", self.link(&format!("/api/{rel}/search")));
        self.answer(None, &links.clone(), &Collection { embedded: Embedded(rel, items), links, page: Some(numbers) })
    }

    /// The collection's own link. The first generation's is a template of whatever was not asked for; of a first page whose
    /// size was asked for it is as the guide shows it, without the query.
    fn collection_itself(&self, rel: &str, wanted: &Wanted) -> Link {
        if self.is_v2() {
            return Link { href: self.here(), templated: false };
        }
        let projects: &[&str] = if rel == "packageMetadata" { &["projection"] } else { &[] };
        let asked = |name: &&&str| self.parameter(name).is_none();
        let open: Vec<&str> = ["page", "size", "sort"].iter().chain(projects).filter(asked).copied().collect();
        let paging = self.query.iter().filter(|(key, _)| key == "page" || key == "size").count();
        let as_in_the_guide = wanted.page == 0 && paging == 2 && self.query.len() == 2;
        let path = format!("{}{}", self.base, self.uri.path());
        let mut href = if self.query.is_empty() || as_in_the_guide { path } else { self.here() };
        if !open.is_empty() {
            let sign = if self.query.is_empty() { '?' } else { '&' };
            href = format!("{href}{{{sign}{}}}", open.join(","));
        }
        Link::to(href)
    }

    /// The same request for another page.
    fn turned(&self, wanted: &Wanted, page: u64) -> String {
        let paging = |pair: &&str| {
            let key = pair.split('=').next().unwrap_or_default();
            !matches!(key, "page" | "size" | "sort") && !pair.is_empty()
        };
        let kept = self.uri.query().unwrap_or_default().split('&').filter(paging).map(str::to_owned);
        let numbers = [format!("page={page}"), format!("size={}", wanted.size)];
        let sort = wanted.sorted_by().into_iter().map(|by| format!("sort={}", encoded(&by)));
        let query: Vec<String> = kept.chain(numbers).chain(sort).collect();
        format!("{}{}?{}", self.base, self.uri.path(), query.join("&"))
    }

    /// What a search found: all of it, without pages.
    pub(super) fn found<T: Serialize>(&self, rel: &'static str, items: Vec<T>) -> Result<Response, Error> {
        let links = Links::default().with("self", Link { href: self.here(), templated: false });
        self.answer(None, &links.clone(), &Collection { embedded: Embedded(rel, items), links, page: None })
    }

    /// One resource; 404 without a body where there is none.
    pub(super) fn item<T: Serialize>(&self, version: Option<&str>, item: Option<Item<T>>) -> Result<Response, Error> {
        match item {
            Some(item) => self.answer(version, &item.links.clone(), &item),
            None => Ok(bare(StatusCode::NOT_FOUND)),
        }
    }

    /// Links alone.
    pub(super) fn links(&self, links: Links) -> Result<Response, Error> {
        self.answer(None, &links.clone(), &Linked { links })
    }

    /// A document: with its `ETag` where it has a version, and without a body where the client has that version.
    pub(super) fn answer(
        &self,
        version: Option<&str>,
        links: &Links,
        body: &impl Serialize,
    ) -> Result<Response, Error> {
        let tag = version.map(tag);
        let known = tag.as_ref().is_some_and(|tag| self.names(&header::IF_NONE_MATCH, tag));
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else if self.method == Method::HEAD {
            let mut response = StatusCode::NO_CONTENT.into_response();
            insert(&mut response, header::LINK, &links.header());
            response
        } else {
            let text = pretty::text(body).map_err(Error::internal)?;
            let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(self.accepted.content_type()))];
            (kind, Body::from(text)).into_response()
        };
        if let Some(tag) = tag {
            insert(&mut response, header::ETAG, &tag);
        }
        Ok(response)
    }

    /// What came of a change: the resource as it is now, to whom it says what it accepts.
    pub(super) fn changed<T: Serialize>(
        &self,
        status: StatusCode,
        version: &str,
        item: &Item<T>,
    ) -> Result<Response, Error> {
        let mut response = self.answer(Some(version), &item.links, item)?;
        if self.headers.contains_key(header::ACCEPT) {
            *response.status_mut() = status;
        } else {
            let bodiless = if status == StatusCode::OK { StatusCode::NO_CONTENT } else { status };
            let mut empty = bodiless.into_response();
            insert(&mut empty, header::ETAG, &tag(version));
            response = empty;
        }
        if let Some(own) = item.links.first("self").filter(|_| status == StatusCode::CREATED) {
            insert(&mut response, header::LOCATION, own);
        }
        Ok(response)
    }

    /// Whether a header of entity tags names this one.
    fn names(&self, header: &HeaderName, tag: &str) -> bool {
        let lines = self.headers.get_all(header).iter().filter_map(|value| value.to_str().ok());
        lines
            .flat_map(|line| line.split(','))
            .map(str::trim)
            .any(|given| given == "*" || given.strip_prefix("W/").unwrap_or(given) == tag)
    }
}

/// `"7"`.
fn tag(version: &str) -> String {
    format!("\"{version}\"")
}

fn insert(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// A status that says everything.
pub(super) fn bare(status: StatusCode) -> Response {
    let mut response = status.into_response();
    response.extensions_mut().insert(Rendered);
    response
}

/// Text of a parameter, as it may stand in a query.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b',' | b':');
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
