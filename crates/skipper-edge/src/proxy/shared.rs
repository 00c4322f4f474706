use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use skipper_core::route::Listener;
use tokio::sync::Notify;

use super::Client;
use crate::{
    acme::Acme,
    config::{EdgeConfig, Limits, Network, Redirect},
    listen::CertificateStore,
    stats::EdgeCounters,
    table::Table,
};

/// How often an idle connection looks whether it may stay.
pub(crate) const IDLE_LOOK: Duration = Duration::from_secs(5);
/// How long an idle connection may stay while most places are taken.
const CROWDED_IDLE: Duration = Duration::from_secs(1);

/// Compares in constant time.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
}

/// What all threads of an edge share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) table: ArcSwap<Table>,
    pub(crate) limits: Limits,
    pub(crate) trusted: Vec<Network>,
    /// What `x-skipper-verify` must be.
    pub(crate) token: String,
    pub(crate) counters: EdgeCounters,
    /// Certificates that this edge orders itself, where it does.
    pub(crate) acme: Option<Arc<Acme>>,
    /// Whether requests are sent from the plain listener to the one with TLS, and to which port.
    pub(crate) redirect: Option<Redirect>,
    pub(crate) certificates: Arc<CertificateStore>,
    tls_port: AtomicU16,
    /// Held requests that wait.
    waiting: AtomicUsize,
    /// Client connections that are open.
    connections: AtomicU64,
    /// Listeners that may still accept.
    accepting: AtomicU64,
    leaving: AtomicBool,
    left: Notify,
}

impl Shared {
    pub(crate) fn new(config: &EdgeConfig, token: String, acme: Option<Arc<Acme>>) -> Self {
        Self {
            table: ArcSwap::from_pointee(Table::default()),
            limits: config.limits.clone(),
            trusted: config.trusted_proxies.clone(),
            counters: EdgeCounters::default(),
            redirect: config.redirect_https,
            certificates: CertificateStore::new(config.certificates.clone(), acme.clone(), token.clone()),
            token,
            acme,
            tls_port: AtomicU16::new(0),
            waiting: AtomicUsize::new(0),
            connections: AtomicU64::new(0),
            accepting: AtomicU64::new(0),
            leaving: AtomicBool::new(false),
            left: Notify::new(),
        }
    }

    pub(crate) fn is_token(&self, value: &[u8]) -> bool {
        same(self.token.as_bytes(), value)
    }

    /// Where the TLS listener is.
    pub(crate) fn tls_opened(&self, port: u16) {
        self.tls_port.store(port, Ordering::Relaxed);
    }

    /// The port of the TLS listener; 0 before it was opened.
    pub(crate) fn tls_port(&self) -> u16 {
        self.tls_port.load(Ordering::Relaxed)
    }

    /// A place among the held requests, if there is one.
    pub(crate) fn wait(&self) -> Option<Waiting<'_>> {
        let before = self.waiting.fetch_add(1, Ordering::SeqCst);
        let place = Waiting(self);
        (before < self.limits.waiting).then_some(place)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn disconnected(&self) {
        self.connections.fetch_sub(1, Ordering::SeqCst);
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    /// How long a connection may stay open between requests: as configured, and shortly once most places are taken, so that
    /// clients who say nothing do not keep those out who have something to say.
    pub(crate) fn idle(&self) -> Duration {
        let crowded = self.connections().saturating_mul(4) > (self.limits.connections as u64).saturating_mul(3);
        if crowded { self.limits.idle.min(CROWDED_IDLE) } else { self.limits.idle }
    }

    pub(crate) fn accepting_begins(&self) {
        self.accepting.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn accepting_ended(&self) {
        self.accepting.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether a listener may still accept a connection that is in no count yet.
    pub(crate) fn is_accepting(&self) -> bool {
        self.accepting.load(Ordering::SeqCst) > 0
    }

    /// Begins to leave: each connection ends with its next answer.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
        self.left.notify_waiters();
    }

    /// Whether this edge takes no new work.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Waits until [`Shared::leave`].
    pub(crate) async fn left(&self) {
        let mut left = std::pin::pin!(self.left.notified());
        left.as_mut().enable();
        if !self.leaving.load(Ordering::SeqCst) {
            left.await;
        }
    }
}

/// A held request's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Waiting<'a>(&'a Shared);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Where a connection came in, and from whom.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) listener: Listener,
    pub(crate) client: Client,
    /// `host:port` the client reached, for requests that name no host.
    pub(crate) local: String,
}
