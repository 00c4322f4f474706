//! What takes a step back.

use super::plan::{Action, EDGE_BOUND, Instances, Plan, Step};
use crate::deployment::DeploymentId;

impl Step {
    /// The actions that take the step back, in order. Empty where nothing is to be taken back.
    #[must_use]
    pub fn undo(&self) -> Vec<Action> {
        // Launching what runs already changes nothing, so this also takes back a drain that was broken off.
        let bring_back = |deployment: &DeploymentId, instances: Instances| {
            if instances.is_empty() {
                return Vec::new();
            }
            let id = deployment.clone();
            vec![
                Action::Launch { deployment: id.clone(), instances, fresh: false },
                Action::AwaitHealthy { deployment: id, instances },
            ]
        };
        match &self.action {
            Action::Launch { deployment, instances, fresh } => vec![
                Action::Drain { deployment: deployment.clone(), instances: *instances },
                Action::Retire { deployment: deployment.clone(), instances: *instances, last: *fresh },
            ],
            Action::Drain { deployment, instances } | Action::Retire { deployment, instances, .. } => {
                bring_back(deployment, *instances)
            }
            Action::Shift { from, routes_from, held: Some(bound), .. } => {
                vec![Action::Hold { bound: *bound, from: from.clone(), routes: routes_from.clone() }]
            }
            Action::Shift { from, to, routes_from, routes, held: None } => vec![Action::Shift {
                from: to.clone(),
                to: from.clone(),
                routes_from: routes.clone(),
                routes: routes_from.clone(),
                held: None,
            }],
            Action::Hold { from, routes, .. } => vec![Action::Shift {
                from: from.clone(),
                to: from.clone(),
                routes_from: routes.clone(),
                routes: routes.clone(),
                held: None,
            }],
            Action::Begin { deployment, previous: Some(previous) }
            | Action::Apply { deployment, previous: Some(previous) } => {
                vec![Action::Apply { deployment: previous.clone(), previous: Some(deployment.clone()) }]
            }
            Action::Begin { deployment, previous: None } | Action::Apply { deployment, previous: None } => {
                vec![Action::Retire { deployment: deployment.clone(), instances: Instances::first(0), last: true }]
            }
            Action::Fetch { .. }
            | Action::RunHook { .. }
            | Action::AwaitHealthy { .. }
            | Action::Verify { .. }
            | Action::Bake { .. }
            | Action::Gate { .. }
            | Action::Unroute => Vec::new(),
        }
    }
}

impl Plan {
    /// The steps that take a step back, in order, each with its own bound.
    #[must_use]
    pub fn undo(&self, step: &Step) -> Vec<Step> {
        let with_bound = |action: Action| {
            let app = action.deployment().and_then(|id| self.deployment(id)).map(|d| &d.app);
            let bound = app.map_or(EDGE_BOUND, |app| action.bound(app));
            Step { app: step.app.clone(), target: step.target.clone(), action, bound }
        };
        let mut undo = step.undo();
        // What was begun is taken back once, by the step that began it.
        if let Action::Apply { deployment, .. } = &step.action
            && self
                .steps
                .iter()
                .any(|s| matches!(&s.action, Action::Begin { deployment: begun, .. } if begun == deployment))
        {
            return Vec::new();
        }
        // What a platform has turned back is somewhere else now, and has to be healthy there before it is told of.
        if let Action::Begin { previous: Some(previous), .. } | Action::Apply { previous: Some(previous), .. } =
            &step.action
        {
            let instances = Instances::first(self.deployment(previous).map_or(0, |d| d.app.replicas));
            if !instances.is_empty() {
                undo.push(Action::AwaitHealthy { deployment: previous.clone(), instances });
            }
        }
        undo.into_iter().map(with_bound).collect()
    }
}
