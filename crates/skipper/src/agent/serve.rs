use std::{sync::Arc, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};

use super::{beat, outage::Outage, pause::Pauses, poll, state::Agent, tell, work};
use crate::failure::{Doing as _, Done, Failure};

/// Time for results of what was finished last to reach the server.
const TELL_WITHIN: Duration = Duration::from_secs(10);
/// Time for the loops to end once everything is said.
const END_WITHIN: Duration = Duration::from_secs(2);

/// Signals that an agent knows.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).doing(|| "listen for signals".to_owned());
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Until the agent is told to end.
    async fn end(&mut self, agent: &Agent) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    tracing::info!("SIGHUP: the token is read again");
                    agent.token.reread();
                    agent.let_in.notify_waiters();
                }
            }
        }
    }
}

/// Works until it is told to end, and then brings to an end what it is at.
///
/// # Errors
///
/// Signals cannot be listened for, or a token for enrolment was refused.
pub(super) async fn serve(agent: &Arc<Agent>) -> Done {
    let mut signals = Signals::new()?;
    let enrolled = tokio::select! {
        enrolled = enrol(agent) => enrolled,
        () = signals.end(agent) => return Ok(()),
    };
    enrolled?;
    start(agent);
    signals.end(agent).await;
    tracing::info!(
        drain_ms = u64::try_from(agent.drain_within.as_millis()).unwrap_or(u64::MAX),
        "the agent ends: it takes nothing new, and finishes what it is at"
    );
    tokio::select! {
        () = drain(agent) => {}
        () = signals.end(agent) => tracing::warn!("told to end once more: what is not finished stays in the journal"),
    }
    agent.gone.cancel();
    tracing::info!("the agent has ended");
    Ok(())
}

/// Starts the loops.
pub(super) fn start(agent: &Arc<Agent>) {
    let begun = agent.desk().begun();
    if begun > 0 {
        tracing::warn!(
            orders = begun,
            "a run before this one ended in the middle of orders; they are carried out again"
        );
    }
    agent.tasks.spawn(poll::run(Arc::clone(agent)));
    agent.tasks.spawn(work::run(Arc::clone(agent)));
    agent.tasks.spawn(tell::run(Arc::clone(agent)));
    agent.tasks.spawn(beat::run(Arc::clone(agent)));
    agent.tasks.spawn(beat::look(Arc::clone(agent)));
}

/// Takes nothing new, waits for what is under way and for its results to be known, and says goodbye.
pub(super) async fn drain(agent: &Arc<Agent>) {
    let until = Instant::now() + agent.drain_within;
    agent.draining.cancel();
    // So that the server hands out nothing more, and lets go of the question that waits.
    agent.beat.notify_one();
    if tokio::time::timeout_at(until, until_idle(agent, |agent| agent.desk().is_idle())).await.is_err() {
        tracing::warn!(
            "not everything was finished in time; what is left stays in the journal and is settled at the next start"
        );
    }
    agent.tell.notify_one();
    if tokio::time::timeout(TELL_WITHIN, until_idle(agent, |agent| agent.desk().untold().is_empty())).await.is_err() {
        tracing::warn!("the server does not know all results yet; they stay here and are told at the next start");
    }
    beat::goodbye(agent).await;
    agent.gone.cancel();
    agent.tasks.close();
    let _ = tokio::time::timeout(END_WITHIN, agent.tasks.wait()).await;
}

/// Every end of an order and every result that was taken makes room.
async fn until_idle(agent: &Agent, is_so: impl Fn(&Agent) -> bool) {
    loop {
        let mut changed = std::pin::pin!(agent.room.notified());
        changed.as_mut().enable();
        if is_so(agent) {
            return;
        }
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
    }
}

/// Exchanges a token for enrolment, as long as that takes.
pub(super) async fn enrol(agent: &Agent) -> Done {
    let mut pauses = Pauses::default();
    let mut outage = Outage::new("enrol this node");
    while agent.token.is_for_enrolment() {
        let key = agent.token.exchanged_under().map_err(|error| {
            Failure::error(format!("keep the key of the enrolment: {error}"))
                .hint("make room, and start the agent again")
        })?;
        match agent.door.enrol(&key).await {
            Ok(token) => {
                tracing::info!("this node is enrolled; its token is kept in the agent's folder");
                if let Err(error) = agent.token.enrolled(token) {
                    return Err(Failure::error(format!("keep the node's token: {error}"))
                        .hint("make room, and enrol again with another token: `skipper node enrol`"));
                }
            }
            Err(fault) => {
                let pause = if fault.is_lasting() { pauses.denied() } else { pauses.away() };
                outage.met(&fault, pause);
                agent.until_let_in(pause).await;
            }
        }
    }
    outage.over();
    Ok(())
}
