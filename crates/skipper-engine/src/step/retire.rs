use std::time::Duration;

use skipper_core::{
    deployment::DeploymentId,
    rollout::{Instances, Step},
};

use super::{Effect, ask_within, count};
use crate::{failure::StepError, rollout::Run};

/// Stops and removes instances; first takes those out of the edge's table that a drain did not. Again: what is absent is
/// fine.
pub(super) async fn run(
    run: &Run<'_>,
    step: &Step,
    id: &DeploymentId,
    instances: Instances,
    last: bool,
    bound: Duration,
) -> Result<Effect, StepError> {
    let deployment = run.known(id)?;
    let platform = run.platform(deployment.target())?;
    let live = run.live(id);
    let mut effect = Effect::default();
    let mut after = live.map(|mut live| {
        live.addresses.retain(|index, _| !last && !instances.range().contains(index));
        live
    });
    let surface = run.surfaces.get(&step.app).cloned().unwrap_or_default();
    if let Some(after) = &after
        && let Some(before) = run.lives.get(id)
        && before.weight > 0
        && before.addresses != after.addresses
        && !surface.routes.is_empty()
    {
        let lives = run.with_changes(&step.app, std::slice::from_ref(after));
        // Not kept: stopping takes a while, and the store is told of it by the end of this step.
        drop(run.publish(&step.app, &surface, &lives).await?);
    }
    let generation = run.lease.generation;
    run.persevere(|| platform.retire(&deployment, instances, last, generation, ask_within(bound))).await?;
    if last {
        effect.gone.push(id.clone());
    } else if let Some(after) = &mut after
        && run.lives.contains_key(id)
    {
        after.instances.retain(|index| !instances.range().contains(index));
        effect.live.push(after.clone());
    }
    effect.message = (!instances.is_empty()).then(|| format!("{} stopped", count(instances)));
    Ok(effect)
}
