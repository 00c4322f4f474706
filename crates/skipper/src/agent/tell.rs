//! Tells the server what became of orders, the oldest first, until it knows.

use std::{sync::Arc, time::Duration};

use super::{desk::Telling, door::Fault, outage::Outage, pause::Pauses, state::Agent};

/// Until everything ends.
pub(super) async fn run(agent: Arc<Agent>) {
    let mut pauses = Pauses::default();
    let mut outage = Outage::new("report to the server");
    loop {
        let mut tell = std::pin::pin!(agent.tell.notified());
        tell.as_mut().enable();
        let fault = tokio::select! {
            fault = all(&agent) => fault,
            () = agent.gone.cancelled() => return,
        };
        let Some(fault) = fault else {
            outage.over();
            pauses.reset();
            tokio::select! {
                () = tell => continue,
                () = agent.gone.cancelled() => return,
            }
        };
        let pause = match &fault {
            Fault::Busy { after: Some(after), .. } => *after + pauses.away(),
            fault if fault.is_lasting() => pauses.denied(),
            _ => pauses.away(),
        };
        outage.met(&fault, pause);
        tokio::select! {
            () = wait(&agent, &fault, pause) => {}
            () = agent.gone.cancelled() => return,
        }
    }
}

async fn wait(agent: &Agent, fault: &Fault, pause: Duration) {
    if fault.is_lasting() { agent.until_let_in(pause).await } else { tokio::time::sleep(pause).await }
}

/// Tells all there is. What keeps it from going on, if anything does.
async fn all(agent: &Agent) -> Option<Fault> {
    let mut left = None;
    let untold = agent.desk().untold();
    for id in untold {
        let Some(telling) = agent.desk().telling(id) else { continue };
        match one(agent, telling).await {
            None => {}
            // The server stumbles over this one; the others may be fine.
            Some(fault @ Fault::Busy { status: 500, .. }) => left = Some(fault),
            Some(fault) => return Some(fault),
        }
    }
    // There is room for more results, and orders.
    agent.room.notify_one();
    left
}

async fn one(agent: &Agent, mut telling: Telling) -> Option<Fault> {
    let Telling { order, report, request_id, correlation_id } = &mut telling;
    let span = tracing::info_span!("order", work_order = %order, %request_id, %correlation_id);
    loop {
        let told = agent.door.report(*order, report, (request_id, correlation_id)).await;
        let _entered = span.enter();
        match told {
            Ok(()) => tracing::info!(generation = report.generation, "the server knows what became of the order"),
            Err(Fault::Absent(message)) => {
                tracing::warn!("the server does not want the result, which is dropped: {message}");
            }
            Err(Fault::Refused { status: 409, message, .. }) => {
                tracing::warn!(
                    generation = report.generation,
                    "the result is not wanted any more, and is dropped: {message}"
                );
            }
            Err(Fault::Refused { status: status @ (400 | 410 | 413 | 422), code, message }) => {
                if let Some(result) = report.result.as_mut().filter(|result| !result.logs_tail.is_empty()) {
                    tracing::warn!(
                        "the server refuses the result ({status} {code}): {message}; it is sent without its logs"
                    );
                    result.logs_tail.clear();
                    continue;
                }
                tracing::error!("the server refuses the result, which is dropped ({status} {code}): {message}");
            }
            Err(fault) => return Some(fault),
        }
        agent.desk().told(*order, report.generation);
        return None;
    }
}
