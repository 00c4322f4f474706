//! Removes branches whose releases are gone, however often that takes.

use std::time::Duration;

use skipper_core::port::{Error as PortError, ErrorKind};
use skipper_source::app::Server;
use skipper_store::{DatabaseBranch, Error};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Branches, known};
use crate::app::App;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(5);
/// Removed in one go.
const AT_ONCE: u32 = 20;
/// Longest that removing one takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one may still come to be that was asked for and not answered.
const COMING: Duration = Duration::from_secs(10 * 60);
/// Pauses after each failure; the last one holds from then on.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
];

/// Removes what is due. Returns how many branches went.
///
/// # Errors
///
/// Those of the database. What a provider does not do is logged, and tried again.
pub async fn sweep(app: &App) -> Result<usize, Error> {
    let (Some(apps), Some(branches)) = (app.apps.get(), app.resolver.branches()) else { return Ok(0) };
    let mut removed = 0;
    for branch in app.store.branches_due(AT_ONCE).await? {
        let name = branch.name.as_str();
        let outcome = timeout(PATIENCE, remove(&branches, apps.server(), &branch)).await;
        let outcome = outcome.unwrap_or_else(|_| {
            Err(PortError::new(ErrorKind::Transient, "database-unreachable", format!("no answer within {PATIENCE:?}")))
        });
        let again = match outcome {
            Ok(true) => {
                info!(branch = name, "the branch of a database was removed with its preview");
                removed += 1;
                None
            }
            // Whoever asked for it may have died before it was there.
            Ok(false) if branch.remote.is_none() => {
                Some(branch.asked_at + COMING).filter(|until| *until > app.clock.now())
            }
            Ok(false) => None,
            Err(error) => {
                let index = usize::try_from(branch.attempts).unwrap_or(usize::MAX).min(PAUSES.len() - 1);
                warn!(branch = name, error = error.chain(), "the branch of a database cannot be removed; tried again");
                Some(app.clock.now() + PAUSES[index])
            }
        };
        match again {
            None => app.store.branch_forget(name).await?,
            Some(until) => app.store.branch_later(name, until).await?,
        }
    }
    Ok(removed)
}

async fn remove(branches: &Branches, server: &Server, branch: &DatabaseBranch) -> Result<bool, PortError> {
    let provider = branches.provider(&known(server, &branch.provider)?).await?;
    provider.remove(&branch.project, &branch.name).await
}

/// Sweeps until `stop`, where this server is the one that tends.
pub(crate) async fn tend(app: App, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        if app.tended_by.borrow().is_some() {
            continue;
        }
        if let Err(error) = sweep(&app).await {
            warn!(%error, "branches of databases could not be looked for; tried again");
        }
    }
}
