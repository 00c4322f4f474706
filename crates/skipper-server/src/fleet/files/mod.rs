//! The data folder as the fleet's users know it. `resources/` and `auth/` may be written by hand or by Git, and are taken in;
//! `work-orders/`, `events/`, `logs/` and `snapshots/` can be followed with plain tools, and are never read.
//!
//! The database is the truth. A file that says something else was either changed by somebody, and counts, or is what the server
//! wrote before it died, and is written again: which of both is told by the digest that the server leaves in what it writes.
//! A file that is missing is written again, too; a resource is removed by the API. One that cannot be read is left to who wrote it.

mod place;
mod take;
mod tell;
mod wrong;

use std::{path::PathBuf, time::Duration};

use skipper_store::EventFilter;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::app::App;

use place::Place;

pub use wrong::WrongFiles;

/// How often files are looked at, and what other processes stored.
const LOOK: Duration = Duration::from_secs(2);
/// How often it is shown when nodes were seen.
const NODES: Duration = Duration::from_secs(30);
/// Events read at a time.
const BATCH: u32 = 500;
/// A store with more events than that is not told anew from its beginning.
const FROM_THE_BEGINNING: u64 = 10_000;

/// Keeps folder and database alike until `stop`.
pub async fn follow(app: App, data_dir: PathBuf, stop: CancellationToken) {
    let place = Place::new(data_dir);
    if let Err(cause) = place.prepare() {
        warn!(error = %cause, dir = %place.root().display(), "the fleet's folders cannot be made; they are not followed");
        return;
    }
    let mut taken = take::Taken::new(app.fleet.wrong_files().clone());
    let _ = take::all(&app, &place, &mut taken).await;
    tell::everything(&app, &place, &mut taken).await;
    let mut head = app.store.events_subscribe();
    let mut after = match place.last_event() {
        Some(seq) => seq,
        None => {
            let newest = *head.borrow_and_update();
            if newest > FROM_THE_BEGINNING { newest } else { 0 }
        }
    };
    let mut wanted = app.fleet.0.wanted.subscribe();
    let (mut asked, mut looked_at) = (0, Instant::now());
    let (mut nodes_at, mut tidied_at) = (Instant::now(), Instant::now());
    loop {
        head.mark_unchanged();
        loop {
            let events = match app.store.events_list(after, BATCH, &EventFilter::default()).await {
                Ok(events) => events,
                Err(error) => {
                    warn!(%error, "events cannot be read for the data folder");
                    break;
                }
            };
            let Some(last) = events.last() else { break };
            after = last.seq;
            tell::events(&app, &place, &mut taken, &events).await;
        }
        // Not with every event: looking costs as much as there are files.
        let turn = *wanted.borrow_and_update();
        if turn != asked || looked_at.elapsed() >= LOOK {
            let gone = take::all(&app, &place, &mut taken).await;
            tell::again(&app, &place, &mut taken, &gone).await;
            app.fleet.0.looked.send_replace(turn);
            (asked, looked_at) = (turn, Instant::now());
        }
        if tidied_at.elapsed() >= LOOK {
            tell::tidy(&app, &place).await;
            tidied_at = Instant::now();
        }
        if nodes_at.elapsed() >= NODES {
            nodes_at = Instant::now();
            tell::nodes(&app, &place, &mut taken).await;
        }
        let woken = async {
            tokio::select! {
                _ = head.changed() => {}
                _ = wanted.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        };
        if stop.run_until_cancelled(woken).await.is_none() {
            return;
        }
    }
}
