//! Labels of a deployment, and the check that nobody with an older right acts on it.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use skipper_core::{
    deployment::{Deployment, DeploymentId},
    generation::Generation,
    id::ReleaseId,
    name::{AppName, ReleaseName, TenantName},
    port::{Error, ErrorKind},
    rollout::plan::Instances,
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
    /// Launches that go on, whether or not anybody waits for them.
    underway: Mutex<HashMap<DeploymentId, Vec<Weak<Underway>>>>,
}

/// A launch that goes on. What it has not made by the time somebody retires it, it must not make any more: whoever retired it has
/// looked for the last time.
#[derive(Debug)]
pub(crate) struct Underway {
    deployment: DeploymentId,
    instances: Instances,
    called_off: AtomicBool,
}

impl Underway {
    /// To be asked in the instance's turn, right before anything is made.
    pub(crate) fn goes_on(&self) -> Result<(), Error> {
        if !self.called_off.load(Ordering::Acquire) {
            return Ok(());
        }
        let message = format!("deployment {} was retired while it was being launched", self.deployment);
        Err(Error::new(ErrorKind::Fenced, "called-off", message))
    }
}

/// Deployments remembered at least; past it those that are gone are forgotten.
const REMEMBERED: usize = 4096;

impl Fences {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, seen: Mutex::new(HashMap::new()), underway: Mutex::default() }
    }

    /// Lets a launch begin that may go on when nobody waits for it any more. Blocking.
    pub(crate) fn begin(
        &self,
        deployment: &Deployment,
        generation: Generation,
        instances: Instances,
    ) -> Result<Arc<Underway>, Error> {
        self.pass(deployment, generation, true)?;
        let underway =
            Arc::new(Underway { deployment: deployment.id.clone(), instances, called_off: AtomicBool::new(false) });
        let mut all = self.underway.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, launches| {
            launches.retain(|one| one.strong_count() > 0);
            !launches.is_empty()
        });
        all.entry(deployment.id.clone()).or_default().push(Arc::downgrade(&underway));
        Ok(underway)
    }

    /// Lets instances be retired, and calls off the launches of them that go on; with `last`, all of the deployment. Blocking.
    pub(crate) fn end(
        &self,
        deployment: &Deployment,
        generation: Generation,
        instances: Instances,
        last: bool,
    ) -> Result<(), Error> {
        // There may be no folder, and none is made only to be removed.
        self.pass(deployment, generation, false)?;
        self.call_off(&deployment.id, if last { None } else { Some(instances) });
        Ok(())
    }

    /// Calls off launches that go on of some instances, or of all.
    pub(crate) fn call_off(&self, id: &DeploymentId, instances: Option<Instances>) {
        let all = self.underway.lock().unwrap_or_else(PoisonError::into_inner);
        for launch in all.get(id).into_iter().flatten().filter_map(Weak::upgrade) {
            let meets = |of: Instances| of.from < launch.instances.to && launch.instances.from < of.to;
            if instances.is_none_or(meets) {
                launch.called_off.store(true, Ordering::Release);
            }
        }
    }

    /// Lets an action with that right through, and refuses every lower one from now on. The
    /// labels are written if the deployment's folder is there, or with `make`. Blocking.
    fn pass(&self, deployment: &Deployment, generation: Generation, make: bool) -> Result<(), Error> {
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
