//! Brings files of a repository here, within bounds of size, time and redirects.

use std::{io, path::Path, sync::OnceLock, time::Duration};

use futures::StreamExt as _;
use http::{StatusCode, header};
use skipper_platform::artifact::{self, FetchLimits};
use tokio::{
    io::AsyncReadExt as _,
    time::{sleep, timeout},
};

use super::location::Location;

/// Longest index. One of a hundred thousand packages has some 40 MiB.
const MAX_INDEX: usize = 64 << 20;
/// Longest that an index usually may take: 64 MiB at half a megabyte a second.
pub(crate) const INDEX_TIME: Duration = Duration::from_secs(120);
/// Longest that a zip may take: shorter than the request that waits for it.
const ZIP_TIME: Duration = Duration::from_secs(40);
/// Pauses before the further attempts, where the first found nobody.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

/// Why a file could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It is not there.
    Missing,
    /// Another attempt may find it.
    Unreachable(String),
    /// Another attempt would not help.
    Refused(String),
}

impl Failure {
    /// The sentence, about what was asked for.
    pub(super) fn told(&self, what: &Location) -> String {
        match self {
            Self::Missing => format!("there is no {what}"),
            Self::Unreachable(why) | Self::Refused(why) => format!("{what}: {why}"),
        }
    }
}

/// A file, unless it is the one that is known already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The file, with what the server calls this version of it.
    File(Vec<u8>, Option<String>),
    /// It is still the same.
    Same,
}

/// Asks the repositories.
#[derive(Debug, Default)]
pub(super) struct Fetcher {
    /// Made when first needed: loading the host's certificates takes longer than the rest of a server's start.
    client: OnceLock<reqwest::Client>,
}

impl Fetcher {
    /// The index of a repository; `etag` is the version that is known.
    pub(super) async fn index(
        &self,
        file: &Location,
        etag: Option<&str>,
        patience: Duration,
    ) -> Result<Answer, Failure> {
        self.patiently(file, etag, MAX_INDEX, patience).await
    }

    /// A zip of at most `max` bytes.
    pub(super) async fn zip(&self, file: &Location, max: usize, patience: Duration) -> Result<Vec<u8>, Failure> {
        match self.patiently(file, None, max, patience.min(ZIP_TIME)).await? {
            Answer::File(bytes, _) => Ok(bytes),
            Answer::Same => Err(Failure::Refused("was answered as if it were known already".to_owned())),
        }
    }

    async fn patiently(
        &self,
        file: &Location,
        etag: Option<&str>,
        max: usize,
        time: Duration,
    ) -> Result<Answer, Failure> {
        let attempts = async {
            let mut answer = self.once(file, etag, max).await;
            for pause in PAUSES {
                if !matches!(answer, Err(Failure::Unreachable(_))) {
                    break;
                }
                sleep(pause).await;
                answer = self.once(file, etag, max).await;
            }
            answer
        };
        let late = || Failure::Unreachable(format!("was not here after {time:?}"));
        timeout(time, attempts).await.map_err(|_| late())?
    }

    async fn once(&self, file: &Location, etag: Option<&str>, max: usize) -> Result<Answer, Failure> {
        match file {
            Location::Folder(path) => read(path, max).await.map(|bytes| Answer::File(bytes, None)),
            Location::Web(url) => {
                let mut request = self.client()?.get(url.clone());
                if let Some(etag) = etag {
                    request = request.header(header::IF_NONE_MATCH, etag);
                }
                let answer = request.send().await.map_err(unreachable)?;
                if answer.status() == StatusCode::NOT_MODIFIED && etag.is_some() {
                    return Ok(Answer::Same);
                }
                if !answer.status().is_success() {
                    return Err(refused(answer.status()));
                }
                let etag = answer.headers().get(header::ETAG).and_then(|value| value.to_str().ok());
                // A server that sends an endless one gets none back.
                let etag = etag.filter(|etag| etag.len() <= 500).map(str::to_owned);
                Ok(Answer::File(body(answer, max).await?, etag))
            }
        }
    }

    fn client(&self) -> Result<&reqwest::Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = artifact::http_client(&FetchLimits::default(), None)
            .map_err(|cause| Failure::Refused(format!("the HTTP client cannot be set up: {cause}")))?;
        Ok(self.client.get_or_init(|| client))
    }
}

async fn body(answer: reqwest::Response, max: usize) -> Result<Vec<u8>, Failure> {
    let too_large = || Failure::Refused(format!("is larger than the {} MiB allowed", max >> 20));
    let announced = answer.content_length().and_then(|length| usize::try_from(length).ok());
    if announced.is_some_and(|length| length > max) {
        return Err(too_large());
    }
    // Not what was announced: that is only a promise.
    let mut bytes = Vec::new();
    let mut chunks = answer.bytes_stream();
    while let Some(chunk) = chunks.next().await.transpose().map_err(unreachable)? {
        if bytes.len() + chunk.len() > max {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

async fn read(path: &Path, max: usize) -> Result<Vec<u8>, Failure> {
    let failed = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Failure::Missing,
        _ => Failure::Refused(format!("cannot be read: {cause}")),
    };
    // Before it is opened: opening a pipe waits for somebody to write.
    if !tokio::fs::metadata(path).await.map_err(failed)?.is_file() {
        return Err(Failure::Refused("is not a plain file".to_owned()));
    }
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(max as u64 + 1).read_to_end(&mut bytes).await.map_err(failed)?;
    if bytes.len() > max {
        return Err(Failure::Refused(format!("is larger than the {} MiB allowed", max >> 20)));
    }
    Ok(bytes)
}

fn refused(status: StatusCode) -> Failure {
    match status.as_u16() {
        404 | 410 => Failure::Missing,
        408 | 429 | 500.. => Failure::Unreachable(format!("was answered with {status}")),
        401 | 403 => Failure::Refused(format!(
            "was answered with {status}; credentials go into the address, as https://USER:PASSWORD@HOST/…"
        )),
        _ => Failure::Refused(format!("was answered with {status}")),
    }
}

fn unreachable(cause: reqwest::Error) -> Failure {
    let permanent = cause.is_redirect() || cause.is_builder();
    // Its own words repeat the address, with the password that may be in it.
    let cause = cause.without_url();
    let mut text = cause.to_string();
    let mut next = std::error::Error::source(&cause);
    while let Some(here) = next {
        let said = here.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = here.source();
    }
    if permanent { Failure::Refused(text) } else { Failure::Unreachable(text) }
}
