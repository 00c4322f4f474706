use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use tokio::{
    io::{AsyncWrite as _, AsyncWriteExt as _},
    time::{Instant, Sleep, sleep_until, timeout},
};

use super::{
    Decoder, Encoder, Length, Step,
    exchange::{Exchange, Outcome},
    flow::Flow,
    request::{self, Parsed, Request, Scratch},
    tunnel::tunnel,
};
use crate::{
    net::Wire,
    proxy::{Asked, Entry, IDLE_LOOK, Origin, Reply, Shared, answer, checkout, enter},
    stats::count,
    table::Ticket,
};

/// The first bytes of an HTTP/2 connection.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Attempts to reach an instance for one request.
const ATTEMPTS: usize = 3;
/// How long a client may go on sending after an answer that closes the connection, and how long it may pause meanwhile. Closing
/// at once would make the kernel take the answer back from a client that reads only when it has sent everything.
const LINGER: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(5));

/// How serving a connection ended.
pub(crate) enum End {
    Closed,
    /// The client speaks HTTP/2; nothing of it was consumed.
    Http2(Wire),
}

/// Serves one client connection until it ends.
pub(crate) async fn serve(mut client: Wire, shared: &Shared, origin: &Origin) -> End {
    let mut reader = Reader {
        timer: Box::pin(sleep_until(Instant::now() + shared.limits.header_read)),
        first: true,
        scratch: Scratch::default(),
    };
    loop {
        match reader.next(&mut client, shared, origin).await {
            Next::Closed => return End::Closed,
            Next::Http2 => return End::Http2(client),
            Next::Refused(reply) => {
                count(&shared.counters.refused);
                close_with(&mut client, &reply, false).await;
                return End::Closed;
            }
            Next::Request(request) => {
                client.buffer.consume(request.head_len);
                let mut turn = Turn { shared, origin, request: &request, client: &mut client };
                if !turn.take(&mut reader.scratch).await {
                    return End::Closed;
                }
            }
        }
    }
}

struct Reader {
    /// One timer for the connection's life. It is moved only when it must fire earlier, or has fired too early, so a
    /// request costs no timer operation.
    timer: Pin<Box<Sleep>>,
    first: bool,
    scratch: Scratch,
}

enum Next {
    Closed,
    Http2,
    Refused(Reply),
    Request(Request),
}

impl Reader {
    /// Waits for the next head.
    async fn next(&mut self, client: &mut Wire, shared: &Shared, origin: &Origin) -> Next {
        let limits = &shared.limits;
        let since = Instant::now();
        let mut began = since;
        let mut looked = 0;
        loop {
            let bytes = client.buffer.filled();
            if self.first && !bytes.is_empty() && bytes.starts_with(&PREFACE[..bytes.len().min(PREFACE.len())]) {
                // Three bytes tell it from every method in use.
                if bytes.len() >= 3 {
                    return Next::Http2;
                }
            } else if bytes[looked..].contains(&b'\n') || bytes.len() >= limits.header_bytes {
                // Only a line's end can complete a head: a client that sends byte by byte does not make us parse as often.
                looked = bytes.len();
                match request::read(bytes, shared, origin, &mut self.scratch) {
                    Parsed::Partial => {}
                    Parsed::Request(request) => {
                        self.first = false;
                        return Next::Request(request);
                    }
                    Parsed::Refused(reply) => return Next::Refused(reply),
                }
            } else {
                looked = bytes.len();
            }
            let waiting = bytes.is_empty();
            let idle = waiting && !self.first;
            let allowed = if idle { shared.idle() } else { limits.header_read };
            // An idle connection looks up from time to time: it may be needed for somebody else.
            let deadline = if idle { (began + allowed).min(Instant::now() + IDLE_LOOK) } else { began + allowed };
            let filled = self.fill(client, deadline).await;
            match filled {
                None if idle && began.elapsed() < shared.idle() => {}
                Some(Ok(1..)) if waiting => began = Instant::now(),
                Some(Ok(1..)) => {}
                None if !waiting => return Next::Refused(Reply::too_slow()),
                Some(Ok(_) | Err(_)) | None => return Next::Closed,
            }
        }
    }

    /// Reads once. `None`: the deadline passed.
    async fn fill(&mut self, client: &mut Wire, deadline: Instant) -> Option<std::io::Result<usize>> {
        poll_fn(|cx| {
            if let Poll::Ready(read) = client.poll_fill(cx) {
                return Poll::Ready(Some(read));
            }
            if self.timer.deadline() > deadline {
                self.timer.as_mut().reset(deadline);
            }
            while self.timer.as_mut().poll(cx).is_ready() {
                if Instant::now() >= deadline {
                    return Poll::Ready(None);
                }
                self.timer.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await
    }
}

/// One request's turn on a connection.
struct Turn<'a> {
    shared: &'a Shared,
    origin: &'a Origin,
    request: &'a Request,
    client: &'a mut Wire,
}

/// How an attempt to let a request in ended.
enum Entered {
    In(Ticket),
    Refused(Reply),
    ClientGone,
}

impl Turn<'_> {
    /// Serves the request. Whether the connection can carry another one.
    async fn take(&mut self, scratch: &mut Scratch) -> bool {
        let request = self.request;
        let asked = Asked {
            host: &scratch.host,
            path: &scratch.path,
            head: &scratch.head,
            probe: request.probe,
            secure: request.secure,
        };
        if let Some(reply) = answer(self.shared, self.origin, asked) {
            return self.refuse(&reply).await;
        }
        let encoder = match request.length {
            Length::None | Length::Known(0) => Encoder::Nothing,
            Length::Known(_) => Encoder::Identity,
            Length::Chunked => Encoder::Chunked,
        };
        let head = std::mem::take(&mut scratch.head);
        let mut up = Flow::new(head, Decoder::from(request.length), encoder, self.shared.limits.body_bytes);
        // A body that is here already shows that the client does not wait.
        up.paused = request.expects && self.client.buffer.is_empty();
        let kept = self.attempts(scratch, &mut up).await;
        scratch.head = up.into_memory();
        kept
    }

    async fn attempts(&mut self, scratch: &Scratch, up: &mut Flow) -> bool {
        let arrived = Instant::now();
        let mut avoid: Vec<SocketAddr> = Vec::new();
        let (mut fresh, mut unreached) = (!self.request.repeatable, None);
        for attempt in 1..=ATTEMPTS {
            let mut ticket = match self.enter(scratch, arrived, &avoid).await {
                Entered::In(ticket) => ticket,
                // The others of its instances were tried: this one is there, but does not answer.
                Entered::Refused(_) if !avoid.is_empty() => break,
                Entered::Refused(reply) => return self.refuse(&reply).await,
                Entered::ClientGone => return false,
            };
            if attempt > 1 {
                count(&self.shared.counters.retried);
            }
            let (stream, reused) = match checkout(ticket.target(), fresh, self.shared.limits.connect).await {
                Ok(found) => found,
                Err(error) => {
                    tracing::debug!(%error, target.address = %ticket.target().address, "connect to an instance");
                    avoid.push(ticket.target().address);
                    unreached = Some(ticket);
                    continue;
                }
            };
            let exchange = Exchange {
                shared: self.shared,
                request: self.request,
                ticket: &mut ticket,
                client: self.client,
                up,
                reused,
            };
            match exchange.run(stream).await {
                (Outcome::Done { reusable: true }, _) => return true,
                (Outcome::Done { reusable: false }, instance) => {
                    // The instance has nothing to do with how long the client takes to go.
                    drop((instance, ticket));
                    linger(self.client).await;
                    return false;
                }
                (Outcome::Upgraded(head), Some(mut instance)) => {
                    count(&self.shared.counters.upgraded);
                    tunnel(self.client, &mut instance, head).await;
                    return false;
                }
                (Outcome::Again, _) => {
                    up.rewind();
                    fresh = true;
                }
                (Outcome::Refused(reply), _) => {
                    self.tally(&reply);
                    drop(ticket);
                    close_with(self.client, &reply, self.request.head_only).await;
                    return false;
                }
                (Outcome::Broken | Outcome::Upgraded(_), _) => return false,
            }
        }
        // Counted against the one tried last; the others may have been tried for another reason.
        if let Some(mut ticket) = unreached {
            ticket.failed();
        }
        let reply = Reply::bad_gateway();
        self.tally(&reply);
        self.refuse(&reply).await
    }

    fn tally(&self, reply: &Reply) {
        count(if reply.status == 502 { &self.shared.counters.bad_gateway } else { &self.shared.counters.refused });
    }

    /// Lets the request in, or notices while it waits that the client hung up.
    async fn enter(&mut self, scratch: &Scratch, arrived: Instant, avoid: &[SocketAddr]) -> Entered {
        let entry = Entry {
            listener: self.origin.listener,
            host: (!scratch.host.is_empty()).then_some(scratch.host.as_str()),
            path: &scratch.path,
            arrived,
            probe: self.request.probe,
        };
        let mut entering = pin!(enter(self.shared, entry, avoid));
        poll_fn(|cx| {
            if let Poll::Ready(entered) = entering.as_mut().poll(cx) {
                return Poll::Ready(match entered {
                    Ok(ticket) => Entered::In(ticket),
                    Err(reply) => Entered::Refused(reply),
                });
            }
            if self.client.buffer.is_empty()
                && let Poll::Ready(Ok(0) | Err(_)) = self.client.poll_fill(cx)
            {
                return Poll::Ready(Entered::ClientGone);
            }
            Poll::Pending
        })
        .await
    }

    /// Answers in the instance's place. The connection goes on if the request's body is here already, or there is none.
    async fn refuse(&mut self, reply: &Reply) -> bool {
        let mut decoder = Decoder::from(self.request.length);
        while let Step::Data(count) = decoder.step(&mut self.client.buffer) {
            self.client.buffer.consume(count);
            decoder.used(count);
        }
        let reusable = decoder.is_over() && self.request.keep_alive && !self.shared.is_leaving();
        if !reusable || !self.request.http11 {
            close_with(self.client, reply, self.request.head_only).await;
            return false;
        }
        let bytes = reply.to_http1(self.request.head_only, false);
        self.client.stream.write_all(&bytes).await.is_ok() && self.client.stream.flush().await.is_ok()
    }
}

/// Answers, and ends the connection so that the answer arrives.
async fn close_with(client: &mut Wire, reply: &Reply, head_only: bool) {
    let bytes = reply.to_http1(head_only, true);
    if client.stream.write_all(&bytes).await.is_ok() {
        linger(client).await;
    }
}

/// Says the end, then reads what the client still sends, within bounds, until it ends too.
async fn linger(client: &mut Wire) {
    let lingering = async {
        if poll_fn(|cx| Pin::new(&mut client.stream).poll_shutdown(cx)).await.is_err() {
            return;
        }
        loop {
            let count = client.buffer.len();
            client.buffer.consume(count);
            match timeout(LINGER.1, poll_fn(|cx| client.poll_fill(cx))).await {
                Ok(Ok(1..)) => {}
                _ => return,
            }
        }
    };
    // Either way the connection is closed.
    let _ = timeout(LINGER.0, lingering).await;
}
