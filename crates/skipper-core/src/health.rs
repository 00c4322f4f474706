//! From probe answers to a verdict: pure, so that every sequence can be tried.

use serde::{Deserialize, Serialize};

use crate::{spec::Health, time::Timestamp};

/// The answer of one probe attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it was made.
    pub at: Timestamp,
    /// Which instance was asked.
    pub instance: u32,
    /// Whether the answer was the expected one.
    pub ok: bool,
    /// What was answered, for people: `200 OK in 3 ms`, `connection refused`.
    pub detail: String,
}

/// What the answers so far amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not known yet; ask again.
    Pending,
    /// Enough consecutive successes.
    Healthy,
    /// Too many consecutive failures after the start period.
    Unhealthy,
}

/// Counts the answers of one instance.
#[derive(Debug, Clone)]
pub struct Tracker {
    launched: Timestamp,
    successes: u32,
    failures: u32,
}

impl Tracker {
    /// Starts counting for an instance launched at `launched`.
    #[must_use]
    pub const fn new(launched: Timestamp) -> Self {
        Self { launched, successes: 0, failures: 0 }
    }

    /// Takes one answer and says what it amounts to.
    pub fn record(&mut self, health: &Health, attempt: &Attempt) -> Verdict {
        if attempt.ok {
            self.successes += 1;
            self.failures = 0;
        } else {
            self.successes = 0;
            if attempt.at.since(self.launched) >= health.start_period.duration() {
                self.failures += 1;
            }
        }
        if self.successes >= health.successes.max(1) {
            Verdict::Healthy
        } else if self.failures >= health.retries.max(1) {
            Verdict::Unhealthy
        } else {
            Verdict::Pending
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        spec::Check,
        time::{Millis, Timestamp},
    };

    #[track_caller]
    fn check(successes: u32, retries: u32, answers: &str, expected: &str) {
        let health =
            Health { successes, retries, start_period: Millis::secs(2), ..Health::with_defaults(Check::Running) };
        let mut tracker = Tracker::new(Timestamp::default());
        let verdicts: String = answers
            .chars()
            .enumerate()
            .map(|(second, answer)| {
                let at = Timestamp::from_micros(i64::try_from(second).expect("small") * 1_000_000);
                let attempt = Attempt { at, instance: 0, ok: answer == '+', detail: String::new() };
                match tracker.record(&health, &attempt) {
                    Verdict::Pending => '?',
                    Verdict::Healthy => 'H',
                    Verdict::Unhealthy => 'U',
                }
            })
            .collect();
        assert_eq!(verdicts, expected);
    }

    #[test]
    fn a_success_counts_at_once_also_within_the_start_period() {
        check(1, 3, "+", "H");
    }

    #[test]
    fn failures_within_the_start_period_do_not_count() {
        check(1, 2, "----", "???U");
    }

    #[test]
    fn a_failure_resets_the_successes_and_a_success_the_failures() {
        check(2, 2, "+-+-+-++", "???????H");
    }
}
