use std::time::Duration;

use skipper_core::{
    deployment::{DeploymentId, Live},
    rollout::{Action, Instances, Step},
};

use super::{Effect, Way, launch};
use crate::{failure::StepError, rollout::Run};

/// What is stored before the platform is told.
pub(super) fn intended(run: &Run<'_>, id: &DeploymentId) -> Option<Live> {
    let mut live = run.live(id)?;
    live.instances = live.deployment.all().collect();
    Some(live)
}

/// Hands the whole deployment to a platform that converges by itself. Again: it has converged already.
pub(super) async fn run(
    run: &Run<'_>,
    id: &DeploymentId,
    previous: Option<&DeploymentId>,
    way: Way,
    bound: Duration,
) -> Result<Effect, StepError> {
    let deployment = run.known(id)?;
    let begins = |step: &Step| matches!(&step.action, Action::Begin { deployment, .. } if deployment == id);
    let begun = way != Way::Back && run.plan.steps.iter().any(begins);
    let started = launch::start(run, &deployment, Instances::first(deployment.app.replicas), begun, bound).await?;
    // On the way back the platform has turned the new one into the old one.
    let gone = previous.filter(|previous| way == Way::Back && *previous != id).cloned();
    Ok(Effect { data: launch::describe(&started), gone: gone.into_iter().collect(), ..Effect::default() })
}
