//! `file:` resources, copied so that a revision keeps its bytes when somebody replaces the file.

use std::{
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use skipper_core::{
    Sha256,
    port::{Error, ErrorKind},
    spec::Resource,
};

use super::{Cache, mismatch, shelf::Incoming};

pub(super) async fn fetch(cache: &Cache, resource: &Resource) -> Result<Sha256, Error> {
    let (dir, max, resource) = (cache.dir().to_owned(), cache.limits.max_bytes, resource.clone());
    // Blocking: dropping the future lets the copy end by itself, which harms nobody.
    tokio::task::spawn_blocking(move || copy(&dir, max, &resource)).await.map_err(|cause| {
        Error::new(ErrorKind::Transient, "resource-unreachable", "the copying task was ended").because(cause)
    })?
}

/// The path a `file:` address names.
pub(super) fn path(uri: &str) -> Result<PathBuf, Error> {
    let invalid = |why: &str| {
        Error::new(ErrorKind::Permanent, "resource-invalid", format!("`{uri}` {why}"))
            .hint("write it as file:/absolute/path/to/program")
    };
    if !uri.strip_prefix("file:").is_some_and(|rest| rest.starts_with('/')) {
        return Err(invalid("is not an absolute path"));
    }
    let url = url::Url::parse(uri).map_err(|cause| invalid("is not a valid address").because(cause))?;
    url.to_file_path().map_err(|()| invalid("names another host"))
}

fn copy(dir: &Path, max: u64, resource: &Resource) -> Result<Sha256, Error> {
    let path = path(&resource.uri)?;
    let incoming = Incoming::new(dir).map_err(|cause| keep_error(&cause, &resource.uri))?;
    finish(dir, read(&path, max, incoming)?, resource)
}

/// Copies a plain file of at most `max` bytes. Blocking.
pub(super) fn read(path: &Path, max: u64, mut to: Incoming) -> Result<Incoming, Error> {
    let shown = path.display();
    let unreadable = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound => {
            Error::new(ErrorKind::Permanent, "resource-not-found", format!("there is no file {shown}"))
                .hint("the path is one of the host that Skipper runs on")
        }
        io::ErrorKind::PermissionDenied => {
            Error::new(ErrorKind::Permanent, "resource-unreadable", format!("read {shown}"))
                .because(cause)
                .hint("let the user that Skipper runs as read the file")
        }
        _ => Error::new(ErrorKind::Transient, "resource-unreachable", format!("read {shown}")).because(cause),
    };
    // Before it is opened: opening a pipe waits for somebody to write.
    let about = fs::metadata(path).map_err(unreadable)?;
    if about.is_dir() {
        return Err(Error::new(ErrorKind::Permanent, "resource-is-directory", format!("{shown} is a folder")).hint(
            "name the program's file; for a program with assets, name its start script or pack both in one file",
        ));
    }
    if !about.is_file() {
        return Err(Error::new(ErrorKind::Permanent, "resource-invalid", format!("{shown} is not a regular file")));
    }
    let mut from = fs::File::open(path).map_err(unreadable)?;
    let too_large = || super::too_large(&shown.to_string(), max);
    if about.len() > max {
        return Err(too_large());
    }
    let mut buffer = vec![0; 256 << 10];
    let mut seen = 0_u64;
    loop {
        let count = from.read(&mut buffer).map_err(unreadable)?;
        if count == 0 {
            return Ok(to);
        }
        seen += count as u64;
        if seen > max {
            return Err(too_large());
        }
        to.write(&buffer[..count]).map_err(|cause| keep_error(&cause, &shown.to_string()))?;
    }
}

/// Checks the digest that was asked for and keeps the file.
pub(super) fn finish(dir: &Path, incoming: Incoming, resource: &Resource) -> Result<Sha256, Error> {
    let got = incoming.digest();
    match &resource.sha256 {
        Some(wanted) if *wanted != got => Err(mismatch(&resource.uri, wanted, &got)),
        _ => incoming.keep(dir).map_err(|cause| keep_error(&cause, &resource.uri)),
    }
}

/// Says why an artifact cannot be stored.
pub(super) fn keep_error(cause: &io::Error, uri: &str) -> Error {
    let uri = super::redact(uri);
    let copy = io::Error::new(cause.kind(), cause.to_string());
    if matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return Error::new(ErrorKind::Transient, "disk-full", format!("store {uri}"))
            .because(copy)
            .hint("make room on the file system of the data directory");
    }
    Error::new(ErrorKind::Transient, "artifact-store", format!("store {uri}")).because(copy)
}
