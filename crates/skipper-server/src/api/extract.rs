//! What handlers take out of a request. Every refusal is an [`Error`] that names what was wrong.

use std::{fmt::Display, str::FromStr};

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
};
use http::{HeaderMap, header, request::Parts};
use serde::de::DeserializeOwned;
use skipper_core::{
    actor::{Actor, Provenance},
    name::{InvalidName, TenantName},
};

use skipper_store::IdempotencyKey;

use super::{observe::Ids, words};
use crate::{
    app::App,
    error::{Code, Error},
    verb::Caller,
};

/// A JSON body; an empty one stands for `{}`.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, app: &App) -> Result<Self, Error> {
        let content_type = content_type(request.headers());
        // The guard has read and bounded the body already.
        let bytes = Bytes::from_request(request, app).await.map_err(|cause| Error::internal(Box::new(cause)))?;
        if bytes.is_empty() {
            return parse(b"{}").map(Self);
        }
        let essence = content_type.unwrap_or_default();
        if essence != "application/json" && !essence.ends_with("+json") {
            let given = if essence.is_empty() { "nothing".to_owned() } else { format!("`{essence}`") };
            return Err(Error::new(
                Code::UnsupportedMediaType,
                format!("this path reads application/json, and the Content-Type says {given}"),
            )
            .hint("send `Content-Type: application/json`"));
        }
        parse(&bytes).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    // Serde would also take an array of the fields, in the order in which they happen to be declared.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Error::new(Code::Invalid, "the body is a list; this path reads an object, as {\"name\": …}")
            .hint("`/openapi.json` has the schema"));
    }
    serde_json::from_slice(bytes).map_err(|cause| {
        let code = if cause.is_data() { Code::Invalid } else { Code::BadRequest };
        Error::new(code, format!("the body is not what is read here: {}", words::of(&cause)))
            .hint("`/openapi.json` has the schema")
    })
}

/// The media type without parameters, in lower case.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Query parameters.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Error> {
        axum::extract::Query::try_from_uri(&parts.uri).map(|axum::extract::Query(query)| Self(query)).map_err(|cause| {
            Error::new(Code::BadRequest, format!("the query is not what is read here: {}", inner(&cause)))
        })
    }
}

/// Path parameters.
#[derive(Debug)]
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        axum::extract::Path::from_request_parts(parts, app)
            .await
            .map(|axum::extract::Path(path)| Self(path))
            .map_err(|cause| Error::new(Code::BadRequest, format!("the path cannot be read: {}", inner(&cause))))
    }
}

/// The innermost cause says what was wrong; the outer ones only that something was.
fn inner(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

/// The query of a path that only names a tenant.
#[derive(Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantQuery {
    /// Whose; the token's own tenant, else `default`, when absent.
    #[serde(default)]
    pub(crate) tenant: Option<String>,
}

/// The tenant that a query names; without one the token's own, else `default`.
pub(crate) fn tenant(actor: &Actor, named: Option<&String>) -> Result<TenantName, Error> {
    match (named, actor.tenant()) {
        (Some(name), _) => name_of(TenantName::new(name.clone())),
        (None, Some(own)) => Ok(own.clone()),
        (None, None) => Ok(TenantName::default_tenant()),
    }
}

/// A name out of path, query or body.
pub(crate) fn name_of<T>(name: Result<T, InvalidName>) -> Result<T, Error> {
    name.map_err(|wrong| Error::new(Code::Invalid, wrong.to_string()))
}

/// Something that parses or is refused as [`Code::Invalid`].
pub(crate) fn valid<T, E: Display>(field: &str, parsed: Result<T, E>) -> Result<T, Error> {
    parsed.map_err(|wrong| Error::new(Code::Invalid, format!("`{field}`: {wrong}")))
}

/// An id from the path.
pub(crate) fn id_of<T: FromStr>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| {
        Error::new(Code::Invalid, format!("`{text}` is not an id; ids look like 01970000-0000-7000-8000-000000000000"))
    })
}

/// Header in which a client says through what its user asked.
const TRIGGER: &str = "x-skipper-trigger";

impl FromRequestParts<App> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Error> {
        caller_of(parts)
    }
}

/// Who calls, as the guard let them in.
pub(crate) fn caller_of(parts: &Parts) -> Result<Caller, Error> {
    let missing = || Error::internal("the route is not guarded");
    let actor = parts.extensions.get::<Actor>().cloned().ok_or_else(missing)?;
    let ids = parts.extensions.get::<Ids>().cloned().ok_or_else(missing)?;
    let word = |text: &str| text.len() <= 32 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    let given = parts.headers.get(TRIGGER).and_then(|value| value.to_str().ok()).filter(|text| word(text));
    let trigger = given.filter(|text| !text.is_empty()).unwrap_or("api").to_owned();
    Ok(Caller {
        provenance: Provenance { actor, trigger, request: ids.request, correlation: ids.correlation },
        idempotency: parts.extensions.get::<IdempotencyKey>().cloned().map(Into::into),
    })
}
