//! The drawing in `docs/rollout.md` and the code are the same machine.

use std::collections::BTreeSet;

use skipper_core::{
    rollout::{Cause, Phase, Transition},
    time::Timestamp,
};

const DRAWING: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/rollout.md"));

fn cause(code: &str) -> Cause {
    Cause { code: code.into(), message: String::new(), hint: None, step: None, at: Timestamp::default() }
}

/// Every phase, with both kinds of cause where that matters to what comes next.
fn phases() -> Vec<Phase> {
    let (broken, cancelled) = (cause("unhealthy"), cause(Cause::CANCELLED));
    vec![
        Phase::Waiting,
        Phase::Accepted,
        Phase::Resolving { deadline: Timestamp::default() },
        Phase::Advancing,
        Phase::Undoing { cause: broken.clone() },
        Phase::Undoing { cause: cancelled.clone() },
        Phase::Finishing,
        Phase::Succeeded,
        Phase::Failed { cause: broken },
        Phase::Cancelled { cause: cancelled },
        Phase::Superseded,
    ]
}

fn transitions() -> Vec<(&'static str, Transition)> {
    vec![
        ("admitted", Transition::Admitted),
        ("replaced", Transition::Replaced),
        ("begun", Transition::Begun { deadline: Timestamp::default() }),
        ("resolved", Transition::Resolved),
        ("committed", Transition::Committed),
        ("broke", Transition::Broke(cause("unhealthy"))),
        ("broke (cancelled)", Transition::Broke(cause(Cause::CANCELLED))),
        ("undone", Transition::Undone),
        ("finished", Transition::Finished),
    ]
}

fn drawn() -> BTreeSet<(String, String, String)> {
    let diagram = DRAWING.split("```mermaid").nth(1).and_then(|rest| rest.split("```").next()).expect("a diagram");
    let arrows = diagram.lines().filter_map(|line| {
        let (from, rest) = line.trim().split_once(" --> ")?;
        let (to, label) = rest.split_once(" : ")?;
        Some((from.to_owned(), label.to_owned(), to.to_owned()))
    });
    arrows.collect()
}

#[test]
fn the_drawing_has_every_transition_and_no_other() {
    let mut real = BTreeSet::new();
    for phase in phases() {
        for (label, transition) in transitions() {
            let from = phase.name().to_owned();
            if let Ok(next) = phase.clone().apply(transition) {
                let cancelled = phase.cause().is_some_and(|cause| cause.code == Cause::CANCELLED);
                let label = if cancelled { format!("{label} (cancelled)") } else { label.to_owned() };
                real.insert((from, label, next.name().to_owned()));
            }
        }
    }
    assert_eq!(drawn(), real);
}

#[test]
fn the_drawing_ends_where_the_code_ends() {
    let ends: BTreeSet<&str> = DRAWING.lines().filter_map(|line| line.trim().strip_suffix(" --> [*]")).collect();
    let finals: BTreeSet<&str> = phases().iter().filter(|phase| phase.is_final()).map(Phase::name).collect();
    assert_eq!(ends, finals);
    let names: BTreeSet<&str> = phases().iter().map(Phase::name).collect();
    assert_eq!(names, BTreeSet::from(Phase::NAMES));
}
