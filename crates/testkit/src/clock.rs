use std::{
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use skipper_core::{port::Clock, time::Timestamp};
use tokio::time::Instant;

/// 2026-01-01T00:00:00Z: late enough that no span reaches back to the epoch.
const BEGINNING: i64 = 1_767_225_600_000_000;

/// A clock that follows tokio's time, so that it stands still and jumps with a paused one; and that can be set forward
/// and back against it, as real ones are.
#[derive(Debug, Default)]
pub struct TestClock {
    started: Mutex<Option<Instant>>,
    offset: AtomicI64,
}

impl TestClock {
    /// Sets the clock forward, without any time passing.
    pub fn advance(&self, by: Duration) {
        self.offset.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Sets the clock back.
    pub fn set_back(&self, by: Duration) {
        self.offset.fetch_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let started = *self.started.lock().expect("nothing panics in here").get_or_insert_with(Instant::now);
        Timestamp::from_micros(BEGINNING + self.offset.load(Ordering::SeqCst)) + started.elapsed()
    }
}
