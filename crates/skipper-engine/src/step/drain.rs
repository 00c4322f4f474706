use skipper_core::{
    deployment::DeploymentId,
    port::ErrorKind,
    rollout::{Instances, Step, StepState},
};

use super::{Effect, Way, count};
use crate::{
    failure::StepError,
    retry::Backoff,
    rollout::{Entry, Run},
};

/// Takes instances out of the edge's table and lets their requests finish. Requests that are left when the bound has
/// passed are cut by what follows, which is no failure; a router that cannot be told is.
pub(super) async fn run(
    run: &mut Run<'_>,
    index: u32,
    step: &Step,
    id: &DeploymentId,
    instances: Instances,
    way: Way,
) -> Result<Effect, StepError> {
    let deployment = run.known(id)?;
    let surface = run.surfaces.get(&step.app).cloned().unwrap_or_default();
    if !deployment.app.is_routed() && surface.routes.is_empty() {
        return Ok(Effect::default());
    }
    if let Some(mut live) = run.live(id)
        && instances.range().any(|index| live.addresses.contains_key(&index))
    {
        live.addresses.retain(|index, _| !instances.range().contains(index));
        let changed = vec![live];
        let published = if changed[0].weight > 0 && !surface.routes.is_empty() {
            let lives = run.with_changes(&step.app, &changed);
            Some(run.publish(&step.app, &surface, &lives).await?)
        } else {
            None
        };
        let state = if way == Way::Back { StepState::Undoing } else { StepState::Started };
        let outcome = run.records.get(&index).map(|record| record.outcome.clone()).unwrap_or_default();
        run.note(index, state, Entry { outcome, live: changed, ..Entry::default() }).await?;
        drop(published);
    }
    let router = run.shared.config.routers.of(deployment.target());
    let bound = deployment.app.bounds.drain.duration();
    let mut backoff = Backoff::step();
    loop {
        match router.drain(id, bound).await {
            Ok(0) => return Ok(Effect::message(format!("{} drained", count(instances)))),
            Ok(left) => return Ok(Effect::message(format!("{left} requests were not done within {bound:?}"))),
            Err(error) if error.kind() == ErrorKind::Fenced => return Err(error.into()),
            Err(error) if matches!(error.kind(), ErrorKind::Transient | ErrorKind::Unknown) => {
                run.shared.board.detail(run.rollout.id, error.chain());
                backoff.wait().await;
            }
            Err(error) => return Ok(Effect::message(format!("not drained: {}", error.chain()))),
        }
    }
}
