//! Stopping: the polite signal to everything the instance runs, its grace, SIGKILL to what is left, and the proof that
//! nothing is.
//!
//! While the keeper lives, everything that was started is its descendant, and its end is the proof. Without it, the
//! launch's cookie in the environment finds what is left, in whatever session.

use std::{fs, io, sync::Arc, time::Duration};

use rustix::process::Signal;
use skipper_core::{
    deployment::{Deployment, DeploymentId},
    generation::Generation,
    port::{Error, ErrorKind},
    rollout::plan::Instances,
    spec::{self, StopPolicy},
};
use tokio::time::Instant;
use tracing::info;

use super::{
    account::{Account, Seen, Slot, Watched, blocking, storage},
    keeper::State,
    process::{self, ProcessId},
    watch,
};

/// How long SIGKILL may take. Only a process that hangs in the kernel needs longer than a moment.
const KILL_BOUND: Duration = Duration::from_secs(10);
/// Between two rounds of signals: a process that was being started in one is found in the next.
const ROUND: Duration = Duration::from_millis(10);

/// Stops and removes the instances; with `last`, the whole deployment.
pub(super) async fn retire(
    account: Arc<Account>,
    deployment: Deployment,
    range: Instances,
    last: bool,
    generation: Generation,
) -> Result<(), Error> {
    let (passing, account_too) = (deployment.clone(), Arc::clone(&account));
    blocking(move || account_too.fences.end(&passing, generation, range, last)).await??;
    let stop = &deployment.app.stop;
    let outcomes =
        futures::future::join_all(range.range().map(|index| instance(&account, &deployment.id, index, stop)));
    outcomes.await.into_iter().collect::<Result<(), Error>>()?;
    if last {
        rest(&account, &deployment.id, stop).await?;
    }
    Ok(())
}

/// Removes a deployment nobody knows.
pub(super) async fn orphan(account: Arc<Account>, id: DeploymentId) -> Result<(), Error> {
    account.fences.call_off(&id, None);
    let stop = account.fences.labels(&id).map(|labels| labels.stop).unwrap_or_default();
    rest(&account, &id, &stop).await
}

/// Instances that are still there, whoever made them, and then the folder.
async fn rest(account: &Arc<Account>, id: &DeploymentId, stop: &StopPolicy) -> Result<(), Error> {
    let dir = account.deployment_dir(id);
    let found = super::list::instances(&dir);
    let outcomes = futures::future::join_all(found.into_iter().map(|index| instance(account, id, index, stop)));
    outcomes.await.into_iter().collect::<Result<(), Error>>()?;
    super::hook::forget_of(account, id).await?;
    blocking(move || remove_dir(&dir)).await?.map_err(|cause| storage(format!("remove the folder of {id}"), cause))
}

async fn instance(account: &Arc<Account>, id: &DeploymentId, index: u32, stop: &StopPolicy) -> Result<(), Error> {
    let slot = account.instance(id, index);
    {
        let _turn = slot.turn.lock().await;
        everything_of(account, &slot, stop).await?;
        let folder = slot.folder.clone();
        blocking(move || {
            if let Ok(Some(state)) = folder.read_state() {
                if let Some(placement) = &state.cgroup {
                    placement.remove()?;
                }
                if let Some(elsewhere) = &state.remove {
                    remove_dir(elsewhere)?;
                    // The deployment's, if this was its last.
                    let _ = elsewhere.parent().map(fs::remove_dir);
                }
            }
            remove_dir(&folder.0)
        })
        .await?
        .map_err(|cause| storage(format!("remove instance {index} of {id}"), cause))?;
        account.config.ports.release(&Account::owner(&slot.folder.0));
        slot.set(Seen::Absent);
    }
    account.forget(&slot);
    Ok(())
}

/// Ends all processes of a slot.
pub(super) async fn everything_of(account: &Arc<Account>, slot: &Arc<Slot>, stop: &StopPolicy) -> Result<(), Error> {
    match account.see(slot).await? {
        Seen::Running(watched) => running(slot, &watched, stop).await,
        Seen::Ended(ended) => {
            let Some(state) = &ended.1 else { return Ok(()) };
            if let Some(keeper) = state.running_keeper() {
                // Its record is there, so it has nothing left to do but to end.
                let _ = tokio::time::timeout(KILL_BOUND, watch::ended(keeper)).await;
            }
            if ended.0.exit.code.is_none() && ended.0.exit.signal.is_none() {
                return remains(state).await;
            }
            Ok(())
        }
        Seen::Absent | Seen::NotLooked => Ok(()),
    }
}

async fn running(slot: &Slot, watched: &Watched, stop: &StopPolicy) -> Result<(), Error> {
    let begun = Instant::now();
    let shown = slot.folder.0.display();
    // Another keeper may have come since; while the turn is ours, none comes any more.
    let recorded = slot.folder.read_state().ok().flatten().filter(|state| state.cookie == watched.state.cookie);
    let state = recorded.as_ref().unwrap_or(&watched.state);
    signal_all(state, signal(stop.signal)).await?;
    let mut left = !gone(state, stop.grace.duration()).await?;
    if left {
        info!(instance = %shown, grace = %stop.grace, "did not stop when asked; killing it");
    }
    let kill_by = Instant::now() + KILL_BOUND;
    while left {
        signal_all(state, Signal::KILL).await?;
        left = !gone(state, ROUND).await?;
        if left && Instant::now() >= kill_by {
            return Err(hangs(&format!("{shown} does not end, even by SIGKILL")));
        }
    }
    if slot.folder.read_ended().is_none_or(|ended| ended.exit.code.is_none() && ended.exit.signal.is_none()) {
        // The keeper was killed rather than ended, so nobody has cleared away what may be left.
        remains(state).await?;
    }
    info!(instance = %shown, duration_ms = begun.elapsed().as_millis() as u64, "stopped");
    Ok(())
}

/// Waits until nothing of the instance runs, at most for `bound`.
async fn gone(state: &State, bound: Duration) -> Result<bool, Error> {
    if let Some(keeper) = state.running_keeper() {
        return Ok(tokio::time::timeout(bound, watch::ended(keeper)).await.is_ok());
    }
    watch::ended(state.keeper).await;
    let until = Instant::now() + bound;
    loop {
        let state = state.clone();
        if blocking(move || nobody_left(&state)).await? {
            return Ok(true);
        }
        if Instant::now() >= until {
            return Ok(false);
        }
        tokio::time::sleep(ROUND).await;
    }
}

fn hangs(message: &str) -> Error {
    Error::new(ErrorKind::Unknown, "stop-hangs", message)
        .hint("a process hangs in the kernel, on a disk or network file system: see `ps -e -o pid,stat,wchan,cmd`")
}

/// Kills what bears a launch's cookie and has no keeper that would clear it away.
pub(super) async fn remains(state: &State) -> Result<(), Error> {
    if !state.is_of_this_boot() {
        return Ok(());
    }
    let by = Instant::now() + KILL_BOUND;
    loop {
        let state = state.clone();
        let left = blocking(move || {
            if nobody_left(&state) {
                return Ok(None);
            }
            let left = unkept(&state);
            left.iter().try_for_each(|process| process.signal(Signal::KILL)).map(|()| Some(left.len()))
        });
        match left.await? {
            Ok(None) => return Ok(()),
            Ok(Some(count)) if Instant::now() >= by => {
                return Err(hangs(&format!("{count} processes of a former launch do not end, even by SIGKILL")));
            }
            Ok(Some(_)) => tokio::time::sleep(ROUND).await,
            Err(cause) => return Err(may_not_signal(cause)),
        }
    }
}

/// Sends a signal to everything an instance runs. Each process is told once, parents before their children: a shell whose child
/// was told first goes on after it, and may be at its end before its own handler was asked.
async fn signal_all(state: &State, signal: Signal) -> Result<(), Error> {
    let state = state.clone();
    blocking(move || {
        let family = match state.running_keeper() {
            // Also one that is not the parent has the orphans of its time.
            Some(keeper) if !state.adopted => process::descendants(keeper),
            _ => unkept(&state),
        };
        family.iter().try_for_each(|process| process.signal(signal))
    })
    .await?
    .map_err(may_not_signal)
}

/// What belongs to a launch whose keeper is not its parent: first the process and its descendants, then what went its own way.
fn unkept(state: &State) -> Vec<ProcessId> {
    let mut others = process::with_env(&state.marker());
    let mut family = Vec::new();
    if let Some(app) = state.running_app() {
        family.push(app);
        family.extend(process::descendants(app));
    }
    for known in &family {
        others.remove(known);
    }
    family.extend(others);
    family
}

/// Whether two looks find nothing. Blocking.
fn nobody_left(state: &State) -> bool {
    unkept(state).is_empty() && {
        std::thread::sleep(ROUND / 2);
        unkept(state).is_empty()
    }
}

fn may_not_signal(cause: io::Error) -> Error {
    Error::new(ErrorKind::Permanent, "stop-refused", "signal a process of the instance")
        .because(cause)
        .hint("it runs as another user than Skipper: stop it by hand")
}

const fn signal(signal: spec::Signal) -> Signal {
    match signal {
        spec::Signal::Term => Signal::TERM,
        spec::Signal::Int => Signal::INT,
        spec::Signal::Quit => Signal::QUIT,
        spec::Signal::Hup => Signal::HUP,
        spec::Signal::Usr1 => Signal::USR1,
        spec::Signal::Usr2 => Signal::USR2,
    }
}

/// Removes a folder that may not be there.
pub(crate) fn remove_dir(path: &std::path::Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
