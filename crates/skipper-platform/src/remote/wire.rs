use std::{fmt, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream};
use serde::Serialize;
use skipper_core::{
    BoxFuture, BoxStream,
    port::{Error, ErrorKind},
};

use super::message::Fault;

/// A connection to a node's [`super::Desk`], or the lack of one.
///
/// Stays the same while connections come and go: it is the node's, not one connection's.
pub trait Wire: Send + Sync + fmt::Debug {
    /// Sends a body to a path and returns the answer as soon as it begins. Many may be on their way at a time.
    ///
    /// `deadline` bounds the time until the answer begins. Its body takes as long as it takes: whoever reads it bounds that,
    /// and ends the call on the other side by dropping it.
    ///
    /// The body may hold secrets: it is neither shown nor logged nor kept.
    ///
    /// # Errors
    ///
    /// [`super::unreachable`] where nothing was sent; [`super::cut`], here and in the answer's body, where the other side may have
    /// heard of it.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: the call is then ended on the other side too.
    fn ask<'a>(&'a self, path: &'a str, body: Bytes, deadline: Duration) -> BoxFuture<'a, Result<Reply, Error>>;

    /// Resolves when a connection has come up or was lost since it was called. May resolve without reason.
    fn changed(&self) -> BoxFuture<'_, ()>;
}

/// What is answered to a call: a status, as HTTP has them, and a body that comes in pieces.
pub struct Reply {
    /// 200 where it was done; anything else says in its body why it was not.
    pub status: u16,
    /// JSON, or a line of JSON for each item of a stream.
    pub body: BoxStream<'static, Result<Bytes, Error>>,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Reply {
    /// It was done.
    pub(super) const DONE: u16 = 200;
    /// Whoever was asked refused, or could not.
    pub(super) const REFUSED: u16 = 422;
    /// Nobody of that name is here.
    pub(super) const UNKNOWN: u16 = 404;
    /// The request is not understood.
    pub(super) const MALFORMED: u16 = 400;

    /// An answer in one piece.
    pub(super) fn done(answer: &impl Serialize) -> Self {
        match serde_json::to_vec(answer) {
            Ok(bytes) => Self::whole(Self::DONE, bytes),
            Err(error) => Self::refused(
                &Error::new(ErrorKind::Permanent, "node-answer", "write the answer as JSON").because(error),
            ),
        }
    }

    /// Why it was not done.
    #[must_use]
    pub fn refused(error: &Error) -> Self {
        Self::with(Self::REFUSED, error)
    }

    /// Why it was not done, with a status of its own.
    pub(super) fn with(status: u16, error: &Error) -> Self {
        // A fault is text and nothing else, so this cannot fail; an empty body is read as a refusal without reasons.
        Self::whole(status, serde_json::to_vec(&Fault::of(error)).unwrap_or_default())
    }

    /// An answer that goes on.
    pub(super) fn stream(lines: impl futures::Stream<Item = Bytes> + Send + 'static) -> Self {
        Self { status: Self::DONE, body: Box::pin(lines.map(Ok)) }
    }

    fn whole(status: u16, bytes: Vec<u8>) -> Self {
        Self { status, body: Box::pin(stream::iter([Ok(Bytes::from(bytes))])) }
    }

    /// The whole body, of at most `limit` bytes.
    pub(super) async fn collect(mut self, limit: usize) -> Result<BytesMut, Error> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.body.next().await {
            let piece = piece?;
            if whole.len() + piece.len() > limit {
                let message = format!("the answer has more than {limit} bytes");
                return Err(Error::new(ErrorKind::Unknown, "answer-too-large", message));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }
}
