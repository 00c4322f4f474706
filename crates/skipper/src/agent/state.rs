//! What the loops of the agent share.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Duration,
};

use jiff::Timestamp;
use skipper_core::port::Clock;
use tokio::{sync::Notify, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    desk::Desk,
    door::Door,
    hands::{Hands, Projects},
    token::Token,
};

/// How often a token file is looked at while the server refuses what was in it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// One agent.
pub(super) struct Agent {
    /// The way to the server.
    pub(super) door: Door,
    /// What lets it in.
    pub(super) token: Arc<Token>,
    /// What it works with.
    pub(super) hands: Arc<dyn Hands>,
    /// What time it is, for people.
    pub(super) clock: Arc<dyn Clock>,
    /// Pause of the plain poll.
    pub(super) poll_interval: Duration,
    /// Pause between heartbeats.
    pub(super) heartbeat_interval: Duration,
    /// Longest that work goes on after SIGTERM.
    pub(super) drain_within: Duration,
    desk: Mutex<Desk>,
    /// States of projects as they were last seen.
    pub(super) projects: Mutex<Projects>,
    /// Whether these are all that there are.
    pub(super) all_projects: AtomicBool,
    /// How often an order has changed projects.
    pub(super) changes: AtomicU64,
    /// Why no order is taken, if none is.
    pub(super) trouble: Mutex<Option<String>>,
    /// There may be an order to begin, or room for another.
    pub(super) work: Notify,
    /// There may be room for another order.
    pub(super) room: Notify,
    /// There may be something to tell.
    pub(super) tell: Notify,
    /// A heartbeat is due before its time.
    pub(super) beat: Notify,
    /// Projects may have changed.
    pub(super) look: Notify,
    /// The token may be another one.
    pub(super) let_in: Notify,
    /// The server wants a link.
    pub(super) link: Notify,
    /// Whether this agent opens one then.
    pub(super) links: bool,
    /// Accounts that are reached by it, and their kinds.
    pub(super) offers: BTreeMap<String, String>,
    /// Nothing new is taken.
    pub(super) draining: CancellationToken,
    /// Everything ends.
    pub(super) gone: CancellationToken,
    /// Whoever is at work.
    pub(super) tasks: TaskTracker,
}

/// What an agent is made of.
pub(super) struct Parts {
    pub(super) door: Door,
    pub(super) token: Arc<Token>,
    pub(super) hands: Arc<dyn Hands>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) desk: Desk,
    pub(super) poll_interval: Duration,
    pub(super) heartbeat_interval: Duration,
    pub(super) drain_within: Duration,
    pub(super) links: bool,
    pub(super) offers: BTreeMap<String, String>,
}

impl Agent {
    /// Puts it together. Nothing happens yet.
    pub(super) fn new(parts: Parts) -> Arc<Self> {
        let Parts { door, token, hands, clock, desk, poll_interval, heartbeat_interval, drain_within, links, offers } =
            parts;
        Arc::new(Self {
            door,
            token,
            hands,
            clock,
            poll_interval,
            heartbeat_interval,
            drain_within,
            desk: Mutex::new(desk),
            projects: Mutex::default(),
            all_projects: AtomicBool::new(false),
            changes: AtomicU64::new(0),
            trouble: Mutex::default(),
            work: Notify::new(),
            room: Notify::new(),
            tell: Notify::new(),
            beat: Notify::new(),
            look: Notify::new(),
            let_in: Notify::new(),
            link: Notify::new(),
            links,
            offers,
            draining: CancellationToken::new(),
            gone: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// The orders of this node. Never held across an await.
    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        lock(&self.desk)
    }

    /// What time it is here, for people.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.clock.now().as_micros()).unwrap_or_default()
    }

    /// Waits until the token may be another one, or the pause is over.
    pub(super) async fn until_let_in(&self, pause: Duration) {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = self.let_in.notified() => return,
                () = tokio::time::sleep_until(until.min(Instant::now() + LOOK_AGAIN)) => {}
            }
            if self.reread_token() || Instant::now() >= until {
                return;
            }
        }
    }

    /// Looks whether there is another token.
    pub(super) fn reread_token(&self) -> bool {
        let is_new = self.token.reread();
        if is_new {
            tracing::info!("there is another token in the token file; it is used from now on");
            self.let_in.notify_waiters();
        }
        is_new
    }
}

/// A lock that a panic elsewhere does not spoil: what is inside is whole between any two statements.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
