//! The configured apps.

use axum::{Json, extract::State, response::Response};
use http::HeaderMap;
use serde_json::{Value, json};
use skipper_core::{
    name::ReleaseName,
    policy::Action,
    release::{Release, RevisionState},
};

use super::{
    allowed, read, receive,
    wire::{AppList, AppRollback},
};
use crate::{
    api::{
        extract::{Json as Body, Path, Query, TenantQuery},
        idempotency,
        own::{self, LogsQuery, wire::LogLine},
    },
    app::App,
    apps::Apps,
    error::{Code, Error, package_faults},
    verb::{Caller, deploy, intent, rollback::Rollback},
};

/// How far back a tag is looked for.
const LOOK_BACK: u32 = 1000;

/// Lists the apps in the words of their files, without keys of webhooks.
#[utoipa::path(get, path = "/v1/apps", tag = "deploys", params(TenantQuery), responses((status = 200, body = AppList)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<TenantQuery>,
) -> Result<Json<AppList>, Error> {
    let (_, apps) = allowed(&app, &caller, Action::Read, query.tenant.as_ref())?;
    let apps = apps.map(|apps| apps.names().map(|name| shown(&apps, name)).collect());
    Ok(Json(AppList { apps: apps.unwrap_or_default() }))
}

/// A file that cannot be read is shown by its name and its faults.
pub(super) fn shown(apps: &Apps, name: &str) -> Value {
    let faults = match apps.get(name) {
        Some(Err(faults)) => faults.findings().iter().map(ToString::to_string).collect(),
        Some(Ok(_)) | None => Vec::new(),
    };
    let text = apps.text(name).and_then(|text| skipper_source::app::show(name, text).ok());
    let mut value = text.unwrap_or_else(|| json!({"name": name}));
    if let Some(object) = value.as_object_mut().filter(|_| !faults.is_empty()) {
        object.insert("faults".to_owned(), faults.into());
    }
    value
}

/// Shows an app in the words of its file, without keys of webhooks.
#[utoipa::path(get, path = "/v1/apps/{name}", tag = "deploys", params(("name" = String, Path, description = "The app"), TenantQuery), responses((status = 200, body = Object)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<TenantQuery>,
) -> Result<Json<Value>, Error> {
    let (_, apps) = allowed(&app, &caller, Action::Read, query.tenant.as_ref())?;
    let apps = apps.filter(|apps| apps.get(&name).is_some());
    apps.map(|apps| Json(shown(&apps, &name))).ok_or_else(|| deploy::unknown(&name))
}

/// Sends the output of an app, one JSON document a line, as that of its release.
#[utoipa::path(get, path = "/v1/apps/{name}/logs", tag = "deploys", params(("name" = String, Path, description = "The app"), LogsQuery), responses((status = 200, content_type = "application/x-ndjson", body = LogLine)))]
pub(super) async fn logs(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<LogsQuery>,
) -> Result<Response, Error> {
    let (tenant, apps) = allowed(&app, &caller, Action::Read, query.tenant.as_ref())?;
    let known = apps.is_some_and(|apps| apps.get(&name).is_some());
    let release = ReleaseName::new(name.clone()).ok().filter(|_| known).ok_or_else(|| deploy::unknown(&name))?;
    if app.store.release_get(&tenant, &release).await?.is_none() {
        return Err(Error::new(Code::NotServing, format!("app `{name}` was never deployed, so it said nothing yet")));
    }
    own::log_lines(&app, &caller, &tenant, &release, query).await
}

/// Goes back to what served before, or to the newest revision of a tag that served: manifest and spec as they are stored.
#[utoipa::path(post, path = "/v1/apps/{name}/rollback", tag = "deploys", params(("name" = String, Path, description = "The app"), TenantQuery), request_body = AppRollback, responses((status = 202, body = super::wire::DeployAccepted)))]
pub(super) async fn rollback(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<TenantQuery>,
    headers: HeaderMap,
    Body(body): Body<AppRollback>,
) -> Result<Response, Error> {
    let (tenant, apps) = allowed(&app, &caller, Action::Deploy, query.tenant.as_ref())?;
    let release = ReleaseName::new(name.clone()).map_err(|_| deploy::unknown(&name))?;
    let known = app.store.release_get(&tenant, &release).await?;
    let Some(known) = known.filter(|release| release.door == skipper_core::release::Door::Deploys) else {
        return match apps.as_ref().and_then(|apps| apps.get(&name)) {
            None => Err(deploy::unknown(&name)),
            Some(Err(faults)) => Err(package_faults(Code::Conflict, &format!("app `{name}` is disabled"), faults)),
            Some(Ok(_)) => Err(no_previous()),
        };
    };
    let to = match &body.to {
        None => None,
        Some(tag) => Some(served_with(&app, &known, tag).await?),
    };
    let prepared = crate::verb::rollback::prepare(&app, &caller, Rollback::of(tenant, release, to)).await;
    let prepared = prepared.map_err(|error| match error.code() {
        Code::RevisionNotFound | Code::NotServing => no_previous(),
        _ => error,
    })?;
    let accepted = intent::accept(&app, &caller, prepared, deploy::options()).await?;
    idempotency::respond(receive::Desk::of(app, &headers, None).await.answer(&accepted))
}

fn no_previous() -> Error {
    Error::new(Code::Conflict, "no previous tag to roll back to")
}

/// The newest revision of the tag that served.
async fn served_with(app: &App, release: &Release, tag: &str) -> Result<u64, Error> {
    let past = app.store.revision_list(release.id, None, LOOK_BACK).await?;
    let served = [RevisionState::Live, RevisionState::Superseded, RevisionState::Deleted];
    let is_it = |source| read::tag_of_source(source).as_deref() == Some(tag);
    let found = past.iter().find(|revision| served.contains(&revision.state) && is_it(&revision.source));
    found.map(|revision| revision.number).ok_or_else(|| {
        let tag: String = tag.chars().take(128).collect();
        Error::new(Code::Conflict, format!("`{tag}` of `{}` never served", release.name))
    })
}
