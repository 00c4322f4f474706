//! SIGTERM and SIGINT: the first asks politely, the second ends the process at once.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

/// Exit status after a second signal: 128 and the number of SIGINT, as shells have it.
const IMPATIENT: i32 = 130;

/// A token that is cancelled by the first signal.
pub(super) fn on_signal() -> io::Result<CancellationToken> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let token = stop.clone();
    // Not among the tasks that a stop waits for: it waits for a second signal.
    TaskTracker::new().spawn(async move {
        tokio::select! {
            _ = term.recv() => info!("SIGTERM: no new work; open requests may finish"),
            _ = int.recv() => info!("SIGINT: no new work; open requests may finish (once more to stop at once)"),
        }
        token.cancel();
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        warn!("a second signal: stopping at once");
        std::process::exit(IMPATIENT);
    });
    Ok(stop)
}
