//! Secrets that a container reads as files: a folder that only its user may enter, mounted read-only.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use bollard::Docker;
use skipper_core::port::{Error, ErrorKind};

use super::{
    account::Account,
    files::{self, Entry},
    prepare::SecretFiles,
};
use crate::local::{blocking, remove_dir, storage};

/// The folder of an instance or job.
pub(super) fn dir(of: &Path) -> PathBuf {
    of.join("secrets")
}

/// Writes the files anew. Blocking.
pub(super) fn write(dir: &Path, files: &SecretFiles) -> Result<(), Error> {
    if files.is_empty() {
        return Ok(());
    }
    let write = || -> io::Result<()> {
        remove_dir(dir)?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        for (name, value) in files {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(dir.join(name))?;
            file.write_all(value.expose().as_bytes())?;
        }
        Ok(())
    };
    write().map_err(|cause| storage("write the files of secrets", cause))
}

/// Gives the files to the user that the container runs as, where that is another one than ours. A server that may not give
/// files away (it is not root) leaves them as they are.
pub(super) async fn hand_over(account: &Account, engine: &Docker, id: &str, dir: PathBuf) -> Result<(), Error> {
    if !dir.is_dir() || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let made = engine.inspect_container(id, None).await.map_err(|said| account.failed("look at a container", said))?;
    let user = made.config.and_then(|config| config.user).unwrap_or_default();
    let user = user.split(':').next().unwrap_or_default();
    let uid = match user {
        "" | "0" | "root" => return Ok(()),
        number if number.bytes().all(|b| b.is_ascii_digit()) => number.parse().ok(),
        name => uid_of(engine, id, name).await,
    };
    let Some(uid) = uid else {
        let message = format!("the image has no user `{user}`, so its secrets cannot be made readable to it");
        return Err(
            Error::new(ErrorKind::Permanent, "user-unknown", message).hint("name the user by its number: `user`")
        );
    };
    let give = move || -> io::Result<()> {
        for entry in fs::read_dir(&dir)? {
            std::os::unix::fs::lchown(entry?.path(), Some(uid), None)?;
        }
        std::os::unix::fs::lchown(&dir, Some(uid), None)
    };
    blocking(give).await?.map_err(|cause| storage("hand over the files of secrets", cause))
}

/// A user's number by the image's own table.
async fn uid_of(engine: &Docker, id: &str, name: &str) -> Option<u32> {
    let Ok(Some(Entry::File(bytes))) = files::entry(engine, id, "/etc/passwd").await else { return None };
    let text = String::from_utf8_lossy(&bytes);
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}
