//! Reading files out of an image: by a container that is made of it and never started.

use std::{collections::BTreeMap, sync::Arc};

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
    sweep(&account, &engine).await;
    let own = [(labels::OWNER, account.config.owner.clone()), (labels::ACCOUNT, account.config.account.to_string())];
    let own = own.into_iter().chain([(labels::KIND, labels::LOOK.to_owned())]);
    let body = ContainerCreateBody {
        image: Some(image),
        // Images may have none, and without one no container is made.
        cmd: Some(vec!["/".to_owned()]),
        labels: Some(own.map(|(name, value)| (name.to_owned(), value)).collect()),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::default().build();
    let made = engine.create_container(Some(options), body).await;
    let made = made.map_err(|said| account.failed(format!("look into {}", resource.uri), said))?;
    let found = files(&account, &engine, &made.id, paths).await;
    remove(&engine, &made.id).await;
    found
}

async fn files(
    account: &Account,
    engine: &Docker,
    id: &str,
    paths: Vec<String>,
) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let mut found = BTreeMap::new();
    for path in paths {
        match download(engine, id, &path, FILE_BYTES).await {
            Ok(Some(bytes)) => {
                found.insert(path, bytes);
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

async fn sweep(account: &Account, engine: &Docker) {
    let Ok(left) = list::of_kind(account, labels::LOOK).await else { return };
    let old = account.config.clock.now().as_micros() / 1_000_000 - OLD_SECS;
    for id in left.into_iter().filter(|one| one.created.is_some_and(|at| at < old)).filter_map(|one| one.id) {
        remove(engine, &id).await;
    }
}
