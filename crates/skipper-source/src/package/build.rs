use skipper_core::Sha256;

use super::{Metadata, metadata};
use crate::{archive::Archive, finding::Faults};

/// A package as a zip.
#[derive(Debug, Clone)]
pub struct Built {
    /// What the package says of itself.
    pub metadata: Metadata,
    /// The zip; equal packages give equal bytes.
    pub bytes: Vec<u8>,
    /// Digest of `bytes`.
    pub sha256: Sha256,
}

impl Built {
    /// What the zip is called as a file: `hello-1.0.0.zip`.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}-{}.zip", self.metadata.name, self.metadata.version)
    }
}

/// Writes the package as a zip whose content sits in the folder `name-version`.
///
/// # Errors
///
/// As [`metadata`]: a package without a name has no place to be kept.
pub fn build(archive: &Archive) -> Result<Built, Faults> {
    let metadata = metadata(archive)?;
    let bytes = archive.to_zip(&format!("{}-{}", metadata.name, metadata.version));
    let sha256 = Sha256::of(&bytes);
    Ok(Built { metadata, bytes, sha256 })
}
