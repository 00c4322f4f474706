//! What is said about packages and repositories.

use std::sync::Arc;

use serde_json::Value;
use skipper_core::{
    Sha256,
    name::{PackageName, PlatformName, RepositoryName},
    release::Source,
    time::Timestamp,
};
use skipper_store::{Package, RefreshState, Repository, RepositoryKind};

use super::location;

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
    /// Digest of the archive; of one that was never needed yet, what the index says, if that says anything.
    pub sha256: Option<Sha256>,
    /// Length of the archive in bytes; `None` for one that was never needed yet.
    pub size: Option<u64>,
    /// What it says of itself.
    pub metadata: Value,
    /// When it was uploaded, or first seen in an index; `None` for what is built in.
    pub created_at: Option<Timestamp>,
}

impl From<Package> for Entry {
    fn from(package: Package) -> Self {
        let num = package.numeric.num;
        Self {
            num,
            row_version: package.numeric.row_version,
            repository: package.repository,
            name: package.name,
            version: package.version,
            sha256: package.sha256,
            size: package.size,
            metadata: package.metadata,
            created_at: (num >= 0).then_some(package.created_at),
        }
    }
}

/// A package with its bytes.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Its entry.
    pub entry: Entry,
    /// Digest of the zip.
    pub sha256: Sha256,
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
            sha256: self.sha256,
            values,
            platform,
            raw,
        }
    }
}

/// A repository, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its number; below zero for the built-in one.
    pub num: i64,
    /// Counts its changes.
    pub row_version: u64,
    /// Its name.
    pub name: RepositoryName,
    /// How it is read.
    pub kind: RepositoryKind,
    /// Where it is, without a password.
    pub url: Option<String>,
    /// Where its sources are.
    pub source_url: Option<String>,
    /// Asked the highest first.
    pub order: Option<i64>,
    /// Whether packages can be uploaded to it.
    pub writable: bool,
    /// One line about it.
    pub description: String,
    /// How reading its index went.
    pub refresh: RefreshState,
}

impl From<Repository> for Listed {
    fn from(repository: Repository) -> Self {
        Self {
            num: repository.numeric.num,
            row_version: repository.numeric.row_version,
            kind: repository.kind,
            url: repository.url.as_deref().map(location::shown),
            source_url: repository.source_url,
            order: repository.order,
            writable: repository.kind == RepositoryKind::Local,
            description: repository.description.unwrap_or_default(),
            name: repository.name,
            refresh: repository.refresh,
        }
    }
}

/// Where a page of packages ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Name of the last one.
    pub name: String,
    /// Number of the last one.
    pub num: i64,
}

/// Which packages; what is absent does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// Text in name, description, maintainer or tags. `tag:NAME` anywhere in it is a tag.
    pub q: Option<String>,
    /// Text in the name.
    pub name: Option<String>,
    /// A whole tag.
    pub tag: Option<String>,
    /// The repository.
    pub repository: Option<String>,
}

impl Search {
    /// The text and the tag that are meant.
    pub(super) fn words(&self) -> (Option<String>, Option<String>) {
        let (mut text, mut tag) = (Vec::new(), self.tag.clone());
        for word in self.q.as_deref().unwrap_or_default().split_whitespace() {
            match word.strip_prefix("tag:") {
                Some(named) if !named.is_empty() && tag.is_none() => tag = Some(named.to_owned()),
                _ => text.push(word),
            }
        }
        (Some(text.join(" ")).filter(|text| !text.is_empty()), tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_may_be_one_of_the_words() {
        let words = |q: &str| Search { q: Some(q.to_owned()), ..Search::default() }.words();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(words("  log   sink "), (some("log sink"), None));
        assert_eq!(words("tag:sink"), (None, some("sink")));
        assert_eq!(words("log tag:sink file"), (some("log file"), some("sink")));
        assert_eq!(words("tag:"), (some("tag:"), None));
        assert_eq!(Search::default().words(), (None, None));
    }
}
