//! The accept loop: HTTP/1.1 and HTTP/2 on TCP, bounded in connections and header time, drained on stop.

use std::{io, net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto::Builder,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use skipper_edge::Network;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;
use tracing::{debug, warn};

use crate::api::Through;

/// Headers of one request, request line included. Far above what clients send, far below what would hurt.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Streams of one HTTP/2 connection at a time: a dashboard and a few followers need some ten.
const MAX_STREAMS: u32 = 100;
/// What HTTP/2 begins with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A preface nearly always comes in one packet; the pause is for those that do not.
const PEEK_AGAIN: Duration = Duration::from_millis(5);
/// After an error that is the machine's (no descriptors left), accepting again at once would only burn the CPU.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection may cost.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub(super) connections: NonZeroUsize,
    pub(super) header_timeout: Duration,
    pub(super) drain: Duration,
    /// Peers that are believed when they say for whom they ask.
    pub(super) proxies: Arc<[Network]>,
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
                let (router, bounds, watch) = (router.clone(), bounds.clone(), graceful.watcher());
                connections.spawn(async move {
                    if let Err(cause) = connection(stream, peer, router, &bounds, watch).await {
                        debug!(peer = %peer, error = %cause, "a connection ended with an error");
                    }
                    drop(slot);
                });
            }
        });
    }
    stop.cancelled().await;
    tasks.close();
    if timeout(bounds.drain, drained(&tasks, graceful)).await.is_err() {
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

/// Serves one connection. The protocol is told apart here rather than by hyper-util, which waits for the first bytes
/// without a bound, so that silent clients could use up every connection.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    bounds: &Bounds,
    watch: Watcher,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Answers are small and people wait for them.
    let _ = stream.set_nodelay(true);
    let Ok(speaks_http2) = timeout(bounds.header_timeout, speaks_http2(&stream)).await else {
        return Err("nothing was sent in time".into());
    };
    let builder = Builder::new(TokioExecutor::new());
    let mut builder = if speaks_http2? { builder.http2_only() } else { builder.http1_only() };
    // A client may say that it has said everything and still wait for the answer; and one that leaves at once has asked.
    builder.http1().half_close(true);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(bounds.header_timeout).max_buf_size(MAX_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    let believed = bounds.proxies.iter().any(|network| network.contains(peer.ip()));
    let service = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        if let Some(through) = Through::of(request.uri(), request.headers()).filter(|_| believed) {
            request.extensions_mut().insert(through);
        }
        request.map(axum::body::Body::new)
    });
    let connection =
        builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
    watch.watch(connection).await
}

/// Whether the client begins with HTTP/2's preface. Nothing is taken from the stream.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut seen = [0; PREFACE.len()];
    loop {
        let count = stream.peek(&mut seen).await?;
        if count == 0 || seen[..count] != PREFACE[..count] {
            return Ok(false);
        }
        if count == PREFACE.len() {
            return Ok(true);
        }
        // What is there stays readable, so there is nothing to be woken by.
        tokio::time::sleep(PEEK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn the_protocol_is_known_from_the_first_bytes_also_when_they_come_one_by_one() {
        for (sent, expected) in
            [(&b"GET / HTTP/1.1\r\n"[..], false), (PREFACE, true), (b"PUT /", false), (b"PRI * X", false)]
        {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let mut client = TcpStream::connect(listener.local_addr().expect("address")).await.expect("connected");
            let (server, _) = listener.accept().await.expect("accepted");
            let send = async {
                for byte in sent {
                    client.write_all(&[*byte]).await.expect("sent");
                }
            };
            let (told, ()) = tokio::join!(speaks_http2(&server), send);
            assert_eq!(told.expect("readable"), expected);
        }
    }
}
