//! The data folder as the fleet's users know it. `resources/` and `auth/` may be written by hand or by Git, and are taken in;
//! `work-orders/`, `events/`, `logs/` and `snapshots/` can be followed with plain tools, and are never read.
//!
//! The database is the truth. A file that says something else was either changed by somebody, and counts, or is what the server
//! wrote before it died, and is written again: which of both is told by the digest that the server leaves in what it writes.
//! A file that is missing is written again, too; a resource is removed by the API. One that cannot be read is left to who wrote it.

mod place;
mod take;
mod tell;
mod watch;
mod wrong;

use std::{path::PathBuf, sync::Arc, time::Duration};

use skipper_store::EventFilter;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::app::App;

use place::Place;
pub(super) use take::Taken;
use tell::Touched;

pub use wrong::WrongFiles;

/// How often files are looked at, and what other processes stored.
const LOOK: Duration = Duration::from_secs(2);
/// How often all of them are where changes are heard of.
const LOOK_AT_ALL: Duration = Duration::from_secs(60);
/// How often it is shown when nodes were seen.
const NODES: Duration = Duration::from_secs(30);
/// Shortest time from one telling to the next: what changes several times meanwhile is written once.
const GATHER: Duration = Duration::from_millis(100);
/// The same where much changes, and how many documents that is.
const GATHER_MUCH: Duration = Duration::from_secs(1);
const MUCH: usize = 50;
/// Events read at a time, and most documents that are gathered before they are written.
const BATCH: u32 = 500;
const DOCUMENTS: usize = 2000;
/// A store with more events than that is not told anew from its beginning.
const FROM_THE_BEGINNING: u64 = 10_000;

/// Keeps folder and database alike until `stop`.
pub async fn follow(app: App, data_dir: PathBuf, stop: CancellationToken) {
    let place = Place::new(data_dir);
    if let Err(cause) = place.prepare() {
        warn!(error = %cause, dir = %place.root().display(), "the fleet's folders cannot be made; they are not followed");
        return;
    }
    let taken = Arc::new(Taken::new(&place, app.fleet.wrong_files().clone()));
    take::changed(&app, &taken, true).await;
    tell::everything(&app, &place, &taken).await;
    let _ = app.fleet.0.files.set(Arc::clone(&taken));
    app.tasks.spawn(take_in(app.clone(), Arc::clone(&taken), stop.clone()));
    tell(app, place, taken, stop).await;
}

/// Takes in what people write.
async fn take_in(app: App, taken: Arc<Taken>, stop: CancellationToken) {
    let mut wanted = app.fleet.0.wanted.subscribe();
    let mut all_at = Instant::now();
    loop {
        let turn = *wanted.borrow_and_update();
        let all = all_at.elapsed() >= LOOK_AT_ALL;
        take::changed(&app, &taken, all).await;
        if all {
            all_at = Instant::now();
        }
        app.fleet.0.looked.send_replace(turn);
        if stop.run_until_cancelled(timeout(LOOK, wanted.changed())).await.is_none() {
            return;
        }
    }
}

/// Tells what is stored.
async fn tell(app: App, place: Place, taken: Arc<Taken>, stop: CancellationToken) {
    let mut head = app.store.events_subscribe();
    let mut after = match place.last_event() {
        Some(seq) => seq,
        None => {
            let newest = *head.borrow_and_update();
            if newest > FROM_THE_BEGINNING { newest } else { 0 }
        }
    };
    let (mut nodes_at, mut tidied_at) = (Instant::now(), Instant::now());
    loop {
        let began = Instant::now();
        head.mark_unchanged();
        let mut touched = Touched::default();
        while touched.count() < DOCUMENTS {
            let events = match app.store.events_list(after, BATCH, &EventFilter::default()).await {
                Ok(events) => events,
                Err(error) => {
                    warn!(%error, "events cannot be read for the data folder");
                    break;
                }
            };
            let Some(last) = events.last() else { break };
            after = last.seq;
            tell::lines(&place, &events);
            touched.add(&events);
        }
        let more = touched.count() >= DOCUMENTS;
        let gather = if touched.count() < MUCH { GATHER } else { GATHER_MUCH };
        tell::documents(&app, &place, &taken, &touched).await;
        tell::again(&app, &place, &taken, &taken.missing()).await;
        if tidied_at.elapsed() >= LOOK {
            tell::tidy(&app, &place).await;
            tidied_at = Instant::now();
        }
        if nodes_at.elapsed() >= NODES {
            nodes_at = Instant::now();
            tell::nodes(&app, &place, &taken).await;
        }
        let woken = async {
            if !more {
                let _ = timeout(LOOK, head.changed()).await;
                sleep_until(began + gather).await;
            }
        };
        if stop.run_until_cancelled(woken).await.is_none() {
            return;
        }
    }
}
