use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Buckets of a doubling: 8 keep the error of a percentile below 6 %.
const PER_OCTAVE: u32 = 8;
/// Doublings above 8 µs: the last bucket begins at about 37 minutes.
const OCTAVES: u32 = 28;
const BUCKETS: usize = (PER_OCTAVE * (OCTAVES + 1)) as usize;

/// Latencies in buckets of logarithmic width, hand-made: 2 KB, one atomic add a record.
#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_micros: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS], sum_micros: AtomicU64::new(0) }
    }
}

/// Below 8 µs a bucket is 1 µs wide; above, eight share each doubling.
fn bucket(micros: u64) -> usize {
    if micros < u64::from(PER_OCTAVE) {
        return usize::try_from(micros).unwrap_or(0);
    }
    let octave = micros.ilog2() - PER_OCTAVE.ilog2();
    let within = (micros >> octave) - u64::from(PER_OCTAVE);
    let index = u64::from(PER_OCTAVE * (octave + 1)) + within;
    usize::try_from(index).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The first value of a bucket, in microseconds.
fn floor(bucket: usize) -> u64 {
    let (octave, within) = (bucket as u64 / u64::from(PER_OCTAVE), bucket as u64 % u64::from(PER_OCTAVE));
    match octave {
        0 => within,
        octave => (u64::from(PER_OCTAVE) + within) << (octave - 1),
    }
}

impl Histogram {
    pub(crate) fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(micros)].fetch_add(1, Relaxed);
        self.sum_micros.fetch_add(micros, Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum()
    }

    pub(crate) fn sum_seconds(&self) -> f64 {
        Duration::from_micros(self.sum_micros.load(Relaxed)).as_secs_f64()
    }

    /// How many records lie in buckets that end at or below so many microseconds.
    pub(crate) fn below(&self, micros: u64) -> u64 {
        let counted = (0..BUCKETS).take_while(|at| floor(at + 1) <= micros.saturating_add(1));
        counted.map(|at| self.buckets[at].load(Relaxed)).sum()
    }

    /// The value in milliseconds that the share `quantile` (0 to 1) of all records does not exceed; 0 without records.
    pub(crate) fn quantile_ms(&self, quantile: f64) -> f64 {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return 0.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rank that is off by one in 2^53 is the same rank")]
        let rank = quantile * total as f64;
        let mut seen = 0;
        for (at, count) in counts.iter().enumerate() {
            seen += count;
            #[expect(clippy::cast_precision_loss, reason = "as above; micros of a latency are far below 2^53")]
            if *count > 0 && seen as f64 >= rank {
                let (low, high) = (floor(at), floor(at + 1));
                return (low + high) as f64 / 2.0 / 1000.0;
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_value_falls_into_the_bucket_whose_bounds_hold_it(micros in 0_u64..2_000_000_000) {
            let at = bucket(micros);
            prop_assert!(floor(at) <= micros && micros < floor(at + 1), "{} in {}", micros, at);
        }
    }

    #[test]
    fn percentiles_are_within_six_percent() {
        let histogram = Histogram::default();
        for millis in 1..=1000 {
            histogram.record(Duration::from_millis(millis));
        }
        for (quantile, expected) in [(0.5, 500.0), (0.99, 990.0), (0.01, 10.0)] {
            let got = histogram.quantile_ms(quantile);
            assert!((got - expected).abs() / expected < 0.07, "{quantile}: {got}");
        }
        assert_eq!(histogram.count(), 1000);
        assert!(histogram.sum_seconds() > 500.0);
        histogram.record(Duration::from_secs(1_000_000));
        assert!(histogram.quantile_ms(1.0) > 1_000_000.0);
    }

    #[test]
    fn an_empty_histogram_says_zero() {
        assert!(Histogram::default().quantile_ms(0.99).abs() < f64::EPSILON);
    }
}
