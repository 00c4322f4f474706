use std::{
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::accept::{Accepted, Face};
use crate::{
    acme::PROOF_PROTOCOL,
    error::Error,
    http1, http2,
    net::{Stream, Wire},
    proxy::{Client, Origin, Shared, reap},
    stats::count,
};

/// How often idle connections to instances are looked through.
const REAP: Duration = Duration::from_secs(1);

/// A thread that serves connections.
#[derive(Debug)]
pub(crate) struct Worker {
    inbox: mpsc::UnboundedSender<Accepted>,
    open: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

/// Hands connections out: to the thread that has the fewest, in turn where they are equal.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    workers: Vec<(mpsc::UnboundedSender<Accepted>, Arc<AtomicUsize>)>,
    next: usize,
}

impl Pool {
    pub(crate) fn new(workers: &[Worker]) -> Self {
        Self { workers: workers.iter().map(|worker| (worker.inbox.clone(), worker.open.clone())).collect(), next: 0 }
    }

    pub(super) fn serve(&mut self, accepted: Accepted) {
        let count = self.workers.len();
        let best = (0..count)
            .map(|step| (self.next + step) % count)
            .min_by_key(|at| self.workers[*at].1.load(Ordering::Relaxed));
        let Some(at) = best else { return };
        self.next = (at + 1) % count;
        let (inbox, open) = &self.workers[at];
        open.fetch_add(1, Ordering::Relaxed);
        if inbox.send(accepted).is_err() {
            open.fetch_sub(1, Ordering::Relaxed);
            tracing::error!("a serving thread has ended; a connection is lost");
        }
    }
}

impl Worker {
    /// Starts one. It ends when nobody can hand it connections any more and those it has are done, or at `kill`.
    pub(crate) fn start(number: usize, shared: Arc<Shared>, kill: CancellationToken) -> Result<Self, Error> {
        let started = |cause| Error::System { what: "serving thread", cause };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(started)?;
        let (inbox, connections) = mpsc::unbounded_channel();
        let open = Arc::new(AtomicUsize::new(0));
        let work = {
            let open = open.clone();
            move || {
                runtime.block_on(kill.run_until_cancelled_owned(serve_all(connections, shared, open)));
            }
        };
        let thread = std::thread::Builder::new().name(format!("edge-serve-{number}")).spawn(work).map_err(started)?;
        Ok(Self { inbox, open, thread })
    }

    /// Lets it end, and waits until it has.
    pub(crate) fn join(self) {
        drop(self.inbox);
        if self.thread.join().is_err() {
            tracing::error!("a serving thread died");
        }
    }
}

async fn serve_all(mut connections: mpsc::UnboundedReceiver<Accepted>, shared: Arc<Shared>, open: Arc<AtomicUsize>) {
    let tasks = TaskTracker::new();
    let mut reaping = interval(REAP);
    reaping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            accepted = connections.recv() => {
                let Some(Accepted { socket, peer, face, place, open: counted }) = accepted else { break };
                let busy = Busy(open.clone());
                let (shared, tracker) = (shared.clone(), tasks.clone());
                tasks.spawn(async move {
                    let client = Client::new(peer, face.tls.is_some(), &shared.trusted);
                    serve(socket, client, &face, shared, tracker).await;
                    drop((busy, counted, place));
                });
            }
            _ = reaping.tick() => reap(),
        }
    }
    tasks.close();
    tasks.wait().await;
}

/// A connection of this thread, counted when it was handed over.
struct Busy(Arc<AtomicUsize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve(socket: OwnedFd, client: Client, face: &Face, shared: Arc<Shared>, tasks: TaskTracker) {
    let Ok(stream) = TcpStream::from_std(socket.into()) else { return };
    // Answers are written whole; waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let origin = Origin { listener: face.listener, client, local: face.address.clone() };
    let Some(acceptor) = &face.tls else {
        let wire = Wire::new(Stream::Tcp(stream));
        if let http1::End::Http2(wire) = http1::serve(wire, &shared, &origin).await {
            http2::serve(wire, shared, Arc::new(origin), tasks).await;
        }
        return;
    };
    let tls = match timeout(shared.limits.header_read, acceptor.accept(stream)).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake");
            return count(&shared.counters.tls_failed);
        }
        Err(_) => return count(&shared.counters.tls_failed),
    };
    // The handshake was the proof; there is nothing else to say.
    if tls.get_ref().1.alpn_protocol() == Some(PROOF_PROTOCOL) {
        return;
    }
    let is_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    let wire = Wire::new(Stream::Tls(Box::new(tls)));
    if is_http2 {
        http2::serve(wire, shared, Arc::new(origin), tasks).await;
    } else {
        http1::serve(wire, &shared, &origin).await;
    }
}
