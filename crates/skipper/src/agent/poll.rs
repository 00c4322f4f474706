//! Asks for work.

use std::{sync::Arc, time::Duration};

use skipper_core::{fleet::Outcome, id::OrderId};
use skipper_source::fleet::Report;
use tokio::time::Instant;

use super::{
    desk::{Received, failed},
    door::{Fault, Handed, Next},
    outage::Outage,
    pause::{Ended, Manner, Pauses, cut_after, nothing_after},
    state::{Agent, lock},
};

/// How often a full disk is looked at again.
const ROOM_AGAIN: Duration = Duration::from_secs(10);
/// Time for an answer that was on its way when the agent was told to end.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// Until the agent is told to end.
pub(super) async fn run(agent: Arc<Agent>) {
    let mut manner = Manner::new();
    let mut pauses = Pauses::default();
    let mut outage = Outage::new("ask for work");
    while until_room(&agent).await {
        let wait = manner.wait(Instant::now());
        let asked = Instant::now();
        let answer = tokio::select! {
            answer = agent.door.next(wait) => answer,
            () = last_chance(&agent) => return,
        };
        let pause = match answer {
            Ok(next) => {
                outage.over();
                pauses.reset();
                let pause = if let Next::Nothing = next {
                    if wait.is_some() {
                        heard(&mut manner, nothing_after(asked.elapsed()));
                    }
                    manner.pause(agent.poll_interval)
                } else {
                    heard(&mut manner, Ended::Well);
                    Duration::ZERO
                };
                take(&agent, next).await;
                pause
            }
            Err(fault) => {
                if let Fault::Cut(_) | Fault::Busy { .. } = fault {
                    heard(&mut manner, cut_after(asked.elapsed()));
                }
                let pause = match &fault {
                    Fault::Busy { after: Some(after), .. } => *after + pauses.away(),
                    fault if fault.is_lasting() => pauses.denied(),
                    _ => pauses.away(),
                };
                outage.met(&fault, pause);
                if fault.is_lasting() {
                    tokio::select! {
                        () = agent.until_let_in(pause) => {}
                        () = agent.draining.cancelled() => return,
                    }
                    continue;
                }
                pause
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause), if !pause.is_zero() => {}
            () = agent.draining.cancelled(), if !pause.is_zero() => return,
            else => {}
        }
    }
}

fn heard(manner: &mut Manner, ended: Ended) {
    if manner.heard(ended, Instant::now()) {
        tracing::warn!(
            "questions that wait do not get through to the server; it is polled instead, and waiting is tried again in five minutes"
        );
    }
}

/// Ends a little after the agent is told to.
async fn last_chance(agent: &Agent) {
    agent.draining.cancelled().await;
    tokio::time::sleep(ON_ITS_WAY).await;
}

/// Waits until another order may be taken. False: none is to be taken any more.
async fn until_room(agent: &Agent) -> bool {
    loop {
        if agent.draining.is_cancelled() {
            return false;
        }
        let mut room = std::pin::pin!(agent.room.notified());
        room.as_mut().enable();
        let trouble = agent.desk().trouble();
        say(agent, trouble.clone());
        let again = match trouble {
            None if agent.desk().has_room() => return true,
            None => ROOM_AGAIN * 6,
            Some(_) => ROOM_AGAIN,
        };
        tokio::select! {
            () = room => {}
            () = tokio::time::sleep(again) => {}
            () = agent.draining.cancelled() => {}
        }
    }
}

/// Tells of a trouble that keeps orders away when it begins and when it ends, in the log and in the heartbeat.
fn say(agent: &Agent, trouble: Option<String>) {
    let mut said = lock(&agent.trouble);
    if said.is_some() == trouble.is_some() {
        return;
    }
    match &trouble {
        Some(why) => tracing::error!("no order is taken until there is room: {why}"),
        None => tracing::info!("there is room again; orders are taken"),
    }
    *said = trouble;
    agent.beat.notify_one();
}

async fn take(agent: &Agent, next: Next) {
    match next {
        Next::Nothing => {}
        Next::Link => agent.link.notify_one(),
        Next::Order(handed) => receive(agent, &handed),
        Next::Unreadable { id, generation, why } => unreadable(agent, id, generation, why).await,
    }
}

fn receive(agent: &Agent, handed: &Handed) {
    let order = &handed.order;
    let span = tracing::info_span!(
        "order",
        work_order = %order.id,
        tenant = %order.tenant,
        node = %order.node,
        generation = order.generation,
        request_id = %order.request_id,
        correlation_id = %order.correlation_id
    );
    let _entered = span.enter();
    match agent.desk().receive(handed, Instant::now()) {
        Ok(Received::Taken) => tracing::info!(revision = order.revision, "the order is taken"),
        Ok(Received::Known) => tracing::info!("the order is known already; it has no second effect"),
        Ok(Received::Stale) => tracing::warn!("the order is refused: a later one of this tenant was seen"),
        Err(error) => tracing::error!("the order cannot be taken: write it to the disk: {error}"),
    }
    agent.work.notify_one();
    agent.tell.notify_one();
}

/// A kind of order that this agent does not know, or one that is broken: nobody is to wait for it until its deadline.
async fn unreadable(agent: &Agent, id: OrderId, generation: Option<u64>, why: String) {
    tracing::error!(work_order = %id, "the order cannot be read, and is reported as failed: {why}");
    let summary = format!(
        "this agent (version {}) cannot carry the order out: {why}; if it is of a newer kind, upgrade the agent",
        env!("CARGO_PKG_VERSION")
    );
    let report =
        Report { generation, status: Outcome::Failed, result: Some(failed(summary)), state_updates: Vec::new() };
    if let Err(fault) = agent.door.report(id, &report, ("", "")).await {
        tracing::warn!(work_order = %id, "report the order: {fault}");
    }
}
