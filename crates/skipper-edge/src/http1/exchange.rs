use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::AsyncWrite,
    net::TcpStream,
    time::{Sleep, sleep},
};

use super::{
    Decoder, Encoder, Fields,
    flow::{Broken, Flow},
    request::{Request, write_field},
    response::{self, AnswerBody, Answered},
};
use crate::{
    net::{Stream, Wire},
    proxy::{Reply, Shared, date, keep},
    table::Ticket,
    verify::DEPLOYMENT_HEADER,
};

/// How long an instance may take to say `100 Continue` before the client is told so without it. Servers that do not know
/// `Expect` never say it.
const CONTINUE: Duration = Duration::from_secs(1);

/// Most bytes of answers before the answer that wait for a client.
const INTERIM_MAX: usize = 64 * 1024;

/// How long the rest of a request's body may take once its answer is sent.
const GRACE: Duration = Duration::from_secs(2);

/// How an exchange ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The answer is sent. Whether the client's connection can carry another request.
    Done { reusable: bool },
    /// The instance takes another protocol: send this head to the client, then connect the two.
    Upgraded(Vec<u8>),
    /// Nothing was sent to the client, and the request may be sent to an instance again.
    Again,
    /// Nothing was sent to the client: answer with this, and close.
    Refused(Reply),
    /// The client is gone, or its answer broke off. Close.
    Broken,
}

/// One request and its answer, in both directions at once.
pub(crate) struct Exchange<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) request: &'a Request,
    pub(crate) ticket: &'a mut Ticket,
    pub(crate) client: &'a mut Wire,
    /// The request's head and body on their way to the instance.
    pub(crate) up: &'a mut Flow,
    /// The connection carried a request before, so the instance may close it any time.
    pub(crate) reused: bool,
}

struct State {
    instance: Wire,
    /// The request is sent, or can no longer be.
    sent: Option<Sent>,
    /// Runs while the client waits for `100 Continue`.
    patience: Option<Pin<Box<Sleep>>>,
    /// What is left to write of answers before the answer.
    interim: Vec<u8>,
    answer: Option<(Flow, Answered, bool)>,
    /// Runs once the answer is sent and the request is not.
    grace: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    All,
    /// The instance stopped reading, or wants no more. Its answer may be there all the same; what the client still sends is
    /// read and dropped, so that it gets to read.
    Refused,
}

impl Exchange<'_> {
    /// Runs the exchange to its end. Gives the instance's connection back unless it is kept for other requests.
    pub(crate) async fn run(mut self, instance: TcpStream) -> (Outcome, Option<Wire>) {
        self.ticket.begin();
        let patience = self.up.paused.then(|| Box::pin(sleep(CONTINUE)));
        let instance = Wire::new(Stream::Tcp(instance));
        let mut state = State { instance, sent: None, patience, interim: Vec::new(), answer: None, grace: None };
        let outcome = poll_fn(|cx| self.poll(cx, &mut state)).await;
        let State { instance, sent, answer, .. } = state;
        match (instance, answer) {
            (Wire { stream: Stream::Tcp(stream), buffer }, Some((_, answered, _)))
                if matches!(outcome, Outcome::Done { .. })
                    && answered.reusable
                    && !self.request.has_body()
                    && sent == Some(Sent::All)
                    && buffer.is_empty() =>
            {
                keep(self.ticket.target(), stream);
                (outcome, None)
            }
            (instance, _) => (outcome, Some(instance)),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, state: &mut State) -> Poll<Outcome> {
        self.poll_interim(cx, state);
        if let Some(outcome) = self.poll_request(cx, state) {
            return Poll::Ready(outcome);
        }
        while state.answer.is_none() {
            match self.poll_head(cx, state) {
                Poll::Ready(Some(outcome)) => return Poll::Ready(outcome),
                Poll::Ready(None) => {}
                Poll::Pending => return self.poll_client_gone(cx, state),
            }
        }
        if state.grace.is_some() {
            return self.poll_rest(cx, state);
        }
        if !self.poll_interim(cx, state) {
            return Poll::Pending;
        }
        let Some((down, ..)) = &mut state.answer else { return Poll::Pending };
        match down.poll(cx, &mut state.instance, &mut self.client.stream) {
            Poll::Ready(Ok(())) => self.poll_rest(cx, state),
            Poll::Ready(Err(broken)) => {
                let source = matches!(broken, Broken::Source | Broken::Malformed);
                if source && !down.is_touched() {
                    return Poll::Ready(self.bad_gateway(state));
                }
                if source {
                    self.ticket.failed();
                }
                Poll::Ready(Outcome::Broken)
            }
            Poll::Pending => self.poll_client_gone(cx, state),
        }
    }

    /// The answer is sent. An instance may answer before it has read the body, and a client that sends head and body apart
    /// expects to use its connection again all the same: the rest of the body gets a while to arrive.
    fn poll_rest(&self, cx: &mut Context<'_>, state: &mut State) -> Poll<Outcome> {
        let announced = state.answer.as_ref().is_some_and(|(_, _, reusable)| *reusable);
        let over = match state.sent {
            Some(Sent::All) => true,
            Some(Sent::Refused) => self.up.is_taken(),
            None => false,
        };
        if !announced || over {
            return Poll::Ready(Outcome::Done { reusable: announced });
        }
        let grace = state.grace.get_or_insert_with(|| Box::pin(sleep(GRACE)));
        grace.as_mut().poll(cx).map(|()| Outcome::Done { reusable: false })
    }

    /// Sends the request on. `Some`: the exchange is over.
    fn poll_request(&mut self, cx: &mut Context<'_>, state: &mut State) -> Option<Outcome> {
        match state.sent {
            None => {}
            Some(Sent::Refused) if self.up.is_touched() && !self.up.is_taken() => return self.poll_drop(cx, state),
            Some(_) => return None,
        }
        if let Some(patience) = &mut state.patience
            && patience.as_mut().poll(cx).is_ready()
        {
            self.go_on(state);
        }
        self.poll_interim(cx, state);
        match self.up.poll(cx, self.client, &mut state.instance.stream) {
            Poll::Pending => None,
            Poll::Ready(Ok(())) => {
                state.sent = Some(Sent::All);
                None
            }
            Poll::Ready(Err(Broken::Sink)) => {
                self.cease(state);
                self.poll_request(cx, state)
            }
            Poll::Ready(Err(broken)) => Some(match broken {
                _ if state.answer.is_some() => Outcome::Broken,
                Broken::Malformed => Outcome::Refused(Reply::bad_request("malformed chunked body")),
                Broken::TooLarge => Outcome::Refused(Reply::too_large()),
                Broken::Source | Broken::Sink => Outcome::Broken,
            }),
        }
    }

    /// Sends nothing more of the request. One of which nothing was sent stays whole, for another attempt.
    fn cease(&mut self, state: &mut State) {
        state.sent = Some(Sent::Refused);
        if self.up.is_touched() && !self.up.is_taken() {
            self.up.discard();
        }
    }

    /// Takes the rest of the body from the client, for nobody.
    fn poll_drop(&mut self, cx: &mut Context<'_>, state: &mut State) -> Option<Outcome> {
        match self.up.poll(cx, self.client, &mut state.instance.stream) {
            // What cannot be read to its end ends the connection, after the answer.
            Poll::Pending | Poll::Ready(Ok(()) | Err(Broken::Malformed | Broken::TooLarge | Broken::Sink)) => None,
            Poll::Ready(Err(Broken::Source)) => Some(Outcome::Broken),
        }
    }

    /// Writes what comes before the answer. Whether there is nothing left of it; a failure shows with the next write.
    fn poll_interim(&mut self, cx: &mut Context<'_>, state: &mut State) -> bool {
        while !state.interim.is_empty() {
            match Pin::new(&mut self.client.stream).poll_write(cx, &state.interim) {
                Poll::Ready(Ok(count @ 1..)) => drop(state.interim.drain(..count)),
                Poll::Ready(_) => state.interim.clear(),
                Poll::Pending => return false,
            }
            if state.interim.is_empty() {
                // What TLS holds back goes with the answer at the latest.
                let _ = Pin::new(&mut self.client.stream).poll_flush(cx);
            }
        }
        true
    }

    /// The client may send its body.
    fn go_on(&mut self, state: &mut State) {
        if self.up.paused {
            self.up.paused = false;
            state.interim.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        state.patience = None;
    }

    /// Reads the answer's head. Ready without an outcome: something happened, look again.
    fn poll_head(&mut self, cx: &mut Context<'_>, state: &mut State) -> Poll<Option<Outcome>> {
        if !state.instance.buffer.is_empty() {
            let mut out = Vec::with_capacity(512);
            let read = response::read(
                state.instance.buffer.filled(),
                self.request.head_only,
                self.request.upgrade,
                &mut Lines(&mut out),
            );
            match read {
                Ok(None) => {}
                Err(_) => return Poll::Ready(Some(self.bad_gateway(state))),
                Ok(Some(answered)) if answered.is_interim() => {
                    state.instance.buffer.consume(answered.head_len);
                    if answered.status == 100 {
                        self.go_on(state);
                        return Poll::Ready(self.poll_request(cx, state));
                    }
                    // Hints, for whoever understands them; one that does not read them must not fill the memory.
                    if self.request.http11 && state.interim.len() < INTERIM_MAX {
                        out.extend_from_slice(b"\r\n");
                        state.interim.append(&mut out);
                        self.poll_interim(cx, state);
                    }
                    return Poll::Ready(None);
                }
                Ok(Some(answered)) => {
                    state.instance.buffer.consume(answered.head_len);
                    let paused = self.up.paused;
                    let outcome = self.begin_answer(state, answered, out);
                    if outcome.is_none() && paused && !self.up.paused {
                        // The body may come now, and nobody would wake us for it yet.
                        return Poll::Ready(self.poll_request(cx, state));
                    }
                    return Poll::Ready(outcome);
                }
            }
        }
        match state.instance.poll_fill(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(1..)) => Poll::Ready(None),
            Poll::Ready(Ok(_) | Err(_)) => Poll::Ready(Some(self.closed_unanswered(state))),
        }
    }

    /// Writes the framing and the connection's fate below the fields, and starts the answer's way to the client.
    fn begin_answer(&mut self, state: &mut State, answered: Answered, mut out: Vec<u8>) -> Option<Outcome> {
        self.ticket.answered(answered.status);
        if self.request.probe {
            write_field(&mut out, DEPLOYMENT_HEADER.as_bytes(), self.ticket.target().deployment.id.as_bytes());
        }
        if answered.status == 101 {
            write_field(&mut out, b"connection", b"upgrade");
            out.extend_from_slice(b"\r\n");
            // What came before it and did not fit into the client's socket goes first.
            let mut head = std::mem::take(&mut state.interim);
            head.append(&mut out);
            return Some(Outcome::Upgraded(head));
        }
        let encoder = match (answered.body, self.request.http11) {
            (AnswerBody::None | AnswerBody::Known(0), _) => Encoder::Nothing,
            (AnswerBody::Known(_), _) | (_, false) => Encoder::Identity,
            (AnswerBody::Chunked | AnswerBody::UntilClose, true) => Encoder::Chunked,
        };
        // A server that answers well before it has read the body wants it all the same; others would say 100 first.
        if answered.status < 300 {
            self.go_on(state);
        }
        // Who refuses and is about to close does not read on; whatever it is sent makes its kernel take the answer back (RFC 9112,
        // 9.5 and 9.6).
        if answered.status >= 300 && !answered.reusable && state.sent.is_none() && !self.up.paused {
            self.cease(state);
        }
        // The client was told nothing about the body it wants to send, or the instance does not take it: then nobody
        // knows what the next bytes on the connection are.
        let body_lost = self.up.paused
            || state.sent == Some(Sent::Refused)
            || (state.sent.is_none() && !self.up.is_taken() && !answered.reusable);
        let endless = encoder == Encoder::Identity && !matches!(answered.body, AnswerBody::Known(_));
        let reusable = self.request.keep_alive && !body_lost && !endless && !self.shared.is_leaving();
        if encoder == Encoder::Chunked {
            write_field(&mut out, b"transfer-encoding", b"chunked");
        }
        match (reusable, self.request.http11) {
            (false, _) => write_field(&mut out, b"connection", b"close"),
            (true, false) => write_field(&mut out, b"connection", b"keep-alive"),
            (true, true) => {}
        }
        out.extend_from_slice(b"\r\n");
        let decoder = Decoder::from(answered.body);
        state.answer = Some((Flow::new(out, decoder, encoder, None), answered, reusable));
        None
    }

    /// The instance closed the connection, or it broke, before anything of an answer came.
    fn closed_unanswered(&mut self, state: &State) -> Outcome {
        let silent = state.instance.buffer.is_empty();
        // What was never sent can be sent again. A request on a connection that the instance closed at the same moment
        // was not looked at either; that is certain enough for requests that change nothing (RFC 9110, 9.2.2).
        let untold = state.interim.is_empty();
        if untold && (!self.up.is_touched() || (silent && self.reused && self.request.repeatable)) {
            return Outcome::Again;
        }
        self.bad_gateway(state)
    }

    fn bad_gateway(&mut self, state: &State) -> Outcome {
        self.ticket.failed();
        // Half a line may be out, and nothing can follow it but its end.
        if state.interim.is_empty() { Outcome::Refused(Reply::bad_gateway()) } else { Outcome::Broken }
    }

    /// While nothing else moves: notices a client that hung up, so that the instance need not go on for nobody.
    fn poll_client_gone(&mut self, cx: &mut Context<'_>, state: &State) -> Poll<Outcome> {
        let body_taken = state.sent.is_some() && self.up.is_taken();
        if body_taken && self.client.buffer.is_empty() {
            match self.client.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Outcome::Broken),
                // The next request, ahead of time.
                Poll::Ready(Ok(_)) | Poll::Pending => {}
            }
        }
        Poll::Pending
    }
}

/// Writes an answer's head as HTTP/1.1.
struct Lines<'a>(&'a mut Vec<u8>);

impl Fields for Lines<'_> {
    fn begin(&mut self, status: u16, reason: &[u8]) {
        let digits = [status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + u8::try_from(digit).unwrap_or(0));
        self.0.clear();
        self.0.extend_from_slice(b"HTTP/1.1 ");
        self.0.extend_from_slice(&digits);
        self.0.push(b' ');
        self.0.extend_from_slice(reason);
        self.0.extend_from_slice(b"\r\n");
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        write_field(self.0, name, value);
    }

    fn undated(&mut self) {
        date::with(|now| write_field(self.0, b"date", now.as_bytes()));
    }
}
