//! `http:` and `https:` resources, streamed to disk within bounds.

use std::{error::Error as _, io, sync::Arc};

use futures::StreamExt as _;
use rustls::CertificateError;
use skipper_core::{
    Sha256,
    port::{Error, ErrorKind},
    spec::Resource,
};

use super::{
    Cache, FetchLimits,
    file::{finish, keep_error},
    redact,
    shelf::Incoming,
    too_large,
};

/// How much is gathered before it goes to disk: one write per chunk of the network would be one hop to a blocking
/// thread each.
const GATHER: usize = 1 << 20;

pub(super) async fn fetch(cache: &Cache, resource: &Resource) -> Result<Sha256, Error> {
    let shown = redact(&resource.uri);
    let answer = send(client(cache)?.get(&resource.uri), &shown).await?;
    let status = answer.status();
    if !status.is_success() {
        return Err(refused(&shown, status));
    }
    let dir = cache.dir().to_owned();
    let incoming = Incoming::new(&dir).map_err(|cause| keep_error(&cause, &resource.uri))?;
    let incoming = store(answer, &shown, cache.limits.max_bytes, incoming).await?;
    let resource = resource.clone();
    blocking(move || Ok(finish(&dir, incoming, &resource))).await.map_err(|cause| {
        Error::new(ErrorKind::Transient, "artifact-store", "the storing task was ended").because(cause)
    })?
}

/// Asks, and waits for the head of the answer.
pub(super) async fn send(request: reqwest::RequestBuilder, shown: &str) -> Result<reqwest::Response, Error> {
    request.send().await.map_err(|cause| unreachable(shown, cause))
}

/// Streams a body of at most `max` bytes to disk.
pub(super) async fn store(
    answer: reqwest::Response,
    shown: &str,
    max: u64,
    mut incoming: Incoming,
) -> Result<Incoming, Error> {
    if answer.content_length().is_some_and(|length| length > max) {
        return Err(too_large(shown, max));
    }
    let mut body = answer.bytes_stream();
    let mut seen = 0_u64;
    let mut gathered = Vec::with_capacity(GATHER);
    loop {
        let chunk = body.next().await.transpose().map_err(|cause| unreachable(shown, cause))?;
        let ended = chunk.is_none();
        if let Some(chunk) = chunk {
            seen += chunk.len() as u64;
            if seen > max {
                return Err(too_large(shown, max));
            }
            gathered.extend_from_slice(&chunk);
        }
        if gathered.len() >= GATHER || ended {
            let written = blocking(move || {
                incoming.write(&gathered)?;
                gathered.clear();
                Ok((incoming, gathered))
            });
            (incoming, gathered) = written.await.map_err(|cause| keep_error(&cause, shown))?;
        }
        if ended {
            return Ok(incoming);
        }
    }
}

/// A body of at most `max` bytes, in memory.
pub(super) async fn small(answer: reqwest::Response, shown: &str, max: u64) -> Result<Vec<u8>, Error> {
    let mut body = answer.bytes_stream();
    let mut gathered = Vec::new();
    while let Some(chunk) = body.next().await.transpose().map_err(|cause| unreachable(shown, cause))? {
        gathered.extend_from_slice(&chunk);
        if gathered.len() as u64 > max {
            return Err(too_large(shown, max));
        }
    }
    Ok(gathered)
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn client(cache: &Cache) -> Result<reqwest::Client, Error> {
    if let Some(client) = cache.client.get() {
        return Ok(client.clone());
    }
    let client = build(&cache.limits, None)?;
    Ok(cache.client.get_or_init(|| client).clone())
}

/// A client within these bounds, through `proxy` where one is given.
///
/// # Errors
///
/// `http-client`, when the host's TLS cannot be set up.
pub fn build(limits: &FetchLimits, proxy: Option<reqwest::Proxy>) -> Result<reqwest::Client, Error> {
    try_build(limits, proxy).map_err(|cause| {
        Error::new(ErrorKind::Permanent, "http-client", "the HTTP client cannot be set up").because(cause)
    })
}

/// reqwest refuses to build without certificates of the host, even for `http:`; given a store of our own it builds, and
/// only `https:` fails on a host that has none.
fn try_build(
    limits: &FetchLimits,
    proxy: Option<reqwest::Proxy>,
) -> Result<reqwest::Client, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::limited(limits.max_redirects))
        .connect_timeout(limits.connect_timeout)
        .read_timeout(limits.read_timeout)
        .user_agent(concat!("skipper/", env!("CARGO_PKG_VERSION")))
        .pool_max_idle_per_host(0);
    if let Some(proxy) = proxy {
        builder = builder.proxy(proxy);
    }
    Ok(builder.build()?)
}

pub(super) fn refused(shown: &str, status: reqwest::StatusCode) -> Error {
    let message = format!("GET {shown} was answered with {status}");
    match status.as_u16() {
        404 | 410 => Error::new(ErrorKind::Permanent, "resource-not-found", message),
        401 | 403 => Error::new(ErrorKind::Permanent, "resource-forbidden", message)
            .hint("the address needs credentials that were not accepted"),
        408 | 429 | 500.. => Error::new(ErrorKind::Transient, "resource-unreachable", message),
        _ => Error::new(ErrorKind::Permanent, "resource-refused", message),
    }
}

fn unreachable(shown: &str, cause: reqwest::Error) -> Error {
    // Its own words repeat the address, with the query that may be secret.
    let cause = cause.without_url();
    let invalid = cause.is_redirect() || cause.is_builder();
    let (tls, refused) = reasons(&cause);
    let hint = match tls {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => Some(
            "this host does not know who issued the certificate: add your CA to the host's certificates, or name its file in \
             SSL_CERT_FILE when the server starts",
        ),
        Some(rustls::Error::InvalidCertificate(_)) => Some("the other side's certificate is not good for this address"),
        Some(_) => Some("what answers there does not speak TLS as it should: is it http:// rather than https://?"),
        None if refused => Some("nothing listens there: look at host and port"),
        None => None,
    };
    // The same question would get the same answer.
    let (kind, code) = match tls {
        _ if invalid => (ErrorKind::Permanent, "resource-invalid"),
        Some(_) => (ErrorKind::Permanent, "resource-tls"),
        None => (ErrorKind::Transient, "resource-unreachable"),
    };
    let error = Error::new(kind, code, format!("GET {shown}")).because(cause);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// What TLS had to say, and whether the connection was refused.
fn reasons(error: &reqwest::Error) -> (Option<rustls::Error>, bool) {
    let (mut tls, mut refused) = (None, false);
    let mut next = error.source();
    while let Some(here) = next {
        tls = tls.or_else(|| here.downcast_ref::<rustls::Error>().cloned());
        next = match here.downcast_ref::<io::Error>() {
            // An I/O error hides what it wraps from `source`.
            Some(io) => {
                refused |= io.kind() == io::ErrorKind::ConnectionRefused;
                io.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static))
            }
            None => here.source(),
        };
    }
    (tls, refused)
}
