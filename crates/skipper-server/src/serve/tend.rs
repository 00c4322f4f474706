//! Who tends what runs, where several servers share a database: one of them. The others answer the API, hand what they accept
//! to it through the store, and take its place when it is gone.

use std::{sync::Arc, time::Duration};

use skipper_edge::EdgeSupervisor;
use skipper_engine::Engine;
use skipper_store::Home;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{app::App, caddy};

/// How long the right to tend lasts unless it is renewed: the longest that nobody tends after a server has died.
const TTL: Duration = Duration::from_secs(15);
/// How much earlier its holder stops: the engine has until then to let go of what it is doing.
const MARGIN: Duration = Duration::from_secs(6);
/// How often it is renewed; one renewal may be lost.
const RENEW: Duration = Duration::from_secs(4);
/// How often a server that waits asks whether its time has come.
const ASK: Duration = Duration::from_secs(2);
/// A new edge is there within some 20 ms; longer than this, whatever is wrong with it is not over soon.
const EDGE_PATIENCE: Duration = Duration::from_secs(2);

/// What is run by the server that tends.
pub(super) struct Tender {
    pub(super) app: App,
    pub(super) engine: Engine,
    pub(super) supervisor: Arc<EdgeSupervisor>,
    /// This server's name in leases.
    pub(super) owner: String,
    /// Where it is, for the people of the others.
    pub(super) place: String,
    /// The Caddy that stands in front of the edge, as it is said now.
    pub(super) caddy: watch::Receiver<Option<caddy::Settings>>,
}

impl Tender {
    /// Tends until `stop`, whenever it is this server's turn.
    pub(super) async fn run(self, stop: CancellationToken) {
        // A database of its own is locked by its server.
        if !self.app.store.is_shared() {
            return self.tend(stop).await;
        }
        while let Some(until) = stop.run_until_cancelled(self.turn()).await {
            let turn = stop.child_token();
            tokio::join!(self.tend(turn.clone()), self.hold(until, &turn));
        }
        if !matches!(timeout(ASK, self.app.store.home_leave(&self.owner)).await, Ok(Ok(()))) {
            info!("the right to tend was not given back; it will expire");
        }
    }

    /// Waits until this server is the one that tends; until when.
    async fn turn(&self) -> Instant {
        loop {
            let asked = Instant::now();
            match self.app.store.home_take(&self.owner, &self.place, TTL).await {
                Ok(Home::Own) => {
                    self.app.tended_by.send_replace(None);
                    return asked + TTL - MARGIN;
                }
                Ok(Home::Other(place)) => {
                    let news = self.app.tended_by.send_replace(Some(place.clone())).as_ref() != Some(&place);
                    if news {
                        info!(
                            "another server tends what runs ({place}); this one answers, and takes its place when it is gone"
                        );
                    }
                }
                Err(error) => warn!(%error, "cannot ask who tends what runs"),
            }
            sleep(ASK).await;
        }
    }

    /// Renews the right, and ends the turn when it is lost.
    async fn hold(&self, mut until: Instant, turn: &CancellationToken) {
        loop {
            let renewed = async {
                sleep(RENEW).await;
                let asked = Instant::now();
                (asked, self.app.store.home_take(&self.owner, &self.place, TTL).await)
            };
            tokio::select! {
                () = turn.cancelled() => return,
                () = sleep_until(until) => {
                    warn!("the right to tend could not be renewed in time; another server may take it");
                    break;
                }
                (asked, home) = renewed => match home {
                    Ok(Home::Own) => until = asked + TTL - MARGIN,
                    Ok(Home::Other(place)) => {
                        warn!("another server tends what runs now ({place})");
                        break;
                    }
                    Err(error) => warn!(%error, "the right to tend is not renewed yet"),
                }
            }
        }
        turn.cancel();
    }

    async fn tend(&self, stop: CancellationToken) {
        let engine = async {
            // Rollouts and routes need the edge: a moment's patience spares them their first failure.
            let _ = stop.run_until_cancelled(timeout(EDGE_PATIENCE, self.edge_answers())).await;
            self.engine.run(stop.clone()).await;
        };
        tokio::join!(self.supervisor.watch(stop.clone()), engine, self.front(&stop));
    }

    /// Keeps Caddy, anew whenever something else is said of it.
    async fn front(&self, stop: &CancellationToken) {
        let mut said = self.caddy.clone();
        while !stop.is_cancelled() {
            let (settings, turn) = (said.borrow_and_update().clone(), stop.child_token());
            let keep = async {
                match settings {
                    Some(settings) => caddy::Front::new(self.app.clone(), settings).run(turn.clone()).await,
                    None => turn.cancelled().await,
                }
            };
            let watch = async {
                if let Some(Err(_)) = turn.run_until_cancelled(said.changed()).await {
                    turn.cancelled().await;
                }
                turn.cancel();
            };
            tokio::join!(keep, watch);
        }
    }

    async fn edge_answers(&self) {
        let mut pause = Duration::from_millis(1);
        while self.app.edge.info().await.is_err() {
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}
