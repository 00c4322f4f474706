use std::{
    io::{IoSlice, Write as _},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

use super::{Decoder, Step};
use crate::net::{Stream, Wire};

/// Bytes gathered before they are written. Chunks of a chunked body are gathered too, so that a body of tiny chunks does
/// not become as many packets.
const GATHER: usize = 64 * 1024;

/// A body up to this size is copied behind the head.
const SMALL: usize = 4 * 1024;

/// How a body is framed where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoder {
    /// As it is: the length was announced, or the end of the connection is the end.
    Identity,
    Chunked,
    /// Not at all: the receiver expects none.
    Nothing,
}

/// Writes one chunk.
pub(crate) fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{:x}\r\n", data.len());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Writes the end of a chunked body.
pub(crate) fn write_last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

/// Why a flow stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Reading failed, or the source ended within the body.
    Source,
    /// The source's framing is malformed.
    Malformed,
    /// The body is larger than the limit.
    TooLarge,
    /// Writing failed.
    Sink,
}

/// One direction of an exchange: a head, then a body from one connection to the other. Holds at most a buffer's worth.
#[derive(Debug)]
pub(crate) struct Flow {
    /// What is to be written before anything else: first the head.
    out: Vec<u8>,
    sent: usize,
    /// Bytes that reached the socket, so that nobody repeats a request that was begun.
    touched: bool,
    decoder: Decoder,
    encoder: Encoder,
    /// The body is not taken from its source yet: the other side was asked whether it wants it.
    pub(crate) paused: bool,
    /// Bytes of body that may still come.
    allowance: u64,
    ended: bool,
}

impl Flow {
    pub(crate) fn new(head: Vec<u8>, decoder: Decoder, encoder: Encoder, limit: Option<u64>) -> Self {
        Self {
            out: head,
            sent: 0,
            touched: false,
            decoder,
            encoder,
            paused: false,
            allowance: limit.unwrap_or(u64::MAX),
            ended: false,
        }
    }

    /// Moves on as far as it goes. Ready when everything is written and flushed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, from: &mut Wire, to: &mut Stream) -> Poll<Result<(), Broken>> {
        while !self.ended {
            let data = self.gather(from)?;
            if self.sent < self.out.len() || data > 0 {
                ready!(self.poll_write(cx, from, to, data))?;
                continue;
            }
            if self.ended {
                break;
            }
            if self.paused {
                return Poll::Pending;
            }
            match from.poll_fill(cx) {
                Poll::Pending => {
                    // Nothing more for now: what TLS holds back must go.
                    ready!(Pin::new(to).poll_flush(cx)).map_err(|_| Broken::Sink)?;
                    return Poll::Pending;
                }
                Poll::Ready(Ok(0)) if self.decoder.source_ended() => {}
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Broken::Source)),
                Poll::Ready(Ok(_)) => {}
            }
        }
        while self.sent < self.out.len() {
            ready!(self.poll_write(cx, from, to, 0))?;
        }
        ready!(Pin::new(to).poll_flush(cx)).map_err(|_| Broken::Sink)?;
        Poll::Ready(Ok(()))
    }

    /// Decodes what is in the source's buffer. Returns how many bytes at its front can be written as they are.
    fn gather(&mut self, from: &mut Wire) -> Result<usize, Broken> {
        if self.paused {
            return Ok(0);
        }
        while self.out.len() - self.sent < GATHER {
            match self.decoder.step(&mut from.buffer) {
                Step::More => return Ok(0),
                Step::Bad => return Err(Broken::Malformed),
                Step::End => {
                    if !self.ended {
                        self.ended = true;
                        if self.encoder == Encoder::Chunked {
                            write_last_chunk(&mut self.out);
                        }
                    }
                    return Ok(0);
                }
                Step::Data(count) if count as u64 > self.allowance => return Err(Broken::TooLarge),
                Step::Data(count) => match self.encoder {
                    // One plain write is cheaper than one of two parts.
                    Encoder::Identity if count <= SMALL && self.sent < self.out.len() => {
                        self.out.extend_from_slice(&from.buffer.filled()[..count]);
                        self.took(from, count);
                    }
                    Encoder::Identity => return Ok(count),
                    Encoder::Chunked => {
                        let count = count.min(GATHER);
                        write_chunk(&mut self.out, &from.buffer.filled()[..count]);
                        self.took(from, count);
                    }
                    Encoder::Nothing => self.took(from, count),
                },
            }
        }
        Ok(0)
    }

    fn took(&mut self, from: &mut Wire, count: usize) {
        from.buffer.consume(count);
        self.decoder.used(count);
        self.allowance -= count as u64;
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Wire,
        to: &mut Stream,
        data: usize,
    ) -> Poll<Result<(), Broken>> {
        let head = &self.out[self.sent..];
        let body = &from.buffer.filled()[..data];
        let to = Pin::new(to);
        let polled = match (head.is_empty(), body.is_empty()) {
            (false, false) => to.poll_write_vectored(cx, &[IoSlice::new(head), IoSlice::new(body)]),
            (false, true) => to.poll_write(cx, head),
            _ => to.poll_write(cx, body),
        };
        let written = ready!(polled).map_err(|_| Broken::Sink)?;
        if written == 0 {
            return Poll::Ready(Err(Broken::Sink));
        }
        self.touched = true;
        let of_head = written.min(head.len());
        self.sent += of_head;
        if written > of_head {
            self.took(from, written - of_head);
        }
        // The head of a request without body is kept for another attempt; everything else is done with.
        if self.sent == self.out.len() && self.encoder != Encoder::Nothing {
            self.out.clear();
            self.sent = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// From here on the body is taken from its source and goes nowhere.
    pub(crate) fn discard(&mut self) {
        self.out.clear();
        self.sent = 0;
        self.encoder = Encoder::Nothing;
    }

    /// Whether any byte was written.
    pub(crate) const fn is_touched(&self) -> bool {
        self.touched
    }

    /// Whether the source was read to the end of the body.
    pub(crate) const fn is_taken(&self) -> bool {
        self.decoder.is_over()
    }

    /// Begins again, for another connection. Only for a flow that is untouched or has no body.
    pub(crate) fn rewind(&mut self) {
        self.sent = 0;
        self.touched = false;
    }

    /// Gives the memory back, for the next head.
    pub(crate) fn into_memory(mut self) -> Vec<u8> {
        self.out.clear();
        self.out
    }
}
