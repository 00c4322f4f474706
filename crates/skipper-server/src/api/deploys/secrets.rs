//! Secrets of an app, under both of slip's families of paths. Values go in and never come out.

use std::collections::BTreeMap;

use axum::{Json, body::Bytes, extract::State};
use http::HeaderMap;
use serde::Deserialize;
use skipper_core::{
    name::{ReleaseName, SecretName, TenantName},
    policy::Action,
    secret::SecretValue,
};
use skipper_source::app::is_reserved;
use skipper_store::SecretInfo;

use super::{
    allowed,
    wire::{AppSecret, AppSecretKeys, AppSecretValues, AppSecretsSet, Done},
};
use crate::{
    api::{
        extract::{Path, Query, TenantQuery, content_type},
        own,
    },
    app::App,
    apps::secrets,
    error::{Code, Error},
    verb::{self, Caller, deploy},
};

/// Most keys that are set at once.
const MOST: usize = 1000;

/// Lists the keys of an app's secrets.
#[utoipa::path(get, path = "/v1/apps/{name}/secrets", tag = "deploys", params(("name" = String, Path, description = "The app"), TenantQuery), responses((status = 200, body = AppSecretKeys)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<TenantQuery>,
) -> Result<Json<AppSecretKeys>, Error> {
    let (tenant, name) = known(&app, &caller, &name, &query)?;
    let secrets = secrets::of_app(&app.store, &tenant, &name).await?.into_keys().collect();
    Ok(Json(AppSecretKeys { secrets }))
}

/// Sets secrets of an app, after all of them were looked at. What runs gets them with the next deploy.
#[utoipa::path(put, path = "/v1/apps/{name}/secrets", tag = "deploys", params(("name" = String, Path, description = "The app"), TenantQuery), request_body = AppSecretValues, responses((status = 200, body = AppSecretsSet)))]
pub(super) async fn set_all(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<TenantQuery>,
    body: Bytes,
) -> Result<Json<AppSecretsSet>, Error> {
    let (tenant, name) = known(&app, &caller, &name, &query)?;
    // The parser's own words could quote a value.
    let read: Values = serde_json::from_slice(&body)
        .map_err(|_| Error::new(Code::BadRequest, "the body is not {\"secrets\": {\"KEY\": \"value\"}}"))?;
    if read.secrets.len() > MOST {
        return Err(Error::new(Code::Invalid, format!("at most {MOST} secrets are set at once")));
    }
    let mut values = Vec::with_capacity(read.secrets.len());
    for (key, value) in read.secrets {
        let value = SecretValue::new(value);
        if value.expose().is_empty() {
            return Err(
                Error::new(Code::BadRequest, format!("the value of `{key}` is empty")).hint("DELETE removes a secret")
            );
        }
        values.push((fresh(&name, &key)?, key, value));
    }
    let mut set = Vec::with_capacity(values.len());
    for (stored, key, value) in values {
        verb::secrets::set(&app, &caller, &tenant, &stored, &value).await?;
        set.push(key);
    }
    Ok(Json(AppSecretsSet { set }))
}

/// Removes a secret of an app with all its versions. What runs keeps the value that it has.
#[utoipa::path(delete, path = "/v1/apps/{name}/secrets/{key}", tag = "deploys", params(("name" = String, Path, description = "The app"), ("key" = String, Path, description = "The key, for example `DATABASE_URL`"), TenantQuery), responses((status = 200, body = Done)))]
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path((name, key)): Path<(String, String)>,
    Query(query): Query<TenantQuery>,
) -> Result<Json<Done>, Error> {
    let (tenant, name) = known(&app, &caller, &name, &query)?;
    let stored = stored(&name, &key)?;
    let removed = verb::secrets::remove(&app, &caller, &tenant, &stored, true).await;
    removed.map_err(|error| if error.code() == Code::SecretNotFound { missing(&name, &key) } else { error })?;
    Ok(Json(Done::ok()))
}

/// Shows a secret of an app: its version and times, never its value.
#[utoipa::path(get, path = "/v1/secrets/{app}/{key}", tag = "deploys", params(("app" = String, Path, description = "The app"), ("key" = String, Path, description = "The key, for example `DATABASE_URL`"), TenantQuery), responses((status = 200, body = AppSecret)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((name, key)): Path<(String, String)>,
    Query(query): Query<TenantQuery>,
) -> Result<Json<AppSecret>, Error> {
    let (tenant, name) = known(&app, &caller, &name, &query)?;
    let stored = stored(&name, &key)?;
    let all = verb::secrets::list(&app, &caller, &tenant).await?;
    let found = all.into_iter().find(|info| info.name == stored).ok_or_else(|| missing(&name, &key))?;
    Ok(Json(view(&name, key, &found)))
}

/// Sets a secret of an app. The body is the value itself, or `{"value": …}`. What runs gets it with the next deploy.
#[utoipa::path(put, path = "/v1/secrets/{app}/{key}", tag = "deploys", params(("app" = String, Path, description = "The app"), ("key" = String, Path, description = "The key, for example `DATABASE_URL`"), TenantQuery), request_body(content((own::wire::SecretValueRequest = "application/json"), (String = "text/plain"))), responses((status = 200, body = AppSecret)))]
pub(super) async fn set(
    State(app): State<App>,
    caller: Caller,
    Path((name, key)): Path<(String, String)>,
    Query(query): Query<TenantQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<AppSecret>, Error> {
    let (tenant, name) = known(&app, &caller, &name, &query)?;
    let stored = fresh(&name, &key)?;
    let value = value(&headers, &body)?;
    let info = verb::secrets::set(&app, &caller, &tenant, &stored, &value).await?;
    Ok(Json(view(&name, key, &info)))
}

/// Removes a secret of an app with all its versions. What runs keeps the value that it has.
#[utoipa::path(delete, path = "/v1/secrets/{app}/{key}", tag = "deploys", params(("app" = String, Path, description = "The app"), ("key" = String, Path, description = "The key, for example `DATABASE_URL`"), TenantQuery), responses((status = 200, body = Done)))]
pub(super) async fn remove_one(
    app: State<App>,
    caller: Caller,
    path: Path<(String, String)>,
    query: Query<TenantQuery>,
) -> Result<Json<Done>, Error> {
    remove(app, caller, path, query).await
}

/// The body of a PUT of several. The values are wrapped one by one.
#[derive(Deserialize)]
struct Values {
    secrets: BTreeMap<String, String>,
}

/// The body of a PUT of one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Value {
    value: String,
}

fn value(headers: &HeaderMap, body: &Bytes) -> Result<SecretValue, Error> {
    let document = || serde_json::from_slice::<Value>(body).map(|read| SecretValue::new(read.value));
    match content_type(headers).unwrap_or_default().as_str() {
        "application/json" => {
            document().map_err(|_| Error::new(Code::BadRequest, "the body is not {\"value\": \"…\"}"))
        }
        // What curl says of any body where nobody tells it: both forms come like this.
        "" | "application/x-www-form-urlencoded" => document().or_else(|_| text(body)),
        _ => text(body),
    }
}

fn text(body: &Bytes) -> Result<SecretValue, Error> {
    let text = std::str::from_utf8(body);
    text.map(|text| SecretValue::new(text.to_owned()))
        .map_err(|_| Error::new(Code::Invalid, "the value of a secret is UTF-8 text").hint("encode bytes as base64"))
}

/// The app, once the caller may manage its secrets.
fn known(app: &App, caller: &Caller, name: &str, query: &TenantQuery) -> Result<(TenantName, ReleaseName), Error> {
    let (tenant, apps) = allowed(app, caller, Action::ManageSecrets, query.tenant.as_ref())?;
    let known = apps.is_some_and(|apps| apps.get(name).is_some());
    let name = ReleaseName::new(name).ok().filter(|_| known).ok_or_else(|| deploy::unknown(name))?;
    Ok((tenant, name))
}

/// What the store calls a key that may be given a value.
fn fresh(app: &ReleaseName, key: &str) -> Result<SecretName, Error> {
    if is_reserved(key) {
        let key: String = key.chars().take(80).collect();
        return Err(Error::new(Code::BadRequest, format!("invalid secret key `{key}`"))
            .hint("variables that begin with SKIPPER_ are Skipper's own: call it otherwise"));
    }
    stored(app, key)
}

fn stored(app: &ReleaseName, key: &str) -> Result<SecretName, Error> {
    secrets::name(app, key).ok_or_else(|| {
        let key: String = key.chars().take(80).collect();
        Error::new(Code::BadRequest, format!("invalid secret key `{key}`"))
            .hint("use letters, digits and _, no digit first, at most 128 of them")
    })
}

fn missing(app: &ReleaseName, key: &str) -> Error {
    Error::new(Code::SecretNotFound, format!("`{app}` has no secret `{key}`"))
}

fn view(app: &ReleaseName, name: String, info: &SecretInfo) -> AppSecret {
    AppSecret {
        app: app.to_string(),
        name,
        version: info.version,
        created_at: own::time(info.created_at),
        updated_at: own::time(info.updated_at),
    }
}
