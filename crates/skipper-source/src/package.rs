//! Metadata, building and rendering of packages. (In progress: signatures are final.)

use serde_json::Value;
use skipper_core::{
    Sha256,
    name::{PackageName, PlatformName, ReleaseName},
    spec::Spec,
};

use crate::{Archive, Faults, Finding};

/// What `package.yml` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// The package's name.
    pub name: PackageName,
    /// Its version.
    pub version: semver::Version,
    /// A name for people.
    pub display_name: Option<String>,
    /// What it is.
    pub description: Option<String>,
    /// Who looks after it.
    pub maintainer: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Its home page.
    pub home: Option<String>,
    /// Address of a picture.
    pub icon: Option<String>,
    /// Where it came from.
    pub origin: Option<String>,
    /// Where its source is.
    pub source_url: Option<String>,
}

/// What a package is rendered for.
#[derive(Debug, Clone)]
pub struct RenderOptions {
    /// Name of the release: `{{release.name}}`.
    pub release: ReleaseName,
    /// Number of the revision: `{{release.revision}}`.
    pub revision: u64,
    /// Platform account of applications that name none.
    pub platform: PlatformName,
}

/// What comes of a package and values.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// What the package says of itself.
    pub metadata: Metadata,
    /// As people read it: canonical YAML documents.
    pub manifest: String,
    /// As the engine runs it; validated.
    pub spec: Spec,
    /// The merged values it was rendered with, without the built-in names.
    pub values: Value,
    /// What is odd, but no fault.
    pub warnings: Vec<Finding>,
}

/// A package as a zip.
#[derive(Debug, Clone)]
pub struct Built {
    /// What the package says of itself.
    pub metadata: Metadata,
    /// The zip; the same package always gives the same bytes.
    pub bytes: Vec<u8>,
    /// Digest of `bytes`.
    pub sha256: Sha256,
}

/// Reads `package.yml`.
///
/// # Errors
///
/// Every fault in the file at once.
pub fn metadata(archive: &Archive) -> Result<Metadata, Faults> {
    let _ = archive;
    Err(Finding::error("not-yet", "not yet").into())
}

/// Writes the package as a zip whose content sits in `name-version/`.
///
/// # Errors
///
/// As [`metadata`].
pub fn build(archive: &Archive) -> Result<Built, Faults> {
    metadata(archive).map(|metadata| Built { metadata, bytes: Vec::new(), sha256: Sha256::of(b"") })
}

/// Renders the package with what the user set.
///
/// # Errors
///
/// Every fault of metadata, values, schema, templates and documents at once.
pub fn render(archive: &Archive, user_values: &Value, options: &RenderOptions) -> Result<Rendered, Faults> {
    let _ = (archive, user_values, options);
    Err(Finding::error("not-yet", "not yet").into())
}
