//! Secrets that a container reads as files: a folder that only its user may enter, mounted read-only.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use bollard::{Docker, errors::Error as Said, query_parameters::DownloadFromContainerOptionsBuilder};
use futures::StreamExt as _;
use skipper_core::port::{Error, ErrorKind};

use super::{account::Account, prepare::SecretFiles};
use crate::local::{blocking, remove_dir, storage};

/// Largest table of users that is read from an image.
const PASSWD_BYTES: usize = 1 << 20;

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
    let table = download(engine, id, "/etc/passwd", PASSWD_BYTES).await.ok()??;
    let text = String::from_utf8_lossy(&table);
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

/// A file of a container; `None` where it is larger, or is none.
pub(super) async fn download(engine: &Docker, id: &str, path: &str, largest: usize) -> Result<Option<Vec<u8>>, Said> {
    const BLOCK: usize = 512;
    let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
    let mut parts = engine.download_from_container(id, Some(options));
    let mut tar: Vec<u8> = Vec::new();
    while let Some(part) = parts.next().await {
        tar.extend_from_slice(&part?);
        if tar.len() > largest + 8 * BLOCK {
            return Ok(None);
        }
    }
    let mut at = 0;
    // The header of a file is a block; headers that only tell more of the next one are before it.
    while let Some(header) = tar.get(at..at + BLOCK) {
        let digits: String = header[124..135].iter().map(|b| char::from(*b)).filter(char::is_ascii_digit).collect();
        let Ok(size) = usize::from_str_radix(&digits, 8) else { return Ok(None) };
        match header[156] {
            b'0' | 0 => return Ok(tar.get(at + BLOCK..at + BLOCK + size).map(<[u8]>::to_vec)),
            b'x' | b'g' => at += BLOCK + size.div_ceil(BLOCK) * BLOCK,
            _ => return Ok(None),
        }
    }
    Ok(None)
}
