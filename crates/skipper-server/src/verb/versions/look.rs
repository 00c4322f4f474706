//! What platforms say of the applications of a version, in the words of Spring's deployers.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry},
    net::SocketAddr,
};

use skipper_core::{
    deployment::{DeploymentId, Instance, Live, Observed},
    id::ReleaseId,
    name::TenantName,
    port::Loaded,
    rollout::{Action, StepState, Verb},
    spec::Application,
};
use skipper_engine::{InstanceState as Looked, ReleaseHealth};
use skipper_store::{RunningVersion, StoredVersion, VersionFilter};

use super::Status;
use crate::{app::App, error::Error, verb::status::observe};

/// Where the name of the group is, which else is that of the release.
const GROUP: &str = "spring.cloud.deployer.group";

/// How an instance, or an application, fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Running {
    /// It was started, and is not healthy yet.
    Deploying,
    /// It runs and is healthy.
    Deployed,
    /// Some of its instances do and some do not.
    Partial,
    /// It ended.
    Failed,
    /// The platform cannot say.
    Error,
    /// There is nothing of it.
    Unknown,
}

impl Running {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deploying => "deploying",
            Self::Deployed => "deployed",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Error => "error",
            Self::Unknown => "unknown",
        }
    }
}

/// One application of a version on its platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppState {
    /// `<group>.<application>-v<version>`, with the version that started it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The version that started it.
    pub version: u64,
    /// Its deployment; `None` where there is nothing of it.
    pub deployment: Option<DeploymentId>,
    /// Its instances, by index.
    pub instances: Vec<InstanceState>,
    /// What they amount to.
    pub state: Running,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceState {
    /// The application's id and `-<index>`.
    pub id: String,
    /// 0, 1, …
    pub index: u32,
    /// How it fares.
    pub state: Running,
    /// Where it is reached, as far as that is known.
    pub address: Option<SocketAddr>,
    /// What else the platform tells of it.
    pub attributes: BTreeMap<String, String>,
}

impl InstanceState {
    /// Where it is reached, as `http://HOST:PORT`.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.attributes.get("url").map(String::as_str)
    }
}

/// What all instances of an application amount to.
#[must_use]
pub fn aggregate(states: impl IntoIterator<Item = Running>) -> Running {
    let states: Vec<Running> = states.into_iter().collect();
    let Some(first) = states.first().copied() else { return Running::Unknown };
    let any = |state: Running| states.contains(&state);
    if states.iter().all(|state| *state == first) {
        first
    } else if any(Running::Error) {
        Running::Error
    } else if any(Running::Deploying) {
        Running::Deploying
    } else if any(Running::Deployed) || any(Running::Partial) {
        Running::Partial
    } else if any(Running::Failed) {
        Running::Failed
    } else {
        Running::Partial
    }
}

/// Most versions before one that are looked through for who launched an application of it.
const PAST: u32 = 100;

/// What was seen already while one question is answered.
#[derive(Debug, Default)]
pub(super) struct Eyes {
    seen: HashMap<DeploymentId, Seen>,
    /// Versions that serve or served, the newest first.
    past: HashMap<ReleaseId, Vec<StoredVersion>>,
}

impl Eyes {
    /// The version that launched an application of which nothing is left: the one that is told of, or the earlier one that
    /// it was taken over from as it was.
    async fn launched(
        &mut self,
        app: &App,
        tenant: &TenantName,
        stored: &StoredVersion,
        application: &Application,
    ) -> Result<u64, Error> {
        let takes_over = |stored: &StoredVersion| matches!(stored.verb, Some(Verb::Upgrade | Verb::Rollback));
        let several = stored.spec.as_ref().is_some_and(|spec| spec.applications.len() > 1);
        if !several || !takes_over(stored) {
            return Ok(stored.version);
        }
        let past = match self.past.entry(stored.release) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let settled = VersionFilter::Settled(&stored.name, PAST);
                unknown.insert(app.store.version_list(tenant, settled).await?)
            }
        };
        let mut version = stored.version;
        for before in past.iter().filter(|before| before.version < stored.version) {
            let there = before.spec.as_ref().and_then(|spec| spec.application(&application.name));
            if there.is_none_or(|there| there.edition() != application.edition()) {
                break;
            }
            version = before.version;
            if !takes_over(before) {
                break;
            }
        }
        Ok(version)
    }
}

/// What was seen of one deployment.
#[derive(Debug)]
struct Seen {
    /// By index.
    observed: Vec<(u32, Observed)>,
    /// Those that run, and whose own path says that they are not well.
    unwell: BTreeSet<u32>,
}

impl Seen {
    async fn of(app: &App, live: &Live) -> Self {
        let observed = observe(app, live).await;
        let platform = app.platforms.get(live.deployment.target());
        let platform = platform.filter(|platform| platform.watches_health(&live.deployment.app));
        let asking = platform.iter().flat_map(|platform| {
            let running = observed.iter().filter_map(|(_, observed)| match observed {
                Observed::Running(instance) => Some(instance),
                _ => None,
            });
            running.map(|instance| platform.probe(&live.deployment, instance))
        });
        let attempts = futures::future::join_all(asking).await;
        let unwell = attempts.into_iter().filter(|attempt| !attempt.ok).map(|attempt| attempt.instance).collect();
        Self { observed, unwell }
    }
}

/// The applications of a version. `running` is all that runs of its release.
pub(super) async fn look(
    app: &App,
    tenant: &TenantName,
    eyes: &mut Eyes,
    stored: &StoredVersion,
    status: Status,
    running: &[&RunningVersion],
) -> Result<Vec<AppState>, Error> {
    let mut seen = Vec::new();
    let open = match (&stored.rollout, &stored.phase) {
        (Some(rollout), Some(phase)) if !phase.is_final() => Some(app.store.rollout_load(*rollout).await?),
        _ => None,
    };
    for application in stored.spec.iter().flat_map(|spec| &spec.applications) {
        let runs = running_of(stored, status, application, running);
        let version = match runs {
            Some(runs) => runs.version,
            None => eyes.launched(app, tenant, stored, application).await?,
        };
        let mut state = nothing_of(stored, application, version);
        if status == Status::Unknown {
            // What is still to be fetched, or waits for its turn, is on its way.
            state.state = Running::Deploying;
        }
        if let Some(runs) = runs {
            let deployment = &runs.live.deployment.id;
            let sight = match eyes.seen.entry(deployment.clone()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(Seen::of(app, &runs.live).await),
            };
            let health = app.engine.health(stored.release);
            let waits = open.as_ref().is_some_and(|open| is_on_its_way(open, deployment));
            let elsewhere = app.tended_by.borrow().is_some();
            let instances = sight.observed.iter().filter_map(|(index, observed)| {
                let judged = judge(observed, waits, elsewhere, watched(health.as_ref(), deployment, *index))?;
                let unwell = judged == Running::Deployed && sight.unwell.contains(index);
                let judged = if unwell { Running::Failed } else { judged };
                Some(instance(stored, &state, runs, *index, observed, judged))
            });
            state.instances = instances.collect();
            state.deployment = Some(deployment.clone());
            state.state = aggregate(state.instances.iter().map(|instance| instance.state));
        }
        seen.push(state);
    }
    Ok(seen)
}

/// The deployment of an application that belongs to a version: the one it started, or one that it left as it was.
fn running_of<'a>(
    stored: &StoredVersion,
    status: Status,
    application: &Application,
    running: &[&'a RunningVersion],
) -> Option<&'a RunningVersion> {
    if status == Status::Deleted {
        return None;
    }
    let own = running.iter().filter(|running| running.live.deployment.app.name == application.name);
    let until = stored.scaled.unwrap_or(stored.number).max(stored.number);
    let newest =
        own.filter(|own| own.live.deployment.revision <= until).max_by_key(|own| own.live.deployment.revision)?;
    let started_here = newest.live.deployment.revision >= stored.number;
    // What is being undone is gone, even while it is on its way out.
    if status == Status::Failed && started_here {
        return None;
    }
    (started_here || newest.live.deployment.app.edition() == application.edition()).then_some(*newest)
}

fn nothing_of(stored: &StoredVersion, application: &Application, version: u64) -> AppState {
    let group = application.deployer.as_ref().and_then(|deployer| deployer.options.get(GROUP));
    let group = group.map_or_else(|| stored.name.as_str(), String::as_str);
    AppState {
        id: format!("{group}.{}-v{version}", application.name),
        name: application.name.to_string(),
        version,
        deployment: None,
        instances: Vec::new(),
        state: Running::Unknown,
    }
}

/// Whether the rollout has started it, and has not seen it healthy or does not send it anything yet: whoever is told that it is
/// deployed finds it at its address.
fn is_on_its_way(open: &Loaded, deployment: &DeploymentId) -> bool {
    let Some(plan) = &open.rollout.plan else { return false };
    let waits = plan.steps.iter().enumerate().filter(|(_, step)| match &step.action {
        Action::AwaitHealthy { deployment: of, .. } => of == deployment,
        Action::Shift { to, .. } => to.iter().any(|weight| weight.deployment == *deployment),
        _ => false,
    });
    let done = |index: usize| {
        open.steps.iter().any(|record| record.index as usize == index && record.state == StepState::Done)
    };
    waits.map(|(index, _)| index).any(|index| !done(index))
}

fn watched<'a>(health: Option<&'a ReleaseHealth>, deployment: &DeploymentId, index: u32) -> Option<&'a Looked> {
    let found = health?.instances.iter().find(|health| health.deployment == *deployment && health.index == index);
    found.map(|health| &health.state)
}

/// `None`: there is nothing to tell of.
fn judge(observed: &Observed, waits: bool, elsewhere: bool, watched: Option<&Looked>) -> Option<Running> {
    match (observed, watched) {
        (Observed::Absent, _) => None,
        // One that was started again is coming up, whatever became of it before.
        (Observed::Running(_), Some(Looked::Starting | Looked::BackingOff { .. })) => Some(Running::Deploying),
        (Observed::Exited { .. }, _) | (_, Some(Looked::BackingOff { .. })) => Some(Running::Failed),
        // What this server cannot see is no evidence.
        (Observed::Unknown { .. }, _) => Some(if elsewhere { Running::Deployed } else { Running::Unknown }),
        (Observed::Running(_), _) => Some(if waits { Running::Deploying } else { Running::Deployed }),
    }
}

fn instance(
    stored: &StoredVersion,
    app: &AppState,
    runs: &RunningVersion,
    index: u32,
    observed: &Observed,
    state: Running,
) -> InstanceState {
    let id = format!("{}-{index}", app.id);
    let known = match observed {
        Observed::Running(instance) | Observed::Exited { instance, .. } => Some(instance),
        Observed::Absent | Observed::Unknown { .. } => None,
    };
    let mut attributes = known.map(|known| known.attributes.clone()).unwrap_or_default();
    let address = known.and_then(first_address);
    if let Some(address) = address {
        attributes.entry("port".to_owned()).or_insert_with(|| address.port().to_string());
        attributes.entry("url".to_owned()).or_insert_with(|| format!("http://{address}"));
    }
    attributes.insert("guid".to_owned(), id.clone());
    attributes.insert("skipper.application.name".to_owned(), app.name.clone());
    attributes.insert("skipper.release.name".to_owned(), stored.name.to_string());
    attributes.insert("skipper.release.version".to_owned(), runs.version.to_string());
    InstanceState { id, index, state, address, attributes }
}

/// The address of the port `http`, else of its first port.
fn first_address(instance: &Instance) -> Option<SocketAddr> {
    instance.addresses.get("http").or_else(|| instance.addresses.values().next()).copied()
}

#[cfg(test)]
mod tests {
    use skipper_core::time::Timestamp;

    use super::*;

    #[test]
    fn what_was_started_again_is_coming_up_until_it_is_well() {
        let instance = Instance {
            index: 0,
            addresses: BTreeMap::new(),
            handle: String::new(),
            started_at: Timestamp::default(),
            restarts: 1,
            attributes: BTreeMap::new(),
        };
        let running = Observed::Running(instance);
        let waiting = Looked::BackingOff { until: Timestamp::default() };
        for (seen, watched, state) in [
            (&running, Some(&waiting), Some(Running::Deploying)),
            (&running, Some(&Looked::Starting), Some(Running::Deploying)),
            (&running, Some(&Looked::Recovered), Some(Running::Deployed)),
            (&running, None, Some(Running::Deployed)),
            (&Observed::Absent, Some(&waiting), None),
            (&Observed::Unknown { reason: String::new() }, Some(&waiting), Some(Running::Failed)),
        ] {
            assert_eq!(judge(seen, false, false, watched), state, "{seen:?} {watched:?}");
        }
    }
}
