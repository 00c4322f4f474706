use std::time::Duration;

use skipper_core::{deployment::DeploymentId, port::ErrorKind, rollout::Step, route::RouteKey};
use tokio::time::sleep;

use super::Effect;
use crate::{failure::StepError, retry::Pace, rollout::Run};

/// Longest pause between two requests; a deployment with one per cent of the traffic has to be met as well.
const PAUSE: Duration = Duration::from_millis(100);

/// Sends requests along every way in until the deployment has answered on each. With a weight below 100 others answer in
/// between, so it goes on until the bound.
pub(super) async fn run(run: &Run<'_>, step: &Step, id: &DeploymentId) -> Result<Effect, StepError> {
    let surface = run.surfaces.get(&step.app).cloned().unwrap_or_default();
    let router = run.shared.config.routers.of(&step.target);
    let keys: Vec<RouteKey> = surface.routes.iter().map(skipper_core::spec::Route::key).collect();
    let mut requests = 0_usize;
    for key in &keys {
        let pace = Pace::new(PAUSE);
        loop {
            requests = requests.saturating_add(1);
            let heard = match router.verify(key, key.path.as_str()).await {
                Ok(verified) if verified.deployment == *id => break,
                Ok(verified) => format!("{key}: {} answered ({})", verified.deployment, verified.status),
                Err(error) if error.kind() == ErrorKind::Fenced => return Err(error.into()),
                // Whatever it is, it may pass: the edge has just been told.
                Err(error) => format!("{key}: {}", error.chain()),
            };
            run.shared.board.detail(run.rollout.id, heard);
            sleep(pace.pause()).await;
        }
    }
    Ok(Effect::message(format!("answered on {} after {}", count(keys.len(), "route"), count(requests, "request"))))
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
