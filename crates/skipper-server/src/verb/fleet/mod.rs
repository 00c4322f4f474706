//! A tenant over all of its nodes: how far each is, what an apply would do in which wave, the way on from where a rollout stopped, and the
//! way back.

mod act;
mod known;
mod look;

use std::collections::BTreeMap;

use skipper_core::{rollout::Plan, spec::Target};

pub use self::{
    act::{converge, preview, roll_back},
    look::{FleetStatus, NodeHealth, NodeSeen, NodeState, status},
};

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
