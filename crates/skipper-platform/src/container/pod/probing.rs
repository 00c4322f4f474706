//! One health attempt on a pod: every container that has to run runs, and each of them that is asked answers.

use std::sync::Arc;

use skipper_core::{
    deployment::{Deployment, Instance},
    health::Attempt,
    spec::Check,
};

use super::{
    super::{account::Account, labels, probing::asked},
    look::{Looked, look},
    manifest::{Manifest, part_name},
};
use crate::probe::Outcome;

/// Asks once.
pub(in crate::container) async fn attempt(
    account: &Arc<Account>,
    deployment: &Deployment,
    manifest: &Manifest,
    instance: &Instance,
) -> Attempt {
    let at = account.config.clock.now();
    let timeout = deployment.app.health.timeout.duration();
    // The engine's own answers count as well: a stalled one must not hold up whoever asks.
    let asking = tokio::time::timeout(timeout + timeout, ask(account, deployment, manifest, instance));
    let outcome = asking.await.unwrap_or_else(|_| Outcome::bad("the engine does not answer"));
    Attempt { at, instance: instance.index, ok: outcome.ok, detail: outcome.detail }
}

async fn ask(account: &Arc<Account>, deployment: &Deployment, manifest: &Manifest, instance: &Instance) -> Outcome {
    let pod = labels::instance_name(&deployment.id, instance.index);
    match look(account, &pod, manifest).await {
        Ok(Looked::Running(_)) => {}
        Ok(Looked::Ended(seen, exit)) => {
            let which = seen
                .parts
                .iter()
                .find(|(_, looked)| matches!(looked, super::super::look::Looked::Ended(_, how) if *how == exit));
            return Outcome::bad(match which {
                Some((name, _)) => format!("container `{name}` {exit}"),
                None => exit.to_string(),
            });
        }
        Ok(Looked::Between(_, why)) => return Outcome::bad(why),
        Ok(Looked::Absent | Looked::Half(_) | Looked::Made(_)) => return Outcome::bad("the pod is not there"),
        Err(error) => return Outcome::bad(error.chain()),
    }
    let health = &deployment.app.health;
    let timeout = health.timeout.duration();
    let all: Vec<(&str, &Check)> = std::iter::once((manifest.main.as_str(), &health.check))
        .chain(manifest.checks.iter().map(|(name, check)| (name.as_str(), check)))
        .collect();
    let asking = all.iter().map(|(name, check)| async move {
        let container = part_name(&pod_of(deployment, instance), name);
        let outcome = asked(account, &container, check, instance, timeout).await;
        (*name, outcome)
    });
    let outcomes = futures::future::join_all(asking).await;
    match outcomes.iter().find(|(_, outcome)| !outcome.ok) {
        Some((name, outcome)) => Outcome::bad(format!("container `{name}`: {}", outcome.detail)),
        None => outcomes.into_iter().next().map_or_else(|| Outcome::good("it runs"), |(_, outcome)| outcome),
    }
}

fn pod_of(deployment: &Deployment, instance: &Instance) -> String {
    labels::instance_name(&deployment.id, instance.index)
}
