//! Labels of a deployment, and the check that nobody with an older right acts on it.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use skipper_core::{
    deployment::{Deployment, DeploymentId},
    generation::Generation,
    id::ReleaseId,
    name::{AppName, ReleaseName, TenantName},
    port::{Error, ErrorKind},
    spec::StopPolicy,
};

use super::{account::storage, keeper::write_atomically};

/// `deployment.json`: whose a deployment's folder is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Labels {
    pub version: u16,
    pub id: DeploymentId,
    pub release: ReleaseId,
    pub release_name: ReleaseName,
    pub tenant: TenantName,
    pub app: AppName,
    pub revision: u64,
    pub generation: Generation,
    /// How its instances are stopped when nobody knows them any more.
    pub stop: StopPolicy,
}

impl Labels {
    fn of(deployment: &Deployment, generation: Generation) -> Self {
        Self {
            version: 1,
            id: deployment.id.clone(),
            release: deployment.release,
            release_name: deployment.release_name.clone(),
            tenant: deployment.tenant.clone(),
            app: deployment.app.name.clone(),
            revision: deployment.revision,
            generation,
            stop: deployment.app.stop.clone(),
        }
    }
}

/// Highest generation seen of each deployment.
#[derive(Debug)]
pub(crate) struct Fences {
    root: PathBuf,
    /// Also of deployments that are gone, so that a late call does not bring one back.
    seen: Mutex<HashMap<DeploymentId, Generation>>,
}

/// Deployments remembered at least; past it those that are gone are forgotten.
const REMEMBERED: usize = 4096;

impl Fences {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, seen: Mutex::new(HashMap::new()) }
    }

    /// Lets an action with that right through, and refuses every lower one from now on. The
    /// labels are written if the deployment's folder is there, or with `make`. Blocking.
    pub(crate) fn pass(&self, deployment: &Deployment, generation: Generation, make: bool) -> Result<(), Error> {
        // Held while writing: two callers must not put an older number over a newer one.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let recorded = match seen.get(&deployment.id) {
            Some(known) => Some(*known),
            None => self.labels(&deployment.id).map(|labels| labels.generation),
        };
        if let Some(known) = recorded
            && generation < known
        {
            return Err(Error::new(
                ErrorKind::Fenced,
                "fenced",
                format!("deployment {} was acted upon under generation {known}, {generation} is stale", deployment.id),
            ));
        }
        let dir = self.root.join(deployment.id.as_str());
        let labels_file = dir.join("deployment.json");
        if (make || dir.is_dir()) && (recorded != Some(generation) || !labels_file.exists()) {
            write_labels(&labels_file, &Labels::of(deployment, generation))
                .map_err(|cause| storage(format!("record the labels of {}", deployment.id), cause))?;
        }
        if seen.len() >= REMEMBERED {
            seen.retain(|id, _| self.root.join(id.as_str()).is_dir());
        }
        seen.insert(deployment.id.clone(), generation);
        Ok(())
    }

    /// The labels of a deployment that is here.
    pub(crate) fn labels(&self, id: &DeploymentId) -> Option<Labels> {
        let bytes = fs::read(self.root.join(id.as_str()).join("deployment.json")).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

fn write_labels(path: &std::path::Path, labels: &Labels) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    write_atomically(path, &serde_json::to_vec(labels)?)
}
