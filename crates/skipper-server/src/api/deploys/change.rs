//! Apps that are added, changed and removed.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;
use skipper_core::{name::TenantName, policy::Action};
use skipper_source::app::Edited;

use super::{allowed, apps::shown, wire::Done};
use crate::{
    api::extract::{Json as Body, Path, Query, TenantQuery, content_type},
    app::App,
    error::{Code, Error},
    verb::{self, Caller, deploy},
};

/// The media type of RFC 7396.
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Adds an app: writes its file `apps/NAME.toml`. `name` is a DNS label, `port` is 8080 where a `domain` is named; `secret` (one
/// key, or several), `kind`, `env`, `resources`, `network`, `health`, `deploy`, `preview`, `routes` and `volumes` are as in the file.
#[utoipa::path(post, path = "/v1/apps", tag = "deploys", params(TenantQuery), request_body(content = Object), responses((status = 201, body = Object)))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<TenantQuery>,
    Body(body): Body<Value>,
) -> Result<Response, Error> {
    only_default(&app, &caller, &query)?;
    let edited = verb::apps::create(&app, &caller, body).await?;
    let mut response = (StatusCode::CREATED, Json(answer(&app, &edited))).into_response();
    if let Ok(place) = HeaderValue::try_from(format!("/v1/apps/{}", edited.app.name)) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// Changes the file of an app: what the body names is replaced, a table as a whole; `null` takes it away. With the content type
/// `application/merge-patch+json` tables are merged key by key. Comments and `${NAME}` stay as they are written. What runs
/// changes with the next deploy.
#[utoipa::path(patch, path = "/v1/apps/{name}", tag = "deploys", params(("name" = String, Path, description = "The app"), TenantQuery), request_body(content((Object = "application/json"), (Object = "application/merge-patch+json"))), responses((status = 200, body = Object)))]
pub(super) async fn change(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<TenantQuery>,
    headers: HeaderMap,
    Body(body): Body<Value>,
) -> Result<Json<Value>, Error> {
    only_default(&app, &caller, &query)?;
    let merge = content_type(&headers).is_some_and(|kind| kind == MERGE_PATCH);
    let edited = verb::apps::change(&app, &caller, &name, body, merge).await?;
    Ok(Json(answer(&app, &edited)))
}

/// Removes an app: what runs of it, its previews, its secrets and its file. Its history stays.
#[utoipa::path(delete, path = "/v1/apps/{name}", tag = "deploys", params(("name" = String, Path, description = "The app"), TenantQuery), responses((status = 200, body = Done)))]
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<TenantQuery>,
) -> Result<Json<Done>, Error> {
    only_default(&app, &caller, &query).map_err(|error| match error.code() {
        Code::Conflict => deploy::unknown(&name),
        _ => error,
    })?;
    verb::apps::remove(&app, &caller, &name).await?;
    Ok(Json(Done::ok()))
}

/// The directory's apps are of one tenant.
fn only_default(app: &App, caller: &Caller, query: &TenantQuery) -> Result<(), Error> {
    let (tenant, _) = allowed(app, caller, Action::Read, query.tenant.as_ref())?;
    if tenant == TenantName::default_tenant() {
        return Ok(());
    }
    Err(Error::new(
        Code::Conflict,
        format!("tenant `{tenant}` has no apps; they are all of `{}`", TenantName::default_tenant()),
    ))
}

/// The app as it is shown, with what is odd about it.
fn answer(app: &App, edited: &Edited) -> Value {
    let name = edited.app.name.as_str();
    let mut value = app.apps.get().map_or(Value::Null, |apps| shown(&apps, name));
    if let Some(fields) = value.as_object_mut().filter(|_| !edited.warnings.is_empty()) {
        fields.insert("warnings".to_owned(), edited.warnings.iter().map(ToString::to_string).collect());
    }
    value
}
