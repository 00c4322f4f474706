use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body::Body as _;
use hyper::body::Incoming;
use tokio::io::AsyncWrite as _;

use crate::{
    http1::{write_chunk, write_last_chunk},
    net::Stream,
};

/// A request on its way from an HTTP/2 stream to an instance.
#[derive(Debug)]
pub(super) struct Pump {
    out: Vec<u8>,
    sent: usize,
    touched: bool,
    body: Option<Incoming>,
    chunked: bool,
    allowance: u64,
}

/// Why a request could not be sent to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// The client reset the stream.
    Client,
    /// The instance stopped reading. Its answer may be there all the same.
    Instance,
    TooLarge,
}

impl Pump {
    pub(super) fn new(head: Vec<u8>, body: Option<Incoming>, chunked: bool, limit: Option<u64>) -> Self {
        Self { out: head, sent: 0, touched: false, body, chunked, allowance: limit.unwrap_or(u64::MAX) }
    }

    /// Moves on as far as it goes. Ready when everything is written.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, to: &mut Stream) -> Poll<Result<(), Stopped>> {
        loop {
            while self.sent < self.out.len() {
                let polled = Pin::new(&mut *to).poll_write(cx, &self.out[self.sent..]);
                match ready!(polled) {
                    Ok(count @ 1..) => {
                        self.sent += count;
                        self.touched = true;
                    }
                    Ok(_) | Err(_) => {
                        // One of which nothing was sent stays whole, for another attempt.
                        if self.touched {
                            self.cease();
                        }
                        return Poll::Ready(Err(Stopped::Instance));
                    }
                }
            }
            let Some(body) = &mut self.body else { return Poll::Ready(Ok(())) };
            let frame = ready!(Pin::new(body).poll_frame(cx));
            self.out.clear();
            self.sent = 0;
            match frame {
                Some(Err(_)) => return Poll::Ready(Err(Stopped::Client)),
                Some(Ok(frame)) => {
                    // Trailers are dropped, as from HTTP/1.1.
                    let Ok(data) = frame.into_data() else { continue };
                    self.allowance = self.allowance.checked_sub(data.len() as u64).ok_or(Stopped::TooLarge)?;
                    match (self.chunked, data.is_empty()) {
                        (_, true) => {}
                        (true, false) => write_chunk(&mut self.out, &data),
                        (false, false) => self.out.extend_from_slice(&data),
                    }
                }
                None => {
                    self.body = None;
                    if self.chunked {
                        write_last_chunk(&mut self.out);
                    }
                }
            }
        }
    }

    /// Lets go of the rest of the body: what the client still sends is dropped, and keeps none of its other streams waiting.
    pub(super) fn cease(&mut self) {
        self.body = None;
    }

    /// Whether any byte was written.
    pub(super) const fn is_touched(&self) -> bool {
        self.touched
    }

    /// Begins again. Only for a request that is untouched or had no body.
    pub(super) fn rewind(&mut self) {
        self.sent = 0;
        self.touched = false;
    }
}
