use std::time::Duration;

use tokio::time::Instant;

use super::door::Fault;
use crate::render::lasted;

/// A trouble that lasts is told again after this.
const AGAIN: Duration = Duration::from_secs(300);

/// Tells of a trouble when it begins, changes and ends, and not each time that it is met.
#[derive(Debug)]
pub(super) struct Outage {
    doing: &'static str,
    now: Option<(&'static str, Instant, Instant)>,
}

impl Outage {
    /// Nothing is wrong yet with `doing`.
    pub(super) const fn new(doing: &'static str) -> Self {
        Self { doing, now: None }
    }

    /// It went wrong.
    pub(super) fn met(&mut self, fault: &Fault, pause: Duration) {
        let now = Instant::now();
        let since = self.now.map_or(now, |(_, since, _)| since);
        if self.now.is_some_and(|(kind, _, told)| kind == fault.kind() && now < told + AGAIN) {
            tracing::debug!(pause_ms = millis(pause), "{}: {fault}", self.doing);
            return;
        }
        self.now = Some((fault.kind(), since, now));
        if fault.is_lasting() {
            tracing::error!(pause_ms = millis(pause), "{}: {fault}", self.doing);
        } else {
            tracing::warn!(pause_ms = millis(pause), "{}: {fault}; it is tried again", self.doing);
        }
    }

    /// It went well.
    pub(super) fn over(&mut self) {
        if let Some((_, since, _)) = self.now.take() {
            tracing::info!("{}: works again after {}", self.doing, lasted(since.elapsed()));
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
