//! Bringing an image here and saying which one it is.
//!
//! The digest of an image is the one its registry knows it by, so that it can be fetched again by it; of one that no
//! registry has (built here, loaded from a file), the engine's own id. Either way an image that is here is found by its
//! digest without asking anybody: a rollback needs no registry.

use std::collections::BTreeMap;

use bollard::{Docker, auth::DockerCredentials, models::ImageInspect, query_parameters::CreateImageOptionsBuilder};
use futures::TryStreamExt as _;
use skipper_core::{
    Sha256,
    port::{Error, ErrorKind},
    spec::{Application, Resource},
};
use tracing::info;

use super::{
    account::Account,
    config::Pull,
    fault,
    image::{Reference, full_name, registry_keys},
    kept::{self, Before},
    options::Options,
    pod::Manifest,
};
use crate::artifact;

/// Fetches by the policy; see [`skipper_core::port::Platform::fetch`].
pub(super) async fn fetch(account: &Account, resource: &Resource, pull: Pull) -> Result<Resource, Error> {
    let reference = Reference::parse(&resource.uri)?;
    let wanted = resource.sha256.or(reference.digest);
    let engine = account.engine().await?;
    if let Some(wanted) = wanted {
        if let (Some(given), Some(written)) = (&resource.sha256, &reference.digest)
            && given != written
        {
            return Err(artifact::mismatch(&resource.uri, given, written));
        }
        if find(account, &engine, &reference, &wanted).await?.is_none() {
            if pull == Pull::Never {
                return Err(not_here(&resource.uri));
            }
            let name = reference.by_digest(&wanted);
            let before = Before::look(account, &engine, &name).await?;
            download(account, &engine, &name, reference.registry()).await.map_err(|error| {
                let code = error.code();
                if code == "image-not-found" || code == "not-there" { gone(resource, &error) } else { error }
            })?;
            let Some(id) = find(account, &engine, &reference, &wanted).await? else {
                let what = format!("{} was fetched by its digest, and is not here by it", resource.uri);
                return Err(Error::new(ErrorKind::Transient, "image-not-found", what));
            };
            before.note(account, wanted, &id, &name).await;
        }
        return Ok(Resource { uri: resource.uri.clone(), sha256: Some(wanted) });
    }
    let found = match pull {
        Pull::Always => None,
        Pull::Missing | Pull::Never => by_name(account, &engine, &reference).await?,
    };
    let digest = match found {
        Some((digest, _)) => digest,
        None if pull == Pull::Never => return Err(not_here(&resource.uri)),
        None => {
            let name = reference.local();
            let before = Before::look(account, &engine, &name).await?;
            download(account, &engine, &name, reference.registry()).await?;
            let (digest, id) = by_name(account, &engine, &reference).await?.ok_or_else(|| {
                let message = format!("{} was fetched and is not here", resource.uri);
                Error::new(ErrorKind::Transient, "image-not-found", message)
            })?;
            before.note(account, digest, &id, &name).await;
            digest
        }
    };
    Ok(Resource { uri: resource.uri.clone(), sha256: Some(digest) })
}

/// Which image has that name, by what it is pinned and by the engine's id. From now on it stays for a while.
async fn by_name(account: &Account, engine: &Docker, reference: &Reference) -> Result<Option<(Sha256, String)>, Error> {
    let name = reference.local();
    let _looking = account.in_use.looking().await;
    let Some(found) = inspect(account, engine, &name).await? else { return Ok(None) };
    let digest = digest_of(&found, reference).ok_or_else(|| {
        let message = format!("{name}: the engine tells no digest of it");
        Error::new(ErrorKind::Permanent, "image-invalid", message)
    })?;
    account.in_use.ask(&digest);
    Ok(Some((digest, found.id.unwrap_or_default())))
}

/// Pins what an application is made of; see [`skipper_core::port::Platform::pin`]. The containers of a pod have an image
/// each; one that is the application's own is fetched once.
pub(super) async fn pin(account: &Account, app: &mut Application) -> Result<(), Error> {
    let told = Options::of(app)?.pull;
    let usual = account.config.settings.pull;
    app.resource = fetch(account, &app.resource, told.unwrap_or(usual)).await?;
    let Some(manifest) = Manifest::of(app)? else { return Ok(()) };
    let mut images: BTreeMap<String, Resource> = BTreeMap::new();
    for part in &manifest.parts {
        let known = images.values().chain([&app.resource]).find(|known| known.uri == part.uri).cloned();
        let image = match known {
            Some(known) => known,
            None => fetch(account, &part.pinned(app), told.or(part.pull).unwrap_or(usual)).await?,
        };
        images.insert(part.name.clone(), image);
    }
    app.images = images;
    Ok(())
}

/// The engine's id of a pinned image that is here.
pub(super) async fn pinned(account: &Account, engine: &Docker, resource: &Resource) -> Result<String, Error> {
    let reference = Reference::parse(&resource.uri)?;
    let digest = resource.sha256.or(reference.digest).ok_or_else(|| {
        let message = format!("image {} has no digest", resource.uri);
        Error::new(ErrorKind::Permanent, "resource-unpinned", message).hint("fetch it first: its answer has the digest")
    })?;
    find(account, engine, &reference, &digest).await?.ok_or_else(|| {
        let message = format!("image {} (sha256:{digest}) is not here any more", resource.uri);
        Error::new(ErrorKind::Permanent, "artifact-missing", message)
            .hint("roll out again: the image is fetched anew if its registry still has it")
    })
}

/// Looks for an image by the digest of its registry, as the engine's own id, and by the name that keeps it: an engine forgets
/// the digest of a registry with the last tag of that registry. From now on it stays for a while.
async fn find(
    account: &Account,
    engine: &Docker,
    reference: &Reference,
    digest: &Sha256,
) -> Result<Option<String>, Error> {
    let _looking = account.in_use.looking().await;
    account.in_use.ask(digest);
    let kept = [kept::repository(&account.config.owner), kept::UNOWNED.to_owned()];
    let kept = kept.into_iter().map(|repository| format!("{repository}:{digest}"));
    for name in [reference.by_digest(digest), format!("sha256:{digest}")].into_iter().chain(kept) {
        if let Some(found) = inspect(account, engine, &name).await?
            && let Some(id) = found.id
        {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

pub(super) async fn inspect(account: &Account, engine: &Docker, name: &str) -> Result<Option<ImageInspect>, Error> {
    match engine.inspect_image(name).await {
        Ok(found) => Ok(Some(found)),
        Err(said) if fault::is_missing(&said) => Ok(None),
        Err(said) => Err(account.failed(format!("look for image {name}"), said)),
    }
}

/// By what the image is pinned.
fn digest_of(image: &ImageInspect, reference: &Reference) -> Option<Sha256> {
    let name = reference.full_name();
    let by_registry = image.repo_digests.iter().flatten().find_map(|known| {
        let (known, digest) = known.split_once('@')?;
        if full_name(known) == name { digest.parse().ok() } else { None }
    });
    by_registry.or_else(|| image.id.as_deref()?.parse().ok())
}

/// Pulls. The registry gets its own credentials and nobody else's.
async fn download(account: &Account, engine: &Docker, name: &str, registry: &str) -> Result<(), Error> {
    let login = account.config.settings.login(&registry_keys(registry));
    let credentials = login.map(|login| DockerCredentials {
        username: Some(login.username),
        password: Some(login.password.expose().to_owned()),
        serveraddress: Some(registry.to_owned()),
        ..DockerCredentials::default()
    });
    let options = CreateImageOptionsBuilder::default().from_image(name).build();
    info!(image = name, registry, login = credentials.is_some(), "fetching an image");
    let pulled = engine.create_image(Some(options), None, credentials).try_for_each(|_| async { Ok(()) }).await;
    pulled.map_err(|said| account.failed(format!("fetch image {name} from {registry}"), said))
}

fn not_here(uri: &str) -> Error {
    Error::new(ErrorKind::Permanent, "image-not-found", format!("image {uri} is not here, and `pull` is never"))
        .hint("bring it to the engine (docker pull, docker load, docker build), or let `pull` be missing")
}

fn gone(resource: &Resource, error: &Error) -> Error {
    let message = format!(
        "image {} is not here any more under the digest that it was pinned to, and its registry does not have it: {}",
        resource.uri,
        error.chain()
    );
    Error::new(ErrorKind::Permanent, "image-not-found", message).hint(
        "deploy the image anew; one that was built here and never pushed exists only as long as the engine keeps it",
    )
}
