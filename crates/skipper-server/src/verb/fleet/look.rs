//! How far each node of a tenant is, and whether what runs there is well.

use std::collections::BTreeSet;

use futures::future::join_all;
use skipper_core::{
    deployment::Observed,
    fleet::OrderKind,
    name::TenantName,
    policy::Action,
    port::Standing,
    release::Release,
    rollout::{Progress, Rollout},
    spec::Target,
};
use skipper_store::Order;

use super::known::Known;
use crate::{
    app::App,
    error::Error,
    verb::{Caller, status},
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

/// Whether what runs on a node is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeHealth {
    /// It runs.
    Well,
    /// Something of it does not.
    Ill,
    /// The node does not answer.
    Away,
    /// The node takes nothing new.
    Cordoned,
    /// Nothing of it runs there.
    Nothing,
}

impl NodeHealth {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Ill => "ill",
            Self::Away => "away",
            Self::Cordoned => "cordoned",
            Self::Nothing => "none",
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
    /// Whether what runs there is well.
    pub health: NodeHealth,
    /// The newest order for it.
    pub order: Option<Order>,
    /// What is the matter.
    pub message: Option<String>,
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
async fn health(app: &App, known: &Known, place: &Target) -> (NodeHealth, Option<String>) {
    let Some(platform) = app.platforms.get(place) else {
        return (NodeHealth::Away, Some(format!("platform `{place}` is not configured any more")));
    };
    let standing = tokio::time::timeout(status::LOOK, platform.standing(status::LOOK)).await;
    let own = known.lives.iter().filter(|live| live.weight > 0 && live.deployment.target().place() == *place);
    let mut health = if own.clone().next().is_some() { NodeHealth::Well } else { NodeHealth::Nothing };
    let mut what = None;
    for live in own {
        for (_, seen) in status::observe(app, live).await {
            match seen {
                Observed::Running(_) => {}
                Observed::Unknown { reason } => what = Some(reason),
                Observed::Exited { exit, .. } => (health, what) = (NodeHealth::Ill, Some(exit.to_string())),
                Observed::Absent => (health, what) = (NodeHealth::Ill, Some("it does not run".to_owned())),
            }
        }
    }
    match standing {
        Ok(Standing::Ready) => (health, what),
        Ok(Standing::Cordoned) => (NodeHealth::Cordoned, what),
        Ok(Standing::Away) | Err(_) => (NodeHealth::Away, what.or_else(|| Some("it does not answer".to_owned()))),
    }
}
