//! Packages as revisions remember them: what Spring's API shows of a release's package, whatever becomes of the package
//! itself.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use skipper_source::{Archive, Metadata, Package, archive::File, classic};

use super::packages::Chosen;
use crate::{
    app::App,
    error::{Code, Error},
};

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
    /// Files that are kept along with it, in base64.
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

/// The same of a zip that another server kept with a release, in the repository of that name.
///
/// # Errors
///
/// [`Code::PackageInvalid`].
pub(super) async fn document_of_zip(app: &App, repository: Option<&str>, zip: Arc<Vec<u8>>) -> Result<String, Error> {
    let reading = tokio::task::spawn_blocking(move || {
        Kept::read(&zip).map_err(|wrong| Error::new(Code::PackageInvalid, wrong.to_string()))
    });
    let kept = reading.await.map_err(Error::internal)??;
    let repositories = app.store.repository_list().await?;
    let place = repository.and_then(|name| repositories.iter().find(|known| known.name.as_str() == name));
    let repository = repository.map(str::to_owned);
    let kept = Kept { repository, repository_id: place.map(|known| known.numeric.num), ..kept };
    serde_json::to_string(&kept).map_err(Error::internal)
}

/// The package as it is now.
pub(super) async fn of_package(app: &App, package: &Chosen) -> Result<Kept, Error> {
    let repositories = app.store.repository_list().await?;
    let repository = repositories.iter().find(|known| known.name == package.entry.repository);
    let repository_id = repository.map(|known| known.numeric.num);
    let package = package.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let kept = Kept::read(&package.bytes).map_err(Error::internal)?;
        let entry = &package.entry;
        // What the repository says counts, also where a remote one says something else than the package itself.
        let (name, version) = (entry.name.to_string(), entry.version.clone());
        let repository = Some(entry.repository.to_string());
        Ok(Kept { repository, repository_id, name, version, metadata: entry.metadata.clone(), ..kept })
    });
    reading.await.map_err(Error::internal)?
}

/// A package of Skipper's own format.
fn native(archive: &Archive) -> Kept {
    let text = |file: &File| file.text().unwrap_or_default().to_owned();
    let template = |file: &File| KeptText { name: base_name(&file.path), data: text(file) };
    Kept {
        templates: archive.templates().iter().map(template).collect(),
        values: archive.values_file().map(text),
        packages: archive.packages().iter().map(native).collect(),
        ..Kept::of(skipper_source::metadata(archive).ok().as_ref(), archive.folder_name())
    }
}

/// A package of the field.
fn classic(package: &classic::Package) -> Kept {
    let template =
        |template: classic::Template<'_>| KeptText { name: template.name.to_owned(), data: template.text.to_owned() };
    // As the original sends them.
    let file = |file: &File| KeptText { name: base_name(&file.path), data: STANDARD.encode(&file.bytes) };
    Kept {
        templates: package.templates().map(template).collect(),
        values: package.values_file().map(|_| package.values_text().to_owned()),
        files: package.manifests().iter().map(file).collect(),
        packages: package.packages().iter().map(classic).collect(),
        ..Kept::of(package.metadata().ok().as_ref(), None)
    }
}

fn base_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

impl Kept {
    /// What a zip says, in whichever format.
    fn read(zip: &[u8]) -> Result<Self, skipper_source::archive::Error> {
        Ok(match &Package::from_zip(zip)? {
            Package::Native(archive) => native(archive),
            Package::Classic(package) => classic(package),
        })
    }

    fn of(metadata: Option<&Metadata>, folder: Option<&str>) -> Self {
        let name = metadata.map(|found| found.name.to_string());
        Self {
            repository: None,
            repository_id: None,
            name: name.or_else(|| folder.map(str::to_owned)).unwrap_or_default(),
            version: metadata.map(|found| found.version.clone()).unwrap_or_default(),
            metadata: metadata.map(crate::repository::metadata_json).unwrap_or_default(),
            templates: Vec::new(),
            values: None,
            files: Vec::new(),
            packages: Vec::new(),
        }
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
