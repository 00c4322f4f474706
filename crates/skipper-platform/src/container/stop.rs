//! Stopping: the polite signal, its grace, SIGKILL, and then the container is removed.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bollard::{
    Docker,
    query_parameters::{KillContainerOptionsBuilder, RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder},
};
use skipper_core::{
    deployment::{Deployment, DeploymentId},
    generation::Generation,
    port::{Error, ErrorKind},
    rollout::plan::Instances,
    spec::StopPolicy,
};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    account::Account,
    fault, hook, labels,
    look::{Looked, look},
    pod, raw,
};
use crate::local::{blocking, remove_dir, storage};

/// How long SIGKILL may take.
const KILL_BOUND: Duration = Duration::from_secs(10);
/// First and longest pause between two looks.
const LOOK: Duration = Duration::from_millis(10);
const LOOK_LONGEST: Duration = Duration::from_millis(200);

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
    let (account, deployment) = (&account, &deployment);
    let is_pod = deployment.app.platform_options.contains_key("pod");
    let one = |index| async move {
        let name = labels::instance_name(&deployment.id, index);
        let right = Some((&deployment.id, generation));
        if is_pod {
            pod::by_name(account, &name, &deployment.app.stop, right).await?;
        } else {
            by_name(account, &name, &deployment.app.stop, right).await?;
        }
        forget(account, &deployment.id, index).await
    };
    let instances = futures::future::join_all(range.range().map(one));
    if !last {
        return instances.await.into_iter().collect();
    }
    // Jobs that still run have their grace beside that of the instances, not after it.
    let rest = rest(account, &deployment.id, &deployment.app.stop, Some(generation));
    let (instances, rest) = futures::future::join(instances, rest).await;
    instances.into_iter().chain([rest]).collect::<Result<(), Error>>()?;
    remove_folder(account, &deployment.id).await
}

/// Removes a deployment nobody knows.
pub(super) async fn orphan(account: Arc<Account>, id: DeploymentId) -> Result<(), Error> {
    account.fences.call_off(&id, None);
    let (account_too, id_too) = (Arc::clone(&account), id.clone());
    let stop = blocking(move || account_too.fences.labels(&id_too).map(|labels| labels.stop)).await?;
    rest(&account, &id, &stop.unwrap_or_default(), None).await?;
    remove_folder(&account, &id).await
}

/// Stops and removes a container of another program, as that would: politely at first, and what it has of no name with it.
pub(super) async fn foreign(account: Arc<Account>, id: String) -> Result<(), Error> {
    container(&account, &id, &StopPolicy::default()).await
}

/// Stops a container of another program and renames it.
pub(super) async fn hold(account: Arc<Account>, id: String, name: String) -> Result<(), Error> {
    // The name first: one that was stopped and bears its own was stopped by somebody else.
    if rename(&account, &id, &name).await? {
        end(&account, &id, &StopPolicy::default()).await?;
    }
    Ok(())
}

/// Starts it again and renames it.
pub(super) async fn resume(account: Arc<Account>, id: String, name: String) -> Result<(), Error> {
    let engine = account.engine().await?;
    match engine.start_container(&id, None).await {
        Ok(()) => {}
        // It runs already.
        Err(said) if fault::status(&said) == Some(304) => {}
        Err(said) if fault::is_missing(&said) => return Ok(()),
        Err(said) => return Err(account.failed(format!("start container {id}"), said)),
    }
    rename(&account, &id, &name).await.map(drop)
}

/// Says whether it is there.
async fn rename(account: &Account, id: &str, name: &str) -> Result<bool, Error> {
    let engine = account.engine().await?;
    let options = RenameContainerOptionsBuilder::default().name(name).build();
    match engine.rename_container(id, options).await {
        Ok(()) => Ok(true),
        Err(said) if fault::is_missing(&said) => Ok(false),
        // It has that name.
        Err(_)
            if raw::inspect(account, id)
                .await
                .is_ok_and(|seen| seen.name.as_deref().unwrap_or_default().trim_start_matches('/') == name) =>
        {
            Ok(true)
        }
        Err(said) => Err(account.failed(format!("rename container {id}"), said)),
    }
}

/// Containers that are still there, jobs as well.
async fn rest(
    account: &Arc<Account>,
    id: &DeploymentId,
    stop: &StopPolicy,
    generation: Option<Generation>,
) -> Result<(), Error> {
    let filters = labels::filter(&account.config, &[(labels::DEPLOYMENT, id.as_str())]);
    let found = raw::list(account, &filters).await;
    let found = found.map_err(|said| account.failed(format!("look for what is left of {id}"), said))?;
    // Those of pods go with their pods.
    let names = found.into_iter().filter(|one| one.labels.as_ref().is_none_or(|has| !has.contains_key(labels::POD)));
    let names = names.filter_map(|one| one.names?.into_iter().next());
    let names: Vec<String> = names.map(|name| name.trim_start_matches('/').to_owned()).collect();
    let right = generation.map(|generation| (id, generation));
    let pods = pod::listed(account, &[(labels::DEPLOYMENT, id.as_str())]).await?;
    let pods = futures::future::join_all(pods.iter().map(|(name, _)| pod::by_name(account, name, stop, right)));
    let alone = futures::future::join_all(names.iter().map(|name| by_name(account, name, stop, right)));
    let (pods, alone) = futures::future::join(pods, alone).await;
    pods.into_iter().chain(alone).collect::<Result<(), Error>>()?;
    hook::forget(account, &names).await;
    Ok(())
}

/// Removes what was kept beside the containers of a deployment.
async fn remove_folder(account: &Arc<Account>, id: &DeploymentId) -> Result<(), Error> {
    let dir = account.deployment_dir(id);
    blocking(move || remove_dir(&dir)).await?.map_err(|cause| storage(format!("remove the folder of {id}"), cause))
}

/// Stops and removes what bears that name, if it is ours.
async fn by_name(
    account: &Account,
    name: &str,
    stop: &StopPolicy,
    right: Option<(&DeploymentId, Generation)>,
) -> Result<(), Error> {
    let turn = account.turn(name);
    let _turn = turn.lock().await;
    let (Looked::Made(seen) | Looked::Running(seen) | Looked::Between(seen, _) | Looked::Ended(seen, _)) =
        look(account, name).await?
    else {
        return Ok(());
    };
    if let Some((id, generation)) = right {
        if seen.labels.get(labels::DEPLOYMENT).is_none_or(|of| of != id.as_str()) {
            warn!(container = name, "bears the name of an instance and is not Skipper's; it stays");
            return Ok(());
        }
        fence(&seen.labels, id, generation)?;
    }
    container(account, &seen.id, stop).await
}

/// Refuses to act on a container that was made under a newer right.
pub(super) fn fence(seen: &HashMap<String, String>, id: &DeploymentId, generation: Generation) -> Result<(), Error> {
    match labels::generation(seen) {
        Some(made) if generation < made => Err(Error::new(
            ErrorKind::Fenced,
            "fenced",
            format!("deployment {id} was acted upon under generation {made}, {generation} is stale"),
        )),
        _ => Ok(()),
    }
}

async fn forget(account: &Account, id: &DeploymentId, index: u32) -> Result<(), Error> {
    let dir = account.instance_dir(id, index);
    blocking(move || remove_dir(&dir))
        .await?
        .map_err(|cause| storage(format!("remove instance {index} of {id}"), cause))
}

/// Stops a container and removes it.
pub(super) async fn container(account: &Account, id: &str, stop: &StopPolicy) -> Result<(), Error> {
    let engine = account.engine().await?;
    end(account, id, stop).await?;
    remove(account, &engine, id).await
}

/// Stops a container.
pub(super) async fn end(account: &Account, id: &str, stop: &StopPolicy) -> Result<(), Error> {
    let begun = Instant::now();
    if let Looked::Running(seen) | Looked::Between(seen, _) = look(account, id).await? {
        let signal = seen.stop_signal.as_deref().unwrap_or("SIGTERM");
        kill(account, id, signal).await?;
        if !ended(account, id, stop.grace.duration()).await? {
            info!(container = seen.name, grace = %stop.grace, "did not stop when asked; killing it");
            kill(account, id, "SIGKILL").await?;
            if !ended(account, id, KILL_BOUND).await? {
                let message = format!("container {} does not end, even by SIGKILL", seen.name);
                return Err(Error::new(ErrorKind::Unknown, "stop-hangs", message).hint(
                    "a process hangs in the kernel, on a disk or network file system, or the engine is not well",
                ));
            }
        }
        info!(container = seen.name, duration_ms = begun.elapsed().as_millis() as u64, "stopped");
    }
    Ok(())
}

async fn remove(account: &Account, engine: &Docker, id: &str) -> Result<(), Error> {
    let until = Instant::now() + KILL_BOUND;
    loop {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match engine.remove_container(id, Some(options)).await {
            Ok(()) => return Ok(()),
            Err(said) if fault::is_missing(&said) => return Ok(()),
            // Its removal is under way already, by whoever asked for it.
            Err(said) if fault::is_conflict(&said) && Instant::now() < until => tokio::time::sleep(LOOK_LONGEST).await,
            Err(said) => return Err(account.failed(format!("remove container {id}"), said)),
        }
    }
}

async fn kill(account: &Account, id: &str, signal: &str) -> Result<(), Error> {
    let engine = account.engine().await?;
    let options = KillContainerOptionsBuilder::default().signal(signal).build();
    match engine.kill_container(id, Some(options)).await {
        Ok(()) => Ok(()),
        // It is gone, or does not run any more.
        Err(said) if matches!(fault::status(&said), Some(404 | 409)) => Ok(()),
        Err(_) if !matches!(look(account, id).await?, Looked::Running(_)) => Ok(()),
        Err(said) => Err(account.failed(format!("stop container {id}"), said)),
    }
}

/// Waits until it does not run, at most for `bound`.
async fn ended(account: &Account, id: &str, bound: Duration) -> Result<bool, Error> {
    let until = Instant::now() + bound;
    let mut pause = LOOK;
    loop {
        if !matches!(look(account, id).await?, Looked::Running(_) | Looked::Between(..)) {
            return Ok(true);
        }
        let now = Instant::now();
        if now >= until {
            return Ok(false);
        }
        tokio::time::sleep(pause.min(until - now)).await;
        pause = (pause * 2).min(LOOK_LONGEST);
    }
}
