//! The agent of a node: takes its work orders from the server, carries them out, and tells what became of them.
//!
//! It needs an outgoing connection only, and promises three things. *Once*: an order that is handed out again after it was done
//! has no second effect; its result is told again. *Settled*: what had begun when the agent was killed is carried out again, and
//! hands are idempotent. *Told*: a result is kept until the server knows it, however long it is away.
//!
//! The loops share [`state::Agent`] and nothing else:
//!
//! | loop | does |
//! |---|---|
//! | [`poll`] | asks for work and puts it on the [`desk`] |
//! | [`work`] | begins what may begin, of one tenant one at a time |
//! | [`tell`] | reports results, the oldest first |
//! | [`link`] | opens a connection when the server wants to ask this node something, and answers |
//! | [`beat`] | heartbeats; they renew leases, and say which orders were lost |
//!
//! What may happen to an order is decided in [`journal::Ledger`] and [`desk`], which know neither network nor engine. Times of the
//! server are never compared with the clock of the node: leases and deadlines are spans from the moment at which the order came.

mod accounts;
mod args;
mod beat;
mod check;
mod compose;
mod desk;
mod disk;
mod door;
mod hands;
mod journal;
mod link;
mod log;
mod outage;
mod pause;
mod poll;
mod serve;
mod settings;
mod state;
mod tell;
#[cfg(test)]
mod tests;
mod token;
mod work;

use std::{process::ExitCode, sync::Arc};

use skipper_core::port::Ids as _;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use args::AgentArgs;

use crate::{
    cmd::Context,
    failure::{Doing as _, Done, Exit, Failure},
    world::{RandomIds, SystemClock},
};
use accounts::Accounts;
use compose::Compose;
use desk::Desk;
use door::Door;
use settings::Settings;
use state::{Agent, Parts};
use token::Token;

impl AgentArgs {
    /// Runs the agent until it is told to end, or checks what it needs.
    pub(crate) fn run(&self, context: &Context) -> ExitCode {
        let said_before = context.connection.url.as_deref();
        let done = Settings::load(self, said_before, &context.surroundings)
            .and_then(|settings| if self.check { check::run(&settings, context) } else { stay(&settings) });
        match done {
            Ok(()) => Exit::Ok.into(),
            Err(failure) => {
                failure.print();
                failure.exit.into()
            }
        }
    }
}

/// One thread does: all that the agent itself does is wait.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(8)
        .thread_name("skipper-agent")
        .build()
        .doing(|| "start the agent".to_owned())
}

/// Sees to it that this node's edge runs, where one is wanted, until everything ends. The edge itself goes on.
async fn watch_edge(reach: &link::Reach, gone: &CancellationToken) {
    if let Some(edge) = &reach.accounts.edge {
        edge.watch(gone.clone()).await;
    }
}

fn stay(settings: &Settings) -> Done {
    log::init(&settings.log, &settings.node).map_err(Failure::usage)?;
    let dir = settings.dir.clone();
    let _lock = disk::own(&dir).map_err(Failure::error)?;
    let token = Arc::new(Token::open(settings.token.clone(), &dir).map_err(Failure::usage)?);
    let instance = RandomIds.next().simple().to_string();
    let door = Door::new(settings, Arc::clone(&token), instance).map_err(Failure::usage)?;
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        let hands = Arc::new(Compose::new(settings));
        let warned = Arc::clone(&hands);
        let watching = TaskTracker::new();
        let accounts = Accounts::open(settings, &watching)
            .doing(|| format!("open the platforms that this node offers, in {}", dir.display()))?;
        let reach = Arc::new(link::Reach { accounts, compose: Arc::clone(&hands) });
        let desk = Desk::open(&dir, Instant::now()).doing(|| format!("open the journal in {}", dir.display()))?;
        let agent = Agent::new(Parts {
            door,
            token,
            hands,
            clock: Arc::new(SystemClock),
            desk,
            poll_interval: settings.poll_interval,
            heartbeat_interval: settings.heartbeat_interval,
            drain_within: settings.drain_within,
            links: true,
            offers: reach.accounts.kinds.clone(),
        });
        tracing::info!(
            node = %settings.node,
            server = %settings.url,
            instance = agent.door.instance(),
            version = env!("CARGO_PKG_VERSION"),
            "the agent starts"
        );
        // An engine that does not answer holds nobody up.
        agent.tasks.spawn(async move {
            for warning in warned.warnings().await {
                tracing::warn!("{warning}");
            }
        });
        agent.tasks.spawn(link::run(Arc::clone(&agent), Arc::clone(&reach)));
        let edge = watch_edge(&reach, &agent.gone);
        let (served, ()) = tokio::join!(serve::serve(&agent), edge);
        reach.accounts.close();
        served
    });
    // A name that is being looked up, or a child of compose that was given up, holds nobody up.
    runtime.shutdown_background();
    served
}
