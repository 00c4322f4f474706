//! How long to wait before the next attempt, and whether the server can make a question wait.

use std::time::Duration;

use rand::RngExt as _;
use tokio::time::Instant;

/// First pause after something went wrong.
const FIRST: Duration = Duration::from_millis(250);
/// Longest pause while the server cannot be reached: a fleet is to be back within seconds of its server.
const AWAY: Duration = Duration::from_secs(5);
/// Longest pause while the server refuses this node: only a person can mend that.
const DENIED: Duration = Duration::from_secs(60);

/// Longest that the server is asked to keep a question.
pub(super) const WAIT: Duration = Duration::from_secs(30);
/// Waits that are cut in a row weigh so much when the agent begins to poll plainly: three of them, or six that were refused at once.
const CUTS: u32 = 6;
/// Then a long one is tried again after this.
const TRY_AGAIN: Duration = Duration::from_secs(300);

/// Pauses that double, and differ from agent to agent.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    failed: u32,
}

impl Pauses {
    /// It worked.
    pub(super) fn reset(&mut self) {
        self.failed = 0;
    }

    /// Pause after a server that could not be reached, or could not answer.
    pub(super) fn away(&mut self) -> Duration {
        self.next(AWAY)
    }

    /// Pause after a server that does not let this node in.
    pub(super) fn denied(&mut self) -> Duration {
        self.next(DENIED)
    }

    fn next(&mut self, longest: Duration) -> Duration {
        let whole = bound(self.failed, longest);
        self.failed = self.failed.saturating_add(1);
        jittered(whole)
    }
}

fn bound(failed: u32, longest: Duration) -> Duration {
    FIRST.saturating_mul(1 << failed.min(16)).min(longest)
}

/// Half of it to all of it, so that those who were cut off together do not come back together.
pub(super) fn jittered(whole: Duration) -> Duration {
    whole.mul_f64(rand::rng().random_range(0.5..=1.0))
}

/// A little less, so that a fleet does not keep step.
pub(super) fn nearly(whole: Duration) -> Duration {
    whole.mul_f64(rand::rng().random_range(0.9..=1.0))
}

/// How a question ended, as far as it tells whether long ones get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// With an order, or with nothing when its time was over.
    Well,
    /// With nothing, long before its time.
    Early,
    /// Broken off, or by an error of somebody in between, after the request had left.
    Cut,
    /// By such an error at once: the server may just be starting.
    AtOnce,
}

/// How the server is asked.
#[derive(Debug)]
pub(super) enum Manner {
    /// It keeps the question until there is something.
    Long {
        /// What the cuts in a row weigh.
        cuts: u32,
    },
    /// It answers at once, and is asked again after a pause.
    Plain {
        /// From then on a long question is tried again.
        until: Instant,
    },
}

impl Manner {
    /// At start.
    pub(super) const fn new() -> Self {
        Self::Long { cuts: 0 }
    }

    /// How long the server is to keep the next question; `None`: not at all.
    pub(super) fn wait(&mut self, now: Instant) -> Option<Duration> {
        if let Self::Plain { until } = *self
            && until <= now
        {
            // One cut is enough to go back.
            *self = Self::Long { cuts: CUTS - 2 };
        }
        matches!(self, Self::Long { .. }).then_some(WAIT)
    }

    /// Takes in how a question ended. Whether the agent polls plainly from now on.
    pub(super) fn heard(&mut self, ended: Ended, now: Instant) -> bool {
        let Self::Long { cuts } = self else {
            if matches!(ended, Ended::Cut | Ended::AtOnce) {
                // What fails without waiting too is not the fault of waiting.
                *self = Self::new();
            }
            return false;
        };
        match ended {
            Ended::Well => *cuts = 0,
            Ended::Early | Ended::Cut => *cuts += 2,
            Ended::AtOnce => *cuts += 1,
        }
        let gave_up = *cuts >= CUTS;
        if gave_up {
            *self = Self::Plain { until: now + TRY_AGAIN };
        }
        gave_up
    }

    /// Pause after an answer without an order.
    pub(super) fn pause(&self, poll_interval: Duration) -> Duration {
        match self {
            Self::Long { cuts: 0 } => Duration::ZERO,
            Self::Long { cuts } => jittered(bound(*cuts / 2, poll_interval)),
            Self::Plain { .. } => poll_interval,
        }
    }
}

/// What an answer without an order says, by the time that it took.
pub(super) fn nothing_after(took: Duration) -> Ended {
    if took < WAIT.mul_f64(0.8) { Ended::Early } else { Ended::Well }
}

/// What an error of somebody in between says, by the same.
pub(super) fn cut_after(took: Duration) -> Ended {
    if took < Duration::from_secs(1) { Ended::AtOnce } else { Ended::Cut }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_are_never_nothing() {
        let mut pauses = Pauses::default();
        let seen: Vec<_> = (0..40).map(|_| pauses.away()).collect();
        assert!(seen.iter().all(|pause| (FIRST / 2..=AWAY).contains(pause)), "{seen:?}");
        assert!(seen[39] >= AWAY / 2);
        assert!((0..40).map(|_| pauses.denied()).all(|pause| pause >= DENIED / 2 && pause <= DENIED));
        pauses.reset();
        assert!(pauses.away() <= FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn waits_that_are_cut_lead_to_plain_polls_and_a_new_try_later() {
        let interval = Duration::from_secs(5);
        let mut manner = Manner::new();
        assert_eq!(manner.wait(Instant::now()), Some(WAIT));
        assert_eq!(manner.pause(interval), Duration::ZERO);
        // A server that ends lets go of every question once: that is no proxy.
        assert!(!manner.heard(nothing_after(Duration::from_secs(3)), Instant::now()));
        assert!(manner.pause(interval) > Duration::ZERO);
        assert!(!manner.heard(nothing_after(WAIT), Instant::now()));
        assert!(!manner.heard(Ended::Cut, Instant::now()));
        assert!(!manner.heard(Ended::Early, Instant::now()));
        assert!(manner.heard(Ended::Cut, Instant::now()));
        assert_eq!(manner.wait(Instant::now()), None);
        assert_eq!(manner.pause(interval), interval);
        tokio::time::advance(TRY_AGAIN).await;
        assert_eq!(manner.wait(Instant::now()), Some(WAIT));
        assert!(manner.heard(Ended::Cut, Instant::now()), "once is enough then");
        tokio::time::advance(TRY_AGAIN).await;
        assert_eq!(manner.wait(Instant::now()), Some(WAIT));
        manner.heard(Ended::Well, Instant::now());
        assert!(!manner.heard(Ended::Cut, Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_refuses_everything_is_not_taken_for_a_proxy_that_cuts_waits() {
        let mut manner = Manner::new();
        let refused = cut_after(Duration::from_millis(3));
        let gave_up = (0..CUTS).map(|_| manner.heard(refused, Instant::now())).filter(|gave_up| *gave_up).count();
        assert_eq!((gave_up, manner.wait(Instant::now())), (1, None));
        assert!(!manner.heard(refused, Instant::now()));
        assert_eq!(manner.wait(Instant::now()), Some(WAIT), "plain questions fail as well");
    }
}
