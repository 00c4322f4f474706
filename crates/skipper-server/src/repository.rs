//! Where packages come from: the repositories of the store, and the built-in one.

use std::sync::{Arc, OnceLock};

use semver::Version;
use serde_json::{Value, json};
use skipper_core::{
    Sha256,
    name::{PackageName, PlatformName, RepositoryName},
    port::{Error as PortError, ErrorKind, ResolveRequest},
    release::Source,
    spec::Spec,
    time::Timestamp,
};
use skipper_source::{Metadata, RenderOptions, UserValues, builtin};
use skipper_store::{Package, PackageCursor, Repository, Store};

use crate::error::{Code, Error, package_faults};

/// Names a package, as a caller does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its repository; all are searched when absent.
    pub repository: Option<String>,
    /// Its name.
    pub name: String,
    /// Its version; the highest when absent.
    pub version: Option<String>,
    /// Its zip, where it is in no repository: for plans alone. The rest says nothing then.
    pub archive: Option<Arc<Vec<u8>>>,
}

impl Wanted {
    /// A package of a repository.
    #[must_use]
    pub const fn stored(repository: Option<String>, name: String, version: Option<String>) -> Self {
        Self { repository, name, version, archive: None }
    }

    /// A package that is in no repository.
    #[must_use]
    pub fn inline(archive: Vec<u8>) -> Self {
        Self { repository: None, name: String::new(), version: None, archive: Some(Arc::new(archive)) }
    }
}

/// One version of a package, as it is listed.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its number; below zero for what is built in.
    pub num: i64,
    /// Counts its changes.
    pub row_version: u64,
    /// Its repository.
    pub repository: RepositoryName,
    /// Its name.
    pub name: PackageName,
    /// Its version.
    pub version: String,
    /// Digest of the archive.
    pub sha256: Sha256,
    /// Length of the archive in bytes.
    pub size: u64,
    /// What it says of itself.
    pub metadata: Value,
    /// When it was uploaded; `None` for what is built in.
    pub created_at: Option<Timestamp>,
}

/// A package with its bytes.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Its entry.
    pub entry: Entry,
    /// The zip.
    pub bytes: Arc<Vec<u8>>,
}

impl Chosen {
    /// `local/hello-1.0.0`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}/{}-{}", self.entry.repository, self.entry.name, self.entry.version)
    }

    /// What a revision remembers.
    #[must_use]
    pub fn source(&self, values: Value, platform: Option<PlatformName>, raw: Option<String>) -> Source {
        Source::Package {
            repository: self.entry.repository.to_string(),
            name: self.entry.name.to_string(),
            version: self.entry.version.clone(),
            sha256: self.entry.sha256,
            values,
            platform,
            raw,
        }
    }
}

/// A repository, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: RepositoryName,
    /// Searched the highest first.
    pub order: i64,
    /// Whether packages can be uploaded to it.
    pub writable: bool,
    /// One line about it.
    pub description: String,
}

/// All repositories.
#[derive(Debug)]
pub struct Repositories {
    store: Store,
    built_in: OnceLock<Vec<Chosen>>,
}

impl Repositories {
    /// Those of the store, and the built-in one.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self { store, built_in: OnceLock::new() }
    }

    /// The packages that are in the binary; unpacked when first asked for.
    fn built_in(&self) -> &[Chosen] {
        self.built_in.get_or_init(|| {
            let repository = RepositoryName::new(builtin::REPOSITORY).expect("the constant is a name");
            let packages = builtin::packages().into_iter().enumerate();
            let chosen = packages.map(|(index, built)| Chosen {
                entry: Entry {
                    // Small enough for readers whose numbers are floating-point.
                    num: -1_000_000 + i64::try_from(index).unwrap_or(0),
                    row_version: 1,
                    repository: repository.clone(),
                    name: built.metadata.name.clone(),
                    version: built.metadata.version.clone(),
                    sha256: built.sha256,
                    size: built.bytes.len() as u64,
                    metadata: metadata_json(&built.metadata),
                    created_at: None,
                },
                bytes: Arc::new(built.bytes),
            });
            chosen.collect()
        })
    }

    /// Every repository, in the order they are searched.
    ///
    /// # Errors
    ///
    /// Only the store's.
    pub async fn list(&self) -> Result<Vec<Listed>, Error> {
        let stored = self.store.repository_list().await?;
        let mut all: Vec<Listed> = stored.into_iter().map(listed).collect();
        all.push(Listed {
            name: RepositoryName::new(builtin::REPOSITORY).expect("the constant is a name"),
            order: 0,
            writable: false,
            description: "Packages that come with Skipper".to_owned(),
        });
        all.sort_by(|a, b| b.order.cmp(&a.order).then_with(|| a.name.cmp(&b.name)));
        Ok(all)
    }

    /// The package that is meant, with its bytes.
    ///
    /// # Errors
    ///
    /// [`Code::PackageNotFound`] and [`Code::RepositoryNotFound`], with what there is instead.
    pub async fn choose(&self, wanted: &Wanted) -> Result<Chosen, Error> {
        if let Some(bytes) = &wanted.archive {
            return inline(Arc::clone(bytes)).await;
        }
        let name =
            PackageName::new(wanted.name.clone()).map_err(|wrong| Error::new(Code::Invalid, wrong.to_string()))?;
        let repositories = match &wanted.repository {
            Some(one) => vec![self.repository(one).await?.name],
            None => self.list().await?.into_iter().map(|listed| listed.name).collect(),
        };
        let mut seen = Vec::new();
        for repository in repositories {
            let versions = self.versions(&repository, &name).await?;
            let found = match &wanted.version {
                Some(version) => versions.iter().find(|entry| entry.version == *version),
                None => highest(&versions),
            };
            if let Some(entry) = found {
                return self.with_bytes(entry.clone()).await;
            }
            seen.extend(
                versions.into_iter().map(|entry| format!("{}/{}-{}", entry.repository, entry.name, entry.version)),
            );
        }
        let what = wanted.version.as_ref().map_or_else(|| format!("`{name}`"), |version| format!("`{name}` {version}"));
        let place = wanted.repository.as_ref().map_or_else(String::new, |place| format!(" in repository `{place}`"));
        let hint = if seen.is_empty() {
            format!("`skipper search {name}` looks for similar names; `skipper upload` adds a package")
        } else {
            seen.truncate(10);
            format!("there is {}", seen.join(", "))
        };
        Err(Error::new(Code::PackageNotFound, format!("there is no package {what}{place}")).hint(hint))
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

    /// Packages by name, then in the order they were published, after the cursor; with `q` those that are found by it.
    ///
    /// # Errors
    ///
    /// Only the store's.
    pub async fn search(&self, q: Option<&str>, after: Option<&Cursor>, limit: u32) -> Result<Vec<Entry>, Error> {
        let from = after.map(|cursor| PackageCursor { name: cursor.name.clone(), num: cursor.num.max(0) });
        let stored = self.store.package_list(q, from.as_ref(), limit).await?;
        let needle = q.map(|q| q.trim().to_lowercase()).filter(|q| !q.is_empty());
        let fits = |entry: &Entry| {
            let text = format!("{} {}", entry.name, entry.metadata).to_lowercase();
            needle.as_ref().is_none_or(|needle| text.contains(needle))
        };
        let past =
            |entry: &Entry| after.is_none_or(|cursor| (entry.name.as_str(), entry.num) > (&cursor.name, cursor.num));
        let own = self.built_in().iter().map(|chosen| chosen.entry.clone()).filter(|entry| fits(entry) && past(entry));
        let mut all: Vec<Entry> = stored.into_iter().map(Entry::from).chain(own).collect();
        all.sort_by(|a, b| (a.name.as_str(), a.num).cmp(&(b.name.as_str(), b.num)));
        all.truncate(limit as usize);
        Ok(all)
    }

    /// All versions of a package in one repository.
    async fn versions(&self, repository: &RepositoryName, name: &PackageName) -> Result<Vec<Entry>, Error> {
        if repository.as_str() == builtin::REPOSITORY {
            let own = self.built_in().iter().map(|chosen| &chosen.entry);
            return Ok(own.filter(|entry| entry.name == *name).cloned().collect());
        }
        Ok(self.store.package_versions(repository, name).await?.into_iter().map(Entry::from).collect())
    }

    async fn with_bytes(&self, entry: Entry) -> Result<Chosen, Error> {
        if let Some(own) = self.built_in().iter().find(|chosen| chosen.entry == entry) {
            return Ok(own.clone());
        }
        let bytes = self.store.package_archive(&entry.repository, &entry.name, &entry.version).await?;
        let gone =
            || Error::new(Code::PackageNotFound, format!("package {}-{} was just removed", entry.name, entry.version));
        Ok(Chosen { bytes: Arc::new(bytes.ok_or_else(gone)?), entry })
    }

    /// Renders a package of a revision that was stored without a manifest.
    pub(crate) async fn render_again(&self, request: &ResolveRequest) -> Result<(String, Spec), PortError> {
        let refused = |code, message: String| PortError::new(ErrorKind::Permanent, code, message);
        let Source::Package { repository, name, version, sha256, values, platform, raw } = &request.source else {
            return Err(refused("no-package", "the revision was not made of a package".to_owned()));
        };
        let wanted = Wanted::stored(Some(repository.clone()), name.clone(), Some(version.clone()));
        let chosen = self.choose(&wanted).await.map_err(|error| refused("package-gone", error.to_string()))?;
        if chosen.entry.sha256 != *sha256 {
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

/// Reads a package that is in no repository. It is called as if it were in `local`, where it would be uploaded to.
async fn inline(bytes: Arc<Vec<u8>>) -> Result<Chosen, Error> {
    let reading = tokio::task::spawn_blocking(move || {
        let package = skipper_source::Package::from_zip(&bytes)
            .map_err(|wrong| Error::new(Code::PackageInvalid, format!("the package cannot be read: {wrong}")))?;
        let metadata = package
            .metadata()
            .map_err(|faults| package_faults(Code::PackageInvalid, "the package is not valid", &faults))?;
        let entry = Entry {
            num: 0,
            row_version: 0,
            repository: RepositoryName::new("local").expect("the constant is a name"),
            name: metadata.name.clone(),
            version: metadata.version.clone(),
            sha256: Sha256::of(&bytes),
            size: bytes.len() as u64,
            metadata: metadata_json(&metadata),
            created_at: None,
        };
        Ok(Chosen { entry, bytes })
    });
    reading.await.map_err(Error::internal)?
}

/// Where a page of packages ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Name of the last one.
    pub name: String,
    /// Number of the last one.
    pub num: i64,
}

impl From<Package> for Entry {
    fn from(package: Package) -> Self {
        Self {
            num: package.numeric.num,
            row_version: package.numeric.row_version,
            repository: package.repository,
            name: package.name,
            version: package.version,
            sha256: package.sha256,
            size: package.size,
            metadata: package.metadata,
            created_at: Some(package.created_at),
        }
    }
}

fn listed(repository: Repository) -> Listed {
    Listed {
        // The store searches the lowest first, people read the highest as the most important.
        order: 1_i64.saturating_sub(repository.priority),
        writable: repository.kind == "local",
        description: repository.description.unwrap_or_default(),
        name: repository.name,
    }
}

/// The highest version; one that is no pre-release, if there is any.
fn highest(versions: &[Entry]) -> Option<&Entry> {
    versions.iter().max_by_key(|entry| {
        let parsed = Version::parse(&entry.version).ok();
        (parsed.as_ref().is_some_and(|version| version.pre.is_empty()), parsed, entry.num)
    })
}

/// What a package says of itself, as JSON.
pub(crate) fn metadata_json(metadata: &Metadata) -> Value {
    json!({
        "name": metadata.name,
        "version": metadata.version,
        "display_name": metadata.display_name,
        "description": metadata.description,
        "maintainer": metadata.maintainer,
        "tags": metadata.tags,
        "home": metadata.home,
        "icon": metadata.icon,
        "origin": metadata.origin,
        "source_url": metadata.source_url,
        "api_version": metadata.api_version,
        "kind": metadata.kind,
        "tags_text": metadata.tags_text,
        "sha256": metadata.sha256,
    })
}
