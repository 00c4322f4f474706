//! Finding what a verb is about, with errors that say where to look.

use skipper_core::{
    id::ReleaseId,
    name::{ReleaseName, TenantName},
    release::{Release, Revision, Source},
};

use crate::{
    app::App,
    error::{Code, Error},
};

/// How far back a revision is followed through rollbacks and scalings to the package it came from.
const MAX_HOPS: usize = 10_000;

/// The release of that name, a deleted one too.
pub(super) async fn release(app: &App, tenant: &TenantName, name: &ReleaseName) -> Result<Release, Error> {
    app.timed("release_get", app.store.release_get(tenant, name)).await?.ok_or_else(|| {
        Error::new(Code::ReleaseNotFound, format!("there is no release `{name}` in tenant `{tenant}`"))
            .hint("`skipper list` shows the releases")
    })
}

/// A refusal of a verb, unless a rollout is open: then that one is what the caller has to know of.
pub(super) async fn unless_busy(app: &App, release: &Release, refusal: Error) -> Error {
    match app.store.rollout_open(release.id).await {
        Ok(Some(open)) => skipper_store::Error::Busy {
            release: release.name.clone(),
            rollout: open.id,
            phase: open.phase.name().to_owned(),
        }
        .into(),
        Ok(None) | Err(_) => refusal,
    }
}

/// Whether nothing serves and nothing is on its way.
pub(super) async fn at_rest(app: &App, release: &Release) -> Result<bool, Error> {
    Ok((release.deleted || release.serving.is_none()) && app.store.rollout_open(release.id).await?.is_none())
}

/// The release, and the revision of it that serves.
pub(super) async fn serving(app: &App, tenant: &TenantName, name: &ReleaseName) -> Result<(Release, Revision), Error> {
    let release = release(app, tenant, name).await?;
    let revision = serving_of(app, &release).await?;
    Ok((release, revision))
}

/// The revision of a release that serves.
pub(super) async fn serving_of(app: &App, release: &Release) -> Result<Revision, Error> {
    let Some(number) = release.serving.filter(|_| !release.deleted) else {
        let name = &release.name;
        let what = if release.deleted { "was deleted" } else { "has never served a revision" };
        let refusal = Error::new(Code::NotServing, format!("release `{name}` {what}")).hint(format!(
            "`skipper install {name} …` gives it a revision, `skipper rollback {name} REVISION` one that it had"
        ));
        return Err(unless_busy(app, release, refusal).await);
    };
    revision(app, release, number).await
}

/// One revision of a release.
pub(super) async fn revision(app: &App, release: &Release, number: u64) -> Result<Revision, Error> {
    app.timed("revision_get", app.store.revision_get(release.id, number)).await?.ok_or_else(|| {
        let name = &release.name;
        let known = match release.last_revision {
            0 => format!("release `{name}` has no revision"),
            1 => "`1` is the only one".to_owned(),
            last => format!("`skipper history {name}` lists revisions 1 to {last}"),
        };
        Error::new(Code::RevisionNotFound, format!("release `{name}` has no revision {number}")).hint(known)
    })
}

/// The package that a revision was made of, by way of the revisions it went back to or scaled.
pub(super) async fn package_of(app: &App, release: ReleaseId, source: &Source) -> Result<Option<Source>, Error> {
    let mut source = source.clone();
    for _ in 0..MAX_HOPS {
        let number = match source {
            Source::Package { .. } => return Ok(Some(source)),
            Source::App { .. } | Source::Tenant { .. } => return Ok(None),
            Source::Revision { number } | Source::Scale { number, .. } => number,
        };
        // Without manifest and spec: the page before the next number holds just this revision.
        let page = app.store.revision_list(release, Some(number + 1), 1).await?;
        let Some(earlier) = page.into_iter().find(|revision| revision.number == number) else { return Ok(None) };
        source = earlier.source;
    }
    Ok(None)
}
