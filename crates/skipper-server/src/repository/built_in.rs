//! The repository whose packages are in the binary.

use skipper_core::{Sha256, name::RepositoryName};
use skipper_source::{Built, IndexEntry, builtin};
use skipper_store::{NewRepository, RepositoryKind};

use super::{
    Repositories,
    metadata::{row, stamp},
};

/// Number of the first package; the others count on. Below zero, so that what people add counts from 1, and small enough
/// for readers whose numbers are floating-point.
const FIRST: i64 = -1_000_000;

/// The repository, as it is stored when a database is new.
fn repository() -> NewRepository {
    NewRepository {
        name: name(),
        kind: RepositoryKind::BuiltIn,
        url: None,
        source_url: None,
        description: Some("Packages that come with Skipper".to_owned()),
        order: Some(0),
    }
}

fn name() -> RepositoryName {
    RepositoryName::new(builtin::REPOSITORY).expect("the constant is a name")
}

/// What the binary has, as an index has it.
fn entry(built: &Built) -> IndexEntry {
    let metadata = &built.metadata;
    IndexEntry {
        name: metadata.name.clone(),
        version: metadata.version.clone(),
        api_version: metadata.api_version.clone(),
        kind: metadata.kind.clone(),
        origin: metadata.origin.clone(),
        display_name: metadata.display_name.clone(),
        source_url: metadata.source_url.clone(),
        home: metadata.home.clone(),
        icon: metadata.icon.clone(),
        tags: metadata.tags.clone(),
        tags_text: metadata.tags_text.clone(),
        maintainer: metadata.maintainer.clone(),
        description: metadata.description.clone(),
        sha256: Some(built.sha256),
        sha256_wrong: None,
    }
}

impl Repositories {
    /// The packages of the binary; made when first asked for.
    pub(super) fn built_in(&self) -> &[Built] {
        self.built_in.get_or_init(builtin::packages)
    }

    /// Lists the packages of the binary in the store. One small read where they are listed already.
    pub(super) async fn build_in(&self) -> Result<(), skipper_store::Error> {
        let entries: Vec<IndexEntry> = self.built_in().iter().map(entry).collect();
        let stamps: Vec<String> = entries.iter().map(stamp).collect();
        let digest = Sha256::of(stamps.concat().as_bytes()).to_string();
        let there = self.store.repository_get(&name()).await?;
        if there.is_some_and(|there| {
            there.kind != RepositoryKind::BuiltIn || there.refresh.digest.as_ref() == Some(&digest)
        }) {
            return Ok(());
        }
        let rows = entries.iter().zip(stamps).zip(FIRST..).map(|((entry, stamp), num)| row(entry, Some(num), stamp));
        self.store.repository_build_in(repository(), &digest, rows.collect(), &self.provenance()).await
    }
}
