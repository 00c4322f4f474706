use axum::{extract::State, response::Response};
use http::HeaderMap;
use serde::Deserialize;
use skipper_core::{Sha256, name::ReleaseName};
use utoipa::IntoParams;

use super::{
    page, view,
    wire::{ReleasePage, ReleaseStatus, WhyView},
};
use crate::{
    api::{
        etag,
        extract::{Path, Query, TenantQuery, name_of, tenant},
    },
    app::App,
    error::{Code, Error},
    verb::{self, Caller, list::Wanted},
};

/// Which releases.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    /// Whose; the token's own tenant, else `default`, when absent.
    tenant: Option<String>,
    /// Only those whose name holds this text.
    q: Option<String>,
    /// Only those of which a document has `KEY=VALUE` in its `metadata`; `name` is the name of an application.
    metadata: Option<String>,
    /// Deleted ones too, as long as their history is kept.
    #[serde(default)]
    deleted: bool,
    /// `next` of the page before.
    after: Option<String>,
    /// At most this many, up to 500; 50 when absent.
    limit: Option<u32>,
}

/// Lists releases by name.
#[utoipa::path(get, path = "/v1/releases", tag = "releases", params(ListQuery), responses((status = 200, body = ReleasePage)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<ReleasePage>, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let limit = page::limit(query.limit)?;
    let after = query.after.map(ReleaseName::new).map(name_of).transpose()?;
    let metadata = query.metadata.as_deref().map(pair).transpose()?;
    let (q, deleted, after) = (query.q.as_deref(), query.deleted, after.as_ref());
    let wanted = Wanted { q, metadata, deleted, after, limit: limit + 1 };
    let found = verb::list::list(&app, &caller, &tenant, wanted).await?;
    let (found, more) = page::split(found, limit);
    let next = found.last().filter(|_| more).map(|last| last.listed.release.name.to_string());
    Ok(axum::Json(ReleasePage { items: found.iter().map(view::listed).collect(), next }))
}

/// A key and its value.
fn pair(text: &str) -> Result<(&str, &str), Error> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    pair.ok_or_else(|| {
        Error::new(Code::Invalid, format!("`metadata` = `{text}` is not KEY=VALUE"))
            .hint("for example metadata=type=demo")
    })
}

/// Shows everything about a release: what is stored, and what its platforms say now.
#[utoipa::path(get, path = "/v1/releases/{name}", tag = "releases", params(("name" = String, Path, description = "The release"), TenantQuery), responses((status = 200, body = ReleaseStatus), (status = 304, description = "The caller has this version")))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<TenantQuery>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let name = name_of(ReleaseName::new(name))?;
    let status = view::status(&verb::status::status(&app, &caller, &tenant, &name).await?);
    // What runs may change without a change of the row.
    let seen = Sha256::of(&serde_json::to_vec(&status).map_err(Error::internal)?).short();
    let version = format!("{}-{seen}", status.row_version);
    Ok(etag::answer(&headers, &version, status))
}

/// Says what a release is waiting for, or what broke it.
#[utoipa::path(get, path = "/v1/releases/{name}/why", tag = "releases", params(("name" = String, Path, description = "The release"), TenantQuery), responses((status = 200, body = WhyView)))]
pub(super) async fn why(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<TenantQuery>,
) -> Result<axum::Json<WhyView>, Error> {
    let tenant = tenant(caller.actor(), query.tenant.as_ref())?;
    let name = name_of(ReleaseName::new(name))?;
    let why = verb::why::why(&app, &caller, &tenant, &name).await?;
    Ok(axum::Json(view::why(&why, app.clock.now())))
}
