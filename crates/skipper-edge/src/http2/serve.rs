use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

use super::{
    answer::{Answer, Exchange, NoAnswer},
    pump::Pump,
    request::{Translated, translate},
};
use crate::{
    http1::Length,
    net::{Stream, Wire},
    proxy::{Asked, Entry, IDLE_LOOK, Origin, Reply, Shared, answer, checkout, enter},
    stats::count,
    verify::DEPLOYMENT_HEADER,
};

/// Attempts to reach an instance for one request.
const ATTEMPTS: usize = 3;
/// Time for a connection to end after it was told to go, when nothing is open: it ends by itself as soon as the client has read
/// what is left of the last answers, which no count shows.
const GOODBYE: Duration = Duration::from_secs(30);

/// Runs the streams of a connection as tasks of this thread's tracker.
#[derive(Debug, Clone)]
struct Tasks(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

/// Serves one HTTP/2 connection until it ends.
pub(crate) async fn serve(client: Wire, shared: Arc<Shared>, origin: Arc<Origin>, tasks: TaskTracker) {
    let limits = shared.limits.clone();
    let open = Arc::new(Activity::default());
    let service = {
        let (shared, open) = (shared.clone(), open.clone());
        service_fn(move |request| {
            let (shared, origin, open) = (shared.clone(), origin.clone(), Open::new(&open));
            async move {
                let response = handle(request, &shared, &origin).await;
                Ok::<_, Infallible>(response.map(|answer| Tracked { answer, _open: open }))
            }
        })
    };
    let connection = hyper::server::conn::http2::Builder::new(Tasks(tasks))
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        // What an instance sends faster than the client reads waits in its socket, not here.
        .max_send_buf_size(64 * 1024)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .serve_connection(TokioIo::new(client), service);
    let mut connection = pin!(connection);
    let mut left = pin!(shared.left());
    let mut leaving = None;
    let mut idle = pin!(sleep(limits.header_read));
    loop {
        tokio::select! {
            // Errors are the client's: a reset, a broken frame. The library has told it already.
            _ = &mut connection => return,
            () = &mut left, if leaving.is_none() => {
                leaving = Some(Instant::now());
                connection.as_mut().graceful_shutdown();
            }
            () = &mut idle => {
                // Whoever has asked something may be idle for a while; whoever has not has had the time for a head.
                let until = open.last().map(|last| last + shared.idle());
                if open.count() > 0 {
                    idle.as_mut().reset(Instant::now() + shared.idle().min(IDLE_LOOK));
                } else if let Some(since) = leaving {
                    let until = open.last().unwrap_or(since).max(since) + GOODBYE;
                    if until <= Instant::now() {
                        return;
                    }
                    idle.as_mut().reset(until);
                } else if let Some(until) = until.filter(|until| *until > Instant::now()) {
                    idle.as_mut().reset(until.min(Instant::now() + IDLE_LOOK));
                } else {
                    leaving = Some(Instant::now());
                    connection.as_mut().graceful_shutdown();
                    idle.as_mut().reset(Instant::now() + GOODBYE);
                }
            }
        }
    }
}

/// Streams that are open, and when the last one ended.
#[derive(Debug, Default)]
struct Activity {
    open: AtomicUsize,
    last: Mutex<Option<Instant>>,
}

impl Activity {
    fn count(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    fn last(&self) -> Option<Instant> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a stream while it exists.
struct Open(Arc<Activity>);

impl Open {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.open.fetch_add(1, Ordering::Relaxed);
        Self(activity.clone())
    }
}
impl Drop for Open {
    fn drop(&mut self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body whose stream counts as open until it is done with.
struct Tracked {
    answer: Answer,
    _open: Open,
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.get_mut().answer).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}

async fn handle(request: Request<Incoming>, shared: &Shared, origin: &Origin) -> Response<Answer> {
    let arrived = Instant::now();
    let translated = match translate(&request, shared, origin) {
        Ok(translated) => translated,
        Err(reply) => {
            count(&shared.counters.refused);
            return Answer::own(&reply, false);
        }
    };
    let head_only = translated.head_only;
    match forward(translated, request.into_body(), shared, origin, arrived).await {
        Ok(response) => response,
        Err(reply) => Answer::own(&reply, head_only),
    }
}

async fn forward(
    translated: Translated,
    body: Incoming,
    shared: &Shared,
    origin: &Origin,
    arrived: Instant,
) -> Result<Response<Answer>, Reply> {
    let Translated { host, path, head, length, head_only, repeatable, probe, secure } = translated;
    if let Some(reply) = answer(shared, origin, Asked { host: &host, path: &path, head: &head, probe, secure }) {
        return Err(reply);
    }
    let has_body = length.has_body();
    let body = has_body.then_some(body);
    let mut pump = Pump::new(head, body, length == Length::Chunked, shared.limits.body_bytes);
    let entry = Entry { listener: origin.listener, host: Some(&host), path: &path, arrived, probe };
    let mut avoid: Vec<SocketAddr> = Vec::new();
    let (mut fresh, mut unreached) = (!repeatable, None);
    for attempt in 1..=ATTEMPTS {
        let mut ticket = match enter(shared, entry, &avoid).await {
            Ok(ticket) => ticket,
            Err(_) if !avoid.is_empty() => break,
            Err(reply) => return Err(reply),
        };
        if attempt > 1 {
            count(&shared.counters.retried);
        }
        let Ok((stream, reused)) = checkout(ticket.target(), fresh, shared.limits.connect).await else {
            avoid.push(ticket.target().address);
            unreached = Some(ticket);
            continue;
        };
        ticket.begin();
        let instance = Wire::new(Stream::Tcp(stream));
        let mut exchange = Exchange { instance, pump, ticket, reused, has_body, sent: None };
        match poll_fn(|cx| exchange.poll_head(cx, head_only, repeatable)).await {
            Ok((answered, mut parts)) => {
                if probe {
                    parts.add(DEPLOYMENT_HEADER, &exchange.ticket.target().deployment.id);
                }
                return Ok(parts.into_response(Answer::streamed(exchange, answered)));
            }
            Err(NoAnswer::Again) => {
                pump = exchange.pump;
                pump.rewind();
                fresh = true;
            }
            Err(NoAnswer::Refused(reply)) => {
                let counter = if reply.status == 502 { &shared.counters.bad_gateway } else { &shared.counters.refused };
                count(counter);
                return Err(reply);
            }
            // Nobody reads this.
            Err(NoAnswer::Broken) => return Err(Reply::bad_gateway()),
        }
    }
    if let Some(mut ticket) = unreached {
        ticket.failed();
    }
    count(&shared.counters.bad_gateway);
    Err(Reply::bad_gateway())
}
