//! What the edge counts. Nothing here blocks or allocates on the way of a request but the first one of a deployment.

mod histogram;
mod prometheus;

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

pub(crate) use self::{histogram::Histogram, prometheus::Page};

/// Counters of one deployment since the edge first saw it.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    requests: AtomicU64,
    errors: AtomicU64,
    latency: OnceLock<Box<Histogram>>,
}

impl Counters {
    pub(crate) fn request(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    pub(crate) fn answer(&self, took: Duration, error: bool) {
        if error {
            self.errors.fetch_add(1, Relaxed);
        }
        self.latency.get_or_init(Box::default).record(took);
    }

    pub(crate) fn failure(&self) {
        self.errors.fetch_add(1, Relaxed);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    pub(crate) fn latency(&self) -> Option<&Histogram> {
        self.latency.get().map(|histogram| &**histogram)
    }
}

macro_rules! edge_counters {
    ($($(#[$doc:meta])* $name:ident = $metric:literal, $help:literal;)*) => {
        /// Counters of the edge as a whole.
        #[derive(Debug, Default)]
        pub(crate) struct EdgeCounters {
            $($(#[$doc])* pub(crate) $name: AtomicU64,)*
        }

        impl EdgeCounters {
            /// Name, help text and value of each.
            pub(crate) fn all(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$(($metric, $help, self.$name.load(Relaxed)),)*]
            }
        }
    };
}

edge_counters! {
    /// Accepted.
    connections = "connections_total", "Client connections accepted.";
    /// Refused for what they are.
    refused = "refused_total", "Requests refused as malformed, ambiguous or over a limit.";
    /// Without route.
    unrouted = "unrouted_total", "Requests that no route matched (404).";
    /// Without backend.
    no_backend = "no_backend_total", "Requests to a service without an instance (503).";
    /// Answered with the page.
    maintenance = "maintenance_total", "Requests answered with a maintenance page (503).";
    /// Held.
    held = "held_total", "Requests that had to wait because their service was held.";
    /// Held too long.
    held_expired = "held_expired_total", "Held requests given up (503): the bound passed, or too many waited.";
    /// Upstream gone.
    bad_gateway = "bad_gateway_total", "Requests whose instance could not be reached or answered badly (502).";
    /// Tried again.
    retried = "retried_total", "Attempts repeated at another instance or on another connection.";
    /// Upgraded.
    upgraded = "upgraded_total", "Connections upgraded to another protocol, WebSockets for example.";
    /// TLS failed.
    tls_failed = "tls_failed_total", "TLS handshakes that failed.";
}

/// Counts one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
