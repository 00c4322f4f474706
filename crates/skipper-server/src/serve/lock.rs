//! One server for each data directory.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};
use skipper_core::port::Ids;

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be made or written.
    #[error("use the data directory {}: check that it is a folder this user may write", .path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        cause: io::Error,
    },
    /// Another server has it.
    #[error("the data directory {} is in use by another server{}", .path.display(), .pid.map_or_else(String::new, |pid| format!(" (process {pid})")))]
    Taken {
        /// The folder.
        path: PathBuf,
        /// Who has it, as it noted itself.
        pid: Option<u32>,
    },
    /// What runs here belongs to another database.
    #[error(
        "the data directory {} was used with another database, which remembers the {instances} deployments that are in it; \
         {database} does not, and whoever serves it would stop them all (put that database back, or bring it back with \
         `skipper restore`; to give up what runs here, remove {})", .path.display(), .path.join(STORE_ID).display()
    )]
    OtherStore {
        /// The folder.
        path: PathBuf,
        /// The database that was to be served.
        database: String,
        /// How many deployments are there.
        instances: usize,
    },
}

/// Time for a server that was just killed to be gone: its lock goes a moment after its process can no longer be seen.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the lock is tried meanwhile.
const AGAIN: Duration = Duration::from_millis(10);

/// What the file is called that names the database which the data directory belongs to.
const STORE_ID: &str = "store.id";

/// A file that one process at a time has, with its number in it; given back when dropped, also by a crash.
#[derive(Debug)]
pub struct FileLock {
    // Held for its lock.
    _file: File,
}

/// Why a file cannot be had.
#[derive(Debug)]
pub enum Held {
    /// Another process has it, as it noted itself.
    By(Option<u32>),
    /// It cannot be made or locked.
    Broken(io::Error),
}

impl FileLock {
    /// Takes the file (made with mode 0600), waiting `patience` at most for who has it, and notes this process in it. Blocks.
    ///
    /// # Errors
    ///
    /// Who has it, or what is wrong with the file.
    pub fn take(path: &Path, patience: Duration) -> Result<Self, Held> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(Held::Broken)?;
        let since = Instant::now();
        let locked = loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(rustix::io::Errno::WOULDBLOCK) if since.elapsed() < patience => std::thread::sleep(AGAIN),
                locked => break locked,
            }
        };
        match locked {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let _ = (&file).take(32).read_to_string(&mut text);
                return Err(Held::By(text.trim().parse().ok()));
            }
            Err(errno) => return Err(Held::Broken(errno.into())),
        }
        // For people and for `Held`; the lock itself is the kernel's.
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(Held::Broken)?;
        Ok(Self { _file: file })
    }
}

/// Makes the data directory (mode 0700) if it is not there.
///
/// # Errors
///
/// [`Error::Folder`].
pub fn prepare(dir: &Path) -> Result<(), Error> {
    let failed = |cause| Error::Folder { path: dir.to_owned(), cause };
    match fs::DirBuilder::new().recursive(true).mode(0o700).create(dir) {
        Ok(()) => Ok(()),
        Err(cause) => Err(failed(cause)),
    }
}

/// Refuses a database that is not the one this data directory was used with, as long as something of the other is here: an
/// empty or wrong database knows of nothing that runs, and what nobody knows of is removed. Notes it otherwise.
///
/// # Errors
///
/// [`Error::OtherStore`], or [`Error::Folder`].
pub fn belongs_to(dir: &Path, store_id: &str, database: &str) -> Result<(), Error> {
    let path = dir.join(STORE_ID);
    let noted = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => String::new(),
        Err(cause) => return Err(Error::Folder { path, cause }),
    };
    if noted.trim() == store_id {
        return Ok(());
    }
    let instances = if noted.trim().is_empty() { 0 } else { deployments(dir) };
    if instances > 0 {
        return Err(Error::OtherStore { path: dir.to_owned(), database: database.to_owned(), instances });
    }
    note_store(dir, store_id)
}

/// Notes which database the data directory belongs to from now on.
///
/// # Errors
///
/// [`Error::Folder`].
pub fn note_store(dir: &Path, store_id: &str) -> Result<(), Error> {
    let path = dir.join(STORE_ID);
    fs::write(&path, format!("{store_id}\n")).map_err(|cause| Error::Folder { path, cause })
}

/// Deployments of every `local` account: `local/ACCOUNT/DEPLOYMENT`.
fn deployments(dir: &Path) -> usize {
    let folders = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    folders(&dir.join("local")).flat_map(|account| folders(&account)).filter(|path| path.is_dir()).count()
}

/// What tells this data directory from every other one, however hosts and folders are called: made up once and kept there.
///
/// # Errors
///
/// [`Error::Folder`].
pub fn identity(dir: &Path, ids: &dyn Ids) -> Result<String, Error> {
    let path = dir.join("server.id");
    let failed = |cause: io::Error| Error::Folder { path: path.clone(), cause };
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().chars().take(64).collect()),
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(failed(cause)),
        Ok(_) | Err(_) => {}
    }
    let id = ids.next().simple().to_string();
    fs::write(&path, format!("{id}\n")).map_err(failed)?;
    Ok(id)
}

/// Takes the right to the data directory.
///
/// # Errors
///
/// [`Error::Taken`] names the process that has it.
pub fn take(dir: &Path) -> Result<FileLock, Error> {
    let path = dir.join("server.lock");
    FileLock::take(&path, PATIENCE).map_err(|held| match held {
        Held::By(pid) => Error::Taken { path: dir.to_owned(), pid },
        Held::Broken(cause) => Error::Folder { path, cause },
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_second_server_is_told_who_has_the_folder_and_the_lock_goes_with_its_holder() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let data = dir.path().join("a/b");
        prepare(&data).expect("made");
        assert_eq!(fs::metadata(&data).expect("there").permissions().mode() & 0o777, 0o700);
        let held = take(&data).expect("free");
        let refused = take(&data).expect_err("held");
        assert!(refused.to_string().ends_with(&format!("(process {})", std::process::id())), "{refused}");
        drop(held);
        take(&data).expect("free again");
    }
}
