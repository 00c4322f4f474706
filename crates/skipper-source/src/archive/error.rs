use std::io;

use super::bounds;

/// Why bytes or a directory are not accepted as a package.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a zip, or a damaged one.
    #[error("not a readable zip archive: {0}")]
    NotAZip(String),
    /// The directory or file cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// Of what.
        path: String,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// A path that could leave the package.
    #[error(
        "the entry `{0}` could be written outside of the package: a path is relative, with `/`, without `..`, drive or backslash"
    )]
    Escapes(String),
    /// A path that no file of a package has.
    #[error("the entry `{path}` has a name that is not accepted: {reason}")]
    BadName {
        /// The path, shortened.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A link, a device, a pipe.
    #[error("the entry `{0}` is a link or another special file; a package holds files and folders only")]
    Special(String),
    /// An encrypted entry.
    #[error("the entry `{0}` is encrypted; packages are not")]
    Encrypted(String),
    /// Two entries of one name.
    #[error(
        "two entries are called `{0}` (upper and lower case count as equal); readers would disagree on which one is meant"
    )]
    Duplicate(String),
    /// A file where a folder must be.
    #[error("`{0}` is both a file and a folder")]
    FileAndFolder(String),
    /// A bound is broken.
    #[error("{what} is beyond the bound of {bound}")]
    TooLarge {
        /// What.
        what: String,
        /// The bound, with its unit.
        bound: String,
    },
    /// A file that unfolds to many times its size.
    #[error("the entry `{0}` unfolds to more than {ratio} times its size; a package of text does not", ratio = bounds::RATIO)]
    Bomb(String),
    /// Headers that contradict each other or the data.
    #[error("the archive contradicts itself: {0}")]
    Lies(String),
    /// No `package.yml`.
    #[error("there is no `{0}package.yml`; every package has one at its top")]
    NoMetadata(String),
    /// A file that must be text and is not.
    #[error("`{0}` is not UTF-8 text")]
    NotText(String),
    /// A file of a package in a place where it means nothing.
    #[error("`{path}` is out of place: {reason}")]
    Misplaced {
        /// Which file.
        path: String,
        /// Why.
        reason: &'static str,
    },
}

impl Error {
    /// A stable word for machines.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAZip(_) => "archive-not-zip",
            Self::Io { .. } => "archive-io",
            Self::Escapes(_) => "archive-escape",
            Self::BadName { .. } => "archive-name",
            Self::Special(_) => "archive-special-file",
            Self::Encrypted(_) => "archive-encrypted",
            Self::Duplicate(_) => "archive-duplicate",
            Self::FileAndFolder(_) => "archive-file-and-folder",
            Self::TooLarge { .. } => "archive-too-large",
            Self::Bomb(_) => "archive-bomb",
            Self::Lies(_) => "archive-inconsistent",
            Self::NoMetadata(_) => "archive-no-metadata",
            Self::NotText(_) => "archive-not-text",
            Self::Misplaced { .. } => "archive-misplaced",
        }
    }

    pub(crate) fn too_large(what: impl Into<String>, bound: impl Into<String>) -> Self {
        Self::TooLarge { what: what.into(), bound: bound.into() }
    }
}
