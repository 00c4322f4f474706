use std::time::{Duration, Instant};

use reqwest::{Response, StatusCode};

/// Why no answer came.
#[derive(Debug)]
pub(crate) enum Lost {
    /// Nobody accepted the connection: the request never left.
    Unreachable(reqwest::Error),
    /// The connection broke in between: the request may have taken effect.
    Underway(reqwest::Error),
    /// The server says that it cannot answer now.
    Busy,
    /// It did not answer in time.
    Late(Duration),
    /// The command that tells what lets us in failed, and how.
    Credentials(String),
    /// The client could not be built.
    Setup(reqwest::Error),
}

/// How often and how patiently a request is repeated.
#[derive(Debug)]
pub(crate) struct Attempts {
    made: u32,
    was_underway: bool,
    begun: Instant,
}

/// Six attempts with pauses of 0.1 to 3.2 s: about as long as a server needs to start again.
const ATTEMPTS: u32 = 6;
/// How long a server is asked again that says it cannot answer now; each of its answers may itself have taken long.
const BUSY: Duration = Duration::from_secs(10);

impl Attempts {
    /// None made yet.
    pub(crate) fn new() -> Self {
        Self { made: 0, was_underway: false, begun: Instant::now() }
    }

    /// Whether another attempt would be made: else the answer at hand is the one to be told.
    pub(crate) fn may_go_on(&self) -> bool {
        self.made + 1 < ATTEMPTS && self.begun.elapsed() < BUSY
    }

    /// How long to wait before the next attempt; `None` to give up.
    ///
    /// A connection that was refused from the start means that no server runs, and is said at once; one that broke in
    /// between means that the server went away and may come back.
    pub(crate) fn after(&mut self, lost: &Lost) -> Option<Duration> {
        let worth_it = match lost {
            Lost::Unreachable(_) => self.was_underway,
            Lost::Underway(error) => {
                self.was_underway = true;
                !error.is_builder() && !error.is_timeout()
            }
            Lost::Busy => true,
            Lost::Late(_) | Lost::Credentials(_) | Lost::Setup(_) => false,
        };
        self.made += 1;
        (worth_it && self.made < ATTEMPTS).then(|| pause(self.made))
    }
}

/// The pause before the attempt after `made`: doubling from 100 ms, 3.2 s at most.
pub(crate) fn pause(made: u32) -> Duration {
    Duration::from_millis(100 << made.saturating_sub(1).min(5))
}

/// Whether the server asks to come back later.
pub(crate) fn is_busy(response: &Response) -> bool {
    response.status() == StatusCode::SERVICE_UNAVAILABLE && response.headers().contains_key("retry-after")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_are_bounded() {
        let pauses: Vec<_> = (1..=8).map(|n| pause(n).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 3200, 3200]);
    }

    #[test]
    fn a_busy_server_is_asked_again_but_not_for_ever() {
        let mut attempts = Attempts::new();
        assert_eq!(std::iter::from_fn(|| attempts.after(&Lost::Busy)).count(), 5);
    }

    #[test]
    fn a_late_answer_is_not_asked_for_again() {
        assert_eq!(Attempts::new().after(&Lost::Late(Duration::ZERO)), None);
    }
}
