//! One task for each running process: it sleeps until the keeper ends and then brings the account's memory up to date.
//!
//! The keeper, not the process, is what is watched: it ends last, after the record of the exit and the last log line.
//! A watch that is cancelled loses nothing, the next server looks for itself.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
    time::Duration,
};

use rustix::process::{WaitId, WaitIdOptions, waitid};
use skipper_core::port::Error;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    account::{Account, Seen, Slot, Watched},
    adopt,
    keeper::State,
    look::Looked,
    process::ProcessId,
};

/// Pause before another attempt to replace a killed keeper, or to look again.
const AGAIN: Duration = Duration::from_millis(500);

/// Begins to watch a process that runs under its keeper. Needs a runtime.
pub(super) fn begin(account: &Arc<Account>, slot: &Arc<Slot>, state: State, app: OwnedFd) {
    let keeper = state.keeper;
    let watched = Arc::new(Watched { state, app, gone: CancellationToken::new() });
    slot.set(Seen::Running(Arc::clone(&watched)));
    let (account, slot) = (Arc::clone(account), Arc::clone(slot));
    account.config.tasks.clone().spawn(async move { watch(account, slot, watched, keeper).await });
}

async fn watch(account: Arc<Account>, slot: Arc<Slot>, watched: Arc<Watched>, keeper: ProcessId) {
    tokio::select! {
        () = account.stop.cancelled() => return,
        () = ended(keeper) => {}
    }
    loop {
        match account.look(&slot).await {
            Ok(Looked::Ended(ended, state)) => {
                info!(instance = %slot.folder.0.display(), exit = %ended.exit, "process ended");
                slot.replace(&watched, Seen::Ended(Arc::new((ended, state))));
                break;
            }
            Ok(Looked::Absent) => {
                slot.replace(&watched, Seen::Absent);
                break;
            }
            Ok(Looked::Forsaken(..)) => match new_keeper(&account, &slot).await {
                Ok(()) => continue,
                Err(error) => {
                    warn!(instance = %slot.folder.0.display(), error = error.chain(), "replace a killed keeper");
                }
            },
            Ok(Looked::Running(state, app)) => {
                // Under another keeper. If somebody has noticed before us, it is being watched already.
                if slot.shows(&watched) {
                    begin(&account, &slot, state, app);
                }
                break;
            }
            Ok(Looked::Busy) => {}
            Err(error) => warn!(error = error.chain(), "look at an instance whose keeper ended"),
        }
        tokio::select! {
            () = account.stop.cancelled() => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
    watched.gone.cancel();
    account.tell_changed();
}

/// Replaces a keeper that was killed, unless somebody has done so, or stopped the instance.
async fn new_keeper(account: &Arc<Account>, slot: &Arc<Slot>) -> Result<(), Error> {
    // Whoever launches or retires has the turn; after a retirement there is nothing left to keep.
    let _turn = slot.turn.lock().await;
    if matches!(account.look(slot).await?, Looked::Forsaken(..)) {
        warn!(instance = %slot.folder.0.display(), "keeper was killed; another one takes its place");
        adopt::replace_keeper(account, slot).await?;
    }
    Ok(())
}

/// Resolves when the process has ended, and reaps it if it is a child of ours.
pub(super) async fn ended(process: ProcessId) {
    let Some(handle) = process.open() else {
        reap_by_number(process);
        return;
    };
    match super::process::end_of(handle).await {
        Ok(handle) => {
            // Not our child, or reaped already: fine.
            let _ = waitid(WaitId::PidFd(handle.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        }
        Err(error) => {
            warn!(%error, "cannot watch a process; asking for it instead");
            while process.is_alive() {
                tokio::time::sleep(AGAIN).await;
            }
            reap_by_number(process);
        }
    }
}

/// Reaps a process that has ended already. A number that by now is another child's is left alone.
fn reap_by_number(process: ProcessId) {
    if super::process::stat(process.pid).is_some_and(|stat| stat.id == process && stat.dead)
        && let Some(pid) = rustix::process::Pid::from_raw(process.pid)
    {
        // Not our child, or reaped meanwhile: fine.
        let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    }
}
