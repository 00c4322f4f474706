//! Files that are whole or not there, and the lock of the agent's folder.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use skipper_server::serve::lock::{FileLock, Held};

/// Time for an agent that was just killed to be gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// Below this much room on the disk no order is taken: journal and results of what is under way still have to fit.
const ROOM: u64 = 32 << 20;

/// SHA-256 in hexadecimal.
pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Makes a folder that only this user may enter, and those above it.
pub(super) fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file of mode 0600 that is whole or not there, and is on the disk when this returns.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&beside, path)?;
        sync_dir(path)
    })();
    if written.is_err() {
        // What is left of it takes room on a disk that may be full.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Makes a name in a folder last.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// Removes a file; one that is not there is removed.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Free bytes, as far as that can be told.
pub(super) fn free(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Why no order may be taken now, if the disk is the reason.
pub(super) fn too_full(path: &Path) -> Option<String> {
    let free = free(path).filter(|free| *free < ROOM)?;
    Some(format!("{} has {} MiB left, and {} are needed", path.display(), free >> 20, ROOM >> 20))
}

/// Takes the right to the agent's folder.
///
/// # Errors
///
/// A sentence that names who has it, or what is wrong with the folder.
pub(super) fn lock(dir: &Path, patience: Duration) -> Result<FileLock, String> {
    FileLock::take(&dir.join("lock"), patience).map_err(|held| match held {
        Held::By(pid) => format!(
            "another agent works with {}{}; stop that one, or give this one a DATA_DIR of its own",
            dir.display(),
            pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
        ),
        Held::Broken(error) => format!(
            "use the agent's folder {}: {error}; check that this user may write there, or name another with DATA_DIR",
            dir.display()
        ),
    })
}

/// As [`lock`], with the patience that a restart needs.
///
/// # Errors
///
/// As [`lock`].
pub(super) fn own(dir: &Path) -> Result<FileLock, String> {
    make_dir(dir).map_err(|error| {
        format!("make the agent's folder {}: {error}; name one that this user may write with DATA_DIR", dir.display())
    })?;
    lock(dir, PATIENCE)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn one_agent_has_the_folder_and_another_is_told_who() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let own_dir = dir.path().join("a/agent");
        let held = own(&own_dir).expect("free");
        let told = lock(&own_dir, Duration::ZERO).expect_err("held");
        assert!(told.contains(&format!("(process {})", std::process::id())), "{told}");
        drop(held);
        lock(&own_dir, Duration::ZERO).expect("free again");
        assert_eq!(fs::metadata(&own_dir).expect("there").permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_private_file_is_private_and_replaced_as_a_whole() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("x.json");
        write_private(&path, b"one").expect("written");
        write_private(&path, b"two").expect("written");
        assert_eq!(fs::read(&path).expect("there"), b"two");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1);
    }
}
