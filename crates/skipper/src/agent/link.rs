//! The connection by which the server asks this node something: the platforms and the edge that are here, and what tenants' projects
//! write. It is opened when the server says that it wants one, and ends when nobody uses it.
//!
//! It goes out as every other one does, and is HTTP/2 with the parts exchanged from the moment at which the server has agreed. Work
//! orders do not need it: where a proxy does not let it through, they go on without.

mod answer;
mod projects;

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures::FutureExt as _;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::timeout;

use super::{
    accounts::Accounts,
    compose::Compose,
    door::Fault,
    pause::{Pauses, jittered},
    state::{Agent, lock},
};
use crate::{failure::chain, render::lasted};
use answer::Goodbye;

/// How long nothing may be heard of the server before it is asked, and how long it then has.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Calls at a time: the server keeps to fewer.
const STREAMS: u32 = 128;
/// Credit for what one stream, and all of them together, may have on the way.
const WINDOWS: (u32, u32) = (256 << 10, 1 << 20);
/// Pause where links do not get through at all.
const NO_LINK: Duration = Duration::from_secs(300);
/// Pause of one whose place another agent has taken: that one is to have its turn.
const REPLACED: Duration = Duration::from_secs(60);
/// Time for calls that are under way when the agent ends.
const END_WITHIN: Duration = Duration::from_secs(10);

/// What answers for this node.
pub(super) struct Reach {
    /// Its accounts and its edge.
    pub(super) accounts: Accounts,
    /// The projects of tenants.
    pub(super) compose: Arc<Compose>,
}

/// Until the agent is told to end: opens a link whenever the server wants one, and whenever one that was in use has been lost.
pub(super) async fn run(agent: Arc<Agent>, reach: Arc<Reach>) {
    let mut pauses = Pauses::default();
    let mut told = Told::default();
    let mut in_use = false;
    loop {
        tokio::select! {
            () = agent.link.notified(), if !in_use => {}
            () = agent.draining.cancelled() => return,
            () = std::future::ready(()), if in_use => {}
        }
        let opened = tokio::select! {
            opened = agent.door.link() => opened,
            () = agent.draining.cancelled() => return,
        };
        let (pause, lasting) = match opened {
            Ok(stream) => {
                told.is_up();
                pauses.reset();
                // What was wanted meanwhile is there.
                let _ = agent.link.notified().now_or_never();
                let how = Box::pin(serve(&agent, &reach, stream)).await;
                if agent.draining.is_cancelled() {
                    return;
                }
                in_use = !matches!(how, Ended::Told(Goodbye::Idle | Goodbye::Refused));
                after(how, &mut pauses)
            }
            Err(fault) => {
                let pause = match &fault {
                    Fault::Busy { after: Some(after), .. } => *after + pauses.away(),
                    Fault::Unreachable(_) | Fault::Cut(_) | Fault::Busy { .. } => pauses.away(),
                    Fault::Denied(_) | Fault::Protocol(_) => pauses.denied(),
                    _ => jittered(NO_LINK),
                };
                told.failed(&fault, pause);
                // Whoever still wants it says so again.
                in_use &= !fault.is_lasting();
                (pause, fault.is_lasting())
            }
        };
        tokio::select! {
            () = agent.until_let_in(pause), if lasting => {}
            () = tokio::time::sleep(pause), if !lasting => {}
            () = agent.draining.cancelled() => return,
        }
    }
}

/// How a link ended.
#[derive(Debug)]
enum Ended {
    /// The server said why.
    Told(Goodbye),
    /// It broke.
    Broke(String),
    /// It was closed.
    Closed,
}

/// What is to be done next: how long to wait, and whether only another token ends that earlier.
fn after(how: Ended, pauses: &mut Pauses) -> (Duration, bool) {
    match how {
        Ended::Told(Goodbye::Replaced) => {
            tracing::warn!(
                "another agent with the token of this node has taken its link: stop one of them, or give each a node of its own"
            );
            (jittered(REPLACED), false)
        }
        Ended::Told(Goodbye::Idle) => {
            tracing::debug!("the server has ended the link: it asks nothing");
            (Duration::ZERO, false)
        }
        Ended::Told(Goodbye::Refused) => {
            tracing::error!("the server has ended the link: it does not know this node, or its token, any more");
            (pauses.denied(), true)
        }
        Ended::Told(Goodbye::Leaving) => {
            tracing::info!("the server has ended the link: it ends, or another one tends what runs");
            (pauses.away(), false)
        }
        Ended::Broke(why) => {
            tracing::warn!("the link to the server broke, and is opened again: {why}");
            (pauses.away(), false)
        }
        Ended::Closed => {
            tracing::info!("the link to the server was closed, and is opened again");
            (pauses.away(), false)
        }
    }
}

async fn serve(agent: &Arc<Agent>, reach: &Arc<Reach>, stream: reqwest::Upgraded) -> Ended {
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1);
    let goodbye = Arc::default();
    let service = {
        let (agent, reach, goodbye) = (Arc::clone(agent), Arc::clone(reach), Arc::clone(&goodbye));
        service_fn(move |request: http::Request<Incoming>| {
            let (agent, reach, goodbye) = (Arc::clone(&agent), Arc::clone(&reach), Arc::clone(&goodbye));
            async move { Ok::<_, Infallible>(Box::pin(answer::answer(&agent, &reach, &goodbye, request)).await) }
        })
    };
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let served = tokio::select! {
        served = &mut connection => served,
        () = agent.draining.cancelled() => {
            // What is under way comes to its end; streams that follow something have ended by themselves.
            connection.as_mut().graceful_shutdown();
            timeout(END_WITHIN, connection).await.unwrap_or(Ok(()))
        }
    };
    let told = *lock(&goodbye);
    match (told, served) {
        (Some(goodbye), _) => Ended::Told(goodbye),
        (None, Ok(())) => Ended::Closed,
        (None, Err(error)) => Ended::Broke(chain(&error)),
    }
}

/// Tells of a link that cannot be had once, and when it can be.
#[derive(Debug, Default)]
struct Told {
    since: Option<(&'static str, tokio::time::Instant)>,
}

impl Told {
    fn is_up(&mut self) {
        match self.since.take() {
            Some((_, since)) => tracing::info!("there is a link to the server after {}", lasted(since.elapsed())),
            None => tracing::info!("there is a link to the server"),
        }
    }

    fn failed(&mut self, fault: &Fault, pause: Duration) {
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        let since = self.since.map_or_else(tokio::time::Instant::now, |(_, since)| since);
        if self.since.is_some_and(|(kind, _)| kind == fault.kind()) {
            return tracing::debug!(pause_ms, "no link to the server: {fault}");
        }
        self.since = Some((fault.kind(), since));
        match fault {
            Fault::Absent(_) => tracing::warn!(
                pause_ms,
                "the server knows of no links: it is older than this agent, or does not know this node; work orders go on without"
            ),
            Fault::Refused { .. } | Fault::Unreadable(_) => tracing::warn!(
                pause_ms,
                "no link to the server, and so no platforms, logs and commands of this node there; work orders go on without: {fault}"
            ),
            _ => tracing::warn!(pause_ms, "no link to the server: {fault}; it is tried again"),
        }
    }
}
