//! A client of Caddy's admin API, no larger than what is asked of it: the whole configuration, read and replaced.
//!
//! An idle connection tells when the configuration may have changed: Caddy starts its admin API anew whenever it loads one, and
//! closes idle connections then; as it does when it is ended. Nothing has to be polled, and Caddy's log stays quiet.

use std::{future::pending, io, pin::Pin, time::Duration};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::settings::AdminAddress;

/// Far more than any configuration.
const MAX_BYTES: usize = 32 << 20;
/// Longest wait for a connection; it is this machine's, or near.
const CONNECT: Duration = Duration::from_secs(3);
/// Longest wait for an answer to a question. Caddy answers none while it loads a configuration.
const ASK: Duration = Duration::from_secs(30);
/// Longest that Caddy may take to load a configuration.
const LOAD: Duration = Duration::from_secs(90);

/// Why Caddy did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    /// Nothing answers, or not as Caddy would.
    #[error("{0}")]
    Unreachable(String),
    /// It answers, and does not let us in.
    #[error("its admin API refuses this client: {0}")]
    Forbidden(String),
    /// It will not run with this configuration.
    #[error("it refuses the configuration: {0}")]
    Refused(String),
    /// Somebody else changed the configuration meanwhile.
    #[error("its configuration was changed by something else in the same moment, again and again")]
    Changed,
}

trait Stream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

/// A connection.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Ends when the connection does.
    driver: Option<BoxFuture<'static, ()>>,
    host: String,
    base: String,
    /// Whether the `Origin` is told, which some admin APIs insist on and others refuse.
    origin: bool,
}

/// A configuration, and what tells this version of it from others.
pub(super) struct Found {
    pub(super) config: Value,
    pub(super) etag: Option<HeaderValue>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Nobody listens there, or does not answer.
    pub(super) async fn open(address: &AdminAddress) -> Result<Self, Trouble> {
        let unreachable =
            |cause: &dyn std::fmt::Display| Trouble::Unreachable(format!("connect to {address}: {cause}"));
        let connect = async {
            Ok::<Pin<Box<dyn Stream>>, io::Error>(match address {
                AdminAddress::Tcp { authority, .. } => Box::pin(TcpStream::connect(authority.as_str()).await?),
                AdminAddress::Unix(path) => Box::pin(UnixStream::connect(path).await?),
            })
        };
        let stream = match timeout(CONNECT, connect).await {
            Ok(stream) => stream.map_err(|cause| unreachable(&cause))?,
            Err(_) => return Err(unreachable(&format_args!("no answer within {CONNECT:?}"))),
        };
        let (sender, driver) = handshake(TokioIo::new(stream)).await.map_err(|cause| unreachable(&cause))?;
        let driver = driver.map(|_| ()).boxed();
        // On a socket Caddy 2.6 wants no host at all.
        let (host, base) = match address {
            AdminAddress::Tcp { authority, base } => (authority.clone(), base.clone()),
            AdminAddress::Unix(_) => (String::new(), String::new()),
        };
        Ok(Self { sender, driver: Some(driver), host, base, origin: false })
    }

    /// The whole configuration; [`Value::Null`] where there is none.
    ///
    /// # Errors
    ///
    /// No answer, or none of Caddy's.
    pub(super) async fn config(&mut self) -> Result<Found, Trouble> {
        let (status, etag, body) = self.send(Method::GET, None, Bytes::new(), ASK).await?;
        if status != StatusCode::OK {
            return Err(Trouble::Unreachable(format!("GET /config/ is answered with {status}: {}", said(&body))));
        }
        let config = serde_json::from_slice(&body)
            .map_err(|cause| Trouble::Unreachable(format!("GET /config/ is not answered with JSON: {cause}")))?;
        Ok(Found { config, etag })
    }

    /// Replaces the whole configuration, if it still is the version of that tag. Caddy goes on with the one before when it cannot run
    /// with this one.
    ///
    /// # Errors
    ///
    /// [`Trouble::Changed`] when it is not, [`Trouble::Refused`] when Caddy does not take it.
    pub(super) async fn load(&mut self, config: &Value, etag: Option<HeaderValue>) -> Result<(), Trouble> {
        let body = Bytes::from(config.to_string());
        let (status, _, body) = self.send(Method::POST, etag, body, LOAD).await?;
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::PRECONDITION_FAILED => Err(Trouble::Changed),
            _ => Err(Trouble::Refused(said(&body))),
        }
    }

    /// Waits until Caddy closes the connection: when it loads a configuration, when it ends, and after a minute of silence.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop.
    pub(super) async fn closed(&mut self) {
        match &mut self.driver {
            Some(driver) => driver.await,
            None => pending().await,
        }
        self.driver = None;
    }

    async fn send(
        &mut self,
        method: Method,
        etag: Option<HeaderValue>,
        body: Bytes,
        bound: Duration,
    ) -> Result<(StatusCode, Option<HeaderValue>, Bytes), Trouble> {
        let answer = self.exchange(&method, etag.clone(), body.clone(), bound).await?;
        if answer.0 != StatusCode::FORBIDDEN {
            return Ok(answer);
        }
        self.origin = !self.origin;
        let again = self.exchange(&method, etag, body, bound).await?;
        if again.0 == StatusCode::FORBIDDEN {
            return Err(Trouble::Forbidden(said(&answer.2)));
        }
        Ok(again)
    }

    async fn exchange(
        &mut self,
        method: &Method,
        etag: Option<HeaderValue>,
        body: Bytes,
        bound: Duration,
    ) -> Result<(StatusCode, Option<HeaderValue>, Bytes), Trouble> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/config/", self.base))
            .header(header::HOST, &self.host)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(etag) = etag {
            request = request.header(header::IF_MATCH, etag);
        }
        if self.origin {
            request = request.header(header::ORIGIN, format!("http://{}", self.host));
        }
        let lost = |cause: &dyn std::fmt::Display| Trouble::Unreachable(format!("{method} /config/: {cause}"));
        let request = request.body(Full::new(body)).map_err(|cause| lost(&cause))?;
        let Self { sender, driver, .. } = self;
        let work = async {
            sender.ready().await.map_err(|cause| lost(&cause))?;
            let answer = sender.send_request(request).await.map_err(|cause| lost(&cause))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MAX_BYTES).collect().await.map_err(|cause| lost(&cause))?;
            // Caddy 2.6 tells it behind the body.
            let behind = body.trailers().and_then(|trailers| trailers.get(header::ETAG)).cloned();
            let etag = head.headers.get(header::ETAG).cloned().or(behind);
            Ok((head.status, etag, body.to_bytes()))
        };
        match timeout(bound, driven(driver, work)).await {
            Ok(answer) => answer,
            Err(_) => Err(lost(&format_args!("no answer within {bound:?}"))),
        }
    }
}

/// Runs the connection along with what is done on it. What was received before it ended is still read.
async fn driven<T>(driver: &mut Option<BoxFuture<'static, ()>>, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    if let Some(connection) = driver {
        tokio::select! {
            biased;
            out = &mut work => return out,
            () = connection => {}
        }
    }
    *driver = None;
    work.await
}

/// What Caddy says is wrong, at a length that can be shown.
fn said(body: &[u8]) -> String {
    let error =
        serde_json::from_slice::<Value>(body).ok().and_then(|body| Some(body.get("error")?.as_str()?.to_owned()));
    let text = error.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    let text: String = text.chars().filter(|c| !c.is_control()).take(500).collect();
    if text.is_empty() { "it does not say why".to_owned() } else { text }
}
