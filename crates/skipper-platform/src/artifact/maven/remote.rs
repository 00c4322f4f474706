//! Asking one repository.

use std::{io, path::Path};

use skipper_core::{
    Sha256,
    port::{Error, ErrorKind},
};
use tracing::warn;

use super::{
    super::{Cache, file, file::keep_error, http, shelf::Incoming},
    Coordinates, Place, Repository,
    metadata::{self, Metadata},
    sums,
};

/// Largest file that tells a sum.
const SUM_BYTES: u64 = 4096;

/// A repository and what it is asked with.
pub(super) struct Remote<'a> {
    pub(super) repository: &'a Repository,
    pub(super) cache: &'a Cache,
    /// For those reached by HTTP.
    pub(super) client: Option<reqwest::Client>,
}

impl Remote<'_> {
    /// The verified file, or `None` where the repository has none.
    pub(super) async fn artifact(&self, path: &str) -> Result<Option<Incoming>, Error> {
        let incoming = Incoming::summed(self.cache.dir()).map_err(|cause| keep_error(&cause, path))?;
        let max = self.cache.limits.max_bytes;
        let got = match &self.repository.place {
            Place::Folder(root) => {
                let path = root.join(path);
                // Blocking: dropping the future lets the copy end by itself, which harms nobody.
                let copied = http::blocking(move || Ok(present(file::read(&path, max, incoming)))).await;
                copied.map_err(|cause| interrupted(&cause))??
            }
            Place::Http(_) => match self.get(path).await? {
                Some((answer, shown)) => Some(http::store(answer, &shown, max, incoming).await?),
                None => None,
            },
        };
        match got {
            Some(incoming) => {
                let sha256 = incoming.digest();
                if let Some(sums) = incoming.sums() {
                    self.verify(path, sums, &sha256).await?;
                }
                Ok(Some(incoming))
            }
            None => Ok(None),
        }
    }

    /// What a snapshot's metadata says, or `None` where there is none.
    pub(super) async fn metadata(&self, wanted: &Coordinates, name: &str) -> Result<Option<Metadata>, Error> {
        let path = format!("{}{name}", wanted.folder());
        let Some(bytes) = self.small(&path, metadata::MAX_BYTES).await? else { return Ok(None) };
        let mut sums = sums::Sums::default();
        sums.update(&bytes);
        self.verify(&path, &sums, &Sha256::of(&bytes)).await?;
        let read = Metadata::read(&bytes).map_err(|why| {
            let message = format!("{path} of the repository `{}` {why}", self.repository.id);
            Error::new(ErrorKind::Permanent, "resource-invalid", message)
        })?;
        Ok(Some(read))
    }

    /// Holds what came against every sum that the repository offers.
    async fn verify(&self, path: &str, got: &sums::Sums, sha256: &Sha256) -> Result<(), Error> {
        let asked = sums::KINDS.map(|(kind, digits)| async move {
            let path = format!("{path}.{kind}");
            (kind, digits, self.small(&path, SUM_BYTES).await)
        });
        let (mut held, mut unknown) = (false, None);
        for (kind, digits, answer) in futures::future::join_all(asked).await {
            let text = match answer {
                Ok(Some(bytes)) => sums::read(&String::from_utf8_lossy(&bytes), digits),
                Ok(None) => None,
                Err(error) => {
                    unknown = Some(error);
                    None
                }
            };
            let Some(said) = text else { continue };
            let is = got.of_kind(kind, sha256);
            if said != is {
                return Err(self.lies(path, kind, &said, &is));
            }
            held = true;
        }
        match unknown {
            _ if held => Ok(()),
            Some(error) => Err(error),
            None if self.repository.sums_required => {
                let kinds = sums::KINDS.map(|(kind, _)| format!(".{kind}")).join(", ");
                let message = format!(
                    "the repository `{}` publishes no checksum of {path} (no file {path} with one of {kinds} after it), and its \
                     checksum policy is fail",
                    self.repository.id
                );
                Err(Error::new(ErrorKind::Permanent, "checksum-missing", message).hint(
                    "have the repository's owner upload the checksums, or set its checksum policy to warn to accept files \
                     without them",
                ))
            }
            None => {
                // A local one has none of what was built here.
                if matches!(self.repository.place, Place::Http(_)) {
                    warn!(repository = self.repository.id, path, "the repository publishes no checksum of the file");
                }
                Ok(())
            }
        }
    }

    fn lies(&self, path: &str, kind: &str, said: &str, is: &str) -> Error {
        let message = format!(
            "the repository `{}` publishes the {kind} {said} of {path}, but what it sends has {is}",
            self.repository.id
        );
        Error::new(ErrorKind::Permanent, "checksum-mismatch", message).hint(
            "the file was damaged on the way, or changed in the repository: have its owner upload it again, and its checksums \
             with it",
        )
    }

    /// A small file, or `None` where there is none.
    async fn small(&self, path: &str, max: u64) -> Result<Option<Vec<u8>>, Error> {
        match &self.repository.place {
            Place::Folder(root) => {
                let path = root.join(path);
                let read = http::blocking(move || Ok(read_small(&path, max))).await;
                read.map_err(|cause| interrupted(&cause))?
            }
            Place::Http(_) => match self.get(path).await? {
                Some((answer, shown)) => http::small(answer, &shown, max).await.map(Some),
                None => Ok(None),
            },
        }
    }

    /// The answer to GET, with its address for people; `None` where there is no such file.
    async fn get(&self, path: &str) -> Result<Option<(reqwest::Response, String)>, Error> {
        let (Place::Http(base), Some(client)) = (&self.repository.place, &self.client) else { return Ok(None) };
        let url = base.join(path).map_err(|cause| {
            let message = format!("{path} has no address in the repository `{}`", self.repository.id);
            Error::new(ErrorKind::Permanent, "resource-invalid", message).because(cause)
        })?;
        let shown = url.to_string();
        let mut request = client.get(url);
        if let Some((user, password)) = &self.repository.login {
            request = request.basic_auth(user, Some(password.expose()));
        }
        let answer = http::send(request, &shown).await?;
        match answer.status() {
            status if status.is_success() => Ok(Some((answer, shown))),
            status if matches!(status.as_u16(), 404 | 410) => Ok(None),
            status => Err(http::refused(&shown, status)),
        }
    }
}

/// What is not there is no error of a repository.
fn present(read: Result<Incoming, Error>) -> Result<Option<Incoming>, Error> {
    match read {
        Err(error) if error.code() == "resource-not-found" => Ok(None),
        other => other.map(Some),
    }
}

fn read_small(path: &Path, max: u64) -> Result<Option<Vec<u8>>, Error> {
    use io::Read as _;
    let unreadable = |cause: io::Error| {
        Error::new(ErrorKind::Transient, "resource-unreachable", format!("read {}", path.display())).because(cause)
    };
    // Before it is opened: opening a pipe waits for somebody to write.
    match std::fs::metadata(path) {
        Ok(about) if about.is_file() => {}
        Ok(_) => return Ok(None),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(unreadable(cause)),
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > max {
        return Err(super::super::too_large(&path.display().to_string(), max));
    }
    Ok(Some(bytes))
}

fn interrupted(cause: &io::Error) -> Error {
    Error::new(ErrorKind::Transient, "resource-unreachable", format!("the copying task was ended: {cause}"))
}
