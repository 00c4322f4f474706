//! The loop that takes up open rollouts, and what its tasks share.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use skipper_core::{
    id::RolloutId,
    port::{ErrorKind, Lease},
};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, debug, error, info, info_span, warn};

use crate::{
    config::EngineConfig,
    handle::EngineHandle,
    lease,
    modes::Modes,
    place::{MOST_ASIDE, Place},
    published::Published,
    retry::Backoff,
    rollout::{self, End},
    status::Board,
    supervise::{self, Ward},
};

const POISONED: &str = "no code panics while it holds this lock";
/// Longest a question to the store about leases may take.
const STORE_BOUND: Duration = Duration::from_secs(10);
/// First and longest pause before a rollout that the store could not serve is taken up again.
const TAKE_UP_AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// What the engine's tasks and its handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: EngineConfig,
    pub(crate) board: Board,
    pub(crate) modes: Modes,
    pub(crate) ward: Ward,
    /// Who tells the routers something.
    pub(crate) published: Published,
    /// Asks supervision to look at everything soon.
    pub(crate) look: Notify,
    nudge: watch::Sender<u64>,
    /// The open rollouts that somebody asked to cancel, as far as that is known here.
    cancels: watch::Sender<BTreeSet<RolloutId>>,
    /// Rollouts being worked on, and those that wait before they are taken up again.
    active: Mutex<HashMap<RolloutId, Turn>>,
    /// Room for rollouts that wait for other machines, and have no place meanwhile.
    pub(crate) aside: Semaphore,
}

#[derive(Debug)]
enum Turn {
    Working { tries: u32 },
    Waiting { tries: u32, until: Instant },
}

impl Shared {
    pub(crate) fn wake(&self) {
        self.nudge.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Whether somebody asked to cancel the rollout, as far as that is known here.
    pub(crate) fn is_cancelled(&self, id: RolloutId) -> bool {
        self.cancels.borrow().contains(&id)
    }

    /// Resolves when somebody asked to cancel the rollout.
    pub(crate) async fn cancelled(&self, id: RolloutId) {
        // Fails only when the sender is gone, which is here.
        let _ = self.cancels.subscribe().wait_for(|cancels| cancels.contains(&id)).await;
    }

    /// Asks for all rollouts at once whether they are to be cancelled: whenever somebody wakes the engine, and by the clock.
    async fn hear_cancels(self: Arc<Self>, stop: CancellationToken) {
        let mut nudges = self.nudge.subscribe();
        loop {
            nudges.mark_unchanged();
            if self.running() > 0 {
                match timeout(STORE_BOUND, self.config.store.cancels()).await {
                    Ok(Ok(asked)) => {
                        self.cancels.send_if_modified(|known| {
                            let changed = *known != asked;
                            *known = asked;
                            changed
                        });
                    }
                    Ok(Err(error)) => warn!(error = error.chain(), "cannot read which rollouts are to be cancelled"),
                    Err(_) => {
                        warn!(bound = ?STORE_BOUND, "the store does not answer which rollouts are to be cancelled");
                    }
                }
            }
            let nudged = timeout(self.config.tuning.cancel_poll, nudges.changed());
            if stop.run_until_cancelled(nudged).await.is_none() {
                return;
            }
        }
    }

    pub(crate) fn running(&self) -> usize {
        let active = self.active.lock().expect(POISONED);
        active.values().filter(|turn| matches!(turn, Turn::Working { .. })).count()
    }

    /// The rollouts that are worked on here, or will be again.
    pub(crate) fn worked_on(&self) -> Vec<RolloutId> {
        self.active.lock().expect(POISONED).keys().copied().collect()
    }

    /// Marks a rollout as worked on, unless it is already or has to wait.
    fn take_up(&self, id: RolloutId) -> bool {
        let mut active = self.active.lock().expect(POISONED);
        let tries = match active.get(&id) {
            None => 0,
            Some(Turn::Waiting { tries, until }) if *until <= Instant::now() => *tries,
            Some(_) => return false,
        };
        active.insert(id, Turn::Working { tries });
        true
    }

    fn put_down(&self, id: RolloutId, again: bool) {
        let mut active = self.active.lock().expect(POISONED);
        let tries = match active.remove(&id) {
            Some(Turn::Working { tries }) => tries,
            _ => 0,
        };
        if again {
            let pause = Backoff::pause(TAKE_UP_AGAIN.0, TAKE_UP_AGAIN.1, tries);
            active.insert(id, Turn::Waiting { tries: tries.saturating_add(1), until: Instant::now() + pause });
        }
    }

    /// When the next waiting rollout may be taken up. One whose turn has come is not due yet, for example because its
    /// lease has to expire first: the timer finds it.
    fn next_turn(&self) -> Option<Instant> {
        let now = Instant::now();
        let active = self.active.lock().expect(POISONED);
        let waiting = active.values().filter_map(|turn| match turn {
            Turn::Waiting { until, .. } if *until > now => Some(*until),
            Turn::Waiting { .. } | Turn::Working { .. } => None,
        });
        waiting.min()
    }
}

/// Puts a rollout down also when its task panics.
struct Working {
    shared: Arc<Shared>,
    id: RolloutId,
    again: bool,
    place: Arc<Place>,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.shared.board.end(self.id);
        self.shared.put_down(self.id, self.again);
        // Before the engine is woken: it looks whether there is one, and waits for the next word where there is none.
        self.place.leave();
        // One more may be admitted now, and a leftover may be waiting.
        self.shared.wake();
        self.shared.look.notify_one();
    }
}

/// Carries out rollouts and supervises what runs.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

impl Engine {
    /// Makes an engine. Nothing happens before [`Engine::run`].
    #[must_use]
    pub fn new(config: EngineConfig) -> Self {
        let ward = Ward::new(config.tuning.restart);
        let shared = Shared {
            config,
            board: Board::new(),
            modes: Modes::default(),
            ward,
            published: Published::default(),
            look: Notify::new(),
            nudge: watch::Sender::new(0),
            cancels: watch::Sender::default(),
            active: Mutex::new(HashMap::new()),
            aside: Semaphore::new(MOST_ASIDE),
        };
        Self { shared: Arc::new(shared) }
    }

    /// What the rest of the server holds.
    #[must_use]
    pub fn handle(&self) -> EngineHandle {
        EngineHandle { shared: Arc::clone(&self.shared) }
    }

    /// Works until `stop` is cancelled, then lets go of every rollout at its next await and gives the leases back.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves its tasks running until they notice nothing but the end of the runtime: cancel `stop` instead.
    pub async fn run(&self, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let shared = &self.shared;
        let tuning = &shared.config.tuning;
        // Also when this future is dropped, its tasks are told.
        let stop = stop.child_token();
        let _stopping = stop.clone().drop_guard();
        if !matches!(timeout(STORE_BOUND, shared.config.store.reclaim(&shared.config.owner)).await, Ok(Ok(()))) {
            warn!("leases of the last run were not given back; they will expire");
        }
        if !self.learn_modes(&stop).await {
            return;
        }
        shared.ward.begin();
        tasks.spawn(supervise::run(Arc::clone(shared), tasks.clone(), stop.clone()));
        let permits = Arc::new(Semaphore::new(tuning.max_rollouts.max(1)));
        tasks.spawn(Arc::clone(shared).hear_cancels(stop.clone()));
        let mut nudges = shared.nudge.subscribe();
        loop {
            // Before the store is read, so that no wake-up is lost.
            nudges.mark_unchanged();
            self.take_up_due(&tasks, &permits, &stop).await;
            let poll = Instant::now() + tuning.poll_every;
            let next = shared.next_turn().map_or(poll, |turn| turn.min(poll));
            tokio::select! {
                () = stop.cancelled() => break,
                _ = nudges.changed() => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
        tasks.close();
        if timeout(tuning.grace, tasks.wait()).await.is_err() {
            warn!(running = tasks.len(), grace = ?tuning.grace, "tasks still run; leases will expire and the work be taken up again");
        }
    }

    /// Reads what users asked of the edge, before anything is told to it. `false`: the engine was stopped meanwhile.
    async fn learn_modes(&self, stop: &CancellationToken) -> bool {
        let shared = &self.shared;
        let mut backoff = Backoff::step();
        loop {
            match timeout(STORE_BOUND, shared.config.store.modes()).await {
                Ok(Ok(modes)) => {
                    shared.modes.learn(modes);
                    return true;
                }
                // One that cannot be read must not keep everything else waiting.
                Ok(Err(error)) if error.kind() == ErrorKind::Damaged => {
                    error!(error = error.chain(), "what was asked of the edge cannot be read; requests are forwarded");
                    return true;
                }
                Ok(Err(error)) => warn!(error = error.chain(), "cannot read what was asked of the edge"),
                Err(_) => warn!(bound = ?STORE_BOUND, "the store does not answer what was asked of the edge"),
            }
            if stop.run_until_cancelled(backoff.wait()).await.is_none() {
                return false;
            }
        }
    }

    async fn take_up_due(&self, tasks: &TaskTracker, permits: &Arc<Semaphore>, stop: &CancellationToken) {
        let shared = &self.shared;
        if permits.available_permits() == 0 {
            return;
        }
        // Those that wait for their turn are due as well and must not hide the others.
        let limit = u32::try_from(shared.config.tuning.max_rollouts.saturating_mul(2)).unwrap_or(u32::MAX);
        let due = match timeout(STORE_BOUND, shared.config.store.due(shared.config.clock.now(), limit)).await {
            Ok(Ok(due)) => due,
            Ok(Err(error)) => return error!(error = error.chain(), "cannot read which rollouts are due"),
            Err(_) => return error!(bound = ?STORE_BOUND, "the store does not answer which rollouts are due"),
        };
        for id in due {
            let Ok(permit) = Arc::clone(permits).try_acquire_owned() else { return };
            if shared.take_up(id) {
                let place = Arc::new(Place::new(permits, permit));
                let working = Working { shared: Arc::clone(shared), id, again: false, place };
                tasks.spawn(work(working, stop.clone()).instrument(info_span!("rollout", rollout.id = %id)));
            }
        }
    }
}

/// One rollout, under its lease.
async fn work(mut working: Working, stop: CancellationToken) {
    let shared = Arc::clone(&working.shared);
    let config = &shared.config;
    let ttl = config.tuning.lease.ttl();
    let lease: Lease = match timeout(STORE_BOUND, config.store.lease(working.id, &config.owner, ttl)).await {
        Ok(Ok(Some(lease))) => lease,
        Ok(Ok(None)) => return debug!("somebody else works on it"),
        Ok(Err(error)) => {
            working.again = error.kind() != ErrorKind::NotFound;
            return warn!(error = error.chain(), "cannot take the lease");
        }
        Err(_) => {
            working.again = true;
            return warn!(bound = ?STORE_BOUND, "the store does not answer; cannot take the lease");
        }
    };
    let place = Arc::clone(&working.place);
    let end = tokio::select! {
        biased;
        () = stop.cancelled() => End::Stopped,
        () = lease::keep(config, lease.clone()) => End::Lost,
        end = Box::pin(rollout::drive(&shared, &lease, &place)) => end,
    };
    match end {
        End::Final => return,
        End::Lost => return info!("the lease is lost; somebody else goes on"),
        End::Stopped => {}
        End::Later => working.again = true,
    }
    if !matches!(timeout(STORE_BOUND, config.store.release_lease(&lease)).await, Ok(Ok(()))) {
        debug!("the lease was not given back; it will expire");
    }
}
