use axum::{
    body::Bytes,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    page, view,
    wire::{PackageDetail, PackagePage, PackageView},
};
use crate::{
    api::{
        etag,
        extract::{Path, Query, TenantQuery, content_type},
    },
    app::App,
    error::{Code, Error},
    verb::{
        self, Caller,
        packages::{Chosen, Cursor, Entry, Search, Wanted},
    },
};

/// Which packages.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchQuery {
    /// Not used here: packages belong to the installation.
    #[expect(dead_code, reason = "accepted everywhere, so that clients can always send it")]
    tenant: Option<String>,
    /// Only those whose name, description, maintainer or tags hold this text. A word `tag:NAME` in it is a tag.
    q: Option<String>,
    /// Only those whose name holds this text.
    name: Option<String>,
    /// Only those with this tag.
    tag: Option<String>,
    /// Only those of this repository.
    repository: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most this many, up to 500; 50 when absent.
    limit: Option<u32>,
}

/// Finds packages in all repositories.
#[utoipa::path(get, path = "/v1/packages", tag = "packages", params(SearchQuery), responses((status = 200, body = PackagePage)))]
pub(super) async fn search(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<SearchQuery>,
) -> Result<axum::Json<PackagePage>, Error> {
    let limit = page::limit(query.limit)?;
    let after = query.after.as_deref().map(cursor).transpose()?;
    let SearchQuery { q, name, tag, repository, .. } = query;
    let wanted = Search { q, name, tag, repository };
    let found = verb::packages::search(&app, &caller, &wanted, after.as_ref(), limit + 1).await?;
    let (found, more) = page::split(found, limit);
    let next = found.last().filter(|_| more).map(|last: &Entry| format!("{}:{}", last.name, last.num));
    Ok(axum::Json(PackagePage { items: found.iter().map(view::package).collect(), next }))
}

/// `name:number`; names hold no colon.
fn cursor(text: &str) -> Result<Cursor, Error> {
    let parsed =
        text.split_once(':').and_then(|(name, num)| Some(Cursor { name: name.to_owned(), num: num.parse().ok()? }));
    parsed.ok_or_else(|| Error::new(Code::Invalid, "`after` is not a cursor of an earlier page"))
}

/// Where to.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct UploadQuery {
    /// Not used here: packages belong to the installation.
    #[expect(dead_code, reason = "accepted everywhere, so that clients can always send it")]
    tenant: Option<String>,
    /// The repository; `local` when absent.
    repository: Option<String>,
}

/// Publishes the zip of a package. The same version with the same contents again is fine.
#[utoipa::path(post, path = "/v1/packages", tag = "packages", params(UploadQuery), request_body(content = Vec<u8>, content_type = "application/zip"), responses((status = 201, body = PackageView)))]
pub(super) async fn upload(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<UploadQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Error> {
    let kind = content_type(&headers).unwrap_or_default();
    if !matches!(kind.as_str(), "application/zip" | "application/octet-stream" | "application/x-zip-compressed") {
        return Err(Error::new(Code::UnsupportedMediaType, "this path reads the zip of a package")
            .hint("send `Content-Type: application/zip`"));
    }
    let repository = query.repository.unwrap_or_else(|| "local".to_owned());
    let entry = verb::packages::upload(&app, &caller, &repository, body.to_vec()).await?;
    let location = format!("/v1/packages/{}/{}/{}", entry.repository, entry.name, entry.version);
    let mut response = (StatusCode::CREATED, axum::Json(view::package(&entry))).into_response();
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

fn wanted((repository, name, version): (String, String, String)) -> Wanted {
    Wanted::stored(Some(repository), name, Some(version))
}

/// Shows a package and what is inside.
#[utoipa::path(get, path = "/v1/packages/{repository}/{name}/{version}", tag = "packages", params(("repository" = String, Path, description = "Its repository"), ("name" = String, Path, description = "Its name"), ("version" = String, Path, description = "Its version"), TenantQuery), responses((status = 200, body = PackageDetail), (status = 304, description = "The caller has this version")))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<(String, String, String)>,
    _query: Query<TenantQuery>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let detail = verb::packages::get(&app, &caller, &wanted(path)).await?;
    let users = skipper_core::Sha256::of(detail.used_by.join(",").as_bytes()).short();
    let version = format!(
        "{}-{}-{users}",
        detail.entry.row_version,
        detail.entry.sha256.map_or_else(String::new, |digest| digest.short())
    );
    Ok(etag::answer(&headers, &version, view::detail(detail)))
}

/// Sends the zip of a package.
#[utoipa::path(get, path = "/v1/packages/{repository}/{name}/{version}/archive", tag = "packages", params(("repository" = String, Path, description = "Its repository"), ("name" = String, Path, description = "Its name"), ("version" = String, Path, description = "Its version"), TenantQuery), responses((status = 200, content_type = "application/zip", body = Vec<u8>)))]
pub(super) async fn archive(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<(String, String, String)>,
    _query: Query<TenantQuery>,
) -> Result<Response, Error> {
    let chosen = verb::packages::archive(&app, &caller, &wanted(path)).await?;
    Ok(zip(&chosen))
}

/// The zip itself.
pub(super) fn zip(chosen: &Chosen) -> Response {
    let name = format!("attachment; filename=\"{}-{}.zip\"", chosen.entry.name, chosen.entry.version);
    let headers = [
        (header::CONTENT_TYPE, "application/zip".to_owned()),
        (header::CONTENT_DISPOSITION, name),
        (header::ETAG, format!("\"{}\"", chosen.sha256)),
    ];
    (headers, Bytes::from(chosen.bytes.as_ref().clone())).into_response()
}

/// Removes a package that no release uses.
#[utoipa::path(delete, path = "/v1/packages/{repository}/{name}/{version}", tag = "packages", params(("repository" = String, Path, description = "Its repository"), ("name" = String, Path, description = "Its name"), ("version" = String, Path, description = "Its version"), TenantQuery), responses((status = 204, description = "It is gone")))]
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path((repository, name, version)): Path<(String, String, String)>,
    _query: Query<TenantQuery>,
) -> Result<StatusCode, Error> {
    verb::packages::remove(&app, &caller, &repository, &name, &version).await?;
    Ok(StatusCode::NO_CONTENT)
}
