//! The server dies in the middle of an upgrade, and goes on with it when it is back.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time;

use super::{
    package::Version,
    rollout,
    stage::Stage,
    story::serves,
    tell::{Tell, span},
    upgrade::{nothing_failed, some, target},
};
use crate::load::Load;

/// How long the new version takes to get healthy here, so that there is a middle.
const SLOW_START: Duration = Duration::from_millis(1500);

/// How long there is no server.
const ABSENCE: Duration = Duration::from_millis(300);

pub(super) async fn play(stage: &mut Stage, tell: &Tell) -> anyhow::Result<()> {
    tell.act("Kill the server in the middle of an upgrade to version 2");
    let load = Load::start(target(stage), some());
    let slow = SLOW_START.as_millis();
    tell.command(&format!("skipper upgrade hello hello --version 2.0.0 --set readyAfter={slow}"));
    let values = json!({ "readyAfter": slow.to_string() });
    let accepted = rollout::upgrade(stage, Version::Two.text(), Some(values)).await?;
    let id = accepted.rollout.id;
    let waiting = |rollout: &skipper_server::api::own::wire::RolloutView| {
        rollout.steps.iter().any(|step| step.action == "await-healthy" && step.state == "started")
    };
    let middle = rollout::until(stage, &id, waiting).await?;
    anyhow::ensure!(!middle.finished, "the upgrade ended before the server could be killed: {}", middle.phase);
    tell.command(&format!("kill -9 {}    # the server, while version 2 is starting", stage.server_pid().unwrap_or(0)));
    stage.kill_server().await?;
    time::sleep(ABSENCE).await;
    serves(stage, tell, Version::One).await?;
    tell.fact("(version 1 went on serving without a server)");
    let began = Instant::now();
    let took = stage.start_server().await?;
    tell.fact(&format!("the server is back, ready {} after its start", span(took)));
    let moved = rollout::until(stage, &id, |rollout| rollout.phase == "finishing").await?;
    let reached = began.elapsed();
    // Its WebSocket is a request in flight at the old version: the drain would wait for it.
    let report = load.finish(Duration::from_secs(10)).await;
    let rollout = if moved.finished { moved } else { rollout::succeeded(stage, &id).await? };
    rollout::told_steps(tell, &rollout);
    anyhow::ensure!(rollout.phase == "succeeded", "the upgrade that the server took up again {}", rollout.phase);
    tell.held(&format!("the same rollout moved the traffic {} after the server's new start", span(reached)));
    nothing_failed(tell, &report)?;
    serves(stage, tell, Version::Two).await
}
