use std::{collections::BTreeSet, time::Duration};

use futures::future::join_all;
use skipper_core::{
    deployment::{Deployment, DeploymentId},
    port::Standing,
    rollout::Step,
};
use tokio::time::timeout;

use super::Effect;
use crate::{failure::StepError, planning::is_well, retry::Pace, rollout::Run};

/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Waits until at most `most` places elsewhere are away, take nothing, or are not healthy. The step's bound ends it.
pub(super) async fn run(
    run: &Run<'_>,
    step: &Step,
    deployments: &[DeploymentId],
    most: u32,
) -> Result<Effect, StepError> {
    let known: Vec<Deployment> = deployments.iter().filter_map(|id| run.deployment(id)).collect();
    let pace = Pace::new(LOOK);
    loop {
        let ill = join_all(known.iter().map(|deployment| async {
            (!is_available(run, deployment).await).then(|| deployment.target().place_name())
        }));
        let ill: BTreeSet<String> = ill.await.into_iter().flatten().collect();
        if ill.len() <= usize::try_from(most).unwrap_or(usize::MAX) {
            return Ok(Effect::default());
        }
        let names: Vec<&str> = ill.iter().map(String::as_str).collect();
        let what = format!("{} is to wait: {} are away or not healthy", step.app, names.join(", "));
        run.shared.board.detail(run.rollout.id, what);
        tokio::time::sleep(pace.pause()).await;
    }
}

async fn is_available(run: &Run<'_>, deployment: &Deployment) -> bool {
    let config = &run.shared.config;
    let Some(platform) = config.platforms.get(deployment.target()) else { return false };
    let bound = config.tuning.observe_bound;
    if timeout(bound, platform.standing(bound)).await != Ok(Standing::Ready) {
        return false;
    }
    let all: Vec<u32> = deployment.all().collect();
    is_well(config, deployment, &all).await
}
