//! Previews as the store knows them, and everything that ends one without anybody asking: its time, a newer one where there
//! may be no more, the app's own end.

use std::{collections::BTreeMap, time::Duration};

use skipper_core::{
    actor::{Actor, Provenance},
    id::RequestId,
    name::{ReleaseName, SecretName, TenantName},
    port::Ids,
    release::{Door, PreviewOf, Release, Revision, Source},
    rollout::Verb,
    spec::PreviewTerms,
    time::{Millis, Timestamp},
};
use skipper_source::app::{preview_prefix, split_preview};
use skipper_store::{Error, Store};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Apps, secrets};
use crate::{
    app::App,
    verb::{self, delete, deploy},
};

/// How often it is looked whether one's time is over.
const LOOK: Duration = Duration::from_secs(10);
/// How long an app's file may be away: whoever replaces a directory does not always do so at one moment.
const MISSED: Duration = Duration::from_secs(60);
/// Longest one is remembered that never came to say how long it lives.
const UNTOLD: Duration = Duration::from_secs(24 * 60 * 60);

/// A preview that is not taken away.
#[derive(Debug, Clone)]
pub struct Preview {
    /// Its release.
    pub release: Release,
    /// What it is a preview of.
    pub of: PreviewOf,
    /// The newest revision.
    pub newest: Revision,
    /// The revision that serves.
    pub serving: Option<Revision>,
    /// On what terms it lives; `None` until that is known.
    pub terms: Option<Box<PreviewTerms>>,
    /// What is being done about it.
    pub open: Option<Verb>,
}

impl Preview {
    /// Whether it is being taken away.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.open == Some(Verb::Delete)
    }

    /// When its time is over. One that failed before anything was known of it has as much of it as the server gives to those that
    /// say nothing.
    #[must_use]
    pub fn expires_at(&self, apps: &Apps) -> Option<Timestamp> {
        let usual = || apps.server().preview.as_ref().and_then(|preview| preview.default_ttl).map(Millis::duration);
        match &self.terms {
            Some(terms) => terms.ttl.map(|ttl| self.newest.created_at + ttl.duration()),
            None => Some(self.newest.created_at + usual().map_or(UNTOLD, |usual| usual.min(UNTOLD))),
        }
    }

    /// Since when the version that serves is wanted; the newest one where none serves.
    #[must_use]
    pub fn deployed_at(&self) -> Timestamp {
        self.serving.as_ref().unwrap_or(&self.newest).created_at
    }
}

/// Whether a release of that name is a preview.
#[must_use]
pub fn is_one(name: &ReleaseName) -> bool {
    split_preview(name.as_str()).1.is_some()
}

/// All previews of an app, or of every app, by the name of their releases.
///
/// # Errors
///
/// Only those of the database.
pub async fn list(store: &Store, tenant: &TenantName, app: Option<&ReleaseName>) -> Result<Vec<Preview>, Error> {
    let prefix = app.map(|app| preview_prefix(app.as_str())).unwrap_or_default();
    let mut found = Vec::new();
    for listed in store.release_list_of_door(tenant, Door::Deploys, &prefix).await? {
        if is_one(&listed.release.name) {
            found.extend(one(store, listed.release, listed.open.map(|open| open.verb)).await?);
        }
    }
    Ok(found)
}

/// The preview that a release is, if it is one.
///
/// # Errors
///
/// Only those of the database.
pub async fn one(store: &Store, release: Release, open: Option<Verb>) -> Result<Option<Preview>, Error> {
    let Some(newest) = store.revision_get(release.id, release.last_revision).await? else { return Ok(None) };
    let Source::App { preview: Some(of), .. } = &newest.source else { return Ok(None) };
    let of = of.as_ref().clone();
    let serving = match release.serving {
        Some(number) if number == newest.number => Some(newest.clone()),
        Some(number) => store.revision_get(release.id, number).await?,
        None => None,
    };
    // One that failed before anything was known of it lives as the one before did.
    let known = [Some(&newest), serving.as_ref()].into_iter().flatten().find_map(|revision| revision.spec.as_ref());
    let terms = known.and_then(|spec| spec.preview.clone());
    Ok(Some(Preview { release, of, newest, serving, terms, open }))
}

/// Asks that a preview be taken away. What is under way comes to its end first; what waits does not begin.
///
/// # Errors
///
/// Those of [`Store::intent_create`]; that it is away already is none.
pub async fn remove(store: &Store, preview: &Preview, why: &str, provenance: Provenance) -> Result<(), Error> {
    let options = verb::Options { description: Some(why.to_owned()), ..deploy::options() };
    let intent = delete::of(preview.release.clone(), false).into_intent(options, provenance, None);
    match store.intent_create(intent).await {
        Ok(_) | Err(Error::Deleted { .. } | Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Takes the oldest ones away, so that with `room` for a new one there are at most `max`.
///
/// # Errors
///
/// As [`remove`].
pub(super) async fn evict(
    store: &Store,
    mut previews: Vec<Preview>,
    max: u32,
    room: usize,
    provenance: &Provenance,
) -> Result<(), Error> {
    previews.sort_by_key(Preview::deployed_at);
    let most = usize::try_from(max).unwrap_or(usize::MAX).saturating_sub(room);
    let over = previews.len().saturating_sub(most);
    for preview in previews.iter().take(over) {
        info!(release = %preview.release.name, max, "there are more previews than there may be; the oldest one goes");
        remove(store, preview, "a newer preview took its place", provenance.clone()).await?;
    }
    Ok(())
}

/// Who acts where nobody asked.
pub(super) fn system(trigger: &str, ids: &dyn Ids) -> Provenance {
    let request = RequestId::from_uuid(ids.next());
    Provenance { actor: Actor::System, trigger: trigger.to_owned(), correlation: request.to_string(), request }
}

/// Takes away whatever should not be there any more, with what was sealed for it. Returns how many previews. `gone` remembers since when apps are missed.
///
/// # Errors
///
/// Those of the database; what was asked for before stays asked for.
pub async fn reap(app: &App, gone: &mut BTreeMap<ReleaseName, Timestamp>) -> Result<usize, Error> {
    let Some(apps) = app.apps.get() else { return Ok(0) };
    let now = app.clock.now();
    gone.retain(|name, _| apps.get(name.as_str()).is_none());
    let mut by_app: BTreeMap<ReleaseName, Vec<Preview>> = BTreeMap::new();
    let mut count = 0;
    for preview in list(&app.store, &TenantName::default_tenant(), None).await? {
        let missing = apps.get(preview.of.app.as_str()).is_none();
        let since = missing.then(|| *gone.entry(preview.of.app.clone()).or_insert(now));
        let why = if since.is_some_and(|since| now.since(since) >= MISSED) {
            Some("its app is gone")
        } else if preview.expires_at(&apps).is_some_and(|at| at <= now) {
            Some("its time is over")
        } else {
            None
        };
        match why {
            Some(why) => {
                // What takes it away is on its way already, or a deploy that gives it more time.
                if preview.open.is_none() {
                    info!(release = %preview.release.name, "the preview is taken away: {why}");
                    remove(&app.store, &preview, why, system("previews", &*app.ids)).await?;
                    count += 1;
                }
            }
            None => by_app.entry(preview.of.app.clone()).or_default().push(preview),
        }
    }
    // Deploys that began at the same moment did not see each other.
    for previews in by_app.into_values() {
        let serving: Vec<Preview> =
            previews.into_iter().filter(|preview| preview.serving.is_some() && preview.open.is_none()).collect();
        let max = serving.iter().filter_map(|preview| preview.terms.as_ref()?.max).min();
        if let Some(max) = max.filter(|max| serving.len() > *max as usize) {
            count += serving.len() - max as usize;
            evict(&app.store, serving, max, 0, &system("previews", &*app.ids)).await?;
        }
    }
    if count > 0 {
        app.engine.wake();
    }
    forget(app, &apps).await?;
    Ok(count)
}

/// Removes what was sealed for previews that are gone.
async fn forget(app: &App, apps: &Apps) -> Result<(), Error> {
    let tenant = TenantName::default_tenant();
    let mut by_release: BTreeMap<ReleaseName, Vec<SecretName>> = BTreeMap::new();
    for name in app.store.secret_names(&tenant, &preview_prefix("")).await? {
        if let Some(release) = secrets::sealed_for_preview(&name) {
            by_release.entry(release).or_default().push(name);
        }
    }
    for (release, names) in by_release {
        let of_door = match app.store.release_get(&tenant, &release).await? {
            Some(known) => known.door == Door::Deploys && known.deleted,
            // Purged: whether it was a preview, only its name tells.
            None => apps.get(split_preview(release.as_str()).0).is_some(),
        };
        if of_door {
            let by = system("previews", &*app.ids);
            let removed = app.store.secret_remove_left(&tenant, &release, &names, &by).await?;
            tracing::debug!(%release, removed, "what was sealed for a preview is removed with it");
        }
    }
    Ok(())
}

/// Reaps until `stop`, where this server is the one that tends.
pub(crate) async fn tend(app: App, stop: CancellationToken) {
    let mut gone = BTreeMap::new();
    while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        if app.tended_by.borrow().is_some() {
            continue;
        }
        if let Err(error) = reap(&app, &mut gone).await {
            warn!(%error, "previews whose time is over could not be taken away; tried again");
        }
    }
}
