//! A file becomes an artifact: written aside, hashed, synced, renamed to its digest.

use std::{
    fs, io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use sha2::Digest as _;
use skipper_core::Sha256;

use super::maven::Sums;

/// A file in the incoming folder older than this was left by a crash: no fetch may take that long.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// Makes the two folders and removes what crashed fetches left.
pub(super) fn make_folders(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir.join("sha256"))?;
    let incoming = dir.join("incoming");
    fs::create_dir_all(&incoming)?;
    for entry in fs::read_dir(incoming)?.flatten() {
        let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age > STALE) {
            // Somebody else may have removed it; a file that stays harms nobody.
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// A file on its way in. Dropped before [`Incoming::keep`], it is removed.
#[derive(Debug)]
pub(super) struct Incoming {
    file: fs::File,
    path: PathBuf,
    hash: sha2::Sha256,
    /// What else is summed up, for repositories that publish other sums.
    sums: Option<Sums>,
    kept: bool,
}

impl Incoming {
    pub(super) fn new(dir: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{count}-{:08x}", std::process::id(), rand::random::<u32>());
        let path = dir.join("incoming").join(name);
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { file, path, hash: sha2::Sha256::new(), sums: None, kept: false })
    }

    /// The same, with the sums that Maven repositories publish.
    pub(super) fn summed(dir: &Path) -> io::Result<Self> {
        let mut incoming = Self::new(dir)?;
        incoming.sums = Some(Sums::default());
        Ok(incoming)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        if let Some(sums) = &mut self.sums {
            sums.update(bytes);
        }
        io::Write::write_all(&mut self.file, bytes)
    }

    pub(super) fn digest(&self) -> Sha256 {
        Sha256::from_bytes(self.hash.clone().finalize().into())
    }

    /// The other sums of what was written, if they were asked for.
    pub(super) const fn sums(&self) -> Option<&Sums> {
        self.sums.as_ref()
    }

    /// Gives the file its digest's name, durably: a stored revision relies on it after a power loss.
    pub(super) fn keep(mut self, dir: &Path) -> io::Result<Sha256> {
        let digest = self.digest();
        self.file.set_permissions(fs::Permissions::from_mode(0o755))?;
        self.file.sync_all()?;
        let shelf = dir.join("sha256");
        fs::rename(&self.path, shelf.join(digest.to_string()))?;
        self.kept = true;
        fs::File::open(shelf)?.sync_all()?;
        Ok(digest)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.kept {
            // Nothing more can be done here; `make_folders` removes what stays.
            let _ = fs::remove_file(&self.path);
        }
    }
}
