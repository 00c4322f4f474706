//! A tenant over all of its nodes: how far each is, what an apply would do in which wave, the way on from where a rollout stopped, and the
//! way back.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use skipper_core::{
    deployment::{Live, Observed},
    fleet::OrderKind,
    name::{ReleaseName, TenantName},
    policy::Action,
    port::Standing,
    release::{Release, Revision, Source},
    rollout::{Plan, Progress, Rollout, StepRecord, Verb, waves::Records},
    spec::{Spec, Target},
};
use skipper_store::Order;

use super::{
    Caller, Prepared,
    apply::{self, Applied, Terms, Wanted},
    delete, difference, find, plan, rollback, status,
};
use crate::{
    app::App,
    error::{Code, Error},
};

/// A tenant's release on all of its nodes.
#[derive(Debug, Clone)]
pub struct FleetStatus {
    /// The release.
    pub release: Release,
    /// The revision that was last wanted; none once it was taken away.
    pub wanted: Option<u64>,
    /// The newest rollout.
    pub rollout: Option<Rollout>,
    /// Its waves, by the names of their nodes.
    pub waves: Vec<Vec<String>>,
    /// Every node that has something of it or is to have, by name.
    pub nodes: Vec<NodeSeen>,
}

impl FleetStatus {
    /// Whether every node runs what was last wanted, or what serves where nothing else is.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.nodes.iter().all(|node| node.state == NodeState::Current)
    }
}

/// How far a node is with what was last wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// It runs what is wanted.
    Current,
    /// Its wave has not begun yet, and will.
    Waiting,
    /// It is on its way.
    Updating,
    /// It runs what is wanted; others are still to follow.
    Updated,
    /// It was bad, and is on its way back.
    GoingBack,
    /// It was bad, and runs what it ran before.
    WentBack,
    /// The rollout ended before its wave began.
    NotBegun,
}

impl NodeState {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Waiting => "waiting",
            Self::Updating => "updating",
            Self::Updated => "updated",
            Self::GoingBack => "going-back",
            Self::WentBack => "went-back",
            Self::NotBegun => "not-begun",
        }
    }
}

/// One node of a tenant.
#[derive(Debug, Clone)]
pub struct NodeSeen {
    /// Its name.
    pub name: String,
    /// The number of its wave, from 1, where the newest rollout changes it.
    pub wave: Option<usize>,
    /// The revision it runs; none where it runs nothing.
    pub revision: Option<u64>,
    /// How far it is.
    pub state: NodeState,
    /// `well`, `ill`, `away` or `cordoned`; `none` where nothing of it runs there.
    pub health: &'static str,
    /// The newest order for it.
    pub order: Option<Order>,
    /// What is the matter.
    pub message: Option<String>,
}

/// The release of a tenant, with what was last wanted of it and how it went.
struct Known {
    release: Release,
    lives: Vec<Live>,
    rollout: Option<Rollout>,
    records: Records,
    /// Of the rollout.
    target: Option<Revision>,
    /// Of what serves.
    serving: Option<Revision>,
}

impl Known {
    async fn of(app: &App, tenant: &TenantName) -> Result<Self, Error> {
        let name = ReleaseName::new(tenant.as_str()).map_err(|wrong| Error::new(Code::Invalid, wrong.to_string()))?;
        let release = find::release(app, tenant, &name).await?;
        let serving = match release.serving.filter(|_| !release.deleted) {
            Some(number) => app.store.revision_get(release.id, number).await?,
            None => None,
        };
        let Some(latest) = app.store.rollout_latest(release.id).await? else {
            let lives = app.store.live_for_release(release.id).await?;
            return Ok(Self { release, lives, rollout: None, records: Records::new(), target: None, serving });
        };
        let loaded = app.store.rollout_load(latest.id).await?;
        let records = loaded.steps.into_iter().map(|record: StepRecord| (record.index, record)).collect();
        Ok(Self { release, lives: loaded.live, rollout: Some(loaded.rollout), records, target: loaded.target, serving })
    }

    /// What was last wanted: of the newest rollout, or what serves where that one was never resolved.
    fn wanted(&self) -> Option<&Revision> {
        let target = self.target.as_ref().filter(|target| target.spec.is_some());
        if self.rollout.as_ref().is_some_and(|rollout| rollout.to.is_none()) {
            None
        } else {
            target.or(self.serving.as_ref())
        }
    }

    fn plan(&self) -> Option<&Plan> {
        self.rollout.as_ref()?.plan.as_ref()
    }

    fn is_open(&self) -> bool {
        self.rollout.as_ref().is_some_and(|rollout| !rollout.phase.is_final())
    }

    /// Whether everything that is wanted of a place runs there, and nothing else.
    fn runs(&self, revision: &Revision, place: &Target) -> bool {
        let Some(spec) = &revision.spec else { return false };
        let own = Spec::new(spec.applications.iter().filter(|app| app.target.place() == *place).cloned().collect());
        let lives: Vec<Live> =
            self.lives.iter().filter(|live| live.deployment.target().place() == *place).cloned().collect();
        difference::runs_everywhere(&own, &lives)
    }

    /// The revision that a place runs: the newest that is as it is there.
    fn revision(&self, place: &Target) -> Option<u64> {
        let mut serving =
            self.lives.iter().filter(|live| live.weight > 0 && live.deployment.target().place() == *place);
        let launched = serving.next()?.deployment.revision;
        let candidates = [self.wanted(), self.serving.as_ref()].into_iter().flatten();
        let same = candidates.filter(|revision| self.runs(revision, place)).map(|revision| revision.number);
        Some(same.max().unwrap_or(launched))
    }

    fn state(&self, place: &Target, progress: Option<Progress>) -> NodeState {
        let reached = self.wanted().is_none_or(|wanted| self.runs(wanted, place));
        match progress.filter(|_| self.is_open()) {
            Some(Progress::NotBegun) => NodeState::Waiting,
            Some(Progress::Updating) => NodeState::Updating,
            Some(Progress::Updated) => NodeState::Updated,
            Some(Progress::GoingBack) => NodeState::GoingBack,
            Some(Progress::WentBack) => NodeState::WentBack,
            None if reached => NodeState::Current,
            None if self.is_open() => NodeState::Waiting,
            None => match progress {
                Some(Progress::WentBack | Progress::GoingBack) => NodeState::WentBack,
                _ => NodeState::NotBegun,
            },
        }
    }

    /// What the log says of a place that is or was bad.
    fn said(&self, place: &Target) -> Option<String> {
        let plan = self.plan()?;
        let of_place = |index: &u32| {
            let step = usize::try_from(*index).ok().and_then(|index| plan.steps.get(index));
            step.is_some_and(|step| step.target.place() == *place)
        };
        let broken = self.records.iter().filter(|(index, _)| of_place(index)).map(|(_, record)| &record.outcome);
        broken.filter_map(|outcome| outcome.data.get("message")?.as_str().map(str::to_owned)).next()
    }

    /// Refuses while a rollout is open.
    fn at_rest(&self) -> Result<(), Error> {
        let Some(open) = self.rollout.as_ref().filter(|_| self.is_open()) else { return Ok(()) };
        Err(skipper_store::Error::Busy {
            release: self.release.name.clone(),
            rollout: open.id,
            phase: open.phase.name().to_owned(),
        }
        .into())
    }

    /// The revision's manifest and spec as a next revision, with the way to go there.
    fn to(&self, revision: &Revision, terms: &Terms) -> Result<Prepared, Error> {
        let (Some(manifest), Some(mut spec)) = (revision.manifest.clone(), revision.spec.clone()) else {
            let (number, name) = (revision.number, &self.release.name);
            let what = format!("revision {number} of `{name}` was never resolved, so there is nothing to go to");
            return Err(Error::new(Code::Conflict, what).hint(format!("skipper deploy apply --tenant-id {name}")));
        };
        spec.waves = Some(Box::new(terms.over(spec.waves.map(|written| *written))?));
        Ok(Prepared {
            tenant: self.release.tenant.clone(),
            name: self.release.name.clone(),
            verb: if self.release.serving.is_some() { Verb::Rollback } else { Verb::Install },
            source: Some(Source::Revision { number: revision.number }),
            rendered: Some((manifest, spec)),
            kept: None,
            warnings: Vec::new(),
            expect_serving: self.release.serving,
            release: Some(self.release.clone()),
            purge: false,
        })
    }
}

/// How far each node of a tenant is.
///
/// # Errors
///
/// The tenant was never applied.
pub async fn status(app: &App, caller: &Caller, tenant: &TenantName) -> Result<FleetStatus, Error> {
    caller.may(Action::Read, tenant)?;
    let known = Known::of(app, tenant).await?;
    let planned = known.plan().and_then(|plan| plan.waves.as_ref());
    let waves: Vec<Vec<Target>> = planned.iter().flat_map(|w| &w.waves).map(|wave| wave.places.clone()).collect();
    let progress = known.plan().map(|plan| plan.progress(&known.records)).unwrap_or_default();
    let wanted = known.wanted().and_then(|wanted| wanted.spec.as_ref());
    let mut places: BTreeSet<Target> = known.lives.iter().map(|live| live.deployment.target().place()).collect();
    places.extend(wanted.iter().flat_map(|spec| &spec.applications).map(|app| app.target.place()));
    let nodes = join_all(places.iter().map(|place| async {
        let wave = waves.iter().position(|wave| wave.contains(place)).map(|index| index + 1);
        node(app, &known, place, wave, progress.get(place).copied()).await
    }));
    let nodes = nodes.await.into_iter().collect::<Result<Vec<_>, Error>>()?;
    Ok(FleetStatus {
        wanted: known.wanted().map(|wanted| wanted.number),
        waves: waves.iter().map(|wave| wave.iter().map(Target::place_name).collect()).collect(),
        nodes,
        release: known.release,
        rollout: known.rollout,
    })
}

async fn node(
    app: &App,
    known: &Known,
    place: &Target,
    wave: Option<usize>,
    progress: Option<Progress>,
) -> Result<NodeSeen, Error> {
    let state = known.state(place, progress);
    let (health, ill) = health(app, known, place).await;
    let mut order: Option<Order> = None;
    let steps = known.plan().into_iter().flat_map(|plan| &plan.steps);
    let planned = steps.filter(|step| step.target.place() == *place).filter_map(|step| step.action.deployment());
    let live = known.lives.iter().map(|live| &live.deployment).filter(|d| d.target().place() == *place);
    let ids: BTreeSet<_> = planned.chain(live.map(|deployment| &deployment.id)).collect();
    for id in ids {
        for kind in [OrderKind::DeployService, OrderKind::RemoveService] {
            let newest = app.store.order_newest(id, kind).await?;
            // Ids sort by age.
            order = [order, newest].into_iter().flatten().max_by_key(|order| order.id);
        }
    }
    let said = matches!(state, NodeState::WentBack | NodeState::GoingBack).then(|| known.said(place)).flatten();
    Ok(NodeSeen {
        name: place.place_name(),
        wave,
        revision: known.revision(place),
        state,
        health,
        order,
        message: said.or(ill),
    })
}

/// Whether what runs there is well, and what is the matter where it is not.
async fn health(app: &App, known: &Known, place: &Target) -> (&'static str, Option<String>) {
    let Some(platform) = app.platforms.get(place) else {
        return ("away", Some(format!("platform `{place}` is not configured any more")));
    };
    let standing = tokio::time::timeout(status::LOOK, platform.standing(status::LOOK)).await;
    let own = known.lives.iter().filter(|live| live.weight > 0 && live.deployment.target().place() == *place);
    let mut health = if own.clone().next().is_some() { "well" } else { "none" };
    let mut what = None;
    for live in own {
        for (_, seen) in status::observe(app, live).await {
            match seen {
                Observed::Running(_) => {}
                Observed::Unknown { reason } => what = Some(reason),
                Observed::Exited { exit, .. } => (health, what) = ("ill", Some(exit.to_string())),
                Observed::Absent => (health, what) = ("ill", Some("it does not run".to_owned())),
            }
        }
    }
    match standing {
        Ok(Standing::Ready) => (health, what),
        Ok(Standing::Cordoned) => ("cordoned", what),
        Ok(Standing::Away) | Err(_) => ("away", what.or_else(|| Some("it does not answer".to_owned()))),
    }
}

/// What an apply would do, wave by wave. `None`: nothing.
///
/// # Errors
///
/// Those of the apply.
pub async fn preview(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    terms: &Terms,
) -> Result<Option<plan::Planned>, Error> {
    match apply::prepare(app, caller, tenant, terms).await? {
        Wanted::Unchanged(_) => Ok(None),
        Wanted::Change(prepared) => plan::plan(app, caller, *prepared).await.map(Some),
    }
}

/// Goes on to what was last wanted, with the nodes that are not there yet.
///
/// # Errors
///
/// A rollout is open; the tenant was taken away, or what was wanted was never resolved.
pub async fn converge(app: &App, caller: &Caller, tenant: &TenantName, terms: &Terms) -> Result<Applied, Error> {
    caller.may(Action::Deploy, tenant)?;
    let known = Known::of(app, tenant).await?;
    known.at_rest()?;
    let name = &known.release.name;
    let Some(wanted) = known.target.as_ref().or(known.serving.as_ref()).filter(|_| !known.release.deleted) else {
        return Err(Error::new(Code::NotServing, format!("nothing is wanted of `{name}` any more"))
            .hint(format!("skipper deploy apply --tenant-id {name}")));
    };
    let runs = wanted.spec.as_ref().is_some_and(|spec| difference::runs_everywhere(spec, &known.lives));
    if runs && known.release.serving == Some(wanted.number) {
        return apply::unchanged(app, tenant, wanted.number, &known.lives).await;
    }
    let prepared = known.to(wanted, terms)?;
    apply::ordered(app, caller, prepared, known.release.door, false).await
}

/// Takes every node back: to what serves where the last rollout stopped half way, to the revision before it where it did not, or to the
/// one that is named. What nothing served before is taken away.
///
/// # Errors
///
/// A rollout is open; there is nothing to go back to.
pub async fn roll_back(
    app: &App,
    caller: &Caller,
    tenant: &TenantName,
    to: Option<u64>,
    terms: &Terms,
) -> Result<Applied, Error> {
    caller.may(Action::Deploy, tenant)?;
    let known = Known::of(app, tenant).await?;
    known.at_rest()?;
    let (name, door) = (known.release.name.clone(), known.release.door);
    if known.release.deleted {
        return Err(Error::new(Code::NotServing, format!("`{name}` was taken away"))
            .hint(format!("`skipper rollback {name} REVISION --tenant {tenant}` brings a revision back")));
    }
    let whole = |revision: &Revision| {
        revision.spec.as_ref().is_some_and(|spec| difference::runs_everywhere(spec, &known.lives))
    };
    let target = match (to, &known.serving) {
        (Some(number), _) => find::revision(app, &known.release, number).await?,
        (None, Some(serving)) if !whole(serving) => serving.clone(),
        (None, Some(serving)) => rollback::another_before(app, &known.release, serving).await?,
        (None, None) => {
            let prepared = delete::of(known.release, false);
            return apply::ordered(app, caller, prepared, door, false).await;
        }
    };
    if whole(&target) {
        return apply::unchanged(app, tenant, target.number, &known.lives).await;
    }
    let prepared = known.to(&target, terms)?;
    apply::ordered(app, caller, prepared, door, false).await
}

/// The waves of a plan: the names of nodes, and how many steps each takes. One wave where the plan has none.
#[must_use]
pub fn waves(plan: &Plan) -> Vec<(Vec<String>, usize)> {
    if let Some(waves) = &plan.waves {
        let steps = |from: u32, to: u32| usize::try_from(to.saturating_sub(from)).unwrap_or_default();
        return waves
            .waves
            .iter()
            .map(|wave| (wave.places.iter().map(Target::place_name).collect(), steps(wave.from, wave.to)))
            .collect();
    }
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for step in &plan.steps {
        *places.entry(step.target.place_name()).or_default() += 1;
    }
    if places.is_empty() {
        return Vec::new();
    }
    let steps = places.values().sum();
    vec![(places.into_keys().collect(), steps)]
}
