use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use tokio::{sync::Notify, time::Instant};

use crate::stats::Counters;

/// A deployment as the data plane sees it: labels, counters, and whom to tell when it is idle.
#[derive(Debug)]
pub(crate) struct Deployment {
    pub(crate) id: Box<str>,
    pub(crate) revision: u64,
    pub(crate) counters: Counters,
    /// How many drains wait. Requests look at it when they end, and wake nobody while it is 0.
    draining: AtomicU32,
    idle: Notify,
}

impl Deployment {
    pub(crate) fn new(id: &str, revision: u64) -> Self {
        Self {
            id: id.into(),
            revision,
            counters: Counters::default(),
            draining: AtomicU32::new(0),
            idle: Notify::new(),
        }
    }

    /// Registers a drain. [`Draining::woken`] must be called, and enabled, before the counts are read.
    pub(crate) fn drain(self: &Arc<Self>) -> Draining {
        self.draining.fetch_add(1, Ordering::SeqCst);
        Draining(self.clone())
    }

    /// Wakes the drains: a target became idle, or the table changed.
    pub(crate) fn wake(&self) {
        if self.draining.load(Ordering::SeqCst) > 0 {
            self.idle.notify_waiters();
        }
    }
}

/// A drain that waits. While it exists, each target of the deployment that becomes idle wakes it.
#[derive(Debug)]
pub(crate) struct Draining(Arc<Deployment>);

impl Draining {
    pub(crate) fn woken(&self) -> tokio::sync::futures::Notified<'_> {
        self.0.idle.notified()
    }
}

impl Drop for Draining {
    fn drop(&mut self) {
        self.0.draining.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One address of a deployment. It is the same object for as long as the table or a request knows the address, so its
/// count is never split.
#[derive(Debug)]
pub(crate) struct Target {
    /// Names the target in the pools; never used again for another one.
    pub(crate) key: u64,
    pub(crate) address: SocketAddr,
    pub(crate) deployment: Arc<Deployment>,
    in_flight: AtomicU64,
}

impl Target {
    pub(crate) const fn new(key: u64, address: SocketAddr, deployment: Arc<Deployment>) -> Self {
        Self { key, address, deployment, in_flight: AtomicU64::new(0) }
    }

    /// Requests in flight, open tunnels included.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Counts a request in. The caller looks at the table once more before it sends anything.
    pub(crate) fn count_in(self: &Arc<Self>, arrived: Instant) -> Ticket {
        // SeqCst, as is the load in a drain: either the drain sees this request, or this request sees the new table.
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        Ticket { target: self.clone(), arrived, began: false }
    }
}

/// A request in flight at a target. It lives as long as the answer's body, or the tunnel, does.
#[derive(Debug)]
pub(crate) struct Ticket {
    target: Arc<Target>,
    arrived: Instant,
    began: bool,
}

impl Ticket {
    pub(crate) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// The request begins to be sent. Said again, it counts once.
    pub(crate) fn begin(&mut self) {
        if !self.began {
            self.began = true;
            self.target.deployment.counters.request();
        }
    }

    /// The answer's head is here.
    pub(crate) fn answered(&self, status: u16) {
        self.target.deployment.counters.answer(self.arrived.elapsed(), status >= 500);
    }

    /// The deployment did not answer.
    pub(crate) fn failed(&mut self) {
        self.begin();
        self.target.deployment.counters.failure();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.target.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.target.deployment.wake();
        }
    }
}
