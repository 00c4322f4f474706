//! The planner's invariants on random specs, and a few plans to read.

mod cases;
mod inputs;
mod model;
mod waves;

use proptest::prelude::*;

use self::{
    inputs::{Case, any_case},
    model::Model,
};
use crate::rollout::plan::{Action, Plan};

fn steps(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| format!("{}: {}", step.app, step.action)).collect()
}

/// A plan that is rightly refused is no failure of the planner.
fn planned(case: &Case) -> Option<Plan> {
    case.plan().ok()
}

proptest! {
    #[test]
    fn what_serves_goes_on_serving_at_every_step_and_on_the_way_back_from_every_step(case in any_case()) {
        let Some(plan) = planned(&case) else { return Ok(()) };
        let mut model = Model::of(&case);
        let before = model.clone();
        for (index, step) in plan.steps.iter().enumerate() {
            if index < plan.commit as usize {
                // Turn back from here, with this step begun or not: all the way to where it began.
                let mut back = model.clone();
                for undone in plan.steps[..index].iter().rev() {
                    for action in plan.undo(undone) {
                        back.carry_out(&action);
                        prop_assert_eq!(back.unserved(&case), Vec::<String>::new(), "undoing {}: {:#?}", action.action, steps(&plan));
                    }
                }
                prop_assert_eq!(&back, &before, "turned back before step {}: {:#?}", index, steps(&plan));
                let mut back = model.clone();
                back.carry_out(step);
                for undone in plan.steps[..=index].iter().rev() {
                    for action in plan.undo(undone) {
                        back.carry_out(&action);
                        prop_assert_eq!(back.unserved(&case), Vec::<String>::new(), "undoing {}: {:#?}", action.action, steps(&plan));
                    }
                }
                prop_assert_eq!(&back, &before, "turned back after step {}: {:#?}", index, steps(&plan));
            }
            model.carry_out(step);
            prop_assert_eq!(model.unserved(&case), Vec::<String>::new(), "after step {}: {:#?}", index, steps(&plan));
            prop_assert_eq!(model.wrong_weights(), Vec::<String>::new(), "after step {}: {:#?}", index, steps(&plan));
            prop_assert_eq!(model.shared_volumes(), Vec::<String>::new(), "after step {}: {:#?}", index, steps(&plan));
        }
        prop_assert_eq!(model.differs_from_target(&case), Vec::<String>::new(), "at the end: {:#?}", steps(&plan));
    }

    #[test]
    fn nothing_of_the_old_world_is_destroyed_for_good_before_the_commit(case in any_case()) {
        let Some(plan) = planned(&case) else { return Ok(()) };
        let old = |id: &crate::deployment::DeploymentId| case.current.iter().any(|live| live.deployment.id == *id);
        for step in &plan.steps[..plan.commit as usize] {
            match &step.action {
                Action::Unroute => prop_assert!(false, "{:#?}", steps(&plan)),
                Action::Retire { deployment, last, .. } => {
                    prop_assert!(!(*last && old(deployment)), "{:#?}", steps(&plan));
                    prop_assert!(!plan.undo(step).is_empty());
                }
                _ => {}
            }
        }
        for step in &plan.steps[plan.commit as usize..] {
            let clears = matches!(step.action, Action::Unroute | Action::Drain { .. } | Action::Retire { .. });
            prop_assert!(clears, "{} past the commit", step.action);
        }
    }

    #[test]
    fn applications_that_stay_as_they_are_are_not_touched(case in any_case()) {
        let Some(plan) = planned(&case) else { return Ok(()) };
        for name in case.unchanged() {
            prop_assert!(plan.steps.iter().all(|step| step.app != name), "{name}: {:#?}", steps(&plan));
        }
    }

    #[test]
    fn every_deployment_that_a_step_names_is_in_the_plan(case in any_case()) {
        let Some(plan) = planned(&case) else { return Ok(()) };
        for step in &plan.steps {
            let undo = plan.undo(step).into_iter().map(|undo| undo.action);
            for action in undo.chain([step.action.clone()]) {
                let mut named: Vec<_> = action.deployment().into_iter().cloned().collect();
                if let Action::Shift { from, to, .. } = &action {
                    named.extend(from.iter().chain(to).map(|weight| weight.deployment.clone()));
                }
                for id in named {
                    prop_assert!(plan.deployment(&id).is_some(), "{id} of {action}");
                }
            }
            prop_assert!(step.bound.0 > 0, "{} has a bound", step.action);
        }
    }

    #[test]
    fn the_same_input_gives_the_same_plan_in_whatever_order_it_comes(case in any_case()) {
        let Some(plan) = planned(&case) else { return Ok(()) };
        let mut turned = case.clone();
        turned.current.reverse();
        if let Some((_, spec)) = &mut turned.target {
            spec.applications.reverse();
        }
        prop_assert_eq!(&planned(&turned), &Some(plan.clone()));
        let text = serde_json::to_string(&plan).expect("a plan is JSON");
        let back: Plan = serde_json::from_str(&text).expect("and is read back");
        prop_assert_eq!(back.hash(), plan.hash());
        prop_assert_eq!(back, plan);
    }

    #[test]
    fn a_hash_covers_what_is_run_and_not_how_it_is_numbered(case in any_case()) {
        let Some(plan) = planned(&case) else { return Ok(()) };
        let mut renumbered = case.clone();
        if let Some((revision, _)) = &mut renumbered.target {
            *revision += 7;
        }
        prop_assert_eq!(planned(&renumbered).expect("can be planned as well").hash(), plan.hash());
        let mut other = case.clone();
        let Some((_, spec)) = &mut other.target else { return Ok(()) };
        let Some(app) = spec.applications.first_mut() else { return Ok(()) };
        app.args.push("--other".into());
        prop_assert_ne!(planned(&other).expect("can be planned as well").hash(), plan.hash());
    }

    #[test]
    fn what_was_reached_needs_no_further_plan(case in any_case()) {
        let Some(plan) = planned(&case) else { return Ok(()) };
        let reached = Model::after(&case, &plan).lives(&case);
        let again = Case { current: reached, ..case };
        prop_assert_eq!(planned(&again).map(|plan| steps(&plan)), Some(Vec::new()));
    }
}
