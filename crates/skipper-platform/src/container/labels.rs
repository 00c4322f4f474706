//! What our containers are called and what is written on them. Labels are how they are found again; they never hold a
//! secret.

use std::collections::HashMap;

use skipper_core::{
    deployment::{Deployment, DeploymentId},
    generation::Generation,
};

use super::config::ContainerConfig;
use crate::local::keeper::Contents;

/// All labels of ours begin with it; nobody else may set one that does.
pub(super) const PREFIX: &str = "skipper.";
pub(super) const OWNER: &str = "skipper.owner";
pub(super) const ACCOUNT: &str = "skipper.account";
pub(super) const DEPLOYMENT: &str = "skipper.deployment";
pub(super) const INDEX: &str = "skipper.index";
/// Of the first launch: labels cannot be changed later.
pub(super) const GENERATION: &str = "skipper.generation";
pub(super) const KIND: &str = "skipper.kind";
/// Of what belongs to a pod: the pod's name.
pub(super) const POD: &str = "skipper.pod";
/// Longest a job may run, in milliseconds.
pub(super) const TIMEOUT: &str = "skipper.timeout-ms";
const CONTENTS: &str = "skipper.contents";
const TENANT: &str = "skipper.tenant";
const RELEASE: &str = "skipper.release";
const APP: &str = "skipper.app";
const REVISION: &str = "skipper.revision";
const IMAGE: &str = "skipper.image";

/// [`KIND`] of an instance.
pub(super) const INSTANCE: &str = "instance";
/// [`KIND`] of what is made to read an image, and never runs.
pub(super) const LOOK: &str = "look";
/// [`KIND`] of a hook's job.
pub(super) const HOOK: &str = "hook";

/// The name of an instance's container.
pub(super) fn instance_name(id: &DeploymentId, index: u32) -> String {
    format!("skipper-{id}-{index}")
}

/// The name of a job's container.
pub(super) fn hook_name(job: &str) -> String {
    format!("skipper-hook-{job}")
}

/// What every container of a deployment bears.
pub(super) fn of(config: &ContainerConfig, deployment: &Deployment, kind: &str) -> HashMap<String, String> {
    [
        (OWNER, config.owner.clone()),
        (ACCOUNT, config.account.to_string()),
        (KIND, kind.to_owned()),
        (DEPLOYMENT, deployment.id.to_string()),
        (TENANT, deployment.tenant.to_string()),
        (RELEASE, deployment.release_name.to_string()),
        (APP, deployment.app.name.to_string()),
        (REVISION, deployment.revision.to_string()),
        (IMAGE, deployment.app.resource.uri.clone()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Adds what only an instance has.
pub(super) fn of_instance(
    labels: &mut HashMap<String, String>,
    index: u32,
    generation: Generation,
    contents: &Contents,
) {
    labels.insert(INDEX.to_owned(), index.to_string());
    labels.insert(GENERATION.to_owned(), generation.to_string());
    labels.insert(CONTENTS.to_owned(), format!("{}:{}", contents.epoch, contents.digest));
}

/// The right under which a container was made.
pub(super) fn generation(labels: &HashMap<String, String>) -> Option<Generation> {
    let (epoch, counter) = labels.get(GENERATION)?.split_once('.')?;
    Some(Generation { epoch: epoch.parse().ok()?, counter: counter.parse().ok()? })
}

/// What a container was made for.
pub(super) fn contents(labels: &HashMap<String, String>) -> Option<Contents> {
    let (epoch, digest) = labels.get(CONTENTS)?.split_once(':')?;
    Some(Contents { epoch: epoch.parse().ok()?, digest: digest.parse().ok()? })
}

/// A filter for all of ours of this account, and what else is asked for.
pub(super) fn filter(config: &ContainerConfig, more: &[(&str, &str)]) -> HashMap<String, Vec<String>> {
    let own = [(OWNER, config.owner.as_str()), (ACCOUNT, config.account.as_str())];
    let all = own.iter().chain(more).map(|(name, value)| format!("{name}={value}")).collect();
    HashMap::from([("label".to_owned(), all)])
}
