//! Packages as revisions remember them: what Spring's API shows of a release's package, whatever becomes of the package
//! itself.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use skipper_source::Archive;

use super::packages::Chosen;
use crate::{app::App, error::Error};

/// How many packages are held ready. Each is small text, and releases of one package share it.
const HELD: usize = 256;

/// A package as it was when a revision was made of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Its repository; `None` within another package.
    pub repository: Option<String>,
    /// The repository's number.
    pub repository_id: Option<i64>,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it says of itself, as repositories store it.
    pub metadata: Value,
    /// File names and texts of its templates.
    pub templates: Vec<KeptText>,
    /// The text of its values.
    pub values: Option<String>,
    /// Files that are deployed along with it.
    #[serde(default)]
    pub files: Vec<KeptText>,
    /// Packages within it.
    pub packages: Vec<Kept>,
}

/// A file's name and text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptText {
    /// Its name without folders.
    pub name: String,
    /// Its text.
    pub data: String,
}

/// Kept packages that were read lately, by digest; the oldest goes first.
#[derive(Debug, Default)]
pub struct KeptCache(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    by_digest: BTreeMap<String, Arc<Kept>>,
    oldest_first: VecDeque<String>,
}

const POISONED: &str = "no code panics while it holds this lock";

impl KeptCache {
    fn get(&self, digest: &str) -> Option<Arc<Kept>> {
        self.0.lock().expect(POISONED).by_digest.get(digest).cloned()
    }

    fn put(&self, digest: &str, kept: Arc<Kept>) {
        let mut held = self.0.lock().expect(POISONED);
        if held.by_digest.insert(digest.to_owned(), kept).is_none() {
            held.oldest_first.push_back(digest.to_owned());
        }
        if held.oldest_first.len() > HELD
            && let Some(oldest) = held.oldest_first.pop_front()
        {
            held.by_digest.remove(&oldest);
        }
    }
}

/// The document to store with a revision that is made of this package.
pub(super) async fn document(app: &App, package: &Chosen) -> Result<String, Error> {
    let kept = of_package(app, package).await?;
    serde_json::to_string(&kept).map_err(Error::internal)
}

/// The package as it is now.
pub(super) async fn of_package(app: &App, package: &Chosen) -> Result<Kept, Error> {
    let repositories = app.store.repository_list().await?;
    let repository = repositories.iter().find(|known| known.name == package.entry.repository);
    let repository_id = repository.map(|known| known.numeric.num);
    let package = package.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let archive = Archive::from_zip(&package.bytes).map_err(Error::internal)?;
        let entry = &package.entry;
        let kept = read(&archive, entry.metadata.clone(), entry.name.to_string(), entry.version.clone());
        Ok(Kept { repository: Some(entry.repository.to_string()), repository_id, ..kept })
    });
    reading.await.map_err(Error::internal)?
}

fn read(archive: &Archive, metadata: Value, name: String, version: String) -> Kept {
    let text = |file: &skipper_source::archive::File| file.text().unwrap_or_default().to_owned();
    let of = |file: &skipper_source::archive::File| KeptText {
        name: file.path.rsplit('/').next().unwrap_or_default().to_owned(),
        data: text(file),
    };
    let packages = archive.packages().iter().map(|inner| {
        let found = skipper_source::metadata(inner).ok();
        let name = found.as_ref().map(|found| found.name.to_string());
        let version = found.as_ref().map(|found| found.version.to_string()).unwrap_or_default();
        let metadata = found.as_ref().map(crate::repository::metadata_json).unwrap_or_default();
        read(inner, metadata, name.or_else(|| inner.folder_name().map(str::to_owned)).unwrap_or_default(), version)
    });
    Kept {
        repository: None,
        repository_id: None,
        name,
        version,
        metadata,
        templates: archive.templates().iter().map(of).collect(),
        values: archive.values_file().map(text),
        files: Vec::new(),
        packages: packages.collect(),
    }
}

/// What is kept under a digest; `None` where nothing is, or it cannot be read any more.
pub(super) async fn get(app: &App, digest: &str) -> Result<Option<Arc<Kept>>, Error> {
    if let Some(held) = app.kept.get(digest) {
        return Ok(Some(held));
    }
    let Some(document) = app.store.kept_package_get(digest).await? else { return Ok(None) };
    let Ok(kept) = serde_json::from_str::<Kept>(&document) else { return Ok(None) };
    let kept = Arc::new(kept);
    app.kept.put(digest, Arc::clone(&kept));
    Ok(Some(kept))
}
