//! One connection that an agent has opened, and calls of its node on it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::Stream;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper::{
    body::{Body as _, Incoming},
    client::conn::http2::SendRequest,
};
use skipper_core::{name::NodeName, time::Timestamp};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// Calls of a node at a time; more wait. An agent admits 128 streams.
const CALLS: usize = 64;
/// Streams that stay open for as long as somebody reads them, as logs do.
const STREAMS: usize = 48;

/// Why a call came to nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// It was never made: nothing has happened.
    NotMade(String),
    /// It may have been heard, and no answer came.
    Lost(String),
}

/// A live link.
#[derive(Debug)]
pub struct Link {
    /// Tells one from the next of the same node.
    pub(super) number: u64,
    /// Whose.
    pub(super) node: NodeName,
    /// The agent's run, as it calls itself.
    pub(super) instance: Option<String>,
    /// Since when.
    pub(super) since: Timestamp,
    /// Ends it.
    pub(super) end: CancellationToken,
    /// What the node offers is known, or cannot be.
    pub(super) greeted: CancellationToken,
    used: Mutex<Instant>,
    send: SendRequest<Full<Bytes>>,
    calls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    farewell: Mutex<Option<Farewell>>,
}

/// Why the server ends a link, as it tells the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// Another agent of the same node has come.
    Replaced,
    /// Nobody has asked the node anything for a while.
    Idle,
    /// The node or its token is not known any more.
    Refused,
    /// The server ends, or another one tends what runs.
    Leaving,
}

impl Farewell {
    /// The word on the wire.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Idle => "idle",
            Self::Refused => "refused",
            Self::Leaving => "leaving",
        }
    }
}

/// An answer whose body is still coming.
#[derive(Debug)]
pub(super) struct Answer {
    /// Of HTTP.
    pub(super) status: StatusCode,
    /// What follows.
    pub(super) body: Chunks,
}

/// The body of an answer. Dropping it ends the call on the node as well.
#[derive(Debug)]
pub(super) struct Chunks {
    incoming: Incoming,
    _permit: OwnedSemaphorePermit,
}

impl Stream for Chunks {
    type Item = Result<Bytes, hyper::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return match Pin::new(&mut self.incoming).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => Poll::Ready(Some(Ok(data))),
                    // Trailers say nothing here.
                    Err(_) => continue,
                },
                Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            };
        }
    }
}

impl Link {
    pub(super) fn new(
        (number, node): (u64, NodeName),
        instance: Option<String>,
        since: Timestamp,
        send: SendRequest<Full<Bytes>>,
    ) -> Self {
        Self {
            number,
            node,
            instance,
            since,
            end: CancellationToken::new(),
            greeted: CancellationToken::new(),
            used: Mutex::new(Instant::now()),
            send,
            calls: Arc::new(Semaphore::new(CALLS)),
            streams: Arc::new(Semaphore::new(STREAMS)),
            farewell: Mutex::default(),
        }
    }

    /// Since when it is up.
    #[must_use]
    pub const fn opened_at(&self) -> Timestamp {
        self.since
    }

    /// The agent's run, as it calls itself.
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }

    /// Somebody asks the node something.
    pub(super) fn is_used(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Nobody has asked for so long, and nobody waits for an answer.
    pub(super) fn is_idle(&self, span: Duration) -> bool {
        let used = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        // Of those that last, the one that hears of changes is no use by itself.
        let calls = CALLS - self.calls.available_permits();
        let streams = STREAMS - self.streams.available_permits();
        used.elapsed() >= span && calls == 0 && streams <= 1
    }

    /// Ends it, and says why.
    pub(super) fn close(&self, why: Farewell) {
        self.farewell.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.end.cancel();
    }

    /// Why it was ended, where it was this server that did.
    pub(super) fn farewell(&self) -> Option<Farewell> {
        *self.farewell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the node, and waits for the beginning of its answer for at most `within`. One that lasts (`streams`) is counted apart, so
    /// that those who read along keep nobody from what is to be done.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the answer has begun, the call is taken back; what it had begun on the node ends as the node sees fit.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        within: Duration,
        lasts: bool,
    ) -> Result<Answer, Fault> {
        let until = Instant::now() + within;
        let slots = if lasts { &self.streams } else { &self.calls };
        let busy = || Fault::NotMade("too many calls of it are under way".to_owned());
        let Ok(Ok(permit)) = timeout_at(until, Arc::clone(slots).acquire_owned()).await else { return Err(busy()) };
        let request = Request::builder()
            .method(method)
            .uri(format!("http://node{path}"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| Fault::NotMade(error.to_string()))?;
        let mut send = self.send.clone();
        let called = async {
            send.ready().await.map_err(|error| Fault::NotMade(told(&error)))?;
            send.try_send_request(request).await.map_err(|mut failed| {
                let unsent = failed.take_message().is_some();
                let why = told(failed.error());
                if unsent { Fault::NotMade(why) } else { Fault::Lost(why) }
            })
        };
        let ended = || Fault::Lost("the link was ended".to_owned());
        let response = tokio::select! {
            called = timeout_at(until, called) => {
                called.map_err(|_| Fault::Lost(format!("no answer within {within:?}")))??
            }
            () = self.end.cancelled() => return Err(ended()),
        };
        let (parts, incoming) = response.into_parts();
        Ok(Answer { status: parts.status, body: Chunks { incoming, _permit: permit } })
    }
}

impl Link {
    /// The last call of a link that is ending: nobody waits for more than that it was heard.
    pub(super) async fn last_word(&self, path: &str, body: Bytes) {
        let request = Request::builder().method(Method::POST).uri(format!("http://node{path}")).body(Full::new(body));
        if let Ok(request) = request {
            let _ = self.send.clone().send_request(request).await;
        }
    }
}

/// An error of hyper with its causes.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
