use std::time::Duration;

use skipper_core::{
    deployment::DeploymentId,
    port::{ErrorKind, Launch},
    rollout::Instances,
};

use super::{Effect, ask_within};
use crate::{failure::StepError, retry::Backoff, rollout::Run};

/// Lets a platform begin to converge; the step that applies waits for it. Again: it has begun already.
pub(super) async fn run(run: &Run<'_>, id: &DeploymentId, bound: Duration) -> Result<Effect, StepError> {
    let deployment = run.known(id)?;
    let platform = run.platform(deployment.target())?;
    let secrets = run.secrets(&deployment).await?;
    let instances = Instances::first(deployment.app.replicas);
    let mut backoff = Backoff::step();
    loop {
        let launch = Launch { deployment: &deployment, instances, secrets: &secrets, generation: run.lease.generation };
        match platform.begin(launch, ask_within(bound)).await {
            Ok(()) => return Ok(Effect::default()),
            Err(error) if matches!(error.kind(), ErrorKind::Transient | ErrorKind::Unknown) => {
                run.shared.board.detail(run.rollout.id, error.chain());
                backoff.wait().await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
