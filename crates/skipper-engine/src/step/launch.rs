use std::time::Duration;

use serde_json::json;
use skipper_core::{
    deployment::{Deployment, DeploymentId, Instance, Live, Observed},
    port::{ErrorKind, Launch},
    rollout::Instances,
};

use super::{Effect, ask_within, count};
use crate::{failure::StepError, retry::Backoff, rollout::Run};

/// What is stored before anything is started.
pub(super) fn intended(run: &Run<'_>, id: &DeploymentId, instances: Instances) -> Option<Live> {
    let mut live = run.live(id)?;
    live.instances.extend(instances.range());
    live.instances.sort_unstable();
    live.instances.dedup();
    Some(live)
}

/// Starts instances. Again: those that run stay as they are.
pub(super) async fn run(
    run: &Run<'_>,
    id: &DeploymentId,
    instances: Instances,
    bound: Duration,
) -> Result<Effect, StepError> {
    let deployment = run.known(id)?;
    let started = start(run, &deployment, instances, false, bound).await?;
    Ok(Effect { message: Some(format!("{} started", count(instances))), data: describe(&started), ..Effect::default() })
}

pub(super) fn describe(started: &[Instance]) -> serde_json::Value {
    let each: Vec<_> = started
        .iter()
        .map(|instance| json!({"index": instance.index, "handle": instance.handle, "addresses": instance.addresses}))
        .collect();
    json!({"instances": each})
}

/// Starts instances, or waits for what has `begun` already.
pub(super) async fn start(
    run: &Run<'_>,
    deployment: &Deployment,
    instances: Instances,
    begun: bool,
    bound: Duration,
) -> Result<Vec<Instance>, StepError> {
    let platform = run.platform(deployment.target())?;
    let secrets = run.secrets(deployment).await?;
    let mut backoff = Backoff::step();
    loop {
        let launch = Launch { deployment, instances, secrets: &secrets, generation: run.lease.generation };
        let within = ask_within(bound);
        let asked = if begun { platform.join(launch, within) } else { platform.launch(launch, within) };
        let error = match asked.await {
            Ok(started) => return Ok(started),
            Err(error) => error,
        };
        match error.kind() {
            // It may have worked: look before it is done again.
            ErrorKind::Unknown => {
                let seen = run.persevere(|| platform.observe(deployment, instances, ask_within(bound))).await?;
                let running: Vec<Instance> = seen
                    .into_iter()
                    .filter_map(|seen| if let Observed::Running(instance) = seen { Some(instance) } else { None })
                    .collect();
                if running.len() == instances.range().len() {
                    return Ok(running);
                }
            }
            ErrorKind::Transient => {}
            _ => return Err(error.into()),
        }
        run.shared.board.detail(run.rollout.id, error.chain());
        backoff.wait().await;
    }
}
