//! A world just large enough to carry a plan out in.

use std::collections::{BTreeMap, BTreeSet};

use super::inputs::Case;
use crate::{
    deployment::{Deployment, DeploymentId, Live},
    generation::Generation,
    name::AppName,
    rollout::plan::{Action, Plan, Step, Weight},
    spec::Route,
};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Part {
    app: Option<AppName>,
    weight: u8,
    /// Every instance that runs, and whether it is healthy and in the table.
    instances: BTreeMap<u32, bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Surface {
    routes: Vec<Route>,
    held: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Model {
    parts: BTreeMap<DeploymentId, Part>,
    surfaces: BTreeMap<AppName, Surface>,
    deployments: BTreeMap<DeploymentId, Deployment>,
}

impl PartialEq for Model {
    fn eq(&self, other: &Self) -> bool {
        let reached = |model: &Self| {
            let reached = model.surfaces.iter().filter(|(_, surface)| !surface.routes.is_empty() || surface.held);
            reached.map(|(app, surface)| (app.clone(), surface.clone())).collect::<BTreeMap<_, _>>()
        };
        self.parts == other.parts && reached(self) == reached(other)
    }
}

impl Model {
    pub(super) fn of(case: &Case) -> Self {
        let mut deployments: BTreeMap<_, _> =
            case.current.iter().map(|live| (live.deployment.id.clone(), live.deployment.clone())).collect();
        if let Ok(plan) = case.plan() {
            deployments.extend(plan.deployments.into_iter().map(|d| (d.id.clone(), d)));
        }
        let part = |live: &Live| Part {
            app: Some(live.deployment.app.name.clone()),
            weight: live.weight,
            instances: live.instances.iter().map(|index| (*index, true)).collect(),
        };
        let surface = |live: &Live| Surface { routes: live.deployment.app.routes.clone(), held: false };
        Self {
            parts: case.current.iter().map(|live| (live.deployment.id.clone(), part(live))).collect(),
            surfaces: case.current.iter().map(|live| (live.deployment.app.name.clone(), surface(live))).collect(),
            deployments,
        }
    }

    pub(super) fn after(case: &Case, plan: &Plan) -> Self {
        let mut model = Self::of(case);
        plan.steps.iter().for_each(|step| model.carry_out(step));
        model.forget_converged(case);
        model
    }

    fn part(&mut self, id: &DeploymentId, app: &AppName) -> &mut Part {
        let part = self.parts.entry(id.clone()).or_default();
        part.app = Some(app.clone());
        part
    }

    fn weigh(&mut self, app: &AppName, to: &[Weight]) {
        for weight in to {
            self.part(&weight.deployment, app);
        }
        for (id, part) in self.parts.iter_mut().filter(|(_, part)| part.app.as_ref() == Some(app)) {
            part.weight = to.iter().find(|weight| weight.deployment == *id).map_or(0, |weight| weight.weight);
        }
    }

    pub(super) fn carry_out(&mut self, step: &Step) {
        let app = &step.app;
        match &step.action {
            Action::Launch { deployment, instances, .. } => {
                let part = self.part(deployment, app);
                for index in instances.range() {
                    part.instances.entry(index).or_insert(false);
                }
            }
            Action::AwaitHealthy { deployment, instances } => {
                let part = self.part(deployment, app);
                part.instances.extend(instances.range().map(|index| (index, true)));
            }
            Action::Hold { from, routes, .. } => {
                self.weigh(app, from);
                self.surfaces.insert(app.clone(), Surface { routes: routes.clone(), held: true });
            }
            Action::Shift { to, routes, .. } => {
                self.weigh(app, to);
                self.surfaces.insert(app.clone(), Surface { routes: routes.clone(), held: false });
                self.parts.retain(|id, part| {
                    // As the engine does on the way back: a deployment that only a shift made known.
                    let known = self.deployments.get(id).is_none_or(|d| d.revision < 9);
                    part.weight > 0 || !part.instances.is_empty() || known
                });
            }
            Action::Drain { deployment, instances } => {
                if let Some(part) = self.parts.get_mut(deployment) {
                    part.instances
                        .iter_mut()
                        .filter(|(i, _)| instances.range().contains(i))
                        .for_each(|(_, up)| *up = false);
                }
            }
            Action::Retire { deployment, instances, last } => {
                if let Some(part) = self.parts.get_mut(deployment) {
                    part.instances.retain(|index, _| !instances.range().contains(index));
                }
                if *last {
                    self.parts.remove(deployment);
                }
            }
            Action::Unroute => {
                self.weigh(app, &[]);
                self.surfaces.insert(app.clone(), Surface::default());
            }
            Action::Apply { deployment, previous } => {
                let replicas = self.deployments[deployment].app.replicas;
                self.part(deployment, app).instances = (0..replicas).map(|index| (index, true)).collect();
                // Back to an older one: the platform has turned the newer one into it.
                if let Some(newer) = previous.as_ref().filter(|id| self.deployments[*id].revision >= 9) {
                    self.parts.remove(newer);
                }
            }
            Action::Begin { deployment, .. } => {
                let replicas = self.deployments[deployment].app.replicas;
                let part = self.part(deployment, app);
                part.instances = (0..replicas).map(|index| (index, false)).collect();
            }
            Action::Fetch { .. }
            | Action::RunHook { .. }
            | Action::Verify { .. }
            | Action::Bake { .. }
            | Action::Gate { .. } => {}
        }
    }

    /// Applications that served before, are wanted with instances and routes, and would answer somebody with an error:
    /// everything with a weight has somebody healthy in the table, or requests are held.
    pub(super) fn unserved(&self, case: &Case) -> Vec<String> {
        let mut unserved = Vec::new();
        for live in &case.current {
            let had = &live.deployment.app;
            let Some(want) = case.wanted(&had.name) else { continue };
            if !had.is_routed() || live.instances.is_empty() || !want.is_routed() || want.replicas == 0 {
                continue;
            }
            let surface = &self.surfaces[&had.name];
            if surface.held {
                continue;
            }
            let mut own = self.parts.values().filter(|p| p.app.as_ref() == Some(&had.name) && p.weight > 0).peekable();
            let nobody = own.peek().is_none() || surface.routes.is_empty();
            if nobody || !own.all(|part| part.instances.values().any(|up| *up)) {
                unserved.push(had.name.to_string());
            }
        }
        unserved
    }

    pub(super) fn wrong_weights(&self) -> Vec<String> {
        let mut sums: BTreeMap<&AppName, u32> = BTreeMap::new();
        for part in self.parts.values() {
            if let Some(app) = &part.app {
                *sums.entry(app).or_default() += u32::from(part.weight);
            }
        }
        sums.into_iter().filter(|(_, sum)| *sum != 0 && *sum != 100).map(|(app, sum)| format!("{app}: {sum}")).collect()
    }

    /// Two generations of an application that run with one read-write volume.
    pub(super) fn shared_volumes(&self) -> Vec<String> {
        let mut writers: BTreeMap<&AppName, BTreeSet<&DeploymentId>> = BTreeMap::new();
        let mut readers: BTreeMap<&AppName, BTreeSet<&DeploymentId>> = BTreeMap::new();
        for (id, _) in self.parts.iter().filter(|(_, part)| !part.instances.is_empty()) {
            let deployment = &self.deployments[id];
            // What converges is the platform's own business.
            for volume in deployment.app.volumes.iter().filter(|_| deployment.app.target.0.as_str() == "local") {
                let map = if volume.read_only { &mut readers } else { &mut writers };
                map.entry(&deployment.app.name).or_default().insert(id);
            }
        }
        let shared = |app: &&AppName| {
            let of = |map: &BTreeMap<&AppName, BTreeSet<&DeploymentId>>| map.get(*app).map_or(0, BTreeSet::len);
            of(&writers) > 0 && of(&writers) + of(&readers) > 1
        };
        writers.keys().copied().filter(|app| shared(app)).map(ToString::to_string).collect()
    }

    fn forget_converged(&mut self, case: &Case) {
        let cluster = |id: &DeploymentId| self.deployments[id].app.target.0.as_str() == "cluster";
        let turned: Vec<DeploymentId> = case
            .current
            .iter()
            .filter(|live| cluster(&live.deployment.id))
            .filter(|live| {
                case.wanted(&live.deployment.app.name).is_some_and(|app| app.target == live.deployment.app.target)
            })
            .map(|live| live.deployment.id.clone())
            .filter(|id| self.parts.get(id).is_some_and(|part| part.weight == 0))
            .collect();
        turned.iter().for_each(|id| drop(self.parts.remove(id)));
    }

    pub(super) fn differs_from_target(&self, case: &Case) -> Vec<String> {
        let mut model = self.clone();
        model.forget_converged(case);
        let mut differs = Vec::new();
        for (id, part) in &model.parts {
            let Some(want) = part.app.as_ref().and_then(|app| case.wanted(app)) else {
                differs.push(format!("{id} is left"));
                continue;
            };
            if part.weight != 100 || !part.instances.keys().copied().eq(0..want.replicas) {
                differs.push(format!("{id} has {part:?}"));
            }
            let surface = &model.surfaces[&want.name];
            if surface.held || surface.routes != want.routes {
                differs.push(format!("{} is reached by {surface:?}", want.name));
            }
            let deployment = &model.deployments[id];
            if deployment.app.edition() != want.edition() {
                differs.push(format!("{id} is of another edition"));
            }
        }
        for (_, spec) in case.target.iter() {
            for app in &spec.applications {
                if !model.parts.values().any(|part| part.app.as_ref() == Some(&app.name)) {
                    differs.push(format!("{} is missing", app.name));
                }
            }
        }
        differs
    }

    /// What is live now, as the store would have it after the commit.
    pub(super) fn lives(&self, case: &Case) -> Vec<Live> {
        let live = |(id, part): (&DeploymentId, &Part)| {
            let mut deployment = self.deployments[id].clone();
            deployment.app = case.wanted(part.app.as_ref()?)?.clone();
            Some(Live {
                deployment,
                weight: part.weight,
                instances: part.instances.keys().copied().collect(),
                addresses: BTreeMap::new(),
                generation: Generation::default(),
            })
        };
        self.parts.iter().filter_map(live).collect()
    }
}
