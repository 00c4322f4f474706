use skipper_core::{
    rollout::{Step, Weight},
    spec::Route,
    time::Millis,
};

use super::{Effect, shift};
use crate::{failure::StepError, rollout::Run, service::Surface};

/// Keeps new requests waiting at the edge.
pub(super) async fn run(
    run: &Run<'_>,
    step: &Step,
    held: Millis,
    from: &[Weight],
    routes: &[Route],
) -> Result<Effect, StepError> {
    let live = shift::weighted(run, &step.app, from);
    let surface = Surface { routes: routes.to_vec(), held: Some(held) };
    let lives = run.with_changes(&step.app, &live);
    let published = run.publish(&step.app, &surface, &lives).await?;
    Ok(Effect { live, surface: Some(surface), published: Some(published), ..Effect::default() })
}
