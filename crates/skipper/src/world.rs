//! The real clock and the real ids. `main` makes them; everything else is handed them.

use std::time::{SystemTime, UNIX_EPOCH};

use skipper_core::{
    port::{Clock, Ids},
    time::Timestamp,
};

/// The operating system's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the operating system")]
    fn now(&self) -> Timestamp {
        let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        };
        Timestamp::from_micros(micros)
    }
}

/// UUIDs of version 7, which sort by age.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RandomIds;

impl Ids for RandomIds {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that makes real ids")]
    fn next(&self) -> uuid::Uuid {
        uuid::Uuid::now_v7()
    }
}
