//! Clearing away what nothing needs any more: names that kept images, images that were fetched, networks that were made.
//!
//! Nothing is removed by force. What a container uses, anybody's, stays as it is; an image that has a name of somebody else
//! loses ours alone; one that was here before us and has another name is left to whoever made it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use bollard::{
    Docker,
    models::{ContainerSummary, ImageDeleteResponseItem, ImageInspect},
    query_parameters::{ListNetworksOptionsBuilder, RemoveImageOptions},
};
use skipper_core::{
    Sha256,
    port::{Cleared, Error, Garbage, Kept},
};
use tokio::time::Instant;
use tracing::{debug, info};

use super::{
    account::Account,
    fault, fetch,
    kept::{self, UNOWNED, plain, repository},
    labels, raw,
};

/// See [`skipper_core::port::Platform::kept`].
pub(super) async fn kept(account: Arc<Account>) -> Result<Kept, Error> {
    let engine = account.engine().await?;
    let mut own = kept::tagged(&account, &engine, &repository(&account.config.owner)).await?;
    // What was fetched for something that never ran has no name of ours.
    own.extend(kept::notes(&account).await.into_iter().map(|(digest, _)| digest));
    Ok(Kept { own, unowned: kept::tagged(&account, &engine, UNOWNED).await? })
}

/// See [`skipper_core::port::Platform::clear`]. Whatever is not done after `patience` is left for the next time.
pub(super) async fn clear(account: Arc<Account>, garbage: Garbage, patience: Duration) -> Result<Cleared, Error> {
    let until = Instant::now() + patience;
    let engine = account.engine().await?;
    let containers = raw::list(&account, &HashMap::new()).await;
    let containers = containers.map_err(|said| account.failed("list containers", said))?;
    let work = Work { account: &account, engine: &engine, idle: garbage.idle };
    work.adopt(&garbage, &containers).await?;
    let used: HashSet<String> =
        containers.iter().filter_map(|one| Some(plain(one.image_id.as_deref()?).to_owned())).collect();
    let mut cleared = Cleared::default();
    for digest in garbage.resources {
        if cleared.resources.len() >= garbage.limit || Instant::now() >= until {
            break;
        }
        work.image(digest, &used, &mut cleared).await?;
    }
    work.networks(&containers, &mut cleared).await?;
    Ok(cleared)
}

struct Work<'a> {
    account: &'a Account,
    engine: &'a Docker,
    idle: Duration,
}

impl Work<'_> {
    /// Takes over what earlier versions kept in nobody's name. That name goes where no other server can be meant by it.
    async fn adopt(&self, garbage: &Garbage, containers: &[ContainerSummary]) -> Result<(), Error> {
        if garbage.adopted.is_empty() {
            return Ok(());
        }
        let (owner, own) = (&self.account.config.owner, repository(&self.account.config.owner));
        let owners = containers.iter().filter_map(|one| one.labels.as_ref()?.get(labels::OWNER));
        let named = kept::names(self.account, self.engine, &format!("{UNOWNED}-*")).await?;
        let alone =
            owners.into_iter().all(|other| other == owner) && !named.iter().any(|name| kept::is_anothers(name, &own));
        for digest in &garbage.adopted {
            let old = format!("{UNOWNED}:{digest}");
            let Some(id) = fetch::inspect(self.account, self.engine, &old).await?.and_then(|image| image.id) else {
                continue;
            };
            let named = kept::name(self.engine, &id, &own, digest).await;
            named.map_err(|said| self.account.failed(format!("name image {id}"), said))?;
            if alone {
                self.remove(&old).await?;
            }
        }
        Ok(())
    }

    /// Takes our name from an image, and the image away if it was ours alone.
    async fn image(&self, digest: Sha256, used: &HashSet<String>, cleared: &mut Cleared) -> Result<(), Error> {
        let _alone = self.account.in_use.alone().await;
        if !self.account.in_use.is_idle(&digest, self.idle) {
            return Ok(());
        }
        let note = kept::read(self.account, digest).await;
        let ours = format!("{}:{digest}", repository(&self.account.config.owner));
        let named = fetch::inspect(self.account, self.engine, &ours).await?;
        let is_named = named.is_some();
        let found = match (named, &note) {
            (Some(found), _) => Some(found),
            (None, Some(note)) => fetch::inspect(self.account, self.engine, &note.image).await?,
            (None, None) => None,
        };
        let Some((id, size)) = found.and_then(|found| Some((found.id?, found.size))) else {
            // Somebody else has removed it.
            kept::forget(self.account, digest).await;
            return Ok(());
        };
        if used.contains(plain(&id)) {
            debug!(image = id, "no revision needs it, and a container uses it; it stays");
            return Ok(());
        }
        let note = note.filter(|note| plain(&note.image) == plain(&id)).unwrap_or_default();
        let mut gone = false;
        for name in &note.names {
            // It may have moved on.
            if self.id_of(name).await?.is_some_and(|now| plain(&now) == plain(&id)) {
                gone |= self.remove(name).await?.is_some_and(|done| deleted(&done, &id));
            }
        }
        // The last of our names to go: as long as it is here, all of this is done again after a crash.
        if is_named {
            let Some(done) = self.remove(&ours).await? else { return Ok(()) };
            gone |= deleted(&done, &id);
        }
        if note.brought && !gone && self.is_nameless(&id).await? {
            gone = self.remove(&id).await?.is_some_and(|done| deleted(&done, &id));
        }
        kept::forget(self.account, digest).await;
        info!(image = id, %digest, removed = gone, "no revision needs an image any more");
        cleared.resources.push(digest);
        if gone {
            cleared.removed += 1;
            cleared.bytes += u64::try_from(size.unwrap_or_default()).unwrap_or_default();
        }
        Ok(())
    }

    async fn id_of(&self, name: &str) -> Result<Option<String>, Error> {
        Ok(fetch::inspect(self.account, self.engine, name).await?.and_then(|image| image.id))
    }

    /// Here still, and without any name but digests.
    async fn is_nameless(&self, id: &str) -> Result<bool, Error> {
        let found = fetch::inspect(self.account, self.engine, id).await?;
        Ok(found.is_some_and(|image: ImageInspect| image.repo_tags.is_none_or(|names| names.is_empty())))
    }

    /// Removes a name, and the image with the last one; `None` where somebody uses it.
    async fn remove(&self, name: &str) -> Result<Option<Vec<ImageDeleteResponseItem>>, Error> {
        match self.engine.remove_image(name, None::<RemoveImageOptions>, None).await {
            Ok(done) => Ok(Some(done)),
            Err(said) if fault::is_missing(&said) => Ok(Some(Vec::new())),
            Err(said) if fault::is_conflict(&said) => {
                debug!(image = name, error = %said, "an image is in use; it stays");
                Ok(None)
            }
            Err(said) => Err(self.account.failed(format!("remove image {name}"), said)),
        }
    }

    /// Removes networks that were made for applications and that no container knows, running or not. The account's own is
    /// there for the next one.
    async fn networks(&self, containers: &[ContainerSummary], cleared: &mut Cleared) -> Result<(), Error> {
        let config = &self.account.config;
        let filters = HashMap::from([("label".to_owned(), vec![format!("{}={}", labels::OWNER, config.owner)])]);
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let listed = self.engine.list_networks(Some(options)).await;
        let listed = listed.map_err(|said| self.account.failed("list networks", said))?;
        let usual = super::prepare::usual_network(config);
        for network in listed {
            let labels = network.labels.unwrap_or_default();
            let is = |label: &str, value: &str| labels.get(label).is_none_or(|of| of == value);
            let Some(name) = network.name.filter(|name| name != usual) else { continue };
            if labels.get(labels::OWNER) != Some(&config.owner) || !is(labels::ACCOUNT, config.account.as_str()) {
                continue;
            }
            let knows = |one: &ContainerSummary| {
                let of = one.network_settings.as_ref().and_then(|settings| settings.networks.as_ref());
                of.is_some_and(|networks| networks.contains_key(&name))
            };
            let _alone = self.account.in_use.alone().await;
            if containers.iter().any(knows) || !self.account.in_use.is_idle(&format!("network {name}"), self.idle) {
                continue;
            }
            match self.engine.remove_network(&name).await {
                Ok(()) => {
                    info!(network = name, "removed a network that nothing uses");
                    cleared.networks.push(name);
                }
                Err(said) if fault::is_missing(&said) => {}
                Err(said) => debug!(network = name, error = %said, "a network is not removed"),
            }
        }
        Ok(())
    }
}

/// Whether the engine says that the image itself went.
fn deleted(done: &[ImageDeleteResponseItem], id: &str) -> bool {
    done.iter().any(|item| item.deleted.as_deref().is_some_and(|gone| plain(gone) == plain(id)))
}
