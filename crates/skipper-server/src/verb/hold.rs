//! What the edge does with a release's requests: hold them, answer with a page, or forward them again.

use std::time::Duration;

use skipper_core::{
    event::NewEvent,
    name::{ReleaseName, TenantName},
    policy::Action,
    port::{ErrorKind, RolloutStore as _},
    route::Mode,
    time::Millis,
};

use super::{Caller, find};
use crate::{
    app::App,
    error::{Code, Error},
};

/// Longest hold of one request: clients and proxies in front give up sooner.
const MAX_HOLD: Duration = Duration::from_secs(3600);
/// Longest text of the maintenance page.
const MAX_MESSAGE: usize = 1000;

/// Keeps new requests waiting, each at most `bound`.
///
/// # Errors
///
/// Nothing serves; a rollout is open; the edge does not answer.
pub async fn hold(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    name: &ReleaseName,
    bound: Duration,
) -> Result<(), Error> {
    if bound.is_zero() || bound > MAX_HOLD {
        return Err(Error::new(Code::Invalid, format!("`bound`: a hold lasts between 1ms and {MAX_HOLD:?}")));
    }
    let bound = Millis(u64::try_from(bound.as_millis()).unwrap_or(u64::MAX));
    set(app, caller, tenant, name, Some(Mode::Held { bound })).await
}

/// Answers new requests with 503 and a page.
///
/// # Errors
///
/// As [`hold`].
pub async fn maintenance(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    name: &ReleaseName,
    message: String,
) -> Result<(), Error> {
    if message.len() > MAX_MESSAGE {
        return Err(Error::new(Code::Invalid, format!("`message`: at most {MAX_MESSAGE} bytes")));
    }
    set(app, caller, tenant, name, Some(Mode::Maintenance { message })).await
}

/// Forwards requests again.
///
/// # Errors
///
/// As [`hold`].
pub async fn resume(app: &App, caller: &Caller, tenant: &TenantName, name: &ReleaseName) -> Result<(), Error> {
    set(app, caller, tenant, name, None).await
}

async fn set(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    name: &ReleaseName,
    mode: Option<Mode>,
) -> Result<(), Error> {
    caller.may(Action::Deploy, tenant)?;
    let (release, serving) = find::serving(app, tenant, name).await?;
    if let Some(place) = &*app.tended_by.borrow() {
        // The edge of this server, if it has one, is not what requests come in through.
        let message = format!("the server {place} tends what runs, and its edge takes the requests");
        return Err(Error::new(Code::Conflict, message).hint("ask that server"));
    }
    let kind = match &mode {
        None => "release.resumed",
        Some(Mode::Maintenance { .. }) => "release.maintenance",
        Some(_) => "release.held",
    };
    let data =
        mode.as_ref().map_or_else(|| serde_json::json!({}), |mode| serde_json::to_value(mode).unwrap_or_default());
    let changed = app.engine.set_mode(release.id, None, mode).await;
    if let Err(error) = &changed
        && error.code() == "rollout-open"
    {
        let refusal = Error::new(Code::ReleaseBusy, format!("a rollout of release `{name}` is open"))
            .hint("wait until it has ended, or cancel it");
        return Err(find::unless_busy(app, &release, refusal).await);
    }
    changed.map_err(|error| match (error.code(), error.kind()) {
        (_, ErrorKind::Fenced) => Error::new(Code::Conflict, "a rollout began meanwhile"),
        _ => {
            let mapped = Error::new(Code::EdgeFailed, error.chain());
            match error.advice() {
                Some(hint) => mapped.hint(hint.to_owned()),
                None => mapped,
            }
        }
    })?;
    let told = NewEvent {
        kind: kind.to_owned(),
        tenant: Some(tenant.clone()),
        release: Some(name.clone()),
        revision: Some(serving.number),
        rollout: None,
        provenance: caller.provenance.clone(),
        data,
    };
    app.store.tell(vec![told]).await.map_err(Error::internal)?;
    Ok(())
}
