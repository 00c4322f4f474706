//! Waits for the process and for everything it leaves, in the keeper that is their parent or reaper.

use std::{
    collections::BTreeSet,
    process::Child,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Signal, WaitOptions, WaitStatus, wait},
};
use skipper_core::time::Timestamp;

use super::{super::process, now};

/// What the main process left running gets SIGTERM, and after this time SIGKILL. Short: it is in the way of whatever is
/// started next.
const LEFT_BEHIND_GRACE: Duration = Duration::from_secs(1);
const LEFT_BEHIND_PAUSE: Duration = Duration::from_millis(5);
const LEFT_BEHIND_LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How the process ended.
#[derive(Debug)]
pub(super) struct Outcome {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub at: Timestamp,
    pub left_behind: u32,
}

/// Waits until the process has ended and then until nothing it started is left. The instance is its main process: what
/// it leaves running would belong to nobody, so it is ended too.
pub(super) fn for_all(child: &Child) -> Outcome {
    let mut ended: Option<(WaitStatus, Timestamp)> = None;
    while ended.is_none() {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if u32::try_from(pid.as_raw_nonzero().get()) == Ok(child.id()) => {
                ended = Some((status, now()));
            }
            // An orphan was reaped.
            Ok(_) | Err(Errno::INTR) => {}
            // There is no child at all: somebody else has reaped it, and how it ended cannot be told.
            Err(_) => break,
        }
    }
    let left_behind = clear_away();
    let (code, signal, at) = match ended {
        Some((status, at)) => (status.exit_status(), status.terminating_signal(), at),
        None => (None, None, now()),
    };
    Outcome { code, signal, at, left_behind }
}

/// Ends and reaps all descendants; returns how many there were.
fn clear_away() -> u32 {
    let Ok(me) = process::myself() else { return 0 };
    let begun = Instant::now();
    let mut told = BTreeSet::new();
    loop {
        match wait(WaitOptions::NOHANG) {
            Err(Errno::CHILD) => return u32::try_from(told.len()).unwrap_or(u32::MAX),
            Ok(Some(_)) | Err(Errno::INTR) => continue,
            Ok(None) | Err(_) => {}
        }
        let late = begun.elapsed() >= LEFT_BEHIND_GRACE;
        for left in process::descendants(me) {
            let new = told.insert(left);
            if new || late {
                // One that may not be signalled (another user's, by setuid) is waited for.
                let _ = left.signal(if late { Signal::KILL } else { Signal::TERM });
            }
        }
        // What cannot be signalled may stay for long: it is not to cost anything.
        std::thread::sleep(LEFT_BEHIND_PAUSE.max(begun.elapsed() / 8).min(LEFT_BEHIND_LONGEST_PAUSE));
    }
}
