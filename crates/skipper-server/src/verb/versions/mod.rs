//! Releases as Spring's API tells of them: by version, each with one of four states and a sentence.
//!
//! Scalings are no versions there; [`skipper_store::StoredVersion`] numbers revisions without them. An install counts as
//! deployed once its platform was told, everything else once the new revision serves.

mod held;
mod logs;
mod look;

use std::{collections::HashMap, sync::Arc};

use skipper_core::{
    id::ReleaseId,
    name::{PlatformName, ReleaseName, TenantName},
    policy::Action,
    release::{RevisionState, Source},
    rollout::{Cause, Phase, Rollout, Verb},
    spec::Spec,
    time::Timestamp,
};
use skipper_store::{RunningVersion, StoredVersion, VersionFilter};

pub use held::HeldVersions;
pub use logs::logs;
pub use look::{AppState, InstanceState, Running, aggregate};

use super::{Caller, Kept, find, kept};
use crate::{
    app::App,
    error::{Code, Error},
};

/// Most versions that one list tells of.
const LISTED: usize = 10_000;
/// How many of them are read at a time.
const PAGE: u32 = 1000;

/// What has become of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is on its way.
    Unknown,
    /// It was handed to its platforms, or serves.
    Deployed,
    /// It served, and does no more.
    Deleted,
    /// It never came to serve.
    Failed,
}

/// The sentence that goes with a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A verb goes on.
    Underway(Verb),
    /// A verb has brought it about.
    Complete(Verb),
    /// It was taken away, or another one took its place.
    Deleted,
    /// A first version that did not come to serve.
    InstallFailed,
    /// Its instances could not be started.
    NotDeployed,
    /// Its instances were not healthy after so many milliseconds.
    NotHealthy(u64),
    /// Somebody stopped it after so many milliseconds.
    Cancelled(u64),
    /// What another server said of it, from which the release was taken over.
    Elsewhere(String),
}

/// One version of a release.
#[derive(Debug, Clone)]
pub struct Version {
    /// As it is stored.
    pub stored: Arc<StoredVersion>,
    /// What has become of it.
    pub status: Status,
    /// In words.
    pub told: Told,
    /// Its package; `None` where none is remembered.
    pub package: Option<Arc<Kept>>,
    /// The account of applications that name none.
    pub platform: PlatformName,
    /// What its platforms say of its applications; `None` where nobody was asked.
    pub apps: Option<Vec<AppState>>,
    /// Text of values that say nothing, in the answer to whoever sent it.
    pub blank: Option<String>,
}

impl Version {
    /// What the user set, as the text it came as; `None` where nothing was set.
    #[must_use]
    pub fn raw(&self) -> Option<String> {
        self.blank.clone().or_else(|| raw_of(&self.stored))
    }

    /// Whether it is an earlier version that was gone back to.
    #[must_use]
    pub fn went_back(&self) -> bool {
        matches!(self.stored.source, Source::Revision { .. })
    }

    /// The moment it was accepted: what Spring's API gives as first and last deployment alike.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.stored.created_at
    }

    /// As an install was when its platforms had been told, whatever its instances have come to meanwhile.
    #[must_use]
    pub fn as_launched(mut self) -> Self {
        if self.status == Status::Failed {
            self.status = Status::Deployed;
            self.told = Told::Complete(Verb::Install);
        }
        self
    }

    /// As it is told to whoever has just deleted it.
    #[must_use]
    pub fn as_deleted(mut self) -> Self {
        self.status = Status::Deleted;
        self.told = Told::Deleted;
        self
    }

    /// As it was when that was asked for, whatever has become of it meanwhile.
    #[must_use]
    pub fn as_accepted(mut self, verb: Verb) -> Self {
        self.status = Status::Unknown;
        self.told = Told::Underway(verb);
        self.apps = None;
        self
    }
}

/// What the user set, as the text it came as; `None` where nothing was set.
pub(super) fn raw_of(stored: &StoredVersion) -> Option<String> {
    match stored.made_of.as_ref().unwrap_or(&stored.source) {
        Source::Package { raw: Some(raw), .. } if !raw.trim().is_empty() => Some(raw.clone()),
        Source::Package { values, .. } if values.as_object().is_some_and(|values| !values.is_empty()) => {
            Some(skipper_source::yaml::emit(values))
        }
        _ => None,
    }
}

/// Whether platforms are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Of every version.
    Always,
    /// Of what is not deleted.
    Alive,
    /// Of none.
    Never,
}

/// The newest version of a release, or one of its versions.
///
/// # Errors
///
/// [`Code::ReleaseNotFound`], [`Code::RevisionNotFound`].
pub async fn one(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    name: &ReleaseName,
    version: Option<u64>,
    look: Look,
) -> Result<Version, Error> {
    let filter = version.map_or(VersionFilter::Newest(name), |version| VersionFilter::One(name, version));
    let mut found = list(app, caller, tenant, filter, look).await?;
    found.pop().ok_or_else(|| match version {
        None => Error::new(Code::ReleaseNotFound, format!("there is no release `{name}`")),
        Some(version) => {
            Error::new(Code::RevisionNotFound, format!("there is no version {version} of a release `{name}`"))
        }
    })
}

/// The revision in which a version was made.
///
/// # Errors
///
/// As [`one`].
pub async fn revision(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    name: &ReleaseName,
    version: u64,
) -> Result<u64, Error> {
    caller.may(Action::Read, tenant)?;
    find::release(app, tenant, name).await?;
    Ok(one(app, caller, tenant, name, Some(version), Look::Never).await?.stored.number)
}

/// Versions in the order of the filter.
///
/// # Errors
///
/// Only the policy's and the store's.
pub async fn list(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    filter: VersionFilter<'_>,
    look: Look,
) -> Result<Vec<Version>, Error> {
    caller.may(Action::Read, tenant)?;
    let read = held::read(app, tenant, filter).await?;
    told(app, tenant, &read.versions, &read.running, look).await
}

/// Every version that is deployed or failed, in the order in which they were asked for, of releases whose name holds the
/// text.
///
/// # Errors
///
/// Only the policy's and the store's.
pub async fn deployed_or_failed(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    q: &str,
) -> Result<Vec<Version>, Error> {
    caller.may(Action::Read, tenant)?;
    let first = held::read(app, tenant, VersionFilter::Listed(q, 0, PAGE)).await?;
    let mut all = first.versions.clone();
    let is_full = |page: usize| page >= PAGE as usize;
    let mut more = is_full(all.len());
    while more && all.len() < LISTED {
        let after = all.last().map_or(0, |last| last.place);
        let page = app.store.version_list(tenant, VersionFilter::Listed(q, after, PAGE)).await?;
        more = is_full(page.len());
        all.extend(page.into_iter().map(Arc::new));
    }
    let mut all = told(app, tenant, &all, &first.running, Look::Alive).await?;
    all.retain(|version| matches!(version.status, Status::Deployed | Status::Failed));
    // Scaling one does not move it.
    all.sort_by_key(|version| version.stored.num);
    Ok(all)
}

/// The version that is deployed.
///
/// # Errors
///
/// [`Code::ReleaseBusy`] where none is and a rollout is open, [`Code::ReleaseNotFound`] where none is.
pub async fn deployed(app: &App, caller: &Caller, tenant: &TenantName, name: &ReleaseName) -> Result<Version, Error> {
    let found = list(app, caller, tenant, VersionFilter::Settled(name, 1), Look::Alive).await?;
    if let Some(version) = found.into_iter().find(|version| version.status == Status::Deployed) {
        return Ok(version);
    }
    let release = find::release(app, tenant, name).await?;
    let refusal = Error::new(Code::ReleaseNotFound, format!("release `{name}` has no version that is deployed"));
    Err(find::unless_busy(app, &release, refusal).await)
}

/// The version that a delete takes away: the one that is deployed. Where none is, the newest one of a first install that failed: what
/// the original would call DEPLOYED with applications that died, and lets be deleted.
///
/// # Errors
///
/// As [`deployed`].
pub async fn to_delete(app: &App, caller: &Caller, tenant: &TenantName, name: &ReleaseName) -> Result<Version, Error> {
    let refusal = match deployed(app, caller, tenant, name).await {
        Ok(version) => return Ok(version),
        Err(error) if error.code() == Code::ReleaseNotFound => error,
        Err(error) => return Err(error),
    };
    let there = app.store.release_get(tenant, name).await?.is_some_and(|release| !release.deleted);
    let newest = list(app, caller, tenant, VersionFilter::Newest(name), Look::Never).await?.pop();
    newest.filter(|version| there && version.status == Status::Failed).ok_or(refusal)
}

/// The revision that going back to a version leads to: of the version before the one that serves, or served last, where
/// none is named. Of a version that was scaled, the revision of the newest scaling.
///
/// # Errors
///
/// [`Code::ReleaseNotFound`], [`Code::RevisionNotFound`]; [`Code::NotServing`] for a version that never served.
pub async fn way_back(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    name: &ReleaseName,
    version: Option<u64>,
) -> Result<u64, Error> {
    caller.may(Action::Deploy, tenant)?;
    find::release(app, tenant, name).await?;
    let settled = app.store.version_list(tenant, VersionFilter::Settled(name, 2)).await?;
    if settled.is_empty() {
        return Err(Error::new(Code::ReleaseNotFound, format!("release `{name}` has never served a version")));
    }
    let Some(version) = version else {
        let before = settled.get(1).ok_or_else(|| {
            Error::new(
                Code::ReleaseNotFound,
                format!("release `{name}` has no version before the one that served last"),
            )
        })?;
        return Ok(before.scaled.unwrap_or(before.number));
    };
    let found = app.store.version_list(tenant, VersionFilter::One(name, version)).await?.pop();
    let found = found
        .ok_or_else(|| Error::new(Code::RevisionNotFound, format!("release `{name}` has no version {version}")))?;
    match found.state {
        RevisionState::Live | RevisionState::Superseded | RevisionState::Deleted => {
            Ok(found.scaled.unwrap_or(found.number))
        }
        _ => Err(Error::new(Code::NotServing, format!("version {version} of `{name}` never served"))),
    }
}

/// The rollout of a release that is open.
///
/// # Errors
///
/// Only the policy's and the store's.
pub async fn open(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    name: &ReleaseName,
) -> Result<Option<Rollout>, Error> {
    caller.may(Action::Deploy, tenant)?;
    let Some(release) = app.store.release_get(tenant, name).await? else { return Ok(None) };
    Ok(app.store.rollout_open(release.id).await?)
}

/// How many versions there are.
///
/// # Errors
///
/// Only the policy's and the store's.
pub async fn count(app: &App, caller: &Caller, tenant: &TenantName) -> Result<u64, Error> {
    caller.may(Action::Read, tenant)?;
    held::count(app, tenant).await
}

async fn told(
    app: &App,
    tenant: &TenantName,
    stored: &[Arc<StoredVersion>],
    running: &[RunningVersion],
    look: Look,
) -> Result<Vec<Version>, Error> {
    let mut by_release: HashMap<ReleaseId, Vec<&RunningVersion>> = HashMap::new();
    for one in running {
        by_release.entry(one.live.deployment.release).or_default().push(one);
    }
    let mut eyes = look::Eyes::default();
    let mut versions = Vec::with_capacity(stored.len());
    for stored in stored {
        let own = by_release.get(&stored.release).map_or(&[][..], Vec::as_slice);
        let (status, told) = judge(stored, own.iter().any(|own| own.live.deployment.revision == stored.number));
        let wanted = match look {
            Look::Always => true,
            Look::Alive => status != Status::Deleted,
            Look::Never => false,
        };
        let apps = if wanted { Some(look::look(app, tenant, &mut eyes, stored, status, own).await?) } else { None };
        let package = match &stored.kept {
            Some(digest) => kept::get(app, digest).await?,
            None => None,
        };
        let platform = match stored.made_of.as_ref().unwrap_or(&stored.source) {
            Source::Package { platform: Some(platform), .. } => platform.clone(),
            _ => app.default_platform.clone(),
        };
        versions.push(Version { stored: Arc::clone(stored), status, told, package, platform, apps, blank: None });
    }
    Ok(versions)
}

/// Pure: what a version's state and rollout amount to; `launched`, whether anything of it was started.
fn judge(stored: &StoredVersion, launched: bool) -> (Status, Told) {
    let verb = stored.verb.unwrap_or(Verb::Install);
    let cause = stored.phase.as_ref().and_then(Phase::cause);
    match stored.state {
        RevisionState::Live if !stored.overtaken => (Status::Deployed, Told::Complete(verb)),
        RevisionState::Live | RevisionState::Superseded | RevisionState::Deleted => (Status::Deleted, Told::Deleted),
        RevisionState::Failed | RevisionState::Cancelled => (Status::Failed, failed(stored, verb, cause)),
        // What is being undone will not come back.
        RevisionState::Pending if cause.is_some() => (Status::Failed, failed(stored, verb, cause)),
        // It serves; what was before it is being cleared away.
        RevisionState::Pending if stored.phase == Some(Phase::Finishing) => (Status::Deployed, Told::Complete(verb)),
        RevisionState::Pending if verb == Verb::Install && launched => (Status::Deployed, Told::Complete(verb)),
        RevisionState::Pending => (Status::Unknown, Told::Underway(verb)),
    }
}

fn failed(stored: &StoredVersion, verb: Verb, cause: Option<&Cause>) -> Told {
    let after = |cause: &Cause| u64::try_from(cause.at.since(stored.created_at).as_millis()).unwrap_or(u64::MAX);
    match cause {
        Some(cause) if cause.code == Cause::CANCELLED => Told::Cancelled(after(cause)),
        Some(cause) if cause.code == Cause::ELSEWHERE => Told::Elsewhere(cause.message.clone()),
        _ if verb == Verb::Install => Told::InstallFailed,
        Some(cause) if cause.code == "health-timeout" => {
            Told::NotHealthy(stored.spec.as_ref().map_or_else(|| after(cause), longest_health))
        }
        Some(cause) if matches!(cause.code.as_str(), "unhealthy" | "exited" | "judged-errors" | "judged-latency") => {
            Told::NotHealthy(after(cause))
        }
        _ => Told::NotDeployed,
    }
}

/// How long its rollout waits for health, in milliseconds.
fn longest_health(spec: &Spec) -> u64 {
    let each = spec.applications.iter().map(|app| app.bounds.health).max();
    spec.health_bound.or(each).unwrap_or_default().0
}
