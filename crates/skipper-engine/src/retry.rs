//! Pauses between attempts.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Pauses that double from the first to the longest.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
    tries: u32,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, tries: 0 }
    }

    /// For a transient error of a step: quick at first, since a rollout waits; its bound ends it.
    pub(crate) const fn step() -> Self {
        Self::new(Duration::from_millis(10), Duration::from_secs(1))
    }

    /// The pause after `tries` attempts.
    pub(crate) fn pause(first: Duration, max: Duration, tries: u32) -> Duration {
        first.saturating_mul(1_u32.checked_shl(tries.min(31)).unwrap_or(u32::MAX)).min(max)
    }

    pub(crate) async fn wait(&mut self) {
        sleep(Self::pause(self.first, self.max, self.tries)).await;
        self.tries = self.tries.saturating_add(1);
    }
}

/// Pauses of a wait that wants to notice at once and may last long: a fiftieth of the time waited so far, so that
/// noticing costs one per cent on average, within 5 ms and `max`.
#[derive(Debug)]
pub(crate) struct Pace {
    since: Instant,
    min: Duration,
    max: Duration,
}

impl Pace {
    pub(crate) fn new(max: Duration) -> Self {
        Self { since: Instant::now(), min: Duration::from_millis(5), max }
    }

    /// Never quicker than `min`, for questions that cost something.
    pub(crate) fn at_least(mut self, min: Duration) -> Self {
        self.min = min;
        self
    }

    pub(crate) fn pause(&self) -> Duration {
        (self.since.elapsed() / 50).max(self.min).min(self.max.max(Duration::from_millis(1)))
    }
}
