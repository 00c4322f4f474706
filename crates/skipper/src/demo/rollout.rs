//! Asking for rollouts and watching them.

use std::time::{Duration, Instant};

use skipper_server::api::own::wire;
use tokio::time;

use super::{
    stage::{Stage, told},
    tell::{Tell, span},
};
use crate::client::Call;

/// Longest that a rollout of the demo may take; each of its phases is bounded far below.
const BOUND: Duration = Duration::from_secs(40);

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(15);

/// The release of the demo.
pub(super) const RELEASE: &str = "hello";

/// Installs a version of the package.
pub(super) async fn install(stage: &Stage, version: &str) -> anyhow::Result<wire::Accepted> {
    let request = wire::InstallRequest { name: RELEASE.into(), package: package(version), ..Default::default() };
    stage.client.ask(&Call::post(&["v1", "releases"]).json(&request)).await.map_err(told)
}

/// Upgrades to a version of the package, with these values.
pub(super) async fn upgrade(
    stage: &Stage,
    version: &str,
    values: Option<serde_json::Value>,
) -> anyhow::Result<wire::Accepted> {
    let request = wire::UpgradeRequest { package: Some(package(version)), values, ..Default::default() };
    stage.client.ask(&Call::post(&["v1", "releases", RELEASE, "upgrade"]).json(&request)).await.map_err(told)
}

/// Rolls back to a revision.
pub(super) async fn roll_back(stage: &Stage, to: u64) -> anyhow::Result<wire::Accepted> {
    let request = wire::RollbackRequest { to: Some(to), ..Default::default() };
    stage.client.ask(&Call::post(&["v1", "releases", RELEASE, "rollback"]).json(&request)).await.map_err(told)
}

fn package(version: &str) -> wire::PackageRef {
    wire::PackageRef { repository: None, name: "hello".into(), version: Some(version.into()) }
}

/// How it stands.
pub(super) async fn look(stage: &Stage, id: &str) -> anyhow::Result<wire::RolloutView> {
    stage.client.ask(&Call::get(&["v1", "rollouts", id])).await.map_err(told)
}

/// Waits until `seen` holds.
pub(super) async fn until(
    stage: &Stage,
    id: &str,
    seen: impl Fn(&wire::RolloutView) -> bool,
) -> anyhow::Result<wire::RolloutView> {
    let began = Instant::now();
    loop {
        let rollout = look(stage, id).await?;
        if seen(&rollout) || rollout.finished {
            return Ok(rollout);
        }
        anyhow::ensure!(
            began.elapsed() < BOUND,
            "rollout {id} is still {} after {} s; its steps:\n{}",
            rollout.phase,
            BOUND.as_secs(),
            steps(&rollout)
        );
        time::sleep(LOOK).await;
    }
}

/// Waits until nothing can move it any more.
pub(super) async fn ended(stage: &Stage, id: &str) -> anyhow::Result<wire::RolloutView> {
    until(stage, id, |rollout| rollout.finished).await
}

/// Waits until it has reached its revision.
pub(super) async fn succeeded(stage: &Stage, id: &str) -> anyhow::Result<wire::RolloutView> {
    let rollout = ended(stage, id).await?;
    let cause = rollout.cause.as_ref().map(|cause| cause.message.clone()).unwrap_or_default();
    anyhow::ensure!(
        rollout.phase == "succeeded",
        "the {} to revision {} {}: {cause}\n{}",
        rollout.verb,
        rollout.to.unwrap_or_default(),
        rollout.phase,
        steps(&rollout)
    );
    Ok(rollout)
}

/// Waits until the release has no open rollout.
pub(super) async fn calm(stage: &Stage, name: &str) -> anyhow::Result<()> {
    let status: wire::ReleaseStatus = stage.client.ask(&Call::get(&["v1", "releases", name])).await.map_err(told)?;
    for rollout in [status.rollout, status.waiting].into_iter().flatten().filter(|rollout| !rollout.finished) {
        ended(stage, &rollout.id).await?;
    }
    Ok(())
}

/// The steps as a list for people.
pub(super) fn steps(rollout: &wire::RolloutView) -> String {
    let line = |step: &wire::StepView| {
        let took = step.duration_ms.map(|ms| format!(", {}", span(Duration::from_millis(ms)))).unwrap_or_default();
        let found = step.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
        format!("{:<14} {} ({}{took}){found}\n", step.action, step.text, step.state)
    };
    rollout.steps.iter().map(line).collect()
}

/// Says what a rollout did.
pub(super) fn told_steps(tell: &Tell, rollout: &wire::RolloutView) {
    tell.fact(&steps(rollout));
}
