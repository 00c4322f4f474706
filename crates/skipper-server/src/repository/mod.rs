//! Where packages come from: repositories of this server, remote ones, and the one that is in the binary.
//!
//! All of them are rows of the store, so that one question finds a package wherever it is. A package of a remote repository
//! is listed there by its index ([`refresh`]); its zip is fetched when it is first needed, verified, and kept. The digest
//! that the index declares is the one that counts; where it declares none, that of the first zip does from then on.

mod built_in;
mod entry;
mod fetch;
mod location;
mod metadata;
mod refresh;
mod schedule;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use skipper_core::{
    Sha256,
    name::{PackageName, PlatformName, RepositoryName},
    port::{Clock, Error as PortError, ErrorKind, Ids, ResolveRequest},
    release::Source,
    spec::Spec,
};
use skipper_source::{Built, RenderOptions, UserValues};
use skipper_store::{Package, PackageCursor, PackageFilter, RepositoryKind, Store};
use tokio::{sync::Notify, time::Instant};
use tracing::warn;

pub use entry::{Chosen, Cursor, Entry, Listed, Search, Wanted};
pub use refresh::Report;

pub(crate) use fetch::INDEX_TIME;
pub(crate) use location::shown as shown_url;
pub(crate) use metadata::{index_entry, is_of_index, metadata_json, words};

use self::{fetch::Failure, fetch::Fetcher, location::Location};
use crate::{
    config::RepositoryConfig,
    error::{Code, Error, package_faults},
};

/// Longest that a search for a package waits for repositories whose index was never read.
const FIRST_READ: Duration = Duration::from_secs(20);

/// How repositories are kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This server's name in leases.
    pub owner: String,
    /// Time between two refreshes of a remote repository.
    pub refresh: Duration,
    /// Largest zip, in bytes.
    pub package: usize,
    /// Longest that an index may take.
    pub patience: Duration,
}

/// All repositories.
pub struct Repositories {
    store: Store,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    settings: Settings,
    fetcher: Fetcher,
    built_in: OnceLock<Vec<Built>>,
    /// One refresh of a repository at a time.
    gates: Mutex<HashMap<RepositoryName, Arc<tokio::sync::Mutex<()>>>>,
    /// Something may be due.
    nudge: Notify,
}

impl fmt::Debug for Repositories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repositories").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Repositories {
    /// Those of the store.
    #[must_use]
    pub fn new(store: Store, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>, settings: Settings) -> Self {
        Self {
            store,
            clock,
            ids,
            settings,
            fetcher: Fetcher::default(),
            built_in: OnceLock::new(),
            gates: Mutex::default(),
            nudge: Notify::new(),
        }
    }

    /// Brings the store up to date before the first request: rows of an older Skipper, the repositories of the
    /// configuration that are not stored yet, and what is built in, where that is wanted. Reads no index from elsewhere.
    ///
    /// # Errors
    ///
    /// Only the store's.
    pub async fn prepare(&self, configured: &[RepositoryConfig], built_in: bool) -> Result<(), skipper_store::Error> {
        self.store.packages_rekey(metadata::order_of).await?;
        for repository in configured.iter().filter(|repository| repository.url.is_some()) {
            self.make_room(repository).await?;
        }
        let new = configured.iter().map(RepositoryConfig::new_one).collect();
        self.store.repository_seed(new, &self.provenance()).await?;
        if built_in { self.build_in().await } else { Ok(()) }
    }

    /// The built-in repository gives way to another of its name; what people changed in the meantime stays.
    async fn make_room(&self, repository: &RepositoryConfig) -> Result<(), skipper_store::Error> {
        let there = self.store.repository_get(&repository.name).await?;
        if there.is_some_and(|there| there.kind == RepositoryKind::BuiltIn)
            && let Err(error) = self.store.repository_remove(&repository.name, &self.provenance()).await
        {
            warn!("the built-in repository `{}` stays: {error}", repository.name);
        }
        Ok(())
    }

    /// Every repository, in the order they are asked.
    ///
    /// # Errors
    ///
    /// Only the store's.
    pub async fn list(&self) -> Result<Vec<Listed>, Error> {
        Ok(self.store.repository_list().await?.into_iter().map(Listed::from).collect())
    }

    /// The repository of that name.
    ///
    /// # Errors
    ///
    /// [`Code::RepositoryNotFound`].
    pub async fn repository(&self, name: &str) -> Result<Listed, Error> {
        let all = self.list().await?;
        let known: Vec<String> = all.iter().map(|listed| listed.name.to_string()).collect();
        all.into_iter().find(|listed| listed.name.as_str() == name).ok_or_else(|| {
            Error::new(Code::RepositoryNotFound, format!("there is no repository `{name}`"))
                .hint(format!("there is {}", known.join(", ")))
        })
    }

    /// Something may be due: a repository was added or changed.
    pub(crate) fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Why an address is none of a repository; nothing when it is one.
    pub(crate) fn check_url(url: &str) -> Option<String> {
        Location::parse(url).err()
    }

    /// The package that is meant, with its bytes. Of several that fit the highest version is meant, and of equal ones that of
    /// the repository with the highest order.
    ///
    /// # Errors
    ///
    /// [`Code::PackageNotFound`] and [`Code::RepositoryNotFound`], with what there is instead; [`Code::RepositoryFailed`] when
    /// its zip cannot be had, or is another one than it was.
    pub async fn choose(&self, wanted: &Wanted) -> Result<Chosen, Error> {
        if let Some(bytes) = &wanted.archive {
            return inline(Arc::clone(bytes)).await;
        }
        let entry = self.find(wanted).await?;
        self.with_bytes(entry).await
    }

    /// The package that is meant, without its bytes.
    ///
    /// # Errors
    ///
    /// As [`Repositories::choose`], but for the zip.
    pub async fn find(&self, wanted: &Wanted) -> Result<Entry, Error> {
        let name =
            PackageName::new(wanted.name.clone()).map_err(|wrong| Error::new(Code::Invalid, wrong.to_string()))?;
        let repository = match &wanted.repository {
            Some(one) => Some(self.repository(one).await?.name),
            None => None,
        };
        let version = wanted.version.as_deref().filter(|version| !version.trim().is_empty());
        let look = || self.look(repository.as_ref(), &name, version);
        if let Some(found) = look().await? {
            return Ok(found.into());
        }
        if self.read_unread(repository.as_ref()).await
            && let Some(found) = look().await?
        {
            return Ok(found.into());
        }
        let there = self.store.package_versions(repository.as_ref(), &name, 10).await?;
        let there: Vec<String> =
            there.into_iter().map(|there| format!("{}/{}-{}", there.repository, there.name, there.version)).collect();
        let what = version.map_or_else(|| format!("`{name}`"), |version| format!("`{name}` {version}"));
        let place = repository.map_or_else(String::new, |place| format!(" in repository `{place}`"));
        let hint = if there.is_empty() {
            format!("`skipper search {name}` looks for similar names; `skipper upload` adds a package")
        } else {
            format!("there is {}", there.join(", "))
        };
        Err(Error::new(Code::PackageNotFound, format!("there is no package {what}{place}")).hint(hint))
    }

    async fn look(
        &self,
        repository: Option<&RepositoryName>,
        name: &PackageName,
        version: Option<&str>,
    ) -> Result<Option<Package>, Error> {
        Ok(match (version, repository) {
            (Some(version), Some(repository)) => self.store.package_get(repository, name, version).await?,
            (Some(version), None) => self.store.package_named(name, version).await?,
            (None, repository) => self.store.package_latest(repository, name).await?,
        })
    }

    /// Reads indexes that were never read, as just after a start, since what is looked for may be in one of them. Says
    /// whether there was one.
    async fn read_unread(&self, only: Option<&RepositoryName>) -> bool {
        let Ok(all) = self.store.repository_list().await else { return false };
        let unread = all.into_iter().filter(|repository| {
            repository.kind == RepositoryKind::Remote
                && (repository.refresh.refreshed_at, repository.refresh.failures) == (None, 0)
                && only.is_none_or(|name| *name == repository.name)
        });
        let until = Instant::now() + FIRST_READ;
        let mut any = false;
        for repository in unread {
            any = true;
            // Whatever goes wrong is noted beside the repository.
            let _ = tokio::time::timeout_at(until, self.refresh(&repository.name)).await;
        }
        any
    }

    /// Packages by name, then in the order they were published, after the cursor.
    ///
    /// # Errors
    ///
    /// [`Code::RepositoryNotFound`], and the store's.
    pub async fn search(&self, wanted: &Search, after: Option<&Cursor>, limit: u32) -> Result<Vec<Entry>, Error> {
        let repository = match &wanted.repository {
            Some(name) => Some(self.repository(name).await?.name),
            None => None,
        };
        let (q, tag) = wanted.words();
        let filter = PackageFilter {
            q: q.as_deref(),
            name: wanted.name.as_deref(),
            tag: tag.as_deref(),
            repository: repository.as_ref(),
        };
        let after = after.map(|cursor| PackageCursor { name: cursor.name.clone(), num: cursor.num });
        let found = self.store.package_list(filter, after.as_ref(), limit).await?;
        Ok(found.into_iter().map(Entry::from).collect())
    }

    /// The bytes of a package; those of a remote one are fetched and kept when they are not here yet.
    ///
    /// # Errors
    ///
    /// As [`Repositories::choose`].
    pub async fn with_bytes(&self, entry: Entry) -> Result<Chosen, Error> {
        let gone =
            || Error::new(Code::PackageNotFound, format!("package {}-{} was just removed", entry.name, entry.version));
        if entry.size.is_some() {
            let bytes = self.store.package_archive(&entry.repository, &entry.name, &entry.version).await?;
            let bytes = Arc::new(bytes.ok_or_else(gone)?);
            let sha256 = entry.sha256.unwrap_or_else(|| Sha256::of(&bytes));
            return Ok(Chosen { sha256, bytes, entry });
        }
        if let Some(wrong) = metadata::wrong_digest(&entry.metadata) {
            let Entry { repository, name, version, .. } = &entry;
            let why = format!(
                "package {name}-{version} cannot be verified: its entry in the index of repository `{repository}` has the \
                 `sha256` `{}`, which is no SHA-256 digest",
                wrong.escape_debug()
            );
            return Err(Error::new(Code::RepositoryFailed, why)
                .hint("a digest has 64 hexadecimal digits; an entry without `sha256` is taken as it is"));
        }
        let bytes = self.fetch(&entry).await?;
        let checked = check(entry, bytes).await?;
        let kept = self.store.package_keep(checked.entry.num, checked.bytes.as_ref().clone()).await;
        let entry = kept.map(Entry::from).map_err(|error| match error {
            skipper_store::Error::PackageChanged { .. } => Error::from(error),
            skipper_store::Error::NotFound { .. } => Error::new(
                Code::PackageNotFound,
                format!("package {}-{} was just removed", checked.entry.name, checked.entry.version),
            ),
            error => error.into(),
        })?;
        Ok(Chosen { entry, ..checked })
    }

    async fn fetch(&self, entry: &Entry) -> Result<Vec<u8>, Error> {
        let Some(repository) = self.store.repository_get(&entry.repository).await? else {
            return Err(Error::new(
                Code::RepositoryNotFound,
                format!("repository `{}` was just removed", entry.repository),
            ));
        };
        if repository.kind == RepositoryKind::BuiltIn {
            let own = self.built_in().iter();
            let mut own =
                own.filter(|built| (&built.metadata.name, &built.metadata.version) == (&entry.name, &entry.version));
            return own.next().map(|built| built.bytes.clone()).ok_or_else(|| {
                Error::new(
                    Code::PackageNotFound,
                    format!("package {}-{} does not come with this Skipper any more", entry.name, entry.version),
                )
            });
        }
        let failed = |why: String| Error::new(Code::RepositoryFailed, why);
        let location = Location::parse(repository.url.as_deref().unwrap_or_default()).map_err(failed)?;
        let (name, version) = (entry.name.as_str(), entry.version.as_str());
        let file = location.file(&[name, &format!("{name}-{version}.zip")]);
        self.fetcher.zip(&file, self.settings.package, self.settings.patience).await.map_err(|failure| match failure {
            Failure::Missing => failed(format!(
                "package {name}-{version} is in the index of repository `{}`, but {}",
                repository.name,
                failure.told(&file)
            ))
            .hint("tell whoever runs the repository, or choose another version"),
            failure => failed(failure.told(&file)).hint("ask again later, or look at `skipper repo list`"),
        })
    }

    fn gate(&self, name: &RepositoryName) -> Arc<tokio::sync::Mutex<()>> {
        let mut gates = self.gates.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Those of repositories that are gone would stay for ever.
        gates.retain(|known, gate| known == name || Arc::strong_count(gate) > 1);
        Arc::clone(gates.entry(name.clone()).or_default())
    }

    /// Renders a package of a revision that was stored without a manifest.
    pub(crate) async fn render_again(&self, request: &ResolveRequest) -> Result<(String, Spec), PortError> {
        let refused = |code, message: String| PortError::new(ErrorKind::Permanent, code, message);
        let Source::Package { repository, name, version, sha256, values, platform, raw } = &request.source else {
            return Err(refused("no-package", "the revision was not made of a package".to_owned()));
        };
        let wanted = Wanted::stored(Some(repository.clone()), name.clone(), Some(version.clone()));
        let chosen = self.choose(&wanted).await.map_err(|error| refused("package-gone", error.to_string()))?;
        if chosen.sha256 != *sha256 {
            return Err(refused(
                "package-changed",
                format!("package {} is not the one that was asked for", chosen.label()),
            ));
        }
        let package = skipper_source::Package::from_zip(&chosen.bytes)
            .map_err(|wrong| refused("package-invalid", wrong.to_string()))?;
        let local = || PlatformName::new("local").expect("the constant is a name");
        let options = RenderOptions {
            release: request.release_name.clone(),
            revision: request.revision,
            platform: platform.clone().unwrap_or_else(local),
        };
        let values = UserValues { tree: values, raw: raw.as_deref() };
        let rendered =
            package.render(values, &options, None).map_err(|faults| refused("render-failed", faults.to_string()))?;
        Ok((rendered.manifest, rendered.spec))
    }
}

/// Looks into a zip that came from elsewhere. That the index calls it something else than it does itself is told and no
/// more: the index wins.
async fn check(entry: Entry, bytes: Vec<u8>) -> Result<Chosen, Error> {
    let label = format!("{}/{}-{}", entry.repository, entry.name, entry.version);
    let invalid = |why: String| Error::new(Code::PackageInvalid, format!("package {label} {why}"));
    if bytes.is_empty() {
        return Err(invalid("has no content: its zip is empty".to_owned()));
    }
    let bytes = Arc::new(bytes);
    let sha256 = Sha256::of(&bytes);
    let reading = tokio::task::spawn_blocking({
        let bytes = Arc::clone(&bytes);
        move || skipper_source::Package::from_zip(&bytes).map(|package| package.metadata())
    });
    let metadata =
        reading.await.map_err(Error::internal)?.map_err(|wrong| invalid(format!("cannot be read: {wrong}")))?;
    match metadata {
        Ok(inside) if (&inside.name, &inside.version) != (&entry.name, &entry.version) => {
            warn!("package {label} calls itself {}-{} inside; the index is believed", inside.name, inside.version);
        }
        Ok(_) => {}
        Err(faults) => warn!("package {label} says odd things of itself: {faults}"),
    }
    Ok(Chosen { entry, sha256, bytes })
}

/// Reads a package that is in no repository. It is called as if it were in `local`, where it would be uploaded to.
async fn inline(bytes: Arc<Vec<u8>>) -> Result<Chosen, Error> {
    let reading = tokio::task::spawn_blocking(move || {
        let package = skipper_source::Package::from_zip(&bytes)
            .map_err(|wrong| Error::new(Code::PackageInvalid, format!("the package cannot be read: {wrong}")))?;
        let metadata = package
            .metadata()
            .map_err(|faults| package_faults(Code::PackageInvalid, "the package is not valid", &faults))?;
        let sha256 = Sha256::of(&bytes);
        let entry = Entry {
            num: 0,
            row_version: 0,
            repository: RepositoryName::new("local").expect("the constant is a name"),
            name: metadata.name.clone(),
            version: metadata.version.clone(),
            sha256: Some(sha256),
            size: Some(bytes.len() as u64),
            metadata: metadata_json(&metadata),
            created_at: None,
        };
        Ok(Chosen { entry, sha256, bytes })
    });
    reading.await.map_err(Error::internal)?
}
