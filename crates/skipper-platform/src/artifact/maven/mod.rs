//! `maven:` resources: coordinates into a verified file, from the local repository, what was fetched before, and the
//! configured repositories in their order.
//!
//! A file is taken from the first that has it. What it sends is held against the sums it publishes; one that lies ends the
//! search. A snapshot is the newest build that any of them knows of.

mod coordinates;
mod memory;
mod metadata;
mod remote;
mod sample;
mod settings;
mod sums;

pub use coordinates::Coordinates;
pub use sample::{StandIn, stand_in};
pub use settings::{Place, Proxy, Repository, Settings};
pub(crate) use sums::Sums;

use std::{io, path::PathBuf, sync::OnceLock, time::Duration};

use skipper_core::{
    Sha256,
    port::{Error, ErrorKind},
    spec::Resource,
};
use tracing::{debug, info};

use super::{Cache, file, http, shelf::Incoming};
use remote::Remote;

/// Longest that configured repositories are asked for what is built in anyway.
const STAND_IN_PATIENCE: Duration = Duration::from_secs(5);

/// The repositories of a server.
#[derive(Debug, Default)]
pub(super) struct Maven {
    settings: Settings,
    /// Made when first needed, as the cache's own.
    client: OnceLock<reqwest::Client>,
}

/// Where a file may be.
struct Candidate<'a> {
    /// When it was built, where that matters and is known.
    updated: String,
    repository: &'a Repository,
    file: String,
}

/// What became of asking.
#[derive(Default)]
struct Asked {
    failures: Vec<(String, Error)>,
}

impl Maven {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, client: OnceLock::new() }
    }

    /// Brings the file of a `maven:` address here.
    pub(super) async fn fetch(&self, cache: &Cache, resource: &Resource) -> Result<Sha256, Error> {
        let wanted = Coordinates::parse(&resource.uri)?;
        let digest = match stand_in(&wanted) {
            Some(stand_in) if resource.sha256 == Some(stand_in.digest) => stand_in.digest,
            Some(stand_in) => {
                let asking = self.resolve(cache, &wanted, resource, |repository| !repository.usual);
                match tokio::time::timeout(STAND_IN_PATIENCE, asking).await {
                    Ok(Err(error)) if error.code() == "checksum-mismatch" => return Err(error),
                    Ok(Ok(digest)) => digest,
                    _ => {
                        info!(artifact = %wanted, "no configured repository has it; the built-in sample stands for it");
                        stand_in.digest
                    }
                }
            }
            None => self.resolve(cache, &wanted, resource, |_| true).await?,
        };
        match &resource.sha256 {
            Some(pinned) if *pinned != digest => Err(super::mismatch(&resource.uri, pinned, &digest)),
            _ => Ok(digest),
        }
    }

    /// The file of a release that lies in a folder or was fetched before, if nobody else is to be asked first. Blocking.
    pub(super) fn at_hand(&self, cache: &Cache, uri: &str) -> Option<PathBuf> {
        let wanted = Coordinates::parse(uri).ok()?;
        if wanted.is_moving() || stand_in(&wanted).is_some() {
            return None;
        }
        let path = format!("{}{}", wanted.folder(), wanted.file_name());
        let lies_in = |folder: &PathBuf| Some(folder.join(&path)).filter(|file| file.is_file());
        if let Some(file) = self.settings.local.as_ref().and_then(lies_in) {
            return Some(file);
        }
        if let Some(digest) = memory::get(cache, &path) {
            return Some(cache.path(&digest));
        }
        let asked = self.settings.repositories.iter().filter(|repository| repository.releases);
        let folders = asked.map_while(|repository| match &repository.place {
            Place::Folder(folder) => Some(folder),
            Place::Http(_) => None,
        });
        if self.settings.offline { None } else { folders.into_iter().find_map(lies_in) }
    }

    async fn resolve(
        &self,
        cache: &Cache,
        wanted: &Coordinates,
        resource: &Resource,
        ask: impl Fn(&Repository) -> bool,
    ) -> Result<Sha256, Error> {
        let path = format!("{}{}", wanted.folder(), wanted.file_name());
        let local = self.local();
        let nobody_to_ask = self.settings.offline || !wanted.is_moving();
        if nobody_to_ask {
            if let Some(local) = &local
                && let Some(incoming) = self.remote(cache, local)?.artifact(&path).await?
            {
                return keep(cache, incoming, resource).await;
            }
            if let Some(digest) = memory::get(cache, &path) {
                return Ok(digest);
            }
        }
        let mut asked = Asked::default();
        if !self.settings.offline {
            let enabled = |repository: &&Repository| {
                ask(repository) && if wanted.is_snapshot() { repository.snapshots } else { repository.releases }
            };
            let repositories: Vec<&Repository> = self.settings.repositories.iter().filter(enabled).collect();
            let candidates = if wanted.is_moving() {
                self.builds(cache, wanted, local.as_ref(), repositories, &mut asked).await?
            } else {
                let file = wanted.file_name();
                let plain = |repository| Candidate { updated: String::new(), repository, file: file.clone() };
                repositories.into_iter().map(plain).collect()
            };
            for candidate in candidates {
                let Candidate { repository, file, .. } = candidate;
                let found = self.remote(cache, repository)?.artifact(&format!("{}{file}", wanted.folder())).await;
                match found {
                    Ok(Some(incoming)) => {
                        let digest = keep(cache, incoming, resource).await?;
                        debug!(artifact = %wanted, repository = repository.id, file, "resolved");
                        memory::put(cache, &path, &digest);
                        return Ok(digest);
                    }
                    Ok(None) => {}
                    Err(error) if error.code() == "checksum-mismatch" => return Err(error),
                    Err(error) => asked.failures.push((repository.id.clone(), error)),
                }
            }
            // Nobody could say that there is a newer one.
            if !asked.failures.is_empty()
                && let Some(digest) = memory::get(cache, &path)
            {
                info!(artifact = %wanted, "no repository can be asked; the build that was fetched before is used");
                return Ok(digest);
            }
        }
        Err(self.failed(wanted, &asked))
    }

    /// The builds of a snapshot that anybody knows of, the newest first; of equal ones those of the first repository. What
    /// was installed here without a time comes last: it is a copy of what one of them has.
    async fn builds<'a>(
        &self,
        cache: &Cache,
        wanted: &Coordinates,
        local: Option<&'a Repository>,
        repositories: Vec<&'a Repository>,
        asked: &mut Asked,
    ) -> Result<Vec<Candidate<'a>>, Error> {
        let mut builds = Vec::new();
        let sources = local.map(|local| (local, "maven-metadata-local.xml")).into_iter();
        for (repository, name) in sources.chain(repositories.into_iter().map(|one| (one, "maven-metadata.xml"))) {
            let (updated, version) = match self.remote(cache, repository)?.metadata(wanted, name).await {
                Ok(Some(metadata)) => metadata.newest(wanted),
                Ok(None) => (String::new(), wanted.version.clone()),
                Err(error) if error.code() == "checksum-mismatch" => return Err(error),
                Err(error) => {
                    asked.failures.push((repository.id.clone(), error));
                    continue;
                }
            };
            builds.push(Candidate { updated, repository, file: wanted.file(&version) });
        }
        let is_local = |build: &Candidate<'_>| local.is_some_and(|local| std::ptr::eq(local, build.repository));
        builds.sort_by(|a, b| {
            let last = |build: &Candidate<'_>| is_local(build) && build.updated.is_empty();
            last(a).cmp(&last(b)).then_with(|| b.updated.cmp(&a.updated))
        });
        Ok(builds)
    }

    /// The local repository as one that is asked.
    fn local(&self) -> Option<Repository> {
        let folder = self.settings.local.clone().filter(|folder| folder.is_dir())?;
        Some(Repository {
            id: "local".to_owned(),
            place: Place::Folder(folder),
            login: None,
            releases: true,
            snapshots: true,
            sums_required: false,
            usual: false,
        })
    }

    fn remote<'a>(&self, cache: &'a Cache, repository: &'a Repository) -> Result<Remote<'a>, Error> {
        let client = match repository.place {
            Place::Folder(_) => None,
            Place::Http(_) => Some(self.client(cache)?),
        };
        Ok(Remote { repository, cache, client })
    }

    fn client(&self, cache: &Cache) -> Result<reqwest::Client, Error> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let mut limits = cache.limits.clone();
        limits.connect_timeout = self.settings.connect_timeout.unwrap_or(limits.connect_timeout);
        limits.read_timeout = self.settings.request_timeout.unwrap_or(limits.read_timeout);
        let proxy = self.settings.proxy.as_ref().and_then(Proxy::build);
        let client = http::build(&limits, proxy)?;
        Ok(self.client.get_or_init(|| client).clone())
    }

    fn failed(&self, wanted: &Coordinates, asked: &Asked) -> Error {
        let ids: Vec<String> = self.settings.repositories.iter().map(|one| format!("[{}]", one.id)).collect();
        let noun = if ids.len() == 1 { "repository: " } else { "repositories: " };
        let named = if ids.is_empty() { "none".to_owned() } else { ids.join(",") };
        let message = format!("Failed to resolve MavenResource: {wanted}. Configured remote {noun}: {named}");
        let (kind, code) = asked.verdict();
        let error = Error::new(kind, code, message);
        let error = match asked.told() {
            Some(told) => error.because(io::Error::other(told)),
            None => error,
        };
        let unsummed = asked.failures.iter().find(|(_, error)| error.code() == "checksum-missing");
        if let Some(hint) = unsummed.filter(|_| code == "checksum-missing").and_then(|(_, error)| error.advice()) {
            return error.hint(hint.to_owned());
        }
        error.hint(if self.settings.offline {
            "`maven.offline` is set: only the local repository and what was fetched before are looked into"
        } else if ids.is_empty() {
            "name a repository in `maven.repositories.ID.url`"
        } else {
            "compare the coordinates with what the repository has; `skipper config show --server` lists the repositories"
        })
    }
}

impl Asked {
    /// What the failures amount to: where one may be gone the next time, asking again may help.
    fn verdict(&self) -> (ErrorKind, &'static str) {
        let transient = self.failures.iter().find(|(_, error)| error.kind() != ErrorKind::Permanent);
        match transient.or_else(|| self.failures.first()) {
            Some((_, error)) => (error.kind(), error.code()),
            None => (ErrorKind::Permanent, "resource-not-found"),
        }
    }

    fn told(&self) -> Option<String> {
        let one = |(id, error): &(String, Error)| match error.code() {
            // It has answered, and what it sent is not taken.
            "checksum-missing" => error.chain(),
            _ => format!("`{id}` could not be asked: {}", error.chain()),
        };
        let told: Vec<String> = self.failures.iter().map(one).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }
}

async fn keep(cache: &Cache, incoming: Incoming, resource: &Resource) -> Result<Sha256, Error> {
    let (dir, resource) = (cache.dir().to_owned(), resource.clone());
    let kept = http::blocking(move || Ok(file::finish(&dir, incoming, &resource))).await;
    kept.map_err(|cause| {
        Error::new(ErrorKind::Transient, "artifact-store", "the storing task was ended").because(cause)
    })?
}
