use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use super::pump::{Pump, Stopped};
use crate::{
    http1::{AnswerBody, Answered, Decoder, Fields, Step, read_response},
    net::{Stream, Wire},
    proxy::{Reply, keep},
    table::Ticket,
};

/// Largest piece of a body handed on at a time.
const PIECE: usize = 32 * 1024;

/// A request at an instance, and its answer.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) instance: Wire,
    pub(super) pump: Pump,
    pub(super) ticket: Ticket,
    /// The connection carried a request before.
    pub(super) reused: bool,
    /// The request has a body: the connection is not kept.
    pub(super) has_body: bool,
    /// `Some` when the request is sent, or cannot be.
    pub(super) sent: Option<Result<(), Stopped>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The request may be sent again.
    Again,
    Refused(Reply),
    /// The client is gone.
    Broken,
}

impl Exchange {
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Option<Stopped> {
        if self.sent.is_none()
            && let Poll::Ready(sent) = self.pump.poll(cx, &mut self.instance.stream)
        {
            self.sent = Some(sent);
        }
        self.sent.and_then(Result::err).filter(|stopped| *stopped != Stopped::Instance)
    }

    /// Sends the request and waits for the answer's head.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head_only: bool,
        repeatable: bool,
    ) -> Poll<Result<(Answered, Parts), NoAnswer>> {
        match self.poll_request(cx) {
            Some(Stopped::TooLarge) => return Poll::Ready(Err(NoAnswer::Refused(Reply::too_large()))),
            Some(_) => return Poll::Ready(Err(NoAnswer::Broken)),
            None => {}
        }
        loop {
            if !self.instance.buffer.is_empty() {
                let mut parts = Parts::default();
                match read_response(self.instance.buffer.filled(), head_only, false, &mut parts) {
                    Ok(None) => {}
                    Err(_) => return Poll::Ready(Err(self.bad_gateway())),
                    Ok(Some(answered)) => {
                        self.instance.buffer.consume(answered.head_len);
                        if answered.is_interim() {
                            continue;
                        }
                        self.ticket.answered(answered.status);
                        // Who refuses and is about to close does not read on; more would only make its kernel take the answer
                        // back.
                        if answered.status >= 300 && !answered.reusable && self.sent.is_none() {
                            self.sent = Some(Err(Stopped::Instance));
                            self.pump.cease();
                        }
                        return Poll::Ready(Ok((answered, parts)));
                    }
                }
            }
            if let Ok(1..) = ready!(self.instance.poll_fill(cx)) {
                continue;
            }
            let silent = self.instance.buffer.is_empty();
            let again = !self.pump.is_touched() || (silent && self.reused && repeatable);
            return Poll::Ready(Err(if again { NoAnswer::Again } else { self.bad_gateway() }));
        }
    }

    fn bad_gateway(&mut self) -> NoAnswer {
        self.ticket.failed();
        NoAnswer::Refused(Reply::bad_gateway())
    }
}

/// An answer's head for HTTP/2.
#[derive(Debug, Default)]
pub(super) struct Parts {
    status: u16,
    headers: HeaderMap,
}

impl Fields for Parts {
    fn begin(&mut self, status: u16, _: &[u8]) {
        self.status = status;
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        // Both were checked when they were parsed; what HTTP/2 cannot carry is left out.
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            self.headers.append(name, value);
        }
    }
}

impl Parts {
    pub(super) fn add(&mut self, name: &'static str, value: &str) {
        self.field(name.as_bytes(), value.as_bytes());
    }

    pub(super) fn into_response(self, body: Answer) -> Response<Answer> {
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_GATEWAY);
        *response.headers_mut() = self.headers;
        response
    }
}

/// The body of an answer: the edge's own text, or what an instance sends.
#[derive(Debug)]
pub(super) enum Answer {
    Own(Option<Bytes>),
    Instance(Box<Streamed>),
}

#[derive(Debug)]
pub(super) struct Streamed {
    /// `None` once the body was read to its end: the request is then no longer in flight.
    exchange: Option<Exchange>,
    answered: Answered,
    decoder: Decoder,
}

impl Answer {
    pub(super) fn streamed(exchange: Exchange, answered: Answered) -> Self {
        let decoder = Decoder::from(answered.body);
        let mut streamed = Streamed { exchange: Some(exchange), answered, decoder };
        if decoder.is_over() {
            streamed.finish();
        }
        Self::Instance(Box::new(streamed))
    }

    pub(super) fn own(reply: &Reply, head_only: bool) -> Response<Self> {
        let mut parts = Parts { status: reply.status, headers: HeaderMap::new() };
        parts.add("content-type", reply.content_type());
        parts.add("cache-control", "no-store");
        parts.add("content-length", &reply.text.len().to_string());
        if let Some(seconds) = reply.retry_after {
            parts.add("retry-after", &seconds.to_string());
        }
        if let Some(allow) = reply.allow {
            parts.add("allow", allow);
        }
        if let Some(location) = &reply.location {
            parts.add("location", location);
        }
        let text = (!head_only).then(|| Bytes::copy_from_slice(reply.text.as_bytes()));
        parts.into_response(Self::Own(text))
    }
}

impl Streamed {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let Some(exchange) = &mut self.exchange else { return Poll::Ready(None) };
        if exchange.poll_request(cx).is_some() {
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
        }
        loop {
            match self.decoder.step(&mut exchange.instance.buffer) {
                Step::Data(count) => {
                    let count = count.min(PIECE);
                    let piece = Bytes::copy_from_slice(&exchange.instance.buffer.filled()[..count]);
                    exchange.instance.buffer.consume(count);
                    self.decoder.used(count);
                    if self.decoder.is_over() {
                        self.finish();
                    }
                    return Poll::Ready(Some(Ok(piece)));
                }
                Step::End => {
                    self.finish();
                    return Poll::Ready(None);
                }
                Step::More => match ready!(exchange.instance.poll_fill(cx)) {
                    Ok(1..) => {}
                    Ok(_) if self.decoder.source_ended() => {}
                    Ok(_) => return Poll::Ready(Some(Err(self.broken(io::ErrorKind::UnexpectedEof.into())))),
                    Err(error) => return Poll::Ready(Some(Err(self.broken(error)))),
                },
                Step::Bad => return Poll::Ready(Some(Err(self.broken(io::ErrorKind::InvalidData.into())))),
            }
        }
    }

    fn broken(&mut self, error: io::Error) -> io::Error {
        if let Some(exchange) = &mut self.exchange {
            exchange.ticket.failed();
        }
        error
    }

    /// The body is over: the request is no longer in flight, and the connection is kept if nothing is left on it.
    fn finish(&mut self) {
        let Some(Exchange { instance, ticket, sent, has_body, .. }) = self.exchange.take() else { return };
        if self.answered.reusable
            && !has_body
            && sent == Some(Ok(()))
            && instance.buffer.is_empty()
            && let Stream::Tcp(stream) = instance.stream
        {
            keep(ticket.target(), stream);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Own(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Instance(streamed) => streamed.poll(cx).map(|piece| piece.map(|piece| piece.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(text) => text.is_none(),
            Self::Instance(streamed) => streamed.decoder.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Self::Instance(streamed) => match (streamed.decoder, streamed.answered.body) {
                (Decoder::Known(left), _) => SizeHint::with_exact(left),
                (_, AnswerBody::None | AnswerBody::Known(_)) => SizeHint::with_exact(0),
                _ => SizeHint::default(),
            },
        }
    }
}
