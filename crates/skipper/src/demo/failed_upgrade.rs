//! A version that never gets healthy: it takes itself back, and no user notices.

use std::time::Duration;

use anyhow::Context as _;

use super::{
    package::Version,
    rollout,
    stage::Stage,
    story::serves,
    tell::Tell,
    upgrade::{nothing_failed, some, target},
};
use crate::load::Load;

/// Lines of the bundle that are shown of each kind.
const SHOWN: usize = 3;

pub(super) async fn play(stage: &Stage, tell: &Tell) -> anyhow::Result<()> {
    tell.act("Upgrade to version 3, which never gets healthy");
    tell.command("skipper upgrade hello hello --version 3.0.0");
    let load = Load::start(target(stage), some());
    let accepted = rollout::upgrade(stage, Version::Broken.text(), None).await?;
    let rollout = rollout::ended(stage, &accepted.rollout.id).await?;
    let report = load.finish(Duration::from_secs(10)).await;
    anyhow::ensure!(rollout.phase == "failed", "the upgrade should have failed, and {}", rollout.phase);
    rollout::told_steps(tell, &rollout);
    let bundle = rollout.bundle.context("the failed rollout has no failure bundle")?;
    tell.fact(&format!("its failure bundle: {} ({})", bundle.cause.message, bundle.cause.code));
    for evidence in &bundle.applications {
        let tail = |lines: &[String]| lines[lines.len().saturating_sub(SHOWN)..].join("\n");
        let probes: Vec<String> = evidence.probes.iter().map(|probe| format!("  probe  {}", probe.detail)).collect();
        let logs: Vec<String> = evidence.logs.iter().map(|line| format!("  log    {line}")).collect();
        tell.fact(&format!("  of {}, among others:\n{}\n{}", evidence.app, tail(&probes), tail(&logs)));
    }
    anyhow::ensure!(
        bundle.applications.iter().any(|evidence| !evidence.probes.is_empty()),
        "the failure bundle has no probe transcript"
    );
    nothing_failed(tell, &report)?;
    let strangers: Vec<&String> = report.versions.keys().filter(|version| *version != Version::Two.text()).collect();
    anyhow::ensure!(strangers.is_empty(), "users got answers of {strangers:?}");
    tell.held("every answer came from version 2");
    serves(stage, tell, Version::Two).await
}
