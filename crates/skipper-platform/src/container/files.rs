//! Files out of an image: the engine gives them out of a container, so one is made, read from and removed, and never started.

use bollard::{
    Docker,
    errors::Error as Said,
    models::ContainerCreateBody,
    query_parameters::{
        CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder, RemoveContainerOptionsBuilder,
    },
};
use futures::StreamExt as _;
use skipper_core::{
    Sha256,
    port::{Error, ErrorKind},
    spec::Resource,
};
use tracing::warn;

use super::{account::Account, fault, fetch, labels};

/// Largest file that is read.
const MAX_FILE: usize = 1 << 20;
/// A block of an archive.
const BLOCK: usize = 512;
/// Links that are followed to a file.
const MAX_LINKS: usize = 8;

/// What a path in a container is.
pub(super) enum Entry {
    /// A plain file.
    File(Vec<u8>),
    /// A link to another path.
    Link(String),
    /// Something else: a folder, a device.
    Other,
}

/// Reads a file of a pinned image.
pub(super) async fn of_image(account: &Account, image: &Resource, path: &str) -> Result<Option<Vec<u8>>, Error> {
    let engine = account.engine().await?;
    let id = fetch::pinned(account, &engine, image).await?;
    // One for each image: whoever was killed while reading leaves one, and the next reader takes it.
    let name = format!("skipper-files-{}", Sha256::of(format!("{}/{id}", account.config.owner).as_bytes()).short());
    let turn = account.turn(&name);
    let _turn = turn.lock().await;
    let body = ContainerCreateBody {
        image: Some(id),
        // Never run, but an image that names no command is refused without one.
        cmd: Some(vec!["skipper".to_owned()]),
        labels: Some(
            [
                (labels::OWNER, account.config.owner.as_str()),
                (labels::ACCOUNT, account.config.account.as_str()),
                (labels::KIND, labels::FILES),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    match engine.create_container(Some(options), body).await {
        Ok(_) => {}
        Err(said) if fault::is_conflict(&said) => {}
        Err(said) => return Err(account.failed(format!("make a container to read {path} of {}", image.uri), said)),
    }
    let read = follow(account, &engine, &name, path, image).await;
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    if let Err(error) = engine.remove_container(&name, Some(options)).await {
        warn!(%error, container = name, "a container that was made to read a file was not removed");
    }
    read
}

async fn follow(
    account: &Account,
    engine: &Docker,
    container: &str,
    path: &str,
    image: &Resource,
) -> Result<Option<Vec<u8>>, Error> {
    let wrong = |what: &str| {
        let message = format!("{path} of image {} {what}", image.uri);
        Error::new(ErrorKind::Permanent, "image-file-invalid", message)
    };
    let mut at = path.to_owned();
    for _ in 0..MAX_LINKS {
        match entry(engine, container, &at).await {
            Ok(None) => return Ok(None),
            Ok(Some(Entry::File(bytes))) => return Ok(Some(bytes)),
            Ok(Some(Entry::Other)) => return Err(wrong("is no plain file")),
            Ok(Some(Entry::Link(target))) => at = joined(&at, &target),
            Err(Trouble::TooLarge) => return Err(wrong("is larger than 1 MiB")),
            Err(Trouble::Damaged) => return Err(wrong("came as an archive that cannot be read")),
            Err(Trouble::Said(said)) => {
                return Err(account.failed(format!("read {path} of {}", image.uri), said));
            }
        }
    }
    Err(wrong("is a link to a link, again and again"))
}

/// Where a link leads. Dots are left to the engine, which never leaves the container.
fn joined(at: &str, target: &str) -> String {
    if target.starts_with('/') {
        return target.to_owned();
    }
    let folder = at.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{folder}/{target}")
}

/// Why a file could not be read.
pub(super) enum Trouble {
    TooLarge,
    Damaged,
    Said(Said),
}

/// What stands at a path; `None` where nothing does.
pub(super) async fn entry(engine: &Docker, container: &str, path: &str) -> Result<Option<Entry>, Trouble> {
    let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
    let mut parts = engine.download_from_container(container, Some(options));
    let mut archive = Vec::new();
    while let Some(part) = parts.next().await {
        match part {
            Ok(bytes) => archive.extend_from_slice(&bytes),
            Err(said) if fault::is_missing(&said) => return Ok(None),
            Err(said) => return Err(Trouble::Said(said)),
        }
        // Padding and the two blocks at the end.
        if archive.len() > MAX_FILE + 16 * BLOCK {
            return Err(Trouble::TooLarge);
        }
    }
    first(&archive)
}

/// The first entry of an archive, past headers that only describe it.
fn first(archive: &[u8]) -> Result<Option<Entry>, Trouble> {
    let mut rest = archive;
    while let Some(header) = rest.get(..BLOCK).filter(|header| header.iter().any(|byte| *byte != 0)) {
        let size = octal(&header[124..136]).ok_or(Trouble::Damaged)?;
        if size > MAX_FILE {
            return Err(Trouble::TooLarge);
        }
        let body = rest.get(BLOCK..BLOCK + size).ok_or(Trouble::Damaged)?;
        match header[156] {
            // Long names and attributes of what comes next.
            b'x' | b'g' | b'L' | b'K' => rest = rest.get(BLOCK + size.next_multiple_of(BLOCK)..).unwrap_or_default(),
            b'0' | 0 => return Ok(Some(Entry::File(body.to_vec()))),
            b'1' | b'2' => {
                let target = header[157..257].split(|byte| *byte == 0).next().unwrap_or_default();
                return Ok(Some(Entry::Link(String::from_utf8_lossy(target).into_owned())));
            }
            _ => return Ok(Some(Entry::Other)),
        }
    }
    Ok(None)
}

fn octal(field: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    usize::from_str_radix(text, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: u8, size: usize, target: &str) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[..4].copy_from_slice(b"name");
        block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        block[156] = kind;
        block[157..157 + target.len()].copy_from_slice(target.as_bytes());
        block
    }

    #[test]
    fn the_first_entry_of_an_archive_is_told() {
        let mut file = header(b'x', 3, "");
        file.extend_from_slice(b"abc");
        file.resize(2 * BLOCK, 0);
        file.extend(header(b'0', 5, ""));
        file.extend_from_slice(b"hello");
        file.resize(6 * BLOCK, 0);
        assert!(matches!(first(&file), Ok(Some(Entry::File(bytes))) if bytes == b"hello"));
        assert!(matches!(first(&header(b'2', 0, "b.toml")), Ok(Some(Entry::Link(to))) if to == "b.toml"));
        assert!(matches!(first(&header(b'5', 0, "")), Ok(Some(Entry::Other))));
        assert!(matches!(first(&[]), Ok(None)));
        assert!(matches!(first(&header(b'0', 5, "")), Err(Trouble::Damaged)));
        assert!(matches!(first(&header(b'0', MAX_FILE + 1, "")), Err(Trouble::TooLarge)));
        assert_eq!(joined("/slip/slip.toml", "../etc/x"), "/slip/../etc/x");
    }
}
