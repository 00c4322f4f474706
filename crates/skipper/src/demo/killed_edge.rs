//! The edge dies, and is back within a second.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::time;

use super::{
    ask, found,
    package::Version,
    stage::Stage,
    story::serves,
    tell::{Tell, span},
};

/// What is promised.
const PROMISE: Duration = Duration::from_secs(1);

/// Longest that is waited to tell by how much a promise was broken.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) async fn play(stage: &Stage, tell: &Tell) -> anyhow::Result<()> {
    tell.act("Kill the edge");
    let edge = stage.edge_pid()?;
    tell.command(&format!("kill -9 {edge}    # the edge: requests in flight are lost, whatever one does"));
    let began = Instant::now();
    found::signal(edge, Signal::KILL);
    // An answer of the old one, given with its last breath, would prove nothing.
    while !found::has_ended(edge) {
        time::sleep(Duration::from_millis(1)).await;
        anyhow::ensure!(began.elapsed() < PATIENCE, "the edge's process {edge} survived SIGKILL");
    }
    ask::until_ok(stage.app, "/greeting", PATIENCE).await?;
    let took = began.elapsed();
    let successor = stage.edge_pid()?;
    anyhow::ensure!(took <= PROMISE, "the first answer came {} after the edge was killed, not within 1 s", span(took));
    tell.held(&format!("process {successor} took its place: the first answer came {} after the kill", span(took)));
    serves(stage, tell, Version::Two).await
}
