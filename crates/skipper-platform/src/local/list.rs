//! What bears our labels here.

use std::{fs, path::Path, sync::Arc};

use skipper_core::{
    deployment::DeploymentId,
    port::{Error, ErrorKind, Found},
};

use super::account::{Account, storage};

/// All deployments in the account's folder. Blocking.
pub(super) fn deployments(account: &Arc<Account>) -> Result<Vec<Found>, Error> {
    let entries = fs::read_dir(&account.config.root).map_err(|cause| storage("read the account's folder", cause))?;
    let mut found: Vec<Found> = entries
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .map(|name| {
            let id = DeploymentId::from_stored(name);
            // A folder without labels was left by a crash before the first launch: the lowest right may remove it.
            let generation = account.fences.labels(&id).map(|labels| labels.generation).unwrap_or_default();
            let instances = instances(&account.deployment_dir(&id));
            Found { id, generation, instances }
        })
        .collect();
    found.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(found)
}

/// Indices of the instances in a deployment's folder.
pub(super) fn instances(dir: &Path) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut found: Vec<u32> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    found.sort_unstable();
    found
}

/// Refuses an id that is not the name of a folder of ours.
pub(crate) fn check_id(id: &DeploymentId) -> Result<(), Error> {
    let text = id.as_str();
    let fits = (1..=255).contains(&text.len())
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if fits {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Permanent, "deployment-id-invalid", format!("{text:?} is not a deployment's id")))
}
