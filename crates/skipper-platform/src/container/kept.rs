//! What is kept of images, and for whom.
//!
//! An image that runs, or may be gone back to, bears a name of ours, so that an engine's own clearing away leaves it alone.
//! The name says which server it is kept for, as several may share an engine. Beside that, a note in the account's folder says
//! which images and names are here only because this account fetched them: nothing else is ever removed.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs, io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bollard::{
    Docker,
    query_parameters::{ListImagesOptionsBuilder, TagImageOptionsBuilder},
};
use serde::{Deserialize, Serialize};
use skipper_core::{Sha256, port::Error, spec::Resource};
use tokio::{
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Instant,
};
use tracing::warn;

use super::{account::Account, fetch};
use crate::local::blocking;

/// What earlier versions called images that they kept, whoever they were.
pub(super) const UNOWNED: &str = "skipper.local/kept";
/// In the account's folder; no deployment begins with a dot.
const NOTES: &str = ".images";
/// So long it is remembered what was asked for.
const REMEMBERED: Duration = Duration::from_secs(2 * 60 * 60);
/// Above so many, what is older is forgotten.
const MANY: usize = 1_000;

/// The repository of a server's names; the tag is the digest that the image is pinned to.
pub(super) fn repository(owner: &str) -> String {
    format!("{UNOWNED}-{}", &Sha256::of(owner.as_bytes()).to_string()[..16])
}

/// Whether a name is another server's.
pub(super) fn is_anothers(name: &str, own: &str) -> bool {
    name.strip_prefix(UNOWNED).is_some_and(|rest| rest.starts_with('-')) && !name.starts_with(&format!("{own}:"))
}

/// Who is looking for what, so that nothing is taken away under their hands.
#[derive(Debug, Default)]
pub(super) struct InUse {
    looking: RwLock<()>,
    asked: Mutex<HashMap<String, Instant>>,
}

impl InUse {
    /// Nothing is taken away while this is held.
    pub(super) async fn looking(&self) -> RwLockReadGuard<'_, ()> {
        self.looking.read().await
    }

    /// Nobody looks while this is held.
    pub(super) async fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.looking.write().await
    }

    /// Remembers that something was asked for, by digest or name.
    pub(super) fn ask(&self, what: &impl ToString) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() >= MANY {
            asked.retain(|_, at| at.elapsed() < REMEMBERED);
        }
        asked.insert(what.to_string(), Instant::now());
    }

    /// Whether nobody asked for it lately.
    pub(super) fn is_idle(&self, what: &impl ToString, since: Duration) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.get(&what.to_string()).is_none_or(|at| at.elapsed() >= since)
    }
}

/// Gives an image that runs, or may be gone back to, a name of ours. Who takes it away again is [`super::clear`].
pub(super) async fn keep(account: &Account, engine: &Docker, id: &str, resource: &Resource) {
    let Some(digest) = &resource.sha256 else { return };
    if let Err(error) = name(engine, id, &repository(&account.config.owner), digest).await {
        warn!(%error, image = id, "an image got no name that keeps it");
    }
}

/// Names an image.
pub(super) async fn name(
    engine: &Docker,
    id: &str,
    repository: &str,
    digest: &Sha256,
) -> Result<(), bollard::errors::Error> {
    let options = TagImageOptionsBuilder::default().repo(repository).tag(&digest.to_string()).build();
    engine.tag_image(id, Some(options)).await
}

/// The digests that are tags in a repository of ours.
pub(super) async fn tagged(account: &Account, engine: &Docker, repository: &str) -> Result<BTreeSet<Sha256>, Error> {
    let names = names(account, engine, repository).await?;
    let digest = |name: &String| name.strip_prefix(repository)?.strip_prefix(':')?.parse().ok();
    Ok(names.iter().filter_map(digest).collect())
}

/// All names of images whose repository is that one; it may have a star.
pub(super) async fn names(account: &Account, engine: &Docker, repository: &str) -> Result<Vec<String>, Error> {
    let filters = HashMap::from([("reference".to_owned(), vec![repository.to_owned()])]);
    let listed = engine.list_images(Some(ListImagesOptionsBuilder::default().filters(&filters).build())).await;
    let listed = listed.map_err(|said| account.failed("list images", said))?;
    Ok(listed.into_iter().flat_map(|image| image.repo_tags).collect())
}

/// What is here only because it was fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The engine's own id of the image.
    pub image: String,
    /// The image itself was not here before.
    pub brought: bool,
    /// Names that were not here before, or were ours already.
    pub names: BTreeSet<String>,
}

/// What was here before something is fetched.
#[derive(Debug)]
pub(super) struct Before {
    images: HashSet<String>,
    /// Which image the name that is fetched had.
    named: Option<String>,
}

impl Before {
    pub(super) async fn look(account: &Account, engine: &Docker, name: &str) -> Result<Self, Error> {
        let listed = engine.list_images(Some(ListImagesOptionsBuilder::default().build())).await;
        let listed = listed.map_err(|said| account.failed("list images", said))?;
        let named = fetch::inspect(account, engine, name).await?.and_then(|image| image.id);
        Ok(Self { images: listed.into_iter().map(|image| plain(&image.id).to_owned()).collect(), named })
    }

    /// Notes what fetching has changed: the image, by its digest and the engine's id, and the name.
    pub(super) async fn note(self, account: &Account, digest: Sha256, id: &str, name: &str) {
        let brought = !self.images.contains(plain(id));
        let mut is_ours = self.named.is_none();
        if let Some(named) = &self.named {
            let known = notes(account).await;
            is_ours = known.iter().any(|(_, note)| plain(&note.image) == plain(named) && note.names.contains(name));
        }
        if !brought && !is_ours {
            return;
        }
        let turn = account.turn(&format!("image {digest}"));
        let _turn = turn.lock().await;
        let mut note = read(account, digest).await.filter(|note| plain(&note.image) == plain(id)).unwrap_or_default();
        note.image = id.to_owned();
        note.brought |= brought;
        // By its digest it is found as long as it is here.
        if is_ours && !name.contains('@') {
            note.names.insert(name.to_owned());
        }
        let path = path(account, digest);
        let written = blocking(move || {
            fs::create_dir_all(path.parent().unwrap_or(&path))?;
            let text = serde_json::to_vec(&note).map_err(io::Error::other)?;
            // Half a note would be none: what was brought would stay.
            let half = path.with_extension("new");
            fs::write(&half, text)?;
            fs::rename(half, path)
        });
        if !matches!(written.await, Ok(Ok(()))) {
            warn!(%digest, "it could not be noted that an image was fetched; it stays when nobody needs it any more");
        }
    }
}

/// An id without the kind of its digest, which Podman leaves out at times.
pub(super) fn plain(id: &str) -> &str {
    id.strip_prefix("sha256:").unwrap_or(id)
}

fn path(account: &Account, digest: Sha256) -> PathBuf {
    account.config.root.join(NOTES).join(format!("{digest}.json"))
}

/// The note of one digest.
pub(super) async fn read(account: &Account, digest: Sha256) -> Option<Note> {
    let path = path(account, digest);
    let read = blocking(move || fs::read(path)).await.ok()?.ok()?;
    serde_json::from_slice(&read).ok()
}

/// Forgets it.
pub(super) async fn forget(account: &Account, digest: Sha256) {
    let path = path(account, digest);
    // What is noted and not here is forgotten the next time.
    let _ = blocking(move || fs::remove_file(path)).await;
}

/// All of them.
pub(super) async fn notes(account: &Account) -> Vec<(Sha256, Note)> {
    let dir = account.config.root.join(NOTES);
    let read = blocking(move || {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let digest = name.to_str().and_then(|name| name.strip_suffix(".json")?.parse().ok());
            let note = fs::read(entry.path()).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
            found.extend(digest.zip(note));
        }
        found
    });
    read.await.unwrap_or_default()
}
