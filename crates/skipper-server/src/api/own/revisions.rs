use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, header};
use serde::Deserialize;
use skipper_core::name::{ReleaseName, TenantName};
use utoipa::IntoParams;

use super::{
    page, view,
    wire::{DiffView, HistoryPage, RevisionDetail},
};
use crate::{
    api::{
        etag,
        extract::{Path, Query, TenantQuery, name_of, tenant},
    },
    app::App,
    error::{Code, Error},
    verb::{self, Caller},
};

/// Which part of the history.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryQuery {
    /// Whose release.
    tenant: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most this many, up to 500; 50 when absent.
    limit: Option<u32>,
}

/// Lists what was asked of a release, newest first: who, what triggered it, when, how long it took, how it ended.
#[utoipa::path(get, path = "/v1/releases/{name}/history", tag = "releases", params(("name" = String, Path, description = "The release"), HistoryQuery), responses((status = 200, body = HistoryPage)))]
pub(super) async fn history(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Result<axum::Json<HistoryPage>, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let name = name_of(ReleaseName::new(name))?;
    let limit = page::limit(query.limit)?;
    let before = page::cursor(query.after.as_ref())?;
    let found = verb::history::history(&app, &caller, &tenant, &name, limit + 1, before).await?;
    let (found, more) = page::split(found, limit);
    let next = found.last().filter(|_| more).map(|last| last.cursor.to_string());
    Ok(axum::Json(HistoryPage { items: found.iter().map(view::history).collect(), next }))
}

/// `3`, or `v3`: the revision in which the third version was made, as Spring's API counts them.
async fn number(
    app: &App,
    caller: &Caller,
    (tenant, name): (&TenantName, &ReleaseName),
    text: &str,
) -> Result<u64, Error> {
    let wrong = |_| {
        let text: String = text.chars().take(40).collect();
        Error::new(Code::BadRequest, format!("`{}` is no number of a revision", text.escape_debug()))
            .hint("write 3, or v3 for the third version as `/api` counts them")
    };
    match text.strip_prefix('v') {
        Some(version) => verb::versions::revision(app, caller, tenant, name, version.parse().map_err(wrong)?).await,
        None => text.parse().map_err(wrong),
    }
}

/// Shows one revision with its spec.
#[utoipa::path(get, path = "/v1/releases/{name}/revisions/{revision}", tag = "releases", params(("name" = String, Path, description = "The release"), ("revision" = String, Path, description = "Its number, or `v` and the number of a version as `/api` counts them"), TenantQuery), responses((status = 200, body = RevisionDetail), (status = 304, description = "The caller has this version")))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((name, revision)): Path<(String, String)>,
    Query(query): Query<TenantQuery>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let name = name_of(ReleaseName::new(name))?;
    let revision = number(&app, &caller, (&tenant, &name), &revision).await?;
    let (release, revision, history) = verb::manifest::revision(&app, &caller, &tenant, &name, revision).await?;
    let spec = revision.spec.as_ref().map(serde_json::to_value).transpose().map_err(Error::internal)?;
    let detail = RevisionDetail {
        resolved: spec.is_some(),
        spec,
        revision: history.as_ref().map_or_else(|| view::revision(&revision), view::history),
        row_version: release.row_version,
    };
    // The rollout moves on without the release.
    let phase = history.as_ref().map_or("", |entry| entry.phase.name());
    Ok(etag::answer(&headers, &format!("{}-{}-{phase}", release.row_version, revision.state.as_str()), detail))
}

/// Shows the manifest of one revision, as it was rolled out.
#[utoipa::path(get, path = "/v1/releases/{name}/revisions/{revision}/manifest", tag = "releases", params(("name" = String, Path, description = "The release"), ("revision" = String, Path, description = "Its number, or `v` and the number of a version as `/api` counts them"), TenantQuery), responses((status = 200, content_type = "application/yaml", body = String)))]
pub(super) async fn manifest(
    State(app): State<App>,
    caller: Caller,
    Path((name, revision)): Path<(String, String)>,
    Query(query): Query<TenantQuery>,
) -> Result<Response, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let name = name_of(ReleaseName::new(name))?;
    let revision = number(&app, &caller, (&tenant, &name), &revision).await?;
    let text = verb::manifest::manifest(&app, &caller, &tenant, &name, revision).await?;
    Ok(([(header::CONTENT_TYPE, "application/yaml; charset=utf-8")], text).into_response())
}

/// Which two revisions.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct DiffQuery {
    /// Whose release.
    tenant: Option<String>,
    /// From this revision; the one that served before `to` when absent.
    from: Option<u64>,
    /// To this one; the one that serves when absent.
    to: Option<u64>,
}

/// Compares the manifests of two revisions.
#[utoipa::path(get, path = "/v1/releases/{name}/diff", tag = "releases", params(("name" = String, Path, description = "The release"), DiffQuery), responses((status = 200, body = DiffView)))]
pub(super) async fn diff(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<DiffQuery>,
) -> Result<axum::Json<DiffView>, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let name = name_of(ReleaseName::new(name))?;
    let difference = verb::diff::diff(&app, &caller, &tenant, &name, query.from, query.to).await?;
    Ok(axum::Json(view::diff(difference)))
}
