use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Sixteen buckets for each power of two of microseconds: a quantile is off by less than a sixteenth.
const BUCKETS: usize = 16 * 61;

/// Counts durations so that quantiles can be told, in constant space and without a lock.
#[derive(Debug)]
pub(super) struct Histogram {
    buckets: Box<[AtomicU64]>,
    max_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), max_us: AtomicU64::new(0) }
    }
}

impl Histogram {
    pub(super) fn record(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(us)].fetch_add(1, Ordering::Relaxed);
        self.max_us.fetch_max(us, Ordering::Relaxed);
    }

    pub(super) fn max_us(&self) -> u64 {
        self.max_us.load(Ordering::Relaxed)
    }

    /// Upper end of the bucket that holds the `permille`-th thousandth; 0 when nothing was recorded.
    pub(super) fn quantile_us(&self, permille: u64) -> u64 {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let rank = (counts.iter().sum::<u64>() * permille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (index, count) in counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_end(index).min(self.max_us());
            }
        }
        0
    }
}

fn bucket(us: u64) -> usize {
    if us < 16 {
        return usize::try_from(us).expect("below 16");
    }
    let power = us.ilog2();
    let part = (us >> (power - 4)) & 15;
    usize::try_from(u64::from(power - 3) * 16 + part).expect("below the number of buckets")
}

fn upper_end(index: usize) -> u64 {
    let index = index as u64;
    if index < 16 {
        return index;
    }
    let shift = index / 16 - 1;
    let first = (16 + index % 16) << shift;
    first + ((1_u64 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_falls_into_a_bucket_that_ends_close_above_it() {
        for us in [0, 1, 15, 16, 17, 31, 32, 33, 100, 999, 1000, 123_456, 10_000_000, u64::MAX] {
            let end = upper_end(bucket(us));
            assert!(end >= us, "{us} us ends up in a bucket that ends at {end}");
            assert!(end - us <= us / 16, "{us} us ends up in a bucket that ends at {end}");
        }
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let histogram = Histogram::default();
        for ms in 1..=100 {
            histogram.record(Duration::from_millis(ms));
        }
        let within = |permille, expected: u64| {
            let us = histogram.quantile_us(permille);
            assert!((expected..=expected + expected / 16).contains(&us), "{permille} permille is {us} us");
        };
        within(500, 50_000);
        within(990, 99_000);
        assert_eq!(histogram.quantile_us(1000), 100_000);
        assert_eq!(Histogram::default().quantile_us(500), 0);
    }
}
