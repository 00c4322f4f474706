//! What handlers of this door take out of a request.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
};
use http::request::Parts;
use serde::{Deserialize, de::DeserializeOwned};
use skipper_core::name::{ReleaseName, TenantName};

use super::failure::{Failure, Kind};
use crate::{
    api::extract,
    app::App,
    error::{Code, Error},
    verb::Caller,
};

/// A JSON body.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = axum::response::Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Self::Rejection> {
        use axum::response::IntoResponse as _;
        let kind = extract::content_type(request.headers()).unwrap_or_default();
        // The guard has read and bounded the body already.
        let bytes = match Bytes::from_request(request, app).await {
            Ok(bytes) => bytes,
            Err(cause) => return Err(Error::internal(Box::new(cause)).into_response()),
        };
        if kind == "application/json-patch+json" {
            let what = "operations of a JSON patch are not read here";
            return Err(Error::new(Code::UnsupportedMediaType, what)
                .hint("send what is to change as `application/merge-patch+json`")
                .into_response());
        }
        if kind != "application/json" && !kind.ends_with("+json") {
            return Err(Error::new(Code::UnsupportedMediaType, "this path reads application/json").into_response());
        }
        if bytes.is_empty() {
            return Err(Failure::new(Kind::Unreadable, "Required request body is missing").into_response());
        }
        parse(&bytes).map(Self).map_err(axum::response::IntoResponse::into_response)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    // Serde would also take an array of the fields, in the order in which they happen to be declared.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Failure::new(Kind::Unreadable, "JSON parse error: an object is read here, and the body is a list"));
    }
    serde_json::from_slice(bytes).map_err(|cause| Failure::new(Kind::Unreadable, format!("JSON parse error: {cause}")))
}

/// Whoever asks, and the tenant whose releases are meant.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) caller: Caller,
    pub(super) tenant: TenantName,
}

#[derive(Debug, Deserialize)]
struct Named {
    #[serde(default)]
    tenant: Option<String>,
}

impl FromRequestParts<App> for Client {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let named = axum::extract::Query::<Named>::try_from_uri(&parts.uri)
            .map_err(|_| Error::new(Code::BadRequest, "the query cannot be read"))?;
        let tenant = extract::tenant(caller.actor(), named.0.tenant.as_ref())?;
        Ok(Self { caller, tenant })
    }
}

/// A name out of a path. One that no release can have is the name of none.
pub(super) fn release(name: &str) -> Result<ReleaseName, Failure> {
    ReleaseName::new(name).map_err(|_| Failure::not_found(name, None))
}

/// A number out of a path.
pub(super) fn number(text: &str) -> Result<i64, Failure> {
    text.parse().map_err(|_| {
        let text: String = text.chars().take(100).collect();
        Failure::new(
            Kind::Mismatch,
            format!(
                "Failed to convert value of type 'java.lang.String' to required type 'int'; nested exception is \
                 java.lang.NumberFormatException: For input string: \"{text}\""
            ),
        )
    })
}

/// A version out of a path; what is no version of anything is the version of none.
pub(super) fn version(release: &str, text: &str) -> Result<u64, Failure> {
    let number = number(text)?;
    u64::try_from(number).map_err(|_| Failure::not_found(release, Some(number)))
}
