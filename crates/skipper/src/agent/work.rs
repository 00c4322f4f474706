//! Carries orders out: of different tenants side by side, of one tenant one after another.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use skipper_core::{fleet::Outcome, id::OrderId};
use skipper_source::fleet::{OrderResult, WorkOrder};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::{beat, desk::failed, hands::Finished, state::Agent};

/// How often it is looked whether a lease has run out, or a full disk has room.
const AGAIN: Duration = Duration::from_secs(5);
/// What compose says is kept to this; it was kept small where it was read already.
const LOGS_TAIL: usize = 64 << 10;
/// What is said for people.
const SUMMARY: usize = 4 << 10;
/// Services that are told of.
const SERVICES: usize = 256;
/// What hands get beyond the order's time, to end by themselves.
const OVERTIME: Duration = Duration::from_secs(5);

/// Until the agent is told to end; what has begun goes on.
pub(super) async fn run(agent: Arc<Agent>) {
    loop {
        let mut work = std::pin::pin!(agent.work.notified());
        work.as_mut().enable();
        if agent.draining.is_cancelled() {
            return;
        }
        let started = agent.desk().start(Instant::now());
        for id in started {
            agent.tasks.spawn(one(Arc::clone(&agent), id));
        }
        // Some may have been ended or given back instead.
        agent.tell.notify_one();
        agent.room.notify_one();
        tokio::select! {
            () = work => {}
            () = tokio::time::sleep(AGAIN) => {}
            () = agent.draining.cancelled() => {}
        }
    }
}

async fn one(agent: Arc<Agent>, id: OrderId) {
    let begun = agent.desk().begin(id);
    match begun {
        Ok(Some((order, until))) => {
            let span = tracing::info_span!(
                "order",
                work_order = %order.id,
                tenant = %order.tenant,
                node = %order.node,
                request_id = %order.request_id,
                correlation_id = %order.correlation_id
            );
            let result = carry_out(&agent, &order, until).instrument(span).await;
            beat::changed(&agent, order.tenant.as_str(), &result.services).await;
            agent.desk().end(id, result);
        }
        Ok(None) => {}
        // It is looked at again after a while.
        Err(error) => {
            tracing::error!(work_order = %id, "the order does not begin: write to the disk: {error}");
            return;
        }
    }
    agent.tell.notify_one();
    agent.room.notify_one();
    agent.look.notify_one();
    agent.work.notify_one();
}

async fn carry_out(agent: &Agent, order: &WorkOrder, until: Instant) -> OrderResult {
    let began = Instant::now();
    let started_at = agent.now();
    tracing::info!(kind = order.kind.as_str(), "the order is carried out");
    let within = until.saturating_duration_since(began);
    let work = AssertUnwindSafe(agent.hands.carry_out(order, within)).catch_unwind();
    let finished = match tokio::time::timeout(within + OVERTIME, work).await {
        Ok(Ok(finished)) => finished,
        Ok(Err(_)) => broken("the agent failed at it by a fault of its own; its log says where".to_owned()),
        Err(_) => {
            broken(format!("its deadline passed while it was carried out, after {}", crate::render::lasted(within)))
        }
    };
    let result = bounded(finished, started_at, agent.now());
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    match result.status {
        Outcome::Succeeded => tracing::info!(duration_ms, "the order is done: {}", result.summary),
        Outcome::Failed => {
            tracing::warn!(duration_ms, exit_code = result.exit_code, "the order failed: {}", result.summary);
        }
    }
    result
}

fn broken(summary: String) -> Finished {
    let OrderResult { status, exit_code, summary, services, logs_tail, .. } = failed(summary);
    Finished { outcome: status, exit_code, summary, services, logs_tail }
}

fn bounded(finished: Finished, started_at: jiff::Timestamp, finished_at: jiff::Timestamp) -> OrderResult {
    let Finished { outcome, exit_code, summary, services, logs_tail } = finished;
    OrderResult {
        status: outcome,
        started_at: Some(started_at),
        finished_at: Some(finished_at),
        exit_code,
        summary: summary[..summary.floor_char_boundary(SUMMARY)].to_owned(),
        services: services.into_iter().take(SERVICES).collect(),
        logs_tail: logs_tail[logs_tail.ceil_char_boundary(logs_tail.len().saturating_sub(LOGS_TAIL))..].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_kept_small_at_the_end_that_matters() {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let finished = Finished {
            summary: "ä".repeat(SUMMARY),
            logs_tail: format!("{}the end", "ä".repeat(LOGS_TAIL)),
            ..broken(String::new())
        };
        let result = bounded(finished, now, now);
        assert!(result.summary.len() <= SUMMARY && result.logs_tail.len() <= LOGS_TAIL);
        assert!(result.logs_tail.ends_with("äthe end"));
    }
}
