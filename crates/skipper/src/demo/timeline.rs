//! What is remembered of all this.

use std::time::Duration;

use skipper_server::api::own::wire;

use super::{
    rollout::RELEASE,
    stage::{Stage, told},
    tell::{Tell, number, span},
};
use crate::client::Call;

/// Events that are shown; there are more.
const SHOWN: usize = 40;

pub(super) async fn play(stage: &Stage, tell: &Tell) -> anyhow::Result<()> {
    tell.act("What is remembered");
    tell.command("skipper history hello");
    let call = Call::get(&["v1", "releases", RELEASE, "history"]);
    let mut history: wire::HistoryPage = stage.client.ask(&call).await.map_err(told)?;
    history.items.reverse();
    for revision in &history.items {
        let took = revision.duration_ms.map(|ms| span(Duration::from_millis(ms))).unwrap_or_default();
        let verb = revision.rollout.as_ref().map(|rollout| rollout.verb.as_str()).unwrap_or_default();
        tell.fact(&format!(
            "revision {}  {:<10}  {verb:<8}  {:<12}  {took:>7}  by {}",
            revision.revision,
            revision.state,
            revision.source.text(),
            revision.actor
        ));
    }
    let states: Vec<&str> = history.items.iter().map(|revision| revision.state.as_str()).collect();
    anyhow::ensure!(
        states == ["superseded", "superseded", "failed", "superseded", "live"],
        "the history should tell of five revisions, the third failed and the last live; it tells {states:?}"
    );
    tell.command("skipper events --release hello");
    let call = Call::get(&["v1", "events"]).query("release", RELEASE).query("limit", 1000);
    let events: wire::EventPage = stage.client.ask(&call).await.map_err(told)?;
    let marked: Vec<&wire::EventView> = events.items.iter().filter(|event| !event.kind.starts_with("step.")).collect();
    for event in marked.iter().take(SHOWN) {
        let revision = event.revision.map(|revision| format!("revision {revision}")).unwrap_or_default();
        tell.fact(&format!("{}  {:<24} {revision}", clock(&event.at), event.kind));
    }
    let verify: wire::VerifyView = stage.client.ask(&Call::get(&["v1", "events", "verify"])).await.map_err(told)?;
    anyhow::ensure!(verify.intact, "the chain of events is broken at {:?}", verify.broken_at);
    tell.held(&format!("{} events, each chained to the one before by its hash", number(verify.events)));
    Ok(())
}

/// The time of day, to the millisecond, of an RFC 3339 time.
fn clock(at: &str) -> &str {
    at.get(11..23).unwrap_or(at)
}
