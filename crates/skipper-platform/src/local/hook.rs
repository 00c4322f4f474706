//! Jobs of a rollout, run at most once: making the job's folder is the one act that only one caller can do, and whatever
//! happens after it, the job is never started again.

use std::{fs, io, os::unix::fs::DirBuilderExt as _, sync::Arc, time::Duration};

use skipper_core::{
    deployment::{Deployment, DeploymentId},
    port::{Error, ErrorKind, HookState},
    secret::SecretValues,
    spec::Hook,
};

use super::{
    account::{Account, Seen, Slot, blocking, storage},
    keeper::{Ended, write_atomically},
    launch::spawn_keeper,
    logs::tail_text,
    prepare::Work,
    process,
    spawn::Spawned,
    stop, watch,
};

/// How much of a job's output is told.
const OUTPUT_LINES: usize = 200;
/// Exit status told for a job that could not be started, as shells do.
const NOT_STARTED: i32 = 127;
/// Folders of jobs whose deployment never was launched are kept this long; a rollout that still asks is long over.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A job, owned by its task.
pub(super) struct Job {
    pub id: String,
    pub deployment: Deployment,
    pub hook: Hook,
    pub secrets: SecretValues,
}

pub(super) fn slot(account: &Account, id: &str) -> Result<Arc<Slot>, Error> {
    let plain = (1..=255).contains(&id.len())
        && !id.starts_with('.')
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !plain {
        return Err(Error::new(ErrorKind::Permanent, "hook-id-invalid", format!("{id:?} is not a job's id")));
    }
    Ok(account.slot(account.hooks_dir().join(id)))
}

/// Starts the job unless its folder is there.
pub(super) async fn run(account: Arc<Account>, job: Job) -> Result<HookState, Error> {
    let slot = slot(&account, &job.id)?;
    let _turn = slot.turn.lock().await;
    if job.hook.command.is_empty() {
        return Err(Error::new(ErrorKind::Permanent, "hook-empty", "the hook has no command"));
    }
    let (id, dir, of) = (job.id.clone(), slot.folder.0.clone(), job.deployment.id.clone());
    let hooks = account.hooks_dir();
    let first = blocking(move || claim(&hooks, &dir, &of)).await?;
    if !first.map_err(|cause| storage(format!("begin hook {id}"), cause))? {
        return state(&account, &slot).await;
    }
    slot.set(Seen::NotLooked);
    let spawned = {
        let (account, slot) = (Arc::clone(&account), Arc::clone(&slot));
        blocking(move || spawn_keeper(&account, &job.deployment, &slot, &job.secrets, Work::Hook(&job.hook))).await?
    };
    match spawned {
        Ok(Spawned::Started(started)) => {
            match started.app.and_then(process::ProcessId::open) {
                Some(app) => watch::begin(&account, &slot, *started, app),
                None => {
                    account.config.tasks.spawn(async move { watch::ended(started.keeper).await });
                }
            }
            state(&account, &slot).await
        }
        Ok(Spawned::Failed(_) | Spawned::Busy) => state(&account, &slot).await,
        Ok(Spawned::Silent) => Ok(HookState::Unknown),
        Ok(Spawned::Slow(keeper)) => {
            account.config.tasks.spawn(async move { watch::ended(keeper).await });
            Ok(HookState::Unknown)
        }
        Err(error) => {
            // Nothing was started, and that is certain: the claim is given back.
            let dir = slot.folder.0.clone();
            blocking(move || stop::remove_dir(&dir)).await?.map_err(|cause| storage("give up a hook", cause))?;
            slot.set(Seen::Absent);
            Err(error)
        }
    }
}

/// Makes the job's folder; `false` when it was there already.
fn claim(hooks: &std::path::Path, dir: &std::path::Path, of: &DeploymentId) -> io::Result<bool> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(hooks)?;
    sweep(hooks);
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {
            // Durable before anything is started: after a power loss the job must not run again.
            write_atomically(&dir.join("of"), of.as_str().as_bytes())?;
            fs::File::open(hooks)?.sync_all()?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes folders of jobs that ended long ago.
fn sweep(hooks: &std::path::Path) {
    let Ok(entries) = fs::read_dir(hooks) else { return };
    for entry in entries.flatten() {
        let age =
            fs::metadata(entry.path().join("exit")).and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age > KEPT) && !super::keeper::is_locked(&super::keeper::Folder(entry.path())) {
            // Tried again with the next job.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// What is known of a job.
pub(super) async fn state(account: &Arc<Account>, slot: &Arc<Slot>) -> Result<HookState, Error> {
    if matches!(slot.seen(), Seen::Absent) {
        // May have come to be since.
        slot.set(Seen::NotLooked);
    }
    match account.see(slot).await? {
        Seen::Running(_) => Ok(HookState::Running),
        Seen::Ended(ended) => {
            let (slot, ended) = (Arc::clone(slot), ended.0.clone());
            blocking(move || Ok(told(&slot, &ended))).await?
        }
        // Begun, and nobody lived to start it or to say so.
        Seen::Absent | Seen::NotLooked if slot.folder.0.is_dir() => Ok(HookState::Unknown),
        Seen::Absent | Seen::NotLooked => Ok(HookState::Absent),
    }
}

fn told(slot: &Slot, ended: &Ended) -> HookState {
    if let Some(failure) = &ended.failure {
        let hint = failure.hint.as_deref().map(|hint| format!("\n{hint}")).unwrap_or_default();
        return HookState::Ended { code: Some(NOT_STARTED), output: format!("{}{hint}", failure.message) };
    }
    if ended.exit.code.is_none() && ended.exit.signal.is_none() {
        return HookState::Unknown;
    }
    let mut output = tail_text(&slot.folder.logs(), OUTPUT_LINES);
    if ended.timed_out {
        output.push_str("[skipper] its time was over, it was killed\n");
    }
    HookState::Ended { code: ended.exit.code, output }
}

/// Forgets the jobs of a deployment that is being removed, ending what still runs.
pub(super) async fn forget_of(account: &Arc<Account>, id: &DeploymentId) -> Result<(), Error> {
    let (hooks, wanted) = (account.hooks_dir(), id.clone());
    let dirs = blocking(move || {
        let Ok(entries) = fs::read_dir(hooks) else { return Vec::new() };
        let is_of = |path: &std::path::Path| fs::read_to_string(path.join("of")).is_ok_and(|of| of == wanted.as_str());
        entries.flatten().map(|entry| entry.path()).filter(|path| is_of(path)).collect()
    })
    .await?;
    for dir in dirs {
        let slot = account.slot(dir.clone());
        {
            let _turn = slot.turn.lock().await;
            stop::everything_of(account, &slot, &skipper_core::spec::StopPolicy::default()).await?;
            blocking(move || stop::remove_dir(&dir))
                .await?
                .map_err(|cause| storage("remove a hook's folder", cause))?;
            slot.set(Seen::Absent);
        }
        account.forget(&slot);
    }
    Ok(())
}
