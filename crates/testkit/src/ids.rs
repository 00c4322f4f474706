use std::sync::atomic::{AtomicU64, Ordering};

use skipper_core::port::Ids;
use uuid::Uuid;

/// Ids that count up from a seed: the same in every run, and sorted by age.
#[derive(Debug)]
pub struct SeededIds {
    seed: u64,
    count: AtomicU64,
}

impl SeededIds {
    /// Ids of their own for every seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, count: AtomicU64::new(1) }
    }
}

impl Default for SeededIds {
    fn default() -> Self {
        Self::new(1)
    }
}

impl Ids for SeededIds {
    fn next(&self) -> Uuid {
        let count = self.count.fetch_add(1, Ordering::SeqCst);
        // Version 7 and the usual variant, so that whoever looks at the bits is content.
        Uuid::from_u64_pair((self.seed << 16) | 0x7000, (0b10 << 62) | count)
    }
}
