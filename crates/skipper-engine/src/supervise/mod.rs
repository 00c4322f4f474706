//! Keeping what runs running, and what is stored true.
//!
//! Five loops, none of which waits for another: [`sweep`] looks at everything that runs, [`routers`] tells routers
//! that have lost their table, [`pulse`] asks what serves whether it is still healthy, [`garbage`] clears away what no revision needs any more, and the restarts that back-off put
//! off are carried out when their time has come. Nothing
//! here acts on a release that has an open rollout, and nothing is remembered that a restart of the server could not
//! find out again.

mod garbage;
mod orphans;
mod pulse;
mod routers;
mod sweep;
mod tell;
mod tend;
mod ward;

pub(crate) use sweep::span;
pub(crate) use ward::Ward;

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use skipper_core::{
    BoxFuture,
    id::ReleaseId,
    port::{Error as PortError, ErrorKind, Platform},
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, info_span};

use crate::engine::Shared;

/// Releases looked after at the same time.
const TENDED_AT_ONCE: usize = 16;
/// Shortest pause between two sweeps; changes that come together are looked at together.
const SETTLE: Duration = Duration::from_millis(20);
/// What nobody seems to own is looked at again after this long: it is not to stay for as long as two usual pauses.
const SUSPICIOUS: Duration = Duration::from_secs(5);
/// A sweep may take this part of the time.
const SWEEP_SHARE: u32 = 10;

/// Supervises until `stop`.
pub(crate) async fn run(shared: Arc<Shared>, tasks: TaskTracker, stop: CancellationToken) {
    let nurse = Nurse { slots: Arc::new(Semaphore::new(TENDED_AT_ONCE)), shared, tasks, stop };
    tokio::select! {
        () = nurse.stop.cancelled() => {}
        () = routers::keep(&nurse.shared) => {}
        () = restarts(&nurse) => {}
        () = garbage::collect(&nurse.shared) => {}
        () = pulse::feel(&nurse.shared) => {}
        () = Box::pin(sweeps(&nurse)) => {}
    }
}

/// Longest one question of supervision to the store may take.
pub(crate) const STORE_BOUND: Duration = Duration::from_secs(10);

/// Asks the store, but not for ever: a lock or a visit must not be kept by a store that does not answer.
pub(crate) async fn stored<T>(question: BoxFuture<'_, Result<T, PortError>>) -> Result<T, PortError> {
    timeout(STORE_BOUND, question)
        .await
        .unwrap_or_else(|_| Err(PortError::new(ErrorKind::Unknown, "no-answer", "the store does not answer")))
}

/// Starts the tasks that look after one release each.
struct Nurse {
    slots: Arc<Semaphore>,
    shared: Arc<Shared>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Nurse {
    /// Looks after a release in a task of its own, unless that is being done already.
    fn send_to(&self, release: ReleaseId) {
        let Some(visit) = ward::Visit::begin(&self.shared, release) else { return };
        let (slots, stop) = (Arc::clone(&self.slots), self.stop.clone());
        let work = async move {
            let Ok(_slot) = slots.acquire().await else { return };
            tokio::select! {
                () = stop.cancelled() => {}
                () = Box::pin(tend::tend(&visit)) => {}
            }
        };
        self.tasks.spawn(work.instrument(info_span!("supervise", release.id = %release)));
    }
}

/// Carries out restarts when their time has come.
async fn restarts(nurse: &Nurse) {
    let ward = &nurse.shared.ward;
    loop {
        let mut rescheduled = ward.rescheduled();
        rescheduled.mark_unchanged();
        let now = Instant::now();
        for release in ward.due(now) {
            nurse.send_to(release);
        }
        let next = ward.next_due(now);
        tokio::select! {
            _ = rescheduled.changed() => {}
            () = async { match next { Some(at) => sleep_until(at).await, None => std::future::pending().await } } => {}
        }
    }
}

/// Looks at everything: at once, on a timer, and when a platform reports a change.
async fn sweeps(nurse: &Nurse) {
    let shared = &nurse.shared;
    let every = shared.config.tuning.sweep_every;
    let platforms: Vec<Arc<dyn Platform>> =
        shared.config.platforms.iter().map(|(_, platform)| Arc::clone(platform)).collect();
    let watch = |number: usize| {
        let platform = platforms.get(number).map(Arc::clone);
        async move {
            match platform {
                Some(platform) => platform.changed().await,
                None => shared.config.platforms.changed_elsewhere().await,
            }
            number
        }
    };
    let mut changes: FuturesUnordered<_> = (0..=platforms.len()).map(watch).collect();
    let mut changed: Vec<usize> = Vec::new();
    let mut orphans = orphans::Orphans::default();
    let (mut full_at, mut next, mut not_before) = (Instant::now(), Instant::now(), Instant::now());
    loop {
        tokio::select! {
            () = sleep_until(next) => {}
            Some(number) = changes.next() => {
                // Watched again from the next sweep on, so that one that reports all the time costs no more than that.
                changed.push(number);
                next = next.min(not_before);
                continue;
            }
            () = shared.look.notified() => {
                next = next.min(not_before);
                continue;
            }
        }
        changes.extend(changed.drain(..).map(watch));
        let begun = Instant::now();
        let swept = sweep::sweep(shared).await;
        for release in &swept.troubled {
            nurse.send_to(*release);
        }
        if begun >= full_at {
            orphans.look(shared, &swept).await;
            let pause = if orphans.is_suspicious() { every.min(SUSPICIOUS) } else { every };
            full_at = begun + pause;
        }
        let took = begun.elapsed();
        not_before = Instant::now() + (took * SWEEP_SHARE).max(SETTLE).min(every);
        next = full_at.max(not_before);
    }
}
