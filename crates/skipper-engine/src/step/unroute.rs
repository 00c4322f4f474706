use skipper_core::{deployment::Live, rollout::Step, route::ServiceId};

use super::Effect;
use crate::{
    failure::StepError,
    rollout::Run,
    service::{Surface, of_app},
};

/// Gives up the routes of an application.
pub(super) async fn run(run: &Run<'_>, step: &Step) -> Result<Effect, StepError> {
    let id = ServiceId { release: run.release.id, app: step.app.clone() };
    let router = run.shared.config.routers.of(&step.target);
    let guard = run.shared.published.telling([&router]).await;
    run.persevere(|| router.remove(&id, run.lease.generation)).await?;
    let unrouted = |live: &Live| Live { weight: 0, generation: run.lease.generation, ..live.clone() };
    let live = of_app(run.lives.values(), &step.app).map(unrouted).collect();
    Ok(Effect { live, surface: Some(Surface::default()), published: Some(guard), ..Effect::default() })
}
