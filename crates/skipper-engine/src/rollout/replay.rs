//! How each application is reached, as the log tells it. Pure.

use std::collections::BTreeMap;

use skipper_core::{
    deployment::{DeploymentId, Live},
    name::AppName,
    rollout::{Action, Plan, StepRecord, StepState},
};

use crate::service::{Surface, of_app};

/// Replays every change of routes and holding: forwards what was started, then backwards what is being undone.
///
/// A step that was only started counts as done: the router may have been told.
pub(crate) fn surfaces(
    plan: &Plan,
    lives: &BTreeMap<DeploymentId, Live>,
    records: &BTreeMap<u32, StepRecord>,
) -> BTreeMap<AppName, Surface> {
    let apps = lives.values().map(|live| live.deployment.app.name.clone());
    let mut surfaces: BTreeMap<AppName, Surface> =
        apps.map(|app| (app.clone(), Surface::settled(of_app(lives.values(), &app)))).collect();
    let step = |index: &u32| usize::try_from(*index).ok().and_then(|index| plan.steps.get(index));
    for index in records.keys() {
        if let Some(step) = step(index) {
            apply(&mut surfaces, &step.app, &step.action);
        }
    }
    let undone = |record: &StepRecord| matches!(record.state, StepState::Undoing | StepState::Undone);
    for (index, _) in records.iter().rev().filter(|(_, record)| undone(record)) {
        if let Some(step) = step(index) {
            for action in step.undo() {
                apply(&mut surfaces, &step.app, &action);
            }
        }
    }
    surfaces
}

/// What an action does to how the application is reached.
pub(crate) fn apply(surfaces: &mut BTreeMap<AppName, Surface>, app: &AppName, action: &Action) {
    let surface = match action {
        Action::Hold { bound, routes, .. } => Surface { routes: routes.clone(), held: Some(*bound) },
        Action::Shift { routes, .. } => Surface { routes: routes.clone(), held: None },
        Action::Unroute => Surface::default(),
        _ => return,
    };
    surfaces.insert(app.clone(), surface);
}
