//! Compares the manifests of two revisions.

use similar::TextDiff;
use skipper_core::{
    name::{ReleaseName, TenantName},
    policy::Action,
};

use super::{Caller, find};
use crate::{
    app::App,
    error::{Code, Error},
};

/// The difference of two revisions' manifests.
#[derive(Debug, Clone)]
pub struct Difference {
    /// From this one.
    pub from: u64,
    /// To this one.
    pub to: u64,
    /// Unified diff; empty when equal.
    pub diff: String,
}

/// Compares two revisions: by default the one before with the one that serves, or with the newest.
///
/// # Errors
///
/// A revision is not there, or was never resolved.
pub async fn diff(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    name: &ReleaseName,
    from: Option<u64>,
    to: Option<u64>,
) -> Result<Difference, Error> {
    caller.may(Action::Read, tenant)?;
    let release = find::release(app, tenant, name).await?;
    let to = to.or(release.serving).unwrap_or(release.last_revision);
    let from = match from {
        Some(from) => from,
        None => match app.store.revision_previous(release.id, to).await? {
            Some(previous) => previous.number,
            None => to.saturating_sub(1).max(1),
        },
    };
    let (old, new) = (text_of(app, &release, from).await?, text_of(app, &release, to).await?);
    let diff = unified(&old, &new, &format!("revision {from}"), &format!("revision {to}"));
    Ok(Difference { from, to, diff })
}

async fn text_of(app: &App, release: &skipper_core::release::Release, number: u64) -> Result<String, Error> {
    find::revision(app, release, number).await?.manifest.ok_or_else(|| unresolved(&release.name, number))
}

/// A revision without a manifest.
pub(super) fn unresolved(name: &ReleaseName, number: u64) -> Error {
    Error::new(Code::Conflict, format!("revision {number} of `{name}` has no manifest: it was never resolved"))
}

/// A unified diff, empty for equal texts.
pub(super) fn unified(old: &str, new: &str, old_label: &str, new_label: &str) -> String {
    if old == new {
        return String::new();
    }
    TextDiff::from_lines(old, new).unified_diff().context_radius(3).header(old_label, new_label).to_string()
}
