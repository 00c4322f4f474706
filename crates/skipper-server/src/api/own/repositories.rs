use std::collections::HashMap;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{
    packages, view,
    wire::{AddRepository, RefreshReport, RepositoryList, RepositoryView},
};
use crate::{
    api::extract::{Json, Path, Query, TenantQuery},
    app::App,
    error::Error,
    verb::{
        self, Caller,
        repositories::{Index, Said},
    },
};

/// Lists the repositories, in the order they are asked.
#[utoipa::path(get, path = "/v1/repositories", tag = "packages", params(TenantQuery), responses((status = 200, body = RepositoryList)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    _query: Query<TenantQuery>,
) -> Result<axum::Json<RepositoryList>, Error> {
    let all = verb::repositories::list(&app, &caller).await?;
    let sizes: HashMap<_, _> = verb::repositories::sizes(&app, &caller).await?.into_iter().collect();
    let items = all.iter().map(|listed| view::repository(listed, sizes.get(&listed.name).copied().unwrap_or_default()));
    Ok(axum::Json(RepositoryList { items: items.collect() }))
}

/// Adds a repository. The index of a remote one is read soon after.
#[utoipa::path(post, path = "/v1/repositories", tag = "packages", params(TenantQuery), request_body = AddRepository, responses((status = 201, body = RepositoryView)))]
pub(super) async fn add(
    State(app): State<App>,
    caller: Caller,
    _query: Query<TenantQuery>,
    Json(body): Json<AddRepository>,
) -> Result<Response, Error> {
    let AddRepository { name, url, source_url, description, local, order } = body;
    let said = Said { name, url, source_url, description, local, order: Some(order) };
    let added = verb::repositories::add(&app, &caller, said).await?;
    let mut response = (StatusCode::CREATED, axum::Json(view::repository(&added, 0))).into_response();
    if let Ok(location) = HeaderValue::try_from(format!("/v1/repositories/{}", added.name)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Shows a repository.
#[utoipa::path(get, path = "/v1/repositories/{name}", tag = "packages", params(("name" = String, Path, description = "Its name"), TenantQuery), responses((status = 200, body = RepositoryView)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    _query: Query<TenantQuery>,
) -> Result<axum::Json<RepositoryView>, Error> {
    let listed = verb::repositories::get(&app, &caller, &name).await?;
    let sizes = verb::repositories::sizes(&app, &caller).await?;
    let packages = sizes.into_iter().find(|(known, _)| *known == listed.name).map_or(0, |(_, packages)| packages);
    Ok(axum::Json(view::repository(&listed, packages)))
}

/// Removes a repository with its packages, unless a release is made of one of them.
#[utoipa::path(delete, path = "/v1/repositories/{name}", tag = "packages", params(("name" = String, Path, description = "Its name"), TenantQuery), responses((status = 204, description = "It is gone")))]
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    _query: Query<TenantQuery>,
) -> Result<StatusCode, Error> {
    verb::repositories::remove(&app, &caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads the index of a remote repository now.
#[utoipa::path(post, path = "/v1/repositories/{name}/refresh", tag = "packages", params(("name" = String, Path, description = "Its name"), TenantQuery), responses((status = 200, body = RefreshReport)))]
pub(super) async fn refresh(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    _query: Query<TenantQuery>,
) -> Result<axum::Json<RefreshReport>, Error> {
    Ok(axum::Json(view::report(verb::repositories::refresh(&app, &caller, &name).await?)))
}

/// Sends the index of a repository that this server keeps: with its packages beside it, at `{package}/{package}-{version}.zip`, it
/// is a repository for others.
#[utoipa::path(get, path = "/v1/repositories/{name}/index.yml", tag = "packages", params(("name" = String, Path, description = "Its name"), TenantQuery), responses((status = 200, content_type = "application/yaml", body = String), (status = 304, description = "The caller has this version")))]
pub(super) async fn index(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    _query: Query<TenantQuery>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let given = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let given: Vec<&str> = given.flat_map(|list| list.split(',')).map(str::trim).collect();
    let known = |state: &str| given.iter().any(|tag| *tag == "*" || tag.trim_start_matches("W/") == quoted(state));
    let index = verb::repositories::index(&app, &caller, &name, known).await?;
    Ok(match index {
        Index::Same(state) => (StatusCode::NOT_MODIFIED, [(header::ETAG, quoted(&state))]).into_response(),
        Index::Text(text, state) => {
            let headers =
                [(header::CONTENT_TYPE, "application/yaml; charset=utf-8".to_owned()), (header::ETAG, quoted(&state))];
            (headers, text).into_response()
        }
    })
}

fn quoted(state: &str) -> String {
    format!("\"{state}\"")
}

/// Sends a package of a repository that this server keeps; the file is called `{package}-{version}.zip`.
#[utoipa::path(get, path = "/v1/repositories/{name}/{package}/{file}", tag = "packages", params(("name" = String, Path, description = "Its name"), ("package" = String, Path, description = "The package's name"), ("file" = String, Path, description = "The package's name and version, and `.zip`"), TenantQuery), responses((status = 200, content_type = "application/zip", body = Vec<u8>)))]
pub(super) async fn zip(
    State(app): State<App>,
    caller: Caller,
    Path((name, package, file)): Path<(String, String, String)>,
    _query: Query<TenantQuery>,
) -> Result<Response, Error> {
    Ok(packages::zip(&verb::repositories::zip(&app, &caller, &name, &package, &file).await?))
}
