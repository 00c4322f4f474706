//! Sets, lists and removes secrets.

use skipper_core::{
    name::{SecretName, TenantName},
    policy::Action,
    secret::SecretValue,
};
use skipper_source::app::is_reserved;
use skipper_store::SecretInfo;

use super::Caller;
use crate::{
    app::App,
    error::{Code, Error},
};

/// The tenant's secrets by name, without their values.
///
/// # Errors
///
/// Only the policy's and the store's.
pub async fn list(app: &App, caller: &Caller, tenant: &TenantName) -> Result<Vec<SecretInfo>, Error> {
    caller.may(Action::ManageSecrets, tenant)?;
    Ok(app.store.secret_list(tenant).await?)
}

/// Sets a secret; rollouts take the new value from now on.
///
/// # Errors
///
/// The value is empty; its name is one that Skipper keeps for itself; there is no key to seal it with.
///
/// # Cancel safety
///
/// Safe to drop: one transaction.
pub async fn set(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    name: &SecretName,
    value: &SecretValue,
) -> Result<SecretInfo, Error> {
    caller.may(Action::ManageSecrets, tenant)?;
    if value.expose().is_empty() {
        return Err(Error::new(Code::Invalid, "the value of a secret is not empty")
            .hint("send it as the body, or as {\"value\": …}"));
    }
    if let Some(key) = reserved(app, name) {
        return Err(Error::new(Code::BadRequest, format!("`{key}` cannot be the key of a secret of an app"))
            .hint("variables that begin with SKIPPER_ are Skipper's own: call it otherwise"));
    }
    let version = app.store.secret_set(tenant, name, value, &caller.provenance).await?;
    let all = app.store.secret_list(tenant).await?;
    let now = app.clock.now();
    let fresh = SecretInfo { name: name.clone(), version, created_at: now, updated_at: now, used: false };
    Ok(all.into_iter().find(|info| info.name == *name).unwrap_or(fresh))
}

/// The key of an app's secret that no process would get to see.
fn reserved<'a>(app: &App, name: &'a SecretName) -> Option<&'a str> {
    let (of, key) = name.as_str().rsplit_once('.')?;
    let is_app = app.apps.get().is_some_and(|apps| apps.get(of).is_some());
    Some(key).filter(|key| is_app && is_reserved(key))
}

/// Removes a secret with all its versions.
///
/// # Errors
///
/// It is not there; something uses it and `force` is not set.
///
/// # Cancel safety
///
/// Safe to drop: one transaction.
pub async fn remove(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    name: &SecretName,
    force: bool,
) -> Result<(), Error> {
    caller.may(Action::ManageSecrets, tenant)?;
    Ok(app.store.secret_remove(tenant, name, force, &caller.provenance).await?)
}
