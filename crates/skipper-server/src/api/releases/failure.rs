//! Errors of this door: the bodies that the original sends, with the class names by which its clients tell them apart.
//!
//! On paths that only 2.x has, bad arguments are a 500 as the original's are: its recordings are what clients expect there.
//! Everywhere else the status says what is the matter.

use std::sync::Arc;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use skipper_core::{rollout::Verb, time::Timestamp};

use super::{
    asked,
    negotiate::Generation,
    wire::{ErrorBody, When},
};
use crate::{
    api::problem::{Rendered, Unrendered},
    error::{Code, Error},
};

/// What went wrong, as the original's classes divide it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A release or a version of it is not there.
    ReleaseNotFound,
    /// An upgrade that would change nothing.
    Upgrade,
    /// A package that is in use.
    PackageDelete,
    /// What an application answered that was called in place of somebody.
    Upstream,
    /// Anything else that does not fit the present state.
    Skipper,
    /// Something else that is named is not there; the original says [`Kind::Skipper`].
    Missing,
    /// A package that cannot be rendered with its values.
    Render,
    /// What was rendered is no YAML, or not of the shape of a manifest.
    Manifest,
    /// What was rendered says something wrong.
    Said,
    /// An argument that is wrong by itself.
    Argument,
    /// A body that cannot be read.
    Unreadable,
    /// A path with a word where a number belongs.
    Mismatch,
    /// A query without what it must have.
    Parameter,
    /// Whatever the error itself says.
    Other,
}

/// An error on its way to the client.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    kind: Kind,
    message: String,
    release: Option<String>,
    version: Option<i64>,
    /// What the verb said, for the log and for its status.
    cause: Option<Arc<Error>>,
}

impl Failure {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), release: None, version: None, cause: None }
    }

    pub(super) fn argument(message: impl Into<String>) -> Self {
        Self::new(Kind::Argument, message)
    }

    pub(super) fn skipper(message: impl Into<String>) -> Self {
        Self::new(Kind::Skipper, message)
    }

    /// An application that was called answered that it cannot.
    pub(super) fn upstream(message: impl Into<String>) -> Self {
        Self::new(Kind::Upstream, message)
    }

    /// A query lacks something.
    pub(super) fn missing_parameter(name: &str, kind: &str) -> Self {
        Self::new(
            Kind::Parameter,
            format!("Required request parameter '{name}' for method parameter type {kind} is not present"),
        )
    }

    /// There is no such release, or no such version of it.
    pub(super) fn not_found(release: &str, version: Option<i64>) -> Self {
        let message = match version {
            None => format!("Release with the name [{release}] doesn't exist"),
            Some(version) => format!("Release with the name [{release}] and version [{version}] doesn't exist"),
        };
        Self { release: Some(release.to_owned()), version, ..Self::new(Kind::ReleaseNotFound, message) }
    }

    /// A verb of a release was refused.
    pub(super) fn of_verb(error: Error, verb: Verb, release: &str, version: Option<u64>) -> Self {
        let told = match error.code() {
            Code::ReleaseNotFound | Code::NotServing => Self::not_found(release, None),
            Code::RevisionNotFound => Self::not_found(release, version.and_then(|version| i64::try_from(version).ok())),
            Code::ReleaseExists | Code::NameTaken => exists(release),
            Code::ReleaseBusy if verb == Verb::Install => exists(release),
            Code::ReleaseBusy => {
                let verb = verb.as_str().to_uppercase();
                Self::skipper(format!("Statemachine is not in state ready to do {verb}"))
            }
            Code::NoDifference => Self::new(
                Kind::Upgrade,
                "Package to upgrade has no difference than existing deployed/deleted package. Not upgrading.",
            ),
            _ => return error.into(),
        };
        Self { cause: Some(Arc::new(error)), ..told }
    }

    /// The same with what the verb said, for the log.
    pub(super) fn because(mut self, error: Error) -> Self {
        self.cause = Some(Arc::new(error));
        self
    }

    fn status(&self, generation: Generation, path: &str) -> StatusCode {
        let only_2 = generation == Generation::V2 && asked::is_of_2_alone(path);
        match self.kind {
            Kind::ReleaseNotFound => StatusCode::NOT_FOUND,
            Kind::Upgrade | Kind::PackageDelete | Kind::Skipper => StatusCode::CONFLICT,
            Kind::Upstream => StatusCode::INTERNAL_SERVER_ERROR,
            Kind::Missing | Kind::Render | Kind::Manifest | Kind::Said if only_2 => StatusCode::CONFLICT,
            Kind::Render | Kind::Manifest | Kind::Said => StatusCode::BAD_REQUEST,
            Kind::Missing => StatusCode::NOT_FOUND,
            Kind::Argument if only_2 => StatusCode::INTERNAL_SERVER_ERROR,
            Kind::Argument | Kind::Unreadable | Kind::Mismatch | Kind::Parameter => StatusCode::BAD_REQUEST,
            Kind::Other if self.cause.as_ref().is_some_and(|cause| cause.code() == Code::IdempotencyMismatch) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Kind::Other => {
                let code = self.cause.as_ref().map_or(500, |cause| cause.code().status());
                // A package or a spec that is understood and refused.
                let code = if code == 422 { 409 } else { code };
                StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    fn exception(&self, generation: Generation) -> Option<&'static str> {
        match self.kind {
            Kind::ReleaseNotFound => Some("org.springframework.cloud.skipper.ReleaseNotFoundException"),
            Kind::Upgrade if generation == Generation::V2 => {
                Some("org.springframework.cloud.skipper.ReleaseUpgradeException")
            }
            Kind::PackageDelete => Some("org.springframework.cloud.skipper.PackageDeleteException"),
            Kind::Upstream => Some("org.springframework.web.client.RestClientResponseException"),
            Kind::Render if generation == Generation::M1 => Some("com.samskivert.mustache.MustacheException$Context"),
            Kind::Said if generation == Generation::M1 => Some("java.lang.IllegalArgumentException"),
            Kind::Skipper | Kind::Render | Kind::Manifest | Kind::Said | Kind::Missing | Kind::Upgrade => Some(SKIPPER),
            Kind::Argument => Some("java.lang.IllegalArgumentException"),
            Kind::Unreadable => Some("org.springframework.http.converter.HttpMessageNotReadableException"),
            Kind::Mismatch => Some("org.springframework.web.method.annotation.MethodArgumentTypeMismatchException"),
            Kind::Parameter => Some("org.springframework.web.bind.MissingServletRequestParameterException"),
            Kind::Other => self.cause.as_ref().and_then(|cause| class(cause.code())),
        }
    }
}

const SKIPPER: &str = "org.springframework.cloud.skipper.SkipperException";

fn exists(release: &str) -> Failure {
    Failure::skipper(format!("Release with the name [{release}] already exists and it is not deleted."))
}

/// What the original's servers and libraries would have thrown. Those that guard the door throw nothing that is told.
const fn class(code: Code) -> Option<&'static str> {
    match code {
        Code::NotFound | Code::Unauthenticated | Code::Forbidden | Code::TenantNotFound => None,
        Code::MethodNotAllowed => Some("org.springframework.web.HttpRequestMethodNotSupportedException"),
        Code::UnsupportedMediaType => Some("org.springframework.web.HttpMediaTypeNotSupportedException"),
        Code::BodyTooLarge => Some("org.springframework.web.multipart.MaxUploadSizeExceededException"),
        Code::BadRequest | Code::RequestTimeout => {
            Some("org.springframework.http.converter.HttpMessageNotReadableException")
        }
        Code::NameInUse => Some("org.springframework.dao.DataIntegrityViolationException"),
        Code::Timeout => Some("org.springframework.web.context.request.async.AsyncRequestTimeoutException"),
        Code::Internal | Code::StoreUnavailable | Code::StorageFull => Some("java.lang.IllegalStateException"),
        _ => Some(SKIPPER),
    }
}

/// Whether a fault is one of a manifest, which is the text that templates gave.
fn is_of_manifest(fault: &str) -> bool {
    fault.starts_with("manifest:")
}

/// Whether it is one that the original's reader of YAML would have: it names a line, or another shape than is read.
fn is_unreadable(fault: &str) -> bool {
    let line = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    fault.strip_prefix("manifest:").is_some_and(line)
        || (is_of_manifest(fault)
            && ["and a text is expected", "and a map is expected"].iter().any(|it| fault.contains(it)))
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let kind = match error.code() {
            Code::Invalid => Kind::Argument,
            Code::RenderFailed if error.all_faults().iter().any(|fault| is_unreadable(fault)) => {
                let message =
                    format!("JsonMappingException - Can't parse Package's manifest YAML = {}", error.detail());
                return Self { cause: Some(Arc::new(error)), ..Self::new(Kind::Manifest, message) };
            }
            Code::RenderFailed if error.all_faults().iter().any(|fault| is_of_manifest(fault)) => Kind::Said,
            Code::RenderFailed => Kind::Render,
            Code::PackageNotFound | Code::PlatformNotFound | Code::RepositoryNotFound => Kind::Missing,
            _ => Kind::Other,
        };
        Self { cause: Some(Arc::new(error)), ..Self::new(kind, "") }.with_detail()
    }
}

impl Failure {
    /// Without a sentence of its own it says what the verb says, and what there is to do.
    fn with_detail(mut self) -> Self {
        if let Some(cause) = &self.cause {
            self.message = cause.detail().to_owned();
        }
        self
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response.extensions_mut().insert(self);
        response
    }
}

/// The verb's error in a response that is not rendered yet, for the log.
pub(in crate::api) fn cause(response: &Response) -> Option<Arc<Error>> {
    response.extensions().get::<Failure>()?.cause.clone()
}

/// What of a request its error depends on.
#[derive(Debug)]
pub(in crate::api) struct Of {
    generation: Generation,
    path: String,
    method: Method,
    content_type: Option<String>,
}

impl Of {
    /// `None` for requests of other doors.
    pub(in crate::api) fn request(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let path = uri.path();
        if path != "/api" && !path.starts_with("/api/") {
            return None;
        }
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let generation = asked::generation(uri, headers);
        Some(Self { generation, path: path.chars().take(500).collect(), method: method.clone(), content_type })
    }

    /// Renders a response's error, if it has one; also one of the router's.
    pub(in crate::api) fn render(&self, response: Response, now: Timestamp) -> Response {
        let (mut parts, body) = response.into_parts();
        let failure = match (parts.extensions.remove::<Failure>(), parts.extensions.remove::<Unrendered>()) {
            (Some(failure), _) => failure,
            (None, Some(Unrendered(error))) => self.of_error(error),
            (None, None) => {
                let failed = parts.status.is_client_error() || parts.status.is_server_error();
                if !failed || parts.extensions.get::<Rendered>().is_some() {
                    return Response::from_parts(parts, body);
                }
                Failure::new(Kind::Other, parts.status.canonical_reason().unwrap_or_default())
            }
        };
        let known = failure.cause.is_some() || failure.kind != Kind::Other;
        let status = if known { failure.status(self.generation, &self.path) } else { parts.status };
        let document = ErrorBody {
            timestamp: When::of(self.generation, now),
            status: status.as_u16(),
            error: status.canonical_reason().unwrap_or("Error"),
            exception: failure.exception(self.generation),
            message: failure.message,
            path: self.path.clone(),
            release_name: failure.release,
            version: failure.version,
        };
        parts.status = status;
        let kind = if self.generation == Generation::M1 { asked::JSON_UTF8 } else { asked::JSON };
        parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        parts.headers.remove(header::CONTENT_LENGTH);
        if status == StatusCode::UNAUTHORIZED {
            // Spring's clients know Basic alone.
            let basic = HeaderValue::from_static("Basic realm=\"skipper\", charset=\"UTF-8\"");
            parts.headers.insert(header::WWW_AUTHENTICATE, basic);
            parts.headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"skipper\""));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            parts.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        let text = serde_json::to_vec(&document).expect("text and numbers are always representable as JSON");
        Response::from_parts(parts, Body::from(text))
    }

    /// An error of the guard, of the router, or of a handler that does not know this door.
    fn of_error(&self, error: Arc<Error>) -> Failure {
        let message = match error.code() {
            Code::NotFound => "No message available".to_owned(),
            Code::MethodNotAllowed => format!("Request method '{}' not supported", self.method),
            Code::UnsupportedMediaType => {
                let mut given: String = self.content_type.iter().flat_map(|text| text.chars()).take(200).collect();
                // Its server reads forms in that.
                if given.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
                    given.push_str(";charset=UTF-8");
                }
                format!("Content type '{given}' not supported")
            }
            _ => error.detail().to_owned(),
        };
        let kind = if error.code() == Code::Invalid { Kind::Argument } else { Kind::Other };
        Failure { message, cause: Some(error), ..Failure::new(kind, "") }
    }
}
