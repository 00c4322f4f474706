//! Taking the place of a slip that ran on this machine: its secrets are sealed into the store, and its containers serve until
//! Skipper's own have taken over.
//!
//! Nothing of slip's storage is changed or removed.

mod history;
pub mod previews;
mod written;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write as _},
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use skipper_core::{
    name::{ReleaseName, SecretName, TenantName},
    port::{Error as PortError, Foreign, Platform},
    release::Door,
    secret::SecretValue,
    time::Millis,
    time::Timestamp,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::{previews::SlipPreview, written::Written};
use super::{Apps, previews::system, secrets};
use crate::app::App;

/// What slip writes on each of its containers.
const MANAGED: (&str, &str) = ("slip.managed", "true");
/// The app, or `APP-preview-ID`.
const OF: &str = "slip.app";
const TAG: &str = "slip.tag";
/// Ends the name of a container of slip's that was stopped so that ours does not write beside it.
const HELD: &str = ".held-by-skipper";
const INFIX: &str = "-preview-";
/// In the data directory: from which storage the secrets were taken.
const MARKER: &str = "taken-over-from";
/// Most secrets, and the largest one.
const MOST: usize = 10_000;
const LARGEST: u64 = 1 << 20;
/// How often it is looked whether slip's containers can go.
const LOOK: Duration = Duration::from_secs(10);
/// Longest a listing, and stopping one, takes.
const LISTED: Duration = Duration::from_secs(10);
const STOPPED: Duration = Duration::from_secs(60);
/// How long requests may take on the way out where the app's file does not say it.
const DRAIN: Duration = Duration::from_secs(30);

/// Takes over what slip's storage holds, secrets and history, once for each storage. What goes wrong is logged, and tried again
/// when the server starts the next time.
pub async fn storage_of_slip(app: &App, data_dir: &Path) {
    let Some(apps) = app.apps.get() else { return };
    let storage = apps.server().storage.clone();
    let marker = data_dir.join(MARKER);
    if fs::read_to_string(&marker).is_ok_and(|known| known == storage) {
        return;
    }
    // Both, whatever becomes of the first one.
    let secrets = take_secrets(app, &storage).await;
    let history = history::take(app, &apps, Path::new(&storage)).await;
    if !secrets || !history {
        warn!(storage, "not all that slip left could be taken over; tried again when the server starts the next time");
    } else if let Err(error) = remember(&marker, &storage) {
        warn!(%error, "it could not be remembered that slip's storage was taken over; it is done again");
    }
}

/// Seals the secrets in slip's storage. One that the store has already stays as it is, so that a second time, after a crash, does
/// no harm. Says whether all went well.
async fn take_secrets(app: &App, storage: &str) -> bool {
    let folder = Path::new(storage).join("secrets");
    let read = tokio::task::spawn_blocking(move || read_secrets(&folder)).await;
    let Ok(Read { found, mut failed }) = read else { return false };
    let mut taken = 0_usize;
    for (name, value) in found {
        match take(app, &name, &value).await {
            Ok(new) => taken += usize::from(new),
            Err(error) => {
                warn!(secret = %name, %error, "a secret of slip's could not be taken over");
                failed = true;
            }
        }
    }
    if taken > 0 {
        info!(storage, taken, "secrets of slip's were sealed into the store; its files stay, and can be removed");
    }
    !failed
}

async fn take(app: &App, name: &SecretName, value: &SecretValue) -> Result<bool, skipper_store::Error> {
    let tenant = TenantName::default_tenant();
    let known = app.store.secret_list(&tenant).await?.into_iter().any(|info| info.name == *name);
    if !known {
        app.store.secret_set(&tenant, name, value, &system("takeover", &*app.ids)).await?;
    }
    Ok(!known)
}

/// What was found in slip's folder of secrets.
#[derive(Default)]
struct Read {
    found: Vec<(SecretName, SecretValue)>,
    failed: bool,
}

fn read_secrets(folder: &Path) -> Read {
    let mut read = Read::default();
    for app in entries(folder, &mut read.failed) {
        let Some(name) = app.file_name().and_then(|name| ReleaseName::new(name.to_str()?).ok()) else { continue };
        for file in entries(&app, &mut read.failed) {
            let shown = file.display();
            let Some(key) = file.file_name().and_then(|key| key.to_str()) else { continue };
            // What slip was writing when it died begins with a dot.
            let Some(stored) = secrets::name(&name, key) else { continue };
            match value(&file) {
                Ok(Some(value)) => read.found.push((stored, value)),
                Ok(None) => warn!(file = %shown, "is no plain file with a text of 1 byte to 1 MiB; not taken over"),
                Err(error) => {
                    warn!(file = %shown, %error, "cannot be read");
                    read.failed = true;
                }
            }
            if read.found.len() >= MOST {
                warn!(most = MOST, "there are more secrets than are taken over");
                return read;
            }
        }
    }
    read
}

/// The paths in a folder, in order. One that is not there is empty.
fn entries(folder: &Path, failed: &mut bool) -> Vec<std::path::PathBuf> {
    match fs::symlink_metadata(folder) {
        Ok(meta) if meta.is_dir() => {}
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(folder = %folder.display(), %error, "cannot be read");
            *failed = true;
            return Vec::new();
        }
        Ok(_) | Err(_) => return Vec::new(),
    }
    match fs::read_dir(folder) {
        Ok(entries) => {
            let mut paths: Vec<_> = entries.take(MOST).flatten().map(|entry| entry.path()).collect();
            paths.sort();
            paths
        }
        Err(error) => {
            warn!(folder = %folder.display(), %error, "cannot be read");
            *failed = true;
            Vec::new()
        }
    }
}

/// The text of a file, byte by byte. `None` for what is no value of a secret; a link leads anywhere, and is none.
fn value(file: &Path) -> io::Result<Option<SecretValue>> {
    let meta = fs::symlink_metadata(file)?;
    if !meta.is_file() || meta.len() == 0 || meta.len() > LARGEST {
        return Ok(None);
    }
    Ok(String::from_utf8(fs::read(file)?).ok().map(SecretValue::new))
}

fn remember(marker: &Path, storage: &str) -> io::Result<()> {
    let fresh = marker.with_extension("tmp");
    let mut file = fs::File::create(&fresh)?;
    file.write_all(storage.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, marker)
}

/// Who serves an app in slip's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nobody, and nobody is on the way.
    Waiting,
    /// A deploy is under way, or its requests still finish at slip's.
    Coming,
    /// Skipper.
    Taken,
}

/// What of slip's still serves: tags by what is written as `slip.app`; and pods of its that are gone.
#[derive(Debug, Default)]
pub struct Slips(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    serving: BTreeMap<String, String>,
    /// Previews that nothing has taken the place of, by the same.
    previews: BTreeMap<String, SlipPreview>,
    pods_gone: BTreeSet<String>,
    /// Nothing of slip's is left.
    is_over: bool,
}

impl Slips {
    /// The tag of an app that slip's container serves, because nothing was deployed here yet.
    #[must_use]
    pub fn tag(&self, app: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).serving.get(app).cloned()
    }

    fn known<T>(&self, with: impl FnOnce(&mut Known) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Removes containers and pods of slip's whose place Skipper's own have taken: those of an app that is configured, once a deploy of
/// it serves and requests had time to finish. One that was held back for a deploy that failed runs again. Says how many are left.
///
/// # Errors
///
/// Those of the database. A platform that does not answer counts as one that is left.
pub async fn sweep(app: &App) -> Result<usize, skipper_store::Error> {
    let Some(apps) = app.apps.get() else { return Ok(0) };
    let now = app.clock.now();
    let written = written(app).await;
    let of_label = |label: &str| written.iter().find(|one| one.label == label);
    let (mut left, mut serving, mut shown) = (0, BTreeMap::<String, String>::new(), BTreeMap::new());
    for (target, platform) in app.platforms.iter() {
        let found = match platform.foreign(&[MANAGED], LISTED).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(platform = %target.0, error = error.chain(), "cannot be asked for containers of slip's");
                left += 1;
                continue;
            }
        };
        for one in found {
            let label = one.labels.get(OF).map_or("", String::as_str);
            let place = match release_of(&apps, label) {
                Some((release, of)) => place(app, &apps, &release, &of).await?,
                None => Place::Coming,
            };
            let is_expired = is_expired(label, of_label(label), now);
            if let Some(why) = why_it_goes(&place, is_expired)
                && remove(platform.as_ref(), &one, why).await
            {
                if is_expired {
                    app.caddy.leave(vec![label.to_owned()]);
                }
                continue;
            }
            left += 1;
            if one.running {
                let tag = serving.entry(label.to_owned()).or_default();
                one.labels.get(TAG).into_iter().for_each(|known| tag.clone_from(known));
                if place == Place::Waiting
                    && let Some((_, of)) = release_of(&apps, label)
                {
                    let preview = SlipPreview::of(&of, label, tag, of_label(label));
                    shown.extend(preview.map(|preview| (label.to_owned(), preview)));
                }
            } else if place == Place::Waiting {
                resume(platform.as_ref(), &one).await;
            }
        }
    }
    left += sweep_pods(app, &apps, &written, &mut serving, &mut shown).await?;
    app.slips.known(|known| {
        (known.serving, known.previews, known.is_over) = (serving, shown, left == 0);
    });
    Ok(left)
}

/// The same for pods.
async fn sweep_pods(
    app: &App,
    apps: &Apps,
    written: &[Written],
    serving: &mut BTreeMap<String, String>,
    shown: &mut BTreeMap<String, SlipPreview>,
) -> Result<usize, skipper_store::Error> {
    let now = app.clock.now();
    let (mut left, mut running) = (0, None);
    for one in written {
        let (label, Some(pod)) = (&one.label, one.pod.clone()) else { continue };
        let Some((release, of)) = release_of(apps, label) else { continue };
        if app.slips.known(|known| known.pods_gone.contains(&pod)) {
            continue;
        }
        let place = place(app, apps, &release, &of).await?;
        let is_expired = is_expired(label, Some(one), now);
        let Some(why) = why_it_goes(&place, is_expired) else {
            left += 1;
            if running.is_none() {
                running = Some(names_of_running(app).await);
            }
            let is_of = |name: &String| name.strip_prefix(pod.as_str()).is_some_and(|rest| rest.starts_with('-'));
            if running.iter().flatten().any(is_of) {
                let tag = one.tag.clone().unwrap_or_default();
                if place == Place::Waiting {
                    let preview = SlipPreview::of(&of, label, &tag, Some(one));
                    shown.extend(preview.map(|preview| (label.clone(), preview)));
                }
                serving.insert(label.clone(), tag);
            }
            continue;
        };
        let removing = app.platforms.iter().map(|(_, platform)| platform.remove_foreign_pod(&pod, STOPPED));
        match futures::future::try_join_all(removing).await {
            Ok(_) => {
                info!(pod, "{why}: a pod of slip's is removed");
                app.slips.known(|known| known.pods_gone.insert(pod));
                if is_expired {
                    app.caddy.leave(vec![label.clone()]);
                }
            }
            Err(error) => {
                left += 1;
                warn!(pod, error = error.chain(), "a pod of slip's could not be removed; tried again");
            }
        }
    }
    Ok(left)
}

/// Whether it is a preview of slip's whose time is over.
fn is_expired(label: &str, written: Option<&Written>, now: Timestamp) -> bool {
    label.contains(INFIX) && written.and_then(|written| written.expires_at).is_some_and(|at| at <= now)
}

/// Why something of slip's is removed; `None` where it stays.
const fn why_it_goes(place: &Place, is_expired: bool) -> Option<&'static str> {
    match place {
        Place::Taken => Some("Skipper serves in its place"),
        Place::Waiting if is_expired => Some("the time of the preview is over"),
        Place::Waiting | Place::Coming => None,
    }
}

/// What slip wrote down of what it runs.
async fn written(app: &App) -> Vec<Written> {
    let Some(apps) = app.apps.get() else { return Vec::new() };
    let storage = apps.server().storage.clone();
    tokio::task::spawn_blocking(move || written::read(Path::new(&storage))).await.unwrap_or_default()
}

/// Names of the containers of other programs that run. Those of a pod begin with the name of that.
async fn names_of_running(app: &App) -> Vec<String> {
    let mut names = Vec::new();
    for (_, platform) in app.platforms.iter() {
        let found = platform.foreign(&[], LISTED).await.unwrap_or_default();
        names.extend(found.into_iter().filter(|one| one.running).map(|one| one.name));
    }
    names
}

/// Stops what slip runs of an app, before the first deploy of one that must not run twice. It runs again if that fails.
pub(super) async fn hold_back(platform: &dyn Platform, app: &ReleaseName) -> Result<(), PortError> {
    for one in platform.foreign(&[MANAGED, (OF, app.as_str())], LISTED).await? {
        if one.running {
            info!(container = one.name, "an app that must not run twice is deployed: slip's container stops first");
            platform.hold_foreign(&one.id, &format!("{}{HELD}", one.name.trim_end_matches(HELD)), STOPPED).await?;
        }
    }
    Ok(())
}

async fn resume(platform: &dyn Platform, one: &Foreign) {
    let Some(name) = one.name.strip_suffix(HELD) else { return };
    match platform.resume_foreign(&one.id, name, STOPPED).await {
        Ok(()) => {
            warn!(
                container = name,
                "the deploy that was to take its place does not serve: slip's container runs again"
            );
        }
        Err(error) => {
            warn!(
                container = name,
                error = error.chain(),
                "a container of slip's could not be started again; tried again"
            );
        }
    }
}

/// What slip still runs of an app that is being removed, and of its previews, goes with it: nobody would look after it any more.
pub(crate) async fn remove_of(app: &App, name: &ReleaseName) {
    const WHY: &str = "its app is removed";
    let is_of =
        |label: &str| label.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(INFIX));
    let of_app = written(app).await.into_iter().filter(|one| is_of(&one.label));
    let pods: Vec<String> = of_app.filter_map(|one| one.pod).collect();
    let clearing = app.platforms.iter().map(async |(target, platform)| {
        match platform.foreign(&[MANAGED], LISTED).await {
            Ok(found) => {
                for one in found.iter().filter(|one| one.labels.get(OF).is_some_and(|label| is_of(label))) {
                    remove(platform.as_ref(), one, WHY).await;
                }
            }
            Err(error) => {
                warn!(platform = %target.0, error = error.chain(), "what slip may run of `{name}` there is left");
            }
        }
        for pod in &pods {
            match platform.remove_foreign_pod(pod, STOPPED).await {
                Ok(()) => info!(pod, "{WHY}: a pod of slip's, if it was there, is removed"),
                Err(error) => warn!(pod, error = error.chain(), "a pod of slip's could not be removed"),
            }
        }
    });
    futures::future::join_all(clearing).await;
    app.slips.known(|known| {
        known.serving.retain(|label, _| !is_of(label));
        known.previews.retain(|label, _| !is_of(label));
    });
    // Its ways in lead nowhere any more.
    app.caddy.leave(vec![name.to_string()]);
}

async fn remove(platform: &dyn Platform, one: &Foreign, why: &str) -> bool {
    let removed = platform.remove_foreign(&one.id, STOPPED).await;
    match removed {
        Ok(()) => info!(container = one.name, "{why}: a container of slip's was removed"),
        Err(error) => {
            warn!(
                container = one.name,
                error = error.chain(),
                "a container of slip's could not be removed; tried again"
            );
            return false;
        }
    }
    true
}

/// Who serves in the place of what slip runs of an app.
async fn place(app: &App, apps: &Apps, release: &ReleaseName, of: &str) -> Result<Place, skipper_store::Error> {
    let Some(release) = app.store.release_get(&TenantName::default_tenant(), release).await? else {
        return Ok(Place::Waiting);
    };
    let latest = app.store.rollout_latest(release.id).await?;
    let Some(latest) = latest.filter(|_| release.door == Door::Deploys) else { return Ok(Place::Waiting) };
    let Some(at) = latest.finished_at else { return Ok(Place::Coming) };
    if release.deleted || release.serving.is_none() {
        return Ok(Place::Waiting);
    }
    let file = apps.get(of).and_then(|read| read.as_ref().ok());
    let drain = file.and_then(|file| file.deploy.drain_timeout).map_or(DRAIN, Millis::duration);
    Ok(if app.clock.now().since(at) >= drain { Place::Taken } else { Place::Coming })
}

/// The release that takes the place of what bears this label, and its app.
fn release_of(apps: &Apps, label: &str) -> Option<(ReleaseName, String)> {
    if apps.get(label).is_some() {
        return ReleaseName::new(label).ok().map(|name| (name, label.to_owned()));
    }
    apps.names().find_map(|name| {
        let id = label.strip_prefix(name)?.strip_prefix(INFIX)?;
        let app = ReleaseName::new(name).ok()?;
        Some((skipper_source::app::preview_release(&app, id).ok()?, name.to_owned()))
    })
}

/// Sweeps until nothing of slip's is left, or until `stop`, where this server is the one that tends.
pub(crate) async fn tend(app: App, stop: CancellationToken) {
    if app.apps.get().is_none() {
        return;
    }
    loop {
        if app.tended_by.borrow().is_none() {
            match sweep(&app).await {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => warn!(%error, "containers of slip's could not be looked for; tried again"),
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
            return;
        }
    }
}
