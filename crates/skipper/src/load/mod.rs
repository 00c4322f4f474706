//! A small load client: users of every kind at once, counting what went wrong.
//!
//! It speaks to the sample application (or anything that answers a GET) on this machine only. A request counts as
//! failed when its answer is missing, late, cut short, wrong or not 2xx. A connection that the other side closed between
//! two requests is opened again, as every browser does; that is counted, and is no failure.

mod command;
mod connection;
mod histogram;
mod long;
mod short;
mod tally;

pub(crate) use command::{LoadArgs, run};
pub(crate) use tally::Report;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use tally::Tally;

#[cfg(test)]
mod tests;

/// Longest that one answer, or one sign of life on a stream, may take.
const LATE: Duration = Duration::from_secs(30);

/// Where the load goes.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The listener; of this machine.
    pub(crate) address: SocketAddr,
    /// What the `Host` header says.
    pub(crate) host: String,
    /// What short requests ask for.
    pub(crate) path: String,
}

/// How many users of each kind there are, and what they do.
#[derive(Debug, Clone)]
pub(crate) struct Mix {
    /// Users that keep their connection.
    pub(crate) keep_alive: usize,
    /// Users that open a connection for each request.
    pub(crate) fresh: usize,
    /// Users of HTTP/2 with prior knowledge.
    pub(crate) http2: usize,
    /// WebSockets that send and expect it back, at `/ws`.
    pub(crate) websockets: usize,
    /// Readers of server-sent events, at `/events`.
    pub(crate) events: usize,
    /// Users that download from `/download` again and again.
    pub(crate) downloads: usize,
    /// Users that send to `/upload` again and again.
    pub(crate) uploads: usize,
    /// What a short user does between two requests, and a WebSocket between two messages: nothing, so long.
    pub(crate) pause: Duration,
    /// Size of a download.
    pub(crate) download_bytes: u64,
    /// Bytes a second of a download; 0 is as fast as it goes.
    pub(crate) download_rate: u64,
    /// Size of an upload.
    pub(crate) upload_bytes: u64,
    /// Short requests in all; `None` goes on until it is stopped.
    pub(crate) requests: Option<u64>,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            keep_alive: 0,
            fresh: 0,
            http2: 0,
            websockets: 0,
            events: 0,
            downloads: 0,
            uploads: 0,
            pause: Duration::ZERO,
            download_bytes: 8 * 1024 * 1024,
            download_rate: 2 * 1024 * 1024,
            upload_bytes: 8 * 1024 * 1024,
            requests: None,
        }
    }
}

/// A running load.
#[derive(Debug)]
pub(crate) struct Load {
    run: Arc<Run>,
}

/// What the users of one load share.
#[derive(Debug)]
struct Run {
    target: Target,
    mix: Mix,
    tally: Tally,
    begun: AtomicU64,
    stop: CancellationToken,
    /// Users that make short requests: they end by themselves when the number of requests is reached.
    short: TaskTracker,
    /// Users that hold a stream: they end when they are told.
    long: TaskTracker,
    /// Drivers of connections: they end when their user drops the handle.
    connections: TaskTracker,
}

impl Run {
    /// Whether another short request is to be made.
    fn goes_on(&self) -> bool {
        if self.stop.is_cancelled() {
            return false;
        }
        let begun = self.begun.fetch_add(1, Ordering::Relaxed);
        self.mix.requests.is_none_or(|limit| begun < limit)
    }

    async fn pause(&self) {
        if self.mix.pause.is_zero() {
            // Others are to have their turn also where every answer is there at once.
            tokio::task::yield_now().await;
        } else {
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = time::sleep(self.mix.pause) => {}
            }
        }
    }
}

impl Load {
    /// Starts every user of the mix.
    #[must_use]
    pub(crate) fn start(target: Target, mix: Mix) -> Self {
        let run = Arc::new(Run {
            target,
            mix,
            tally: Tally::default(),
            begun: AtomicU64::new(0),
            stop: CancellationToken::new(),
            short: TaskTracker::new(),
            long: TaskTracker::new(),
            connections: TaskTracker::new(),
        });
        let mix = &run.mix;
        for _ in 0..mix.keep_alive {
            run.short.spawn(short::keep_alive(Arc::clone(&run)));
        }
        for _ in 0..mix.fresh {
            run.short.spawn(short::fresh(Arc::clone(&run)));
        }
        for _ in 0..mix.http2 {
            run.short.spawn(short::http2(Arc::clone(&run)));
        }
        for _ in 0..mix.websockets {
            run.long.spawn(long::websocket(Arc::clone(&run)));
        }
        for _ in 0..mix.events {
            run.long.spawn(long::events(Arc::clone(&run)));
        }
        for _ in 0..mix.downloads {
            run.long.spawn(long::download(Arc::clone(&run)));
        }
        for _ in 0..mix.uploads {
            run.long.spawn(long::upload(Arc::clone(&run)));
        }
        run.short.close();
        run.long.close();
        Self { run }
    }

    /// What was counted so far.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn so_far(&self) -> Report {
        self.run.tally.report()
    }

    /// Short requests that ended so far, well or not.
    #[must_use]
    pub(crate) fn short_requests(&self) -> u64 {
        self.run.tally.short_requests()
    }

    /// Waits until the mix's number of short requests was made; for ever where there is none.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop; the load goes on.
    pub(crate) async fn used_up(&self) {
        let mix = &self.run.mix;
        if mix.requests.is_none() || mix.keep_alive + mix.fresh + mix.http2 == 0 {
            self.run.stop.cancelled().await;
        }
        self.run.short.wait().await;
    }

    /// Lets every user finish what it has begun, and tells what was counted. What is not finished within `bound` counts
    /// as failed.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the users stop after what they have begun, and the count is lost.
    pub(crate) async fn finish(self, bound: Duration) -> Report {
        self.run.stop.cancel();
        let run = &self.run;
        let in_time = time::timeout(bound, async {
            run.short.wait().await;
            run.long.wait().await;
        });
        if in_time.await.is_err() {
            run.tally.unfinished(run.short.len() + run.long.len());
        }
        self.run.tally.report()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.run.stop.cancel();
    }
}
