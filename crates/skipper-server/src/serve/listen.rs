//! The accept loop: HTTP/1.1 and HTTP/2 on TCP, bounded in connections and header time, drained on stop.

use std::{io, net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;
use tracing::{debug, warn};

/// Headers of one request, request line included. Far above what clients send, far below what would hurt.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Streams of one HTTP/2 connection at a time: a dashboard and a few followers need some ten.
const MAX_STREAMS: u32 = 100;
/// After an error that is the machine's (no descriptors left), accepting again at once would only burn the CPU.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection may cost.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub(super) connections: NonZeroUsize,
    pub(super) header_timeout: Duration,
    pub(super) drain: Duration,
}

/// Binds every address, or none.
///
/// # Errors
///
/// The address that could not be bound, and why.
pub(super) async fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        listeners.push(TcpListener::bind(address).await.map_err(|cause| (*address, cause))?);
    }
    Ok(listeners)
}

/// Serves until `stop`, then lets open requests finish within the bound.
///
/// # Cancel safety
///
/// Dropping it closes every connection at once; `stop` is the polite way.
pub(super) async fn serve(listeners: Vec<TcpListener>, router: Router, bounds: Bounds, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let graceful = Arc::new(GracefulShutdown::new());
    let slots = Arc::new(Semaphore::new(bounds.connections.get()));
    for listener in listeners {
        let (router, bounds, stop) = (router.clone(), bounds.clone(), stop.clone());
        let (slots, graceful, connections) = (Arc::clone(&slots), Arc::clone(&graceful), tasks.clone());
        tasks.spawn(async move {
            loop {
                // A connection waits in the kernel's queue until one of ours ends.
                let slot = tokio::select! {
                    () = stop.cancelled() => return,
                    slot = Arc::clone(&slots).acquire_owned() => slot.expect("the semaphore is never closed"),
                };
                let (stream, peer) = tokio::select! {
                    () = stop.cancelled() => return,
                    accepted = listener.accept() => match accepted {
                        Ok(accepted) => accepted,
                        Err(cause) => {
                            warn!(error = %cause, "a connection could not be accepted");
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                            continue;
                        }
                    },
                };
                let connection = connection(stream, peer, router.clone(), &bounds, &graceful);
                connections.spawn(async move {
                    if let Err(cause) = connection.await {
                        debug!(peer = %peer, error = %cause, "a connection ended with an error");
                    }
                    drop(slot);
                });
            }
        });
    }
    stop.cancelled().await;
    tasks.close();
    if tokio::time::timeout(bounds.drain, drained(&tasks, graceful)).await.is_err() {
        warn!(connections = tasks.len(), "some requests did not finish in time and were cut off");
    }
}

async fn drained(tasks: &TaskTracker, graceful: Arc<GracefulShutdown>) {
    // The accept loops hold clones until they have seen the stop.
    let mut graceful = graceful;
    let graceful = loop {
        match Arc::try_unwrap(graceful) {
            Ok(whole) => break whole,
            Err(shared) => {
                graceful = shared;
                tokio::task::yield_now().await;
            }
        }
    };
    graceful.shutdown().await;
    tasks.wait().await;
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    bounds: &Bounds,
    graceful: &GracefulShutdown,
) -> impl Future<Output = Result<(), Box<dyn std::error::Error + Send + Sync>>> + use<> {
    // Answers are small and people wait for them.
    let _ = stream.set_nodelay(true);
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(bounds.header_timeout).max_buf_size(MAX_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    let service = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.map(axum::body::Body::new)
    });
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
    graceful.watch(connection)
}
