//! What bears our labels here.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bollard::models::ContainerSummary;
use skipper_core::{
    deployment::DeploymentId,
    port::{Error, Foreign, Found},
};

use super::{account::Account, files, labels, pod, raw};
use crate::local::{blocking, check_id};

/// All deployments of this account that have a container, in whatever state; also those of which nothing is left but a job,
/// which goes with its deployment. What was left by whoever read an image is removed by the way.
pub(super) async fn deployments(account: Arc<Account>) -> Result<Vec<Found>, Error> {
    let listed = raw::list(&account, &labels::filter(&account.config, &[])).await;
    let listed = listed.map_err(|said| account.failed("list containers", said))?;
    files::sweep(&account, &listed).await;
    let of_deployment = |labels: &HashMap<String, String>| {
        labels.get(labels::KIND).is_some_and(|kind| kind == labels::INSTANCE || kind == labels::HOOK)
    };
    let mut all: Vec<_> = listed.into_iter().map(|one| one.labels.unwrap_or_default()).filter(of_deployment).collect();
    all.extend(pod::listed(&account, &[(labels::KIND, labels::INSTANCE)]).await?.into_iter().map(|(_, labels)| labels));
    let mut found: BTreeMap<DeploymentId, Found> = BTreeMap::new();
    for labels in all {
        let Some(id) = labels.get(labels::DEPLOYMENT).map(DeploymentId::from_stored) else { continue };
        if check_id(&id).is_err() {
            continue;
        }
        let generation = labels::generation(&labels).unwrap_or_default();
        let entry = found.entry(id.clone()).or_insert_with(|| Found { id, generation, instances: Vec::new() });
        entry.generation = entry.generation.max(generation);
        entry.instances.extend(labels.get(labels::INDEX).and_then(|index| index.parse::<u32>().ok()));
    }
    blocking(move || {
        let all = found.into_values().map(|mut found| {
            found.instances.sort_unstable();
            found.instances.dedup();
            // The label is of the first launch; acts since then are written down beside.
            let recorded = account.fences.labels(&found.id).map(|labels| labels.generation).unwrap_or_default();
            found.generation = found.generation.max(recorded);
            found
        });
        all.collect()
    })
    .await
}

/// Containers of another program that bear these labels.
pub(super) async fn foreign(account: Arc<Account>, wanted: Vec<(String, String)>) -> Result<Vec<Foreign>, Error> {
    let wanted = wanted.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let found = raw::list(&account, &HashMap::from([("label".to_owned(), wanted)])).await;
    let found = found.map_err(|said| account.failed("list containers of another program", said))?;
    let all = found.into_iter().filter_map(|one| {
        let labels: BTreeMap<String, String> = one.labels.unwrap_or_default().into_iter().collect();
        let name = one.names.and_then(|names| names.into_iter().next()).unwrap_or_default();
        let name = name.trim_start_matches('/').to_owned();
        // Whoever owns it, it is some Skipper's.
        let ours = labels.keys().any(|label| label.starts_with(labels::PREFIX));
        let running = one.state.is_some_and(|state| state.to_string() == "running");
        Some(Foreign { id: one.id?, name, labels, running }).filter(|_| !ours)
    });
    Ok(all.collect())
}

/// Containers of this account and of one kind.
pub(super) async fn of_kind(account: &Account, kind: &str) -> Result<Vec<ContainerSummary>, Error> {
    let filters = labels::filter(&account.config, &[(labels::KIND, kind)]);
    raw::list(account, &filters).await.map_err(|said| account.failed("list containers", said))
}

/// Instances of one deployment.
pub(super) async fn of_deployment(account: &Account, id: &DeploymentId) -> Result<Vec<ContainerSummary>, Error> {
    let filters =
        labels::filter(&account.config, &[(labels::KIND, labels::INSTANCE), (labels::DEPLOYMENT, id.as_str())]);
    raw::list(account, &filters).await.map_err(|said| account.failed("list containers", said))
}
