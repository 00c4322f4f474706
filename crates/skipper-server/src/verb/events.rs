//! Reads the chain of events.

use skipper_core::{
    event::Event,
    name::{ReleaseName, TenantName},
    policy::Action,
};
use skipper_store::{ChainReport, EventFilter};

use super::Caller;
use crate::{app::App, error::Error};

/// Which events a caller gets: a token that is scoped to a tenant never sees others'.
///
/// # Errors
///
/// The tenant is another one's.
pub fn filter(caller: &Caller, tenant: Option<TenantName>, release: Option<ReleaseName>) -> Result<EventFilter, Error> {
    let tenant = tenant.or_else(|| caller.actor().tenant().cloned());
    match &tenant {
        Some(tenant) => caller.may(Action::Read, tenant)?,
        None => caller.may_all(Action::Read)?,
    }
    Ok(EventFilter { tenant, release })
}

/// Events after a number, oldest first.
///
/// # Errors
///
/// Only the store's.
pub async fn list(app: &App, filter: &EventFilter, after: u64, limit: u32) -> Result<Vec<Event>, Error> {
    Ok(app.timed("events_list", app.store.events_list(after, limit, filter)).await?)
}

/// Walks the whole chain.
///
/// # Errors
///
/// Only for the installation as a whole; the chain holds every tenant's events.
pub async fn verify(app: &App, caller: &Caller) -> Result<ChainReport, Error> {
    caller.may_all(Action::Read)?;
    Ok(app.store.events_verify().await?)
}
