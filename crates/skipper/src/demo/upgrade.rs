//! An upgrade while users of every kind are busy.

use std::time::{Duration, Instant};

use tokio::time;

use super::{
    package::Version,
    rollout,
    stage::Stage,
    story::serves,
    tell::{Tell, number, span},
};
use crate::load::{Load, Mix, Report, Target};

/// Short requests that are made at least.
const REQUESTS: u64 = 3000;

/// Longest that those may take; a slow machine makes fewer, and the count is said.
const PATIENCE: Duration = Duration::from_secs(12);

/// Longest that the last requests may take to finish.
const FINISH: Duration = Duration::from_secs(15);

/// Where users go.
pub(super) fn target(stage: &Stage) -> Target {
    Target { address: stage.app, host: stage.app.to_string(), path: "/greeting".into() }
}

/// Users of every kind, with a download that lasts about three seconds.
fn everybody() -> Mix {
    Mix {
        keep_alive: 4,
        fresh: 2,
        http2: 1,
        websockets: 1,
        events: 1,
        downloads: 1,
        uploads: 1,
        pause: Duration::from_millis(2),
        download_bytes: 6 * 1024 * 1024,
        download_rate: 2 * 1024 * 1024,
        upload_bytes: 1024 * 1024,
        ..Mix::default()
    }
}

/// A few users, for acts whose point is another.
pub(super) fn some() -> Mix {
    Mix { keep_alive: 2, fresh: 1, websockets: 1, pause: Duration::from_millis(5), ..Mix::default() }
}

pub(super) async fn play(stage: &Stage, tell: &Tell) -> anyhow::Result<()> {
    tell.act("Upgrade to version 2 while users are busy");
    tell.fact(
        "4 users on keep-alive connections, 2 that open a new one each time, HTTP/2, a WebSocket, server-sent events, \
         uploads\nand a download that goes on from before the upgrade until after it",
    );
    let load = Load::start(target(stage), everybody());
    requests(&load, REQUESTS / 10).await;
    tell.command("skipper upgrade hello hello --version 2.0.0");
    let asked = Instant::now();
    let accepted = rollout::upgrade(stage, Version::Two.text(), None).await?;
    let moved = rollout::until(stage, &accepted.rollout.id, |rollout| rollout.phase == "finishing").await?;
    let took = asked.elapsed();
    anyhow::ensure!(moved.cause.is_none(), "the upgrade failed: {moved:?}");
    tell.fact(&format!("traffic had moved and was verified {} after the request", span(took)));
    requests(&load, REQUESTS).await;
    let report = load.finish(FINISH).await;
    let rollout = rollout::succeeded(stage, &accepted.rollout.id).await?;
    rollout::told_steps(tell, &rollout);
    tell.fact(&report.to_string());
    nothing_failed(tell, &report)?;
    for version in [Version::One, Version::Two] {
        anyhow::ensure!(
            report.versions.contains_key(version.text()),
            "no answer came from version {}: the load did not span the upgrade",
            version.text()
        );
    }
    serves(stage, tell, Version::Two).await
}

/// Waits until so many short requests were made.
async fn requests(load: &Load, wanted: u64) {
    let began = Instant::now();
    while load.short_requests() < wanted && began.elapsed() < PATIENCE {
        time::sleep(Duration::from_millis(5)).await;
    }
}

/// Claims that no user noticed anything.
pub(super) fn nothing_failed(tell: &Tell, report: &Report) -> anyhow::Result<()> {
    anyhow::ensure!(report.failed() == 0, "{} of the users' requests failed:\n{report}", report.failed());
    anyhow::ensure!(report.ok() > 0, "no user made any request");
    tell.held(&format!("{} answers, {} failed", number(report.ok()), report.failed()));
    Ok(())
}
