//! Where a database file is made before it gets its name.

use std::{
    fs::{DirBuilder, File, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::Error;

/// A folder of our own that nobody else may look into, gone with all that is in it when dropped. Its name is random: nobody
/// can be there before us, and two that make the same file do not meet.
#[derive(Debug)]
pub(crate) struct Aside {
    folder: PathBuf,
}

impl Aside {
    /// Beside `path`, so that what is made can be given that name.
    pub(crate) fn beside(path: &Path) -> Result<Self, Error> {
        Self::within(folder_of(path))
    }

    /// For what is only read again.
    pub(crate) fn temporary() -> Result<Self, Error> {
        Self::within(&std::env::temp_dir())
    }

    fn within(parent: &Path) -> Result<Self, Error> {
        let folder = parent.join(format!(".skipper-{:016x}", rand::random::<u64>()));
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => Ok(Self { folder }),
            Err(source) => Err(Error::file("make a working folder in", parent, source)),
        }
    }

    /// The file to be made.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join("skipper.db")
    }

    /// Flushes the file, gives it its name, and flushes the name. A link, not a rename: what somebody else has put there
    /// meanwhile stays, and that is [`ErrorKind::AlreadyExists`].
    pub(crate) fn name(&self, path: &Path) -> io::Result<()> {
        let made = self.flush()?;
        match std::fs::hard_link(&made, path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
            // A file system without links.
            Err(_) => std::fs::rename(&made, path)?,
        }
        flush_folder(path)
    }

    /// The same, in the place of what is there.
    pub(crate) fn replace(&self, path: &Path) -> io::Result<()> {
        std::fs::rename(self.flush()?, path)?;
        flush_folder(path)
    }

    /// Only its owner may read it: it holds environments and arguments.
    fn flush(&self) -> io::Result<PathBuf> {
        let path = self.file();
        let file = File::open(&path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.sync_all()?;
        Ok(path)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, folder = %self.folder.display(), "a working folder could not be removed");
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn flush_folder(of: &Path) -> io::Result<()> {
    File::open(folder_of(of))?.sync_all()
}
