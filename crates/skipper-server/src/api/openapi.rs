//! The OpenAPI document, made of the table: what a handler cannot get wrong (errors, security, ids) is added here.

use std::sync::OnceLock;

use axum::{body::Bytes, response::IntoResponse};
use http::header;
use utoipa::{
    PartialSchema as _, ToSchema as _,
    openapi::{
        Components, ComponentsBuilder, Content, ContentBuilder, Header, HeaderBuilder, InfoBuilder, LicenseBuilder,
        OpenApi, OpenApiBuilder, Ref, RefOr, Required, ResponseBuilder, Schema, SecurityRequirement,
        path::{Operation, PathItem, Paths},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{
    own::wire::Problem,
    table::{self, Access, BodyKind, Meta},
};
use crate::error::Code;

const SCHEME: &str = "token";

/// The document.
#[must_use]
pub fn document() -> OpenApi {
    let mut components = ComponentsBuilder::new()
        .security_scheme(
            SCHEME,
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .description(Some(
                        "A token of `skipper token create`. Without any token configured, requests from this machine itself need none.",
                    ))
                    .build(),
            ),
        )
        .schema(Problem::name(), Problem::schema());
    let mut paths = Paths::new();
    for row in table::rows() {
        let (schemas, documented) = (row.meta.doc)();
        components = schemas.into_iter().fold(components, |all, (name, schema)| all.schema(name, schema));
        for (path, mut item) in documented.paths {
            for operation in operations(&mut item) {
                complete(operation, &row.meta);
            }
            match paths.paths.get_mut(&path) {
                Some(known) => known.merge_operations(item),
                None => {
                    paths.paths.insert(path, item);
                }
            }
        }
    }
    let components = components.build();
    for operation in paths.paths.values_mut().flat_map(operations) {
        if let Some(RefOr::T(body)) = &mut operation.request_body
            && body.content.values().all(|content| may_be_left_away(content, &components))
        {
            body.required = Some(Required::False);
        }
    }
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Skipper")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some("Releases, rollouts, packages and everything around them. Errors are problem details with a stable `code`; calls that change something take an `Idempotency-Key`, as each of them says."))
                .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
                .build(),
        )
        .components(Some(components))
        .paths(paths)
        .build()
}

/// Whether nothing at all is understood as well: it is read as `{}`.
fn may_be_left_away(content: &RefOr<Content>, components: &Components) -> bool {
    let RefOr::T(Content { schema: Some(RefOr::Ref(reference)), .. }) = content else { return false };
    let name = reference.ref_location.rsplit('/').next().unwrap_or_default();
    match components.schemas.get(name) {
        Some(RefOr::T(Schema::Object(object))) => object.required.is_empty(),
        _ => false,
    }
}

fn operations(item: &mut PathItem) -> Vec<&mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch, &mut item.head]
        .into_iter()
        .filter_map(Option::as_mut)
        .collect()
}

/// Adds what holds for every route of its kind.
fn complete(operation: &mut Operation, meta: &Meta) {
    operation.operation_id = Some(operation_id(meta));
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        if response.description.is_empty() {
            response.description = reason(status).to_owned();
        }
        if status == "202" || status == "201" {
            let text = "Path of what was made: for 202 that of the rollout.";
            response.headers.insert("Location".to_owned(), header_of(text));
        }
        response.headers.insert("x-request-id".to_owned(), header_of("Names the request in logs and events."));
    }
    if operation.responses.responses.contains_key("304") {
        operation.parameters.get_or_insert_default().push(if_none_match().into());
    }
    let mut codes = vec![Code::BadRequest, Code::Internal, Code::StoreUnavailable];
    if meta.access == Access::Signed {
        // The signature is in the body's own headers; a bearer is one way of several.
        let bearer = SecurityRequirement::new::<_, [&str; 0], &str>(SCHEME, []);
        operation.security = Some(vec![SecurityRequirement::default(), bearer]);
        codes.extend([Code::Unauthenticated, Code::NotFound, Code::Invalid, Code::Timeout]);
    } else if meta.access != Access::Public {
        operation.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(SCHEME, [])]);
        codes.extend([Code::Unauthenticated, Code::Forbidden, Code::NotFound, Code::Invalid, Code::Timeout]);
    }
    if meta.body != BodyKind::Nothing {
        codes.extend([Code::BodyTooLarge, Code::UnsupportedMediaType, Code::RequestTimeout]);
    }
    if meta.mutates() {
        codes.extend([Code::Conflict, Code::StorageFull]);
    }
    if matches!(meta.access, Access::Tenant(_) | Access::TenantOrTicket(_) | Access::SignedOr(_)) {
        // What a platform or the edge says is passed on.
        codes.push(Code::EdgeFailed);
    }
    if meta.takes_key() {
        operation.parameters.get_or_insert_default().push(idempotency_key().into());
    }
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
    for code in codes {
        let response = ResponseBuilder::new()
            .description(format!("{}; see `code`", code.title()))
            .content("application/problem+json", problem.clone())
            .build();
        operation.responses.responses.entry(code.status().to_string()).or_insert_with(|| response.into());
    }
}

/// `POST /v1/releases/{name}/upgrade` is `post_releases_name_upgrade`: unique, as generators of clients need it.
fn operation_id(meta: &Meta) -> String {
    let path = meta.path.trim_start_matches("/v1").trim_matches('/');
    let words = path.split(['/', '{', '}', '.']).filter(|word| !word.is_empty());
    let words = std::iter::once(meta.method.as_str()).chain(words).map(|word| word.to_lowercase().replace('-', "_"));
    words.collect::<Vec<_>>().join("_")
}

/// What a successful status means where the route has nothing special to say.
fn reason(status: &str) -> &'static str {
    match status {
        "201" => "It was made",
        "202" => "It is stored and will be carried out",
        "204" => "It is done",
        _ => "The answer",
    }
}

fn header_of(description: &str) -> RefOr<Header> {
    HeaderBuilder::new().schema(Some(String::schema())).description(Some(description)).build().into()
}

fn if_none_match() -> utoipa::openapi::path::Parameter {
    utoipa::openapi::path::ParameterBuilder::new()
        .name("If-None-Match")
        .parameter_in(utoipa::openapi::path::ParameterIn::Header)
        .required(Required::False)
        .description(Some("The ETag of an earlier answer; 304 when it still holds."))
        .schema(Some(String::schema()))
        .build()
}

fn idempotency_key() -> utoipa::openapi::path::Parameter {
    utoipa::openapi::path::ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(utoipa::openapi::path::ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "The same key with the same request gives the first answer again. `x-idempotency-key` is read as well.",
        ))
        .schema(Some(String::schema()))
        .build()
}

/// `GET /openapi.json`.
#[utoipa::path(get, path = "/openapi.json", tag = "server", responses((status = 200, description = "This document", content_type = "application/json", body = Object)))]
pub(crate) async fn serve() -> impl IntoResponse {
    // Made when first asked for, so that a start does not wait for it.
    static TEXT: OnceLock<Bytes> = OnceLock::new();
    let text = TEXT.get_or_init(|| {
        Bytes::from(serde_json::to_vec(&document()).expect("the document is always representable as JSON"))
    });
    ([(header::CONTENT_TYPE, "application/json")], text.clone())
}
