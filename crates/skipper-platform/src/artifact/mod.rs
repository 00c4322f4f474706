//! Brings resources here, once, and keeps them by their digest.
//!
//! An artifact is a file in `sha256/<hex>`, executable, never changed after it got its name. Whoever asks for a digest
//! that is here already waits for nobody. What it is *for* (executed, unpacked) is the platform's business.

mod file;
mod http;
pub mod maven;
mod shelf;

use std::{
    io,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use skipper_core::{
    Sha256,
    port::{Error, ErrorKind},
    spec::Resource,
};

pub use http::build as http_client;
use maven::Maven;

/// How far fetching may go.
#[derive(Debug, Clone)]
pub struct FetchLimits {
    /// Largest artifact in bytes. 2 GiB: a large self-contained server with its assets; more is a mistake or an attack.
    pub max_bytes: u64,
    /// Most redirects that are followed.
    pub max_redirects: usize,
    /// Longest a connection may take to stand.
    pub connect_timeout: Duration,
    /// Longest silence within a body.
    pub read_timeout: Duration,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self {
            max_bytes: 2 << 30,
            max_redirects: 5,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
        }
    }
}

/// The artifacts of one data directory. Share it between platform accounts.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    limits: FetchLimits,
    /// Made when first needed: loading the host's certificates takes longer than the rest of a server's start.
    client: OnceLock<reqwest::Client>,
    maven: Maven,
}

impl Cache {
    /// Opens (and makes) the folder; `dir` is `DATA/artifacts`.
    ///
    /// # Errors
    ///
    /// When the folders cannot be made.
    pub fn new(dir: impl Into<PathBuf>, limits: FetchLimits) -> io::Result<Self> {
        let cache = Self { dir: dir.into(), limits, client: OnceLock::new(), maven: Maven::default() };
        shelf::make_folders(&cache.dir)?;
        Ok(cache)
    }

    /// The same with Maven repositories. Without, there is none.
    #[must_use]
    pub fn with_maven(mut self, settings: maven::Settings) -> Self {
        self.maven = Maven::new(settings);
        self
    }

    /// Where an artifact of that digest is, or would be.
    #[must_use]
    pub fn path(&self, digest: &Sha256) -> PathBuf {
        self.dir.join("sha256").join(digest.to_string())
    }

    /// Whether an artifact of that digest is here.
    #[must_use]
    pub fn has(&self, digest: &Sha256) -> bool {
        self.path(digest).is_file()
    }

    /// The file that would be taken for a resource, as far as that is known without asking anybody: of a pinned one what is
    /// here, of a `file:` one the file itself, of a release in Maven that of a folder or what was fetched before. Blocking.
    #[must_use]
    pub fn at_hand(&self, resource: &Resource) -> Option<PathBuf> {
        if let Some(digest) = &resource.sha256 {
            return self.has(digest).then(|| self.path(digest));
        }
        let found = match scheme(&resource.uri) {
            "file" => file::path(&resource.uri).ok(),
            "maven" => self.maven.at_hand(self, &resource.uri),
            _ => None,
        };
        // What cannot be read is told when it is fetched.
        found.filter(|path| path.is_file() && std::fs::File::open(path).is_ok())
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Brings a `file:`, `http(s):` or `maven:` resource here and pins it. A pinned one that is here already asks nobody.
    ///
    /// # Errors
    ///
    /// `checksum-mismatch`, `resource-not-found`, `resource-too-large`, `resource-invalid` and, worth another try,
    /// `resource-unreachable`; `resource-scheme` for a kind this cache does not know.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: a half-fetched file never gets a digest's name and is removed.
    pub async fn fetch(&self, resource: &Resource, deadline: Duration) -> Result<Resource, Error> {
        if let Some(digest) = resource.sha256
            && self.has(&digest)
        {
            return Ok(resource.clone());
        }
        let fetching = async {
            match scheme(&resource.uri) {
                "file" => file::fetch(self, resource).await,
                "http" | "https" => http::fetch(self, resource).await,
                "maven" => self.maven.fetch(self, resource).await,
                other => Err(Error::new(
                    ErrorKind::Permanent,
                    "resource-scheme",
                    format!("resource `{}` is of an unknown kind `{other}`", redact(&resource.uri)),
                )
                .hint("use file:/absolute/path, https://…, maven://group:artifact:version or builtin:NAME")),
            }
        };
        let digest = tokio::time::timeout(deadline, fetching).await.map_err(|_| {
            Error::new(
                ErrorKind::Transient,
                "resource-unreachable",
                format!("fetch {}: not complete after {} s", redact(&resource.uri), deadline.as_secs()),
            )
            .hint("raise bounds.fetch, or bring the resource nearer")
        })??;
        Ok(Resource { uri: resource.uri.clone(), sha256: Some(digest) })
    }
}

/// The scheme of a resource's address, without the colon.
pub(crate) fn scheme(uri: &str) -> &str {
    uri.split_once(':').map_or("", |(scheme, _)| scheme)
}

/// The address without what may be secret in it: user, password and query.
pub(crate) fn redact(uri: &str) -> String {
    let Ok(mut url) = url::Url::parse(uri) else { return uri.chars().take(200).collect() };
    if !url.username().is_empty() || url.password().is_some() {
        // Fails only for addresses that cannot have a user, and those have none.
        let _ = url.set_username("");
        let _ = url.set_password(None);
    }
    if url.query().is_some() {
        url.set_query(Some("…"));
    }
    url.to_string()
}

fn too_large(shown: &str, max: u64) -> Error {
    Error::new(
        ErrorKind::Permanent,
        "resource-too-large",
        format!("{shown} is larger than the {} MiB allowed", max >> 20),
    )
}

pub(crate) fn mismatch(uri: &str, wanted: &Sha256, got: &Sha256) -> Error {
    Error::new(
        ErrorKind::Permanent,
        "checksum-mismatch",
        format!("{} has the checksum sha256:{got}, but sha256:{wanted} is asked for", redact(uri)),
    )
    .hint("the file was changed or damaged on the way: compare with its publisher, then correct `checksum`")
}
