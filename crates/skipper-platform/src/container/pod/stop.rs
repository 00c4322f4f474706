//! Stopping pods: the polite signal to every container, its grace, SIGKILL; then the pod goes, and what was made for it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bollard::query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptionsBuilder};
use hyper::Method;
use serde_json::Value;
use skipper_core::{
    deployment::DeploymentId,
    generation::Generation,
    port::{Error, ErrorKind},
    spec::StopPolicy,
};
use tokio::time::Instant;
use tracing::{info, warn};
use url::form_urlencoded::byte_serialize;

use super::super::{
    account::Account,
    config::EngineKind,
    fault, labels, raw,
    stop::{self as containers, fence},
};

/// How long removing may take, once nothing runs any more.
const REMOVED: Duration = Duration::from_secs(20);
/// How long removing waits for Podman's own cleaning up.
const CLEANED: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(200);

/// Stops and removes the pod of that name, if it is ours.
pub(in crate::container) async fn by_name(
    account: &Account,
    name: &str,
    stop: &StopPolicy,
    right: Option<(&DeploymentId, Generation)>,
) -> Result<(), Error> {
    let turn = account.turn(name);
    let _turn = turn.lock().await;
    if let Some(told) = inspect(account, name).await?
        && let Some((id, generation)) = right
    {
        let labels = labels_of(&told);
        if labels.get(labels::DEPLOYMENT).is_none_or(|of| of != id.as_str()) {
            warn!(pod = name, "bears the name of an instance and is not Skipper's; it stays");
            return Ok(());
        }
        fence(&labels, id, generation)?;
    }
    pod(account, name, stop).await
}

/// Stops and removes a pod of another program; one of ours, or of another Skipper, stays.
pub(in crate::container) async fn foreign(account: Arc<Account>, name: String) -> Result<(), Error> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if account.config.kind != EngineKind::Podman || name.is_empty() || !name.bytes().all(plain) {
        return Ok(());
    }
    let turn = account.turn(&name);
    let _turn = turn.lock().await;
    match inspect(&account, &name).await? {
        Some(told) if !labels_of(&told).keys().any(|label| label.starts_with(labels::PREFIX)) => {
            pod(&account, &name, &StopPolicy::default()).await
        }
        Some(_) | None => Ok(()),
    }
}

/// Our pods with these labels, by name: also those that have no container yet, or none any more.
pub(in crate::container) async fn listed(
    account: &Account,
    with: &[(&str, &str)],
) -> Result<Vec<(String, HashMap<String, String>)>, Error> {
    if account.config.kind != EngineKind::Podman {
        return Ok(Vec::new());
    }
    let filters = serde_json::to_string(&labels::filter(&account.config, with)).unwrap_or_default();
    let filters: String = byte_serialize(filters.as_bytes()).collect();
    let told = raw::libpod(account, Method::GET, &format!("/pods/json?filters={filters}"), None).await;
    let told = told.map_err(|said| account.failed("list pods", said))?;
    let pods = told.as_array().into_iter().flatten();
    Ok(pods.filter_map(|pod| Some((pod.get("Name")?.as_str()?.to_owned(), labels_of(pod)))).collect())
}

/// Stops what runs in it, and removes it with its volumes.
pub(super) async fn pod(account: &Account, name: &str, stop: &StopPolicy) -> Result<(), Error> {
    let begun = Instant::now();
    if let Some(told) = inspect(account, name).await? {
        let infra = told.get("InfraContainerID").and_then(Value::as_str).unwrap_or_default();
        let listed = told.get("Containers").and_then(Value::as_array).into_iter().flatten();
        let ids = listed.filter_map(|one| one.get("Id").and_then(Value::as_str)).filter(|id| *id != infra);
        let ending = futures::future::join_all(ids.map(|id| containers::end(account, id, stop))).await;
        ending.into_iter().collect::<Result<(), Error>>()?;
        // Podman stops it as well, now that nothing else runs: one that is on its way down holds up the removal.
        containers::end(account, infra, stop).await?;
        cleaned(account, name).await?;
        remove(account, name).await?;
        info!(pod = name, duration_ms = begun.elapsed().as_millis() as u64, "stopped");
    }
    volumes(account, name).await
}

/// Waits until Podman has cleaned up behind what ended: a removal that is in its way takes seconds.
async fn cleaned(account: &Account, name: &str) -> Result<(), Error> {
    let until = Instant::now() + CLEANED;
    while Instant::now() < until {
        let Some(told) = inspect(account, name).await? else { return Ok(()) };
        let mut states = told.pointer("/Containers").and_then(Value::as_array).into_iter().flatten();
        if !states
            .any(|one| matches!(one.get("State").and_then(Value::as_str), Some("stopped" | "stopping" | "running")))
        {
            return Ok(());
        }
        tokio::time::sleep(PAUSE / 4).await;
    }
    Ok(())
}

/// Nothing runs in it any more, so nothing is given a grace. Podman stops a pod whose last container ended at the same time, and may be in its own way.
async fn remove(account: &Account, name: &str) -> Result<(), Error> {
    let until = Instant::now() + REMOVED;
    loop {
        match raw::libpod(account, Method::DELETE, &format!("/pods/{name}?force=true&timeout=0"), None).await {
            Ok(_) => return Ok(()),
            Err(said) if fault::is_missing(&said) => return Ok(()),
            Err(said) if fault::status(&said).is_some() && Instant::now() < until => {
                tokio::time::sleep(PAUSE).await;
                if inspect(account, name).await?.is_none() {
                    return Ok(());
                }
            }
            Err(said) => return Err(account.failed(format!("remove pod {name}"), said)),
        }
    }
}

/// Removes the volumes that were made for a pod.
pub(super) async fn volumes(account: &Account, pod: &str) -> Result<(), Error> {
    let engine = account.engine().await?;
    let filters = labels::filter(&account.config, &[(labels::POD, pod)]);
    let listed = engine.list_volumes(Some(ListVolumesOptionsBuilder::default().filters(&filters).build())).await;
    let listed = listed.map_err(|said| account.failed(format!("look for volumes of {pod}"), said))?;
    for volume in listed.volumes.into_iter().flatten() {
        // Filters of labels mean any of them on some versions.
        if volume.labels.get(labels::POD).is_none_or(|of| of != pod) {
            continue;
        }
        let options = RemoveVolumeOptionsBuilder::default().force(false).build();
        match engine.remove_volume(&volume.name, Some(options)).await {
            Ok(()) => {}
            Err(said) if fault::is_missing(&said) => {}
            Err(said) => {
                let error = account.failed(format!("remove volume {}", volume.name), said);
                return Err(Error::new(ErrorKind::Transient, error.code(), error.chain()));
            }
        }
    }
    Ok(())
}

async fn inspect(account: &Account, name: &str) -> Result<Option<Value>, Error> {
    match raw::libpod(account, Method::GET, &format!("/pods/{name}/json"), None).await {
        Ok(told) => Ok(Some(told)),
        Err(said) if fault::is_missing(&said) => Ok(None),
        Err(said) => Err(account.failed(format!("look at pod {name}"), said)),
    }
}

/// Labels of a pod as it is told.
pub(super) fn labels_of(told: &Value) -> HashMap<String, String> {
    let labels = told.get("Labels").and_then(Value::as_object).into_iter().flatten();
    labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}
