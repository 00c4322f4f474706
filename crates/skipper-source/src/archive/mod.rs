//! A package as files in memory, read from a zip or a directory, within bounds.
//!
//! ```text
//! package.yml            metadata
//! values.yml             what can be set, with its defaults (optional)
//! values.schema.json     JSON Schema of the values (optional; .yml too)
//! templates/*.yml        documents, with Mustache
//! packages/NAME/…        packages within this one, laid out alike
//! README.md, LICENSE, …  anything else is kept and not looked at
//! ```
//!
//! A zip may hold all this at its top or in one folder (`hello-1.0.0/`). What begins with a dot and `__MACOSX` is left
//! out. Everything else that is odd is refused, not repaired: see [`Error`].

mod directory;
mod error;
mod layout;
pub(crate) mod path;
mod unzip;
mod zip_out;

use std::{collections::BTreeMap, path::Path};

pub use error::Error;
pub use layout::{Archive, File};

/// Bounds of a package. Generous for text, hopeless for an attack.
pub(crate) mod bounds {
    /// Longest zip.
    pub(crate) const ZIP_BYTES: usize = 16 << 20;
    /// Most entries, folders included.
    pub(crate) const ENTRIES: usize = 2000;
    /// Longest file.
    pub(crate) const FILE_BYTES: u64 = 4 << 20;
    /// All files together.
    pub(crate) const TOTAL_BYTES: u64 = 32 << 20;
    /// All templates of all packages together; each tag takes a hundred bytes when it is read.
    pub(crate) const TEMPLATE_BYTES: usize = 4 << 20;
    /// How many times larger than its compressed form a file may be. Text rarely gets beyond 20; deflate ends at 1032.
    pub(crate) const RATIO: u64 = 200;
    /// Below this size the ratio says nothing: an empty line repeated a thousand times is no bomb.
    pub(crate) const RATIO_FREE_BYTES: u64 = 64 << 10;
    /// Longest path, in bytes.
    pub(crate) const PATH_BYTES: usize = 512;
    /// Longest part of a path, in bytes: what file systems allow.
    pub(crate) const NAME_BYTES: usize = 255;
    /// Deepest folder.
    pub(crate) const FOLDERS: usize = 24;
    /// Packages within packages.
    pub(crate) const NESTING: usize = 8;
    /// Packages in all.
    pub(crate) const PACKAGES: usize = 100;
}

/// Writes files as a zip below the folder `top`; equal files give equal bytes.
pub(crate) fn zip_files(files: &[File], top: &str) -> Vec<u8> {
    zip_out::write(&files.iter().collect::<Vec<_>>(), top)
}

/// All files of a zip, by path.
pub(crate) fn unzip(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    unzip::files(bytes)
}

/// All files below a directory, by path.
pub(crate) fn directory_files(path: &Path) -> Result<Vec<File>, Error> {
    directory::files(path)
}

impl Archive {
    /// Reads a package from the bytes of a zip.
    ///
    /// # Errors
    ///
    /// [`Error`] for anything that is no zip, breaks a bound, is odd, or holds no `package.yml`.
    pub fn from_zip(bytes: &[u8]) -> Result<Self, Error> {
        Self::from_files(path::without_top_folder(unzip::files(bytes)?))
    }

    /// Reads a package from a directory. Links are refused, also to files within it.
    ///
    /// # Errors
    ///
    /// As [`Archive::from_zip`], and what the file system says.
    pub fn from_dir(path: &Path) -> Result<Self, Error> {
        Self::from_files(directory::files(path)?)
    }

    /// Reads a package from a zip file or a directory, whichever is there.
    ///
    /// # Errors
    ///
    /// As [`Archive::from_zip`] and [`Archive::from_dir`].
    pub fn from_path(path: &Path) -> Result<Self, Error> {
        let io = |source| Error::Io { path: path.display().to_string(), source };
        if std::fs::metadata(path).map_err(io)?.is_dir() {
            return Self::from_dir(path);
        }
        Self::from_zip(&directory::read_bounded(path, bounds::ZIP_BYTES as u64)?)
    }

    /// Writes the package as a zip with its content in the folder `top`. Equal packages give equal bytes, whatever the
    /// machine, the order of the files or the time of day.
    #[must_use]
    pub fn to_zip(&self, top: &str) -> Vec<u8> {
        zip_out::write(&self.all_files(), top)
    }
}
