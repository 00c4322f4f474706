//! What a plan's steps look like where they are stored: what was written is read again, whatever the step does.

use super::plan::{Action, HookPoint, Instances, Step, Weight};
use crate::{
    deployment::DeploymentId,
    name::{AppName, PlatformName},
    spec::{Hook, Resource, Target},
    time::Millis,
};

/// One of each; the match makes a new action fail to compile until it is listed here.
fn every_action() -> Vec<Action> {
    let id = || DeploymentId::from_stored("shop-web-r2-0a1b2c3d");
    let instances = Instances { from: 1, to: 3 };
    let weights = || vec![Weight { deployment: id(), weight: 100 }];
    let all = vec![
        Action::Fetch { resource: Resource { uri: "builtin:sample".to_owned(), sha256: None } },
        Action::RunHook {
            deployment: id(),
            point: HookPoint::BeforeLaunch,
            hook: Hook { command: vec!["./migrate".to_owned()], timeout: Millis(60_000) },
        },
        Action::Launch { deployment: id(), instances, fresh: true },
        Action::AwaitHealthy { deployment: id(), instances },
        Action::Hold { bound: Millis(60_000), from: weights(), routes: Vec::new() },
        Action::Shift {
            from: weights(),
            to: weights(),
            routes_from: Vec::new(),
            routes: Vec::new(),
            held: Some(Millis(60_000)),
        },
        Action::Verify { deployment: id() },
        Action::Bake { deployment: id(), span: Millis(5_000), judge: true },
        Action::Drain { deployment: id(), instances },
        Action::Retire { deployment: id(), instances, last: true },
        Action::Unroute,
        Action::Gate { deployments: vec![id()], most: 2 },
        Action::Begin { deployment: id(), previous: None },
        Action::Apply { deployment: id(), previous: Some(id()) },
    ];
    for action in &all {
        match action {
            Action::Fetch { .. }
            | Action::RunHook { .. }
            | Action::Launch { .. }
            | Action::AwaitHealthy { .. }
            | Action::Hold { .. }
            | Action::Shift { .. }
            | Action::Verify { .. }
            | Action::Bake { .. }
            | Action::Drain { .. }
            | Action::Retire { .. }
            | Action::Unroute
            | Action::Gate { .. }
            | Action::Begin { .. }
            | Action::Apply { .. } => {}
        }
    }
    all
}

#[test]
fn a_step_that_was_written_is_read_again() {
    for action in every_action() {
        let step = Step {
            app: AppName::new("web").expect("a name"),
            target: Target(PlatformName::new("local").expect("a name")),
            action,
            bound: Millis(25_000),
        };
        let text = serde_json::to_string(&step).expect("a step is JSON");
        let read: Step = serde_json::from_str(&text).unwrap_or_else(|cause| panic!("{cause}: {text}"));
        assert_eq!(read, step, "{text}");
    }
}
