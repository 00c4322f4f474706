//! Pods: several containers that run as one, by what Podman makes of a manifest in Kubernetes' words.
//!
//! A pod bears the name that a container of that instance would have, and its labels, which Podman gives to each of its
//! containers as well; so what finds containers finds pods. Podman makes a pod and starts nothing: what is started when is
//! decided here ([`launch`]), so that a launch that broke off is taken up by whoever comes next, a container that runs first
//! and hangs holds nobody up, and each failure has the name of its container. Host ports are chosen here too ([`ports`]),
//! since Podman would publish on the container's own number, at all addresses.

mod complete;
mod launch;
mod look;
mod manifest;
mod order;
mod ports;
mod probing;
mod stop;

pub(super) use complete::complete;
pub(super) use launch::all;
pub(super) use manifest::{Manifest, part_name};
pub(super) use probing::attempt;
pub(super) use stop::{by_name, foreign, listed};

use std::sync::Arc;

use skipper_core::{
    deployment::{Deployment, Observed},
    port::{Error, ErrorKind},
};

use super::{
    account::Account,
    config::{ContainerConfig, EngineKind},
    labels, launch as container_launch,
};
use look::{Looked, look};

/// Refuses pods on an engine that has none.
pub(super) fn supported(config: &ContainerConfig) -> Result<(), Error> {
    if config.kind == EngineKind::Podman {
        return Ok(());
    }
    let message = format!("the app is a pod, and the platform `{}` is Docker, which has none", config.account);
    Err(Error::new(ErrorKind::Permanent, "pods-unsupported", message)
        .hint("deploy it to a platform of the type `podman`, or make it an app with one container"))
}

/// What is seen of one instance.
pub(super) async fn observe(
    account: &Arc<Account>,
    deployment: &Deployment,
    manifest: &Manifest,
    index: u32,
) -> Observed {
    let restarts = container_launch::restarts(account, deployment, index).await;
    let name = labels::instance_name(&deployment.id, index);
    match look(account, &name, manifest).await {
        Ok(Looked::Running(seen)) => Observed::Running(seen.instance(account, deployment, index, restarts)),
        Ok(Looked::Ended(seen, exit)) => {
            Observed::Exited { exit, instance: seen.instance(account, deployment, index, restarts) }
        }
        Ok(Looked::Between(_, why)) => Observed::Unknown { reason: why },
        // A launch goes on from there.
        Ok(Looked::Absent | Looked::Half(_) | Looked::Made(_)) => Observed::Absent,
        Err(error) => Observed::Unknown { reason: error.chain() },
    }
}

/// The process whose network the first pod of a deployment that runs has.
pub(super) async fn network_of(account: &Account, deployment: &Deployment) -> Result<Option<i64>, Error> {
    let Some(manifest) = Manifest::of(&deployment.app)? else { return Ok(None) };
    for index in 0..deployment.app.replicas {
        let name = labels::instance_name(&deployment.id, index);
        if let Looked::Running(seen) = look(account, &name, &manifest).await?
            && let Some((_, super::look::Looked::Running(infra))) = seen.infra
        {
            return Ok(infra.pid);
        }
    }
    Ok(None)
}
