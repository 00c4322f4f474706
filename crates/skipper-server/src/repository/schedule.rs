//! Reads the indexes of remote repositories when they are due.

use std::time::Duration;

use futures::StreamExt as _;
use skipper_core::name::RepositoryName;
use skipper_store::RepositoryKind;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Repositories;

/// Indexes that are read at the same time: a slow one must not hold up the others.
const AT_ONCE: usize = 4;
/// Longest without a look: another server may have added a repository.
const LOOK: Duration = Duration::from_secs(30);
/// Shortest pause between two looks.
const PAUSE: Duration = Duration::from_millis(200);

impl Repositories {
    /// Refreshes until `stop`.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop: an index that was half taken over is read again.
    pub async fn run(&self, stop: CancellationToken) {
        let _ = stop.run_until_cancelled(self.keep_fresh()).await;
    }

    async fn keep_fresh(&self) {
        loop {
            // Before the look, so that no nudge is lost.
            let nudged = self.nudge.notified();
            let (due, wait) = self.due().await;
            if due.is_empty() {
                tokio::select! {
                    () = nudged => {}
                    () = sleep(wait) => {}
                }
                continue;
            }
            let refreshes = due.into_iter().map(|name| async move {
                // Told in the log and beside the repository.
                if let Err(error) = self.refresh(&name).await {
                    debug!(repository.name = %name, error = %error, "not refreshed");
                }
            });
            futures::stream::iter(refreshes).buffer_unordered(AT_ONCE).collect::<()>().await;
            // Whatever the clock says: one that stays due must not keep a processor busy.
            sleep(PAUSE).await;
        }
    }

    /// Repositories that are due, and how long none will be when none is.
    async fn due(&self) -> (Vec<RepositoryName>, Duration) {
        let all = match self.store.repository_list().await {
            Ok(all) => all,
            Err(error) => {
                debug!(%error, "repositories are not looked at yet");
                return (Vec::new(), LOOK);
            }
        };
        let now = self.clock.now();
        let remote = all.into_iter().filter(|repository| repository.kind == RepositoryKind::Remote);
        let (due, later): (Vec<_>, Vec<_>) = remote.partition(|repository| repository.refresh.due_at <= now);
        let wait = later.iter().map(|repository| repository.refresh.due_at.since(now)).min().unwrap_or(LOOK);
        (due.into_iter().map(|repository| repository.name).collect(), wait.clamp(PAUSE, LOOK))
    }
}
