//! Reading files out of an image: by a container that is made of it and never started.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bollard::{
    Docker,
    models::{ContainerCreateBody, ContainerSummary},
    query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder},
};
use skipper_core::{
    port::{Error, ErrorKind},
    spec::Resource,
};
use tracing::warn;

use super::{account::Account, fault, fetch, labels, secret_files::download};

/// Largest file that is read.
const FILE_BYTES: usize = 1 << 20;
/// How much is remembered: of so many images, so many paths each, and no larger files.
const KEPT_IMAGES: usize = 64;
const KEPT_PATHS: usize = 8;
const KEPT_BYTES: usize = 64 << 10;

/// See [`skipper_core::port::Platform::files_of`].
pub(super) async fn read(
    account: Arc<Account>,
    resource: Resource,
    paths: Vec<String>,
) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let engine = account.engine().await?;
    let image = fetch::pinned(&account, &engine, &resource).await?;
    if let Some(known) = account.read.known(&image, &paths) {
        return Ok(known);
    }
    let look = Look::begin(&account);
    let own = [(labels::OWNER, account.config.owner.clone()), (labels::ACCOUNT, account.config.account.to_string())];
    let own = own.into_iter().chain([(labels::KIND, labels::LOOK.to_owned())]);
    let body = ContainerCreateBody {
        image: Some(image.clone()),
        // Images may have none, and without one no container is made.
        cmd: Some(vec!["/".to_owned()]),
        labels: Some(own.map(|(name, value)| (name.to_owned(), value)).collect()),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::default().name(&look.name).build();
    let made = engine.create_container(Some(options), body).await;
    let made = made.map_err(|said| account.failed(format!("look into {}", resource.uri), said))?;
    let found = files(&account, &engine, &made.id, &paths).await;
    // Nobody has to wait for it.
    account.config.tasks.spawn(async move {
        remove(&engine, &made.id).await;
        drop(look);
    });
    let found = found?;
    account.read.keep(&image, &paths, &found);
    Ok(found)
}

/// What was read out of images, by the engine's own id and the path; `None` for what is not there.
#[derive(Debug, Default)]
pub(super) struct Read(Mutex<HashMap<String, Paths>>);

type Paths = BTreeMap<String, Option<Vec<u8>>>;

impl Read {
    /// All of them, if all are known.
    fn known(&self, image: &str, paths: &[String]) -> Option<BTreeMap<String, Vec<u8>>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_image = all.get(image)?;
        let mut found = BTreeMap::new();
        for path in paths {
            if let Some(bytes) = of_image.get(path)? {
                found.insert(path.clone(), bytes.clone());
            }
        }
        Some(found)
    }

    fn keep(&self, image: &str, paths: &[String], found: &BTreeMap<String, Vec<u8>>) {
        if found.values().any(|bytes| bytes.len() > KEPT_BYTES) {
            return;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT_IMAGES && !all.contains_key(image) {
            // Whichever: it is read again.
            if let Some(one) = all.keys().next().cloned() {
                all.remove(&one);
            }
        }
        let of_image = all.entry(image.to_owned()).or_default();
        if of_image.len() + paths.len() <= KEPT_PATHS {
            of_image.extend(paths.iter().map(|path| (path.clone(), found.get(path).cloned())));
        }
    }
}

async fn files(
    account: &Account,
    engine: &Docker,
    id: &str,
    paths: &[String],
) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let mut found = BTreeMap::new();
    for path in paths {
        match download(engine, id, path, FILE_BYTES).await {
            Ok(Some(bytes)) => {
                found.insert(path.clone(), bytes);
            }
            Ok(None) => {
                let message = format!("{path} in the image is no plain file of at most {} KiB", FILE_BYTES >> 10);
                return Err(Error::new(ErrorKind::Permanent, "image-file-invalid", message));
            }
            Err(said) if fault::is_missing(&said) => {}
            Err(said) => return Err(account.failed(format!("read {path} out of an image"), said)),
        }
    }
    Ok(found)
}

async fn remove(engine: &Docker, id: &str) {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    if let Err(error) = engine.remove_container(id, Some(options)).await
        && !fault::is_missing(&error)
    {
        warn!(%error, container = id, "a container that an image was read by was not removed");
    }
}

/// A container by which an image is read, from before it is made until it is gone.
struct Look {
    account: Arc<Account>,
    name: String,
}

impl Look {
    fn begin(account: &Arc<Account>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (now, number) = (account.config.clock.now().as_micros(), NEXT.fetch_add(1, Ordering::Relaxed));
        let name = format!("skipper-look-{now}-{}-{number}", std::process::id());
        account.looks.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        Self { account: Arc::clone(account), name }
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        self.account.looks.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

/// Names of the containers by which this process reads images now.
#[derive(Debug, Default)]
pub(super) struct Looks(Mutex<HashSet<String>>);

/// Removes what nobody reads by any more: it was left by somebody who was killed while reading, or whose connection broke.
/// `listed` is what the engine told a moment ago.
pub(super) async fn sweep(account: &Account, listed: &[ContainerSummary]) {
    let is_look = |one: &&ContainerSummary| {
        let labels = one.labels.as_ref();
        labels.and_then(|labels| labels.get(labels::KIND)).is_some_and(|kind| kind == labels::LOOK)
    };
    let left: Vec<&str> = {
        let now = account.looks.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_read =
            |one: &ContainerSummary| one.names.iter().flatten().any(|name| now.contains(name.trim_start_matches('/')));
        listed.iter().filter(is_look).filter(|one| !is_read(one)).filter_map(|one| one.id.as_deref()).collect()
    };
    if left.is_empty() {
        return;
    }
    // Whoever asks for the list does not have to hear of it: it is tried again with the next.
    let Ok(engine) = account.engine().await else { return };
    for id in left {
        remove(&engine, id).await;
    }
}
