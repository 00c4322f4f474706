//! Jobs of a rollout, run at most once: the engine gives a name to one container only, and one that was started is never
//! started again.

use std::{sync::Arc, time::Duration};

use bollard::query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions};
use futures::StreamExt as _;
use skipper_core::{
    deployment::{Deployment, Exit},
    port::{Error, ErrorKind, HookState},
    secret::SecretValues,
    spec::Hook,
    time::Timestamp,
};
use tracing::warn;

use super::{
    account::Account,
    fault, fetch, labels,
    launch::network,
    list, logs,
    look::{Looked, Seen, look},
    options::Options,
    pod,
    prepare::{self, Work},
    secret_files,
};
use crate::local::{blocking, remove_dir};

/// How much of a job's output is told.
const OUTPUT_LINES: usize = 200;
/// Exit status told for a job that could not be started, as shells do.
const NOT_STARTED: i32 = 127;
/// Containers of jobs that ended are kept this long, unless their deployment goes before; a rollout that still asks is long
/// over.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A job, owned by its task.
pub(super) struct Job {
    pub id: String,
    pub deployment: Deployment,
    pub hook: Hook,
    pub secrets: SecretValues,
}

/// The container's name, if the id can be part of one.
pub(super) fn name(id: &str) -> Result<String, Error> {
    let plain = (1..=128).contains(&id.len())
        && !id.starts_with('.')
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !plain {
        return Err(Error::new(ErrorKind::Permanent, "hook-id-invalid", format!("{id:?} is not a job's id")));
    }
    Ok(labels::hook_name(id))
}

/// Starts the job unless its container is there and was started.
pub(super) async fn run(account: Arc<Account>, job: Job) -> Result<HookState, Error> {
    let name = name(&job.id)?;
    if job.hook.command.is_empty() {
        return Err(Error::new(ErrorKind::Permanent, "hook-empty", "the hook has no command"));
    }
    let turn = account.turn(&name);
    let _turn = turn.lock().await;
    let engine = account.engine().await?;
    let id = match look(&account, &name).await? {
        // Whoever made it did not live to start it.
        Looked::Made(seen) => seen.id,
        Looked::Absent => {
            sweep(&account).await;
            let options = Options::of(&job.deployment.app)?;
            let image = fetch::pinned(&account, &engine, &job.deployment.app.resource).await?;
            network(&account, &engine, prepare::network(&account.config, &options)).await?;
            let joined = pod::network_of(&account, &job.deployment).await?;
            let dir = secret_files::dir(&account.config.root.join(".hooks").join(&job.id));
            let (account_too, dir_too) = (Arc::clone(&account), dir.clone());
            let body = blocking(move || {
                let mut labels = prepare::labels_of(&account_too.config, &job.deployment, &options, labels::HOOK);
                labels.insert(labels::TIMEOUT.to_owned(), job.hook.timeout.0.to_string());
                let (secrets, options) = (&job.secrets, &options);
                let order = prepare::Order { image, secrets, options, labels, secrets_dir: &dir_too };
                let (mut body, files) = prepare::body(&account_too, &job.deployment, order, &Work::Hook(&job.hook))?;
                if let (Some(pid), Some(host)) = (joined, &mut body.host_config) {
                    // What runs in the pod is at localhost for it as well. Podman takes no container of a pod here.
                    host.network_mode = Some(format!("ns:/proc/{pid}/ns/net"));
                }
                secret_files::write(&dir_too, &files)?;
                Ok::<_, Error>(body)
            })
            .await??;
            let options = CreateContainerOptionsBuilder::default().name(&name).build();
            let made = match engine.create_container(Some(options), body).await {
                Ok(made) => made,
                Err(said) if fault::is_conflict(&said) => return state(&account, &name).await,
                Err(said) => return Err(account.failed("make a hook's container", said)),
            };
            secret_files::hand_over(&account, &engine, &made.id, dir).await?;
            made.id
        }
        found => return told(&account, found).await,
    };
    if let Err(said) = engine.start_container(&id, None::<StartContainerOptions>).await {
        let error = account.failed("start a hook", said);
        return match error.kind() {
            // It could not be started, and that is its end.
            ErrorKind::Permanent => {
                Ok(HookState::Ended { code: Some(NOT_STARTED), output: format!("{}\n", error.chain()) })
            }
            _ => Err(error),
        };
    }
    watch(&account, &name);
    state(&account, &name).await
}

/// What is known of a job.
pub(super) async fn state(account: &Arc<Account>, name: &str) -> Result<HookState, Error> {
    told(account, look(account, name).await?).await
}

async fn told(account: &Arc<Account>, found: Looked) -> Result<HookState, Error> {
    match found {
        Looked::Absent | Looked::Made(_) => Ok(HookState::Absent),
        Looked::Between(..) => Ok(HookState::Unknown),
        Looked::Running(seen) => {
            if left(&seen, account.config.clock.now()).is_zero() {
                // Whoever watched it is gone: it is ended here.
                end(account, &seen.id).await;
            }
            Ok(HookState::Running)
        }
        Looked::Ended(seen, exit) => Ok(ended(account, &seen, &exit).await),
    }
}

async fn ended(account: &Arc<Account>, seen: &Seen, exit: &Exit) -> HookState {
    let mut output = String::new();
    if let Ok(mut lines) = logs::of_container(account, &seen.id, Some(OUTPUT_LINES)).await {
        while let Some(Ok(line)) = lines.next().await {
            output.push_str(&line.line);
            output.push('\n');
        }
    }
    if exit.signal.is_some() && left(seen, exit.at).is_zero() {
        output.push_str("[skipper] its time was over, it was killed\n");
    }
    HookState::Ended { code: exit.code, output }
}

/// What is left at `now` of a job's time.
fn left(seen: &Seen, now: Timestamp) -> Duration {
    let bound = seen.labels.get(labels::TIMEOUT).and_then(|text| text.parse().ok()).map(Duration::from_millis);
    bound.unwrap_or(Duration::MAX).saturating_sub(now.since(seen.started_at))
}

/// Ends a job whose time is over, and tells that it ended.
fn watch(account: &Arc<Account>, name: &str) {
    let (account, name) = (Arc::clone(account), name.to_owned());
    account.config.tasks.clone().spawn(async move {
        let Ok(Looked::Running(seen)) = look(&account, &name).await else { return };
        let left = left(&seen, account.config.clock.now());
        tokio::select! {
            () = account.stop.cancelled() => {}
            () = tokio::time::sleep(left.min(KEPT)) => {
                if matches!(look(&account, &seen.id).await, Ok(Looked::Running(_))) {
                    end(&account, &seen.id).await;
                }
            }
        }
    });
}

async fn end(account: &Account, id: &str) {
    let Ok(engine) = account.engine().await else { return };
    if let Err(error) = engine.kill_container(id, None).await {
        warn!(%error, container = id, "a hook whose time is over was not killed");
    }
}

/// Removes containers of jobs that were made long ago and do not run.
async fn sweep(account: &Arc<Account>) {
    let Ok(jobs) = list::of_kind(account, labels::HOOK).await else { return };
    let old = account.config.clock.now().as_micros() / 1_000_000 - i64::try_from(KEPT.as_secs()).unwrap_or(i64::MAX);
    for job in jobs.into_iter().filter(|job| job.created.is_some_and(|at| at < old)) {
        if let (Some(id), Ok(engine)) = (job.id, account.engine().await) {
            // Refused for one that runs; tried again with the next job.
            let _ = engine.remove_container(&id, Some(RemoveContainerOptionsBuilder::default().v(true).build())).await;
        }
    }
}

/// Forgets the files of secrets of jobs whose containers are gone.
pub(super) async fn forget(account: &Account, names: &[String]) {
    let dirs: Vec<_> = names
        .iter()
        .filter_map(|name| name.strip_prefix("skipper-hook-"))
        .map(|id| account.config.root.join(".hooks").join(id))
        .collect();
    let _ = blocking(move || dirs.iter().try_for_each(|dir| remove_dir(dir))).await;
}
