//! Reading files out of an image: by a container that is made of it and never started.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use bollard::{
    Docker,
    models::ContainerCreateBody,
    query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder},
};
use skipper_core::{
    port::{Error, ErrorKind},
    spec::Resource,
};
use tracing::warn;

use super::{account::Account, fault, fetch, labels, list, secret_files::download};

/// Largest file that is read.
const FILE_BYTES: usize = 1 << 20;
/// How much is remembered: of so many images, so many paths each, and no larger files.
const KEPT_IMAGES: usize = 64;
const KEPT_PATHS: usize = 8;
const KEPT_BYTES: usize = 64 << 10;
/// Containers that were made longer ago were left by somebody who was killed.
const OLD_SECS: i64 = 600;

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
    sweep(&account, &engine).await;
    let own = [(labels::OWNER, account.config.owner.clone()), (labels::ACCOUNT, account.config.account.to_string())];
    let own = own.into_iter().chain([(labels::KIND, labels::LOOK.to_owned())]);
    let body = ContainerCreateBody {
        image: Some(image.clone()),
        // Images may have none, and without one no container is made.
        cmd: Some(vec!["/".to_owned()]),
        labels: Some(own.map(|(name, value)| (name.to_owned(), value)).collect()),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::default().build();
    let made = engine.create_container(Some(options), body).await;
    let made = made.map_err(|said| account.failed(format!("look into {}", resource.uri), said))?;
    let found = files(&account, &engine, &made.id, &paths).await;
    // Nobody has to wait for it.
    account.config.tasks.spawn(async move { remove(&engine, &made.id).await });
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

/// Removes what was left by somebody who was killed while reading.
pub(super) async fn sweep(account: &Account, engine: &Docker) {
    let Ok(left) = list::of_kind(account, labels::LOOK).await else { return };
    let old = account.config.clock.now().as_micros() / 1_000_000 - OLD_SECS;
    for id in left.into_iter().filter(|one| one.created.is_some_and(|at| at < old)).filter_map(|one| one.id) {
        remove(engine, &id).await;
    }
}
