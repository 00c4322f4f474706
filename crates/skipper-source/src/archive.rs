//! A package in memory. (In progress: signatures are final.)

use std::path::Path;

/// One file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Path with slashes, relative to the outermost package: `packages/db/templates/db.yml`.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A package and the packages within it, as files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    pub(crate) files: Vec<File>,
    pub(crate) packages: Vec<Archive>,
}

/// Why bytes or a directory are no package.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a zip.
    #[error("this is not a readable zip archive: {0}")]
    NotAZip(String),
}

impl Error {
    /// A stable word for machines, for example `archive-zip-slip`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "archive"
    }
}

impl Archive {
    /// Reads the bytes of a zip.
    ///
    /// # Errors
    ///
    /// [`Error`] for anything that is no zip, breaks a bound, or holds no `package.yml`.
    pub fn from_zip(bytes: &[u8]) -> Result<Self, Error> {
        let _ = bytes;
        Err(Error::NotAZip("not yet".to_owned()))
    }

    /// Reads a directory.
    ///
    /// # Errors
    ///
    /// As [`Archive::from_zip`], and what the file system says.
    pub fn from_dir(path: &Path) -> Result<Self, Error> {
        let _ = path;
        Err(Error::NotAZip("not yet".to_owned()))
    }
}
