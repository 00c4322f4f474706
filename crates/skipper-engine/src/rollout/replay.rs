//! How each application is reached, as the log tells it. Pure.

use std::collections::BTreeMap;

use skipper_core::{
    deployment::{DeploymentId, Live},
    name::AppName,
    port::Loaded,
    rollout::{Action, Plan, StepRecord, StepState},
};

use crate::service::{Surface, of_app};

/// The same of a rollout as the store has it; `None` when none is under way.
pub(crate) fn of(loaded: Loaded) -> Option<BTreeMap<AppName, Surface>> {
    let Loaded { rollout, live, steps, .. } = loaded;
    let plan = rollout.plan.filter(|_| !rollout.phase.is_final())?;
    let lives = live.into_iter().map(|live| (live.deployment.id.clone(), live)).collect();
    let records = steps.into_iter().map(|record| (record.index, record)).collect();
    Some(surfaces(&plan, &lives, &records))
}

/// Replays every change of routes and holding: forwards what was started, then backwards what is being undone.
///
/// A step that was only started counts as done: the router may have been told. One that lets held requests go does not: until
/// what is to answer them is stored too, waiting is better than an error.
pub(crate) fn surfaces(
    plan: &Plan,
    lives: &BTreeMap<DeploymentId, Live>,
    records: &BTreeMap<u32, StepRecord>,
) -> BTreeMap<AppName, Surface> {
    let apps = lives.values().map(|live| live.deployment.app.name.clone());
    let mut surfaces: BTreeMap<AppName, Surface> =
        apps.map(|app| (app.clone(), Surface::settled(of_app(lives.values(), &app)))).collect();
    let step = |index: &u32| usize::try_from(*index).ok().and_then(|index| plan.steps.get(index));
    for (index, record) in records {
        if let Some(step) = step(index) {
            let done = !matches!(record.state, StepState::Started | StepState::Failed);
            apply(&mut surfaces, &step.app, &step.action, done);
        }
    }
    let undone = |record: &StepRecord| matches!(record.state, StepState::Undoing | StepState::Undone);
    for (index, record) in records.iter().rev().filter(|(_, record)| undone(record)) {
        if let Some(step) = step(index) {
            for action in step.undo() {
                apply(&mut surfaces, &step.app, &action, record.state == StepState::Undone);
            }
        }
    }
    surfaces
}

/// What an action does to how the application is reached.
fn apply(surfaces: &mut BTreeMap<AppName, Surface>, app: &AppName, action: &Action, done: bool) {
    let held = surfaces.get(app).is_some_and(|surface| surface.held.is_some());
    let surface = match action {
        Action::Shift { .. } if held && !done => return,
        Action::Hold { bound, routes, .. } => Surface { routes: routes.clone(), held: Some(*bound) },
        Action::Shift { routes, .. } => Surface { routes: routes.clone(), held: None },
        Action::Unroute => Surface::default(),
        _ => return,
    };
    surfaces.insert(app.clone(), surface);
}
