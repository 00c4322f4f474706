use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{SocketFlags, acceptfrom_with},
};
use skipper_core::route::Listener;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::sleep,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::Pool;
use crate::{error::Error, proxy::Shared, stats::count};

/// Pause when the process or the machine has no descriptors or memory left. Connections wait in the kernel's queue.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// One side of the edge that clients see.
pub(crate) struct Face {
    pub(crate) listener: Listener,
    /// `host:port`.
    pub(crate) address: String,
    pub(crate) tls: Option<TlsAcceptor>,
}

impl std::fmt::Debug for Face {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Face").field("listener", &self.listener).field("address", &self.address).finish_non_exhaustive()
    }
}

/// An accepted connection on its way to a serving thread.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) socket: OwnedFd,
    pub(crate) peer: SocketAddr,
    pub(crate) face: Arc<Face>,
    /// Its place among the connections that are allowed at a time.
    pub(crate) place: OwnedSemaphorePermit,
    /// Counts it, from before it is handed over: an edge that leaves must not overlook one on its way.
    pub(crate) open: Connected,
}

/// Counts a connection while it exists.
#[derive(Debug)]
pub(crate) struct Connected(Arc<Shared>);

impl Connected {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.connected();
        count(&shared.counters.connections);
        Self(shared.clone())
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.disconnected();
    }
}

struct Order {
    face: Arc<Face>,
    socket: Arc<TcpListener>,
    stop: CancellationToken,
    _accepting: Accepting,
}

/// Counts a listener until the last connection it accepted is handed over.
struct Accepting(Arc<Shared>);

impl Drop for Accepting {
    fn drop(&mut self) {
        self.0.accepting_ended();
    }
}

/// The thread that accepts. It does nothing else, so that no connection waits for work on other things.
#[derive(Debug)]
pub(crate) struct Acceptor {
    orders: mpsc::UnboundedSender<Order>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Acceptor {
    /// Starts the thread, which accepts nothing before `go`. It ends when the acceptor is dropped and all its listeners are
    /// stopped.
    pub(crate) fn start(pool: Pool, shared: Arc<Shared>, go: oneshot::Receiver<()>) -> Result<Self, Error> {
        let started = |cause| Error::System { what: "accepting thread", cause };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(started)?;
        let (orders, mut inbox) = mpsc::unbounded_channel::<Order>();
        let places = Arc::new(Semaphore::new(shared.limits.connections.min(Semaphore::MAX_PERMITS)));
        let counted = shared.clone();
        let work = move || {
            runtime.block_on(async move {
                let tasks = TaskTracker::new();
                if go.await.is_err() {
                    return;
                }
                while let Some(order) = inbox.recv().await {
                    tasks.spawn(serve(order, pool.clone(), places.clone(), counted.clone()));
                }
                tasks.close();
                tasks.wait().await;
            });
        };
        let thread = std::thread::Builder::new().name("edge-accept".to_owned()).spawn(work).map_err(started)?;
        Ok(Self { orders, shared, thread: Some(thread) })
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Accepts from a socket until `stop`.
    pub(super) fn accept(&self, face: Arc<Face>, socket: Arc<TcpListener>, stop: CancellationToken) -> io::Result<()> {
        self.shared.accepting_begins();
        let accepting = Accepting(self.shared.clone());
        self.orders
            .send(Order { face, socket, stop, _accepting: accepting })
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the accepting thread has ended"))
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        // Detached on purpose: listeners that were stopped end it within microseconds.
        drop(self.thread.take());
    }
}

async fn serve(order: Order, pool: Pool, places: Arc<Semaphore>, shared: Arc<Shared>) {
    if let Err(error) = accept_all(&order, pool, places, &shared).await {
        tracing::error!(%error, "a listener cannot be watched");
    }
}

async fn accept_all(order: &Order, mut pool: Pool, places: Arc<Semaphore>, shared: &Arc<Shared>) -> io::Result<()> {
    #[expect(
        deprecated,
        reason = "its successor is unsafe, for types whose descriptor can be closed or swapped; that of an Arc of a listener cannot"
    )]
    let socket = AsyncFd::with_interest(order.socket.clone(), Interest::READABLE)?;
    // Only the wait is cut short: a connection that was accepted is always handed over.
    while let Some(ready) = order.stop.run_until_cancelled(socket.readable()).await {
        let mut ready = ready?;
        // A client that came at the same moment wins over the stop; it belongs to whoever has the socket next.
        if order.stop.is_cancelled() {
            return Ok(());
        }
        let (accepted, peer) = match acceptfrom_with(socket.get_ref(), SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok((accepted, peer)) => match peer.map(SocketAddr::try_from) {
                Some(Ok(peer)) => (accepted, peer),
                _ => continue,
            },
            Err(Errno::AGAIN) => {
                ready.clear_ready();
                continue;
            }
            Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                tracing::warn!(%error, "no resources for another connection");
                sleep(EXHAUSTED).await;
                continue;
            }
            // The client's own failures: a reset before it was accepted, and what the network says of it.
            Err(error) => {
                tracing::debug!(%error, "accept");
                continue;
            }
        };
        let open = Connected::new(shared);
        // One connection of each listener may wait for a place here; the others stay in the kernel's queue.
        let Ok(place) = places.clone().acquire_owned().await else { return Ok(()) };
        pool.serve(Accepted { socket: accepted, peer, face: order.face.clone(), place, open });
    }
    Ok(())
}
