//! Keeps Caddy as it should be, whatever happens to it: looks when host names come or go, when Caddy loads a configuration or starts
//! again, and now and then.

use std::{collections::BTreeSet, time::Duration};

use http::HeaderValue;
use serde_json::json;
use skipper_core::{
    actor::{Actor, Provenance},
    event::NewEvent,
    id::RequestId,
    port::RolloutStore as _,
    route::Listener,
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    admin::{Connection, Found, Trouble},
    board::{CaddyHealth, CaddyState},
    plan::{self, Left, Plan, Wanted, plan},
    settings::Settings,
};
use crate::app::App;

/// Longest without a look. An idle connection tells of changes before; Caddy closes it after a minute.
const LOOK: Duration = Duration::from_secs(75);
/// After Caddy closed the connection: it ends, or loads a configuration and answers again in some milliseconds.
const SETTLE: Duration = Duration::from_millis(50);
/// First pause after a failure; it doubles.
const PAUSE: Duration = Duration::from_millis(250);
/// Longest pause while nobody answers: to ask costs nothing, and every second counts when Caddy is back.
const PAUSE_AWAY: Duration = Duration::from_secs(2);
/// Longest pause while Caddy refuses: what it refuses it has to load first.
const PAUSE_REFUSED: Duration = Duration::from_secs(60);
/// Between two changes: each interrupts Caddy for a moment, so that those of a hundred deploys are made at once.
const GAP: Duration = Duration::from_millis(250);
/// Between two questions to the store about host names.
const ASK: Duration = Duration::from_millis(20);
/// Deployments that are read at a time.
const PAGE: u32 = 500;
/// How often it is tried again at once when something else changes the configuration at the same time.
const ROUNDS: u32 = 6;
/// How long the DNS-01 challenge is left alone after Caddy refused it: most likely its module is not built in.
const DNS_AGAIN: Duration = Duration::from_secs(300);

const ADVICE_AWAY: &str = "start Caddy, or correct `caddy.admin`; until then host names that are new do not get to it";
const ADVICE_FORBIDDEN: &str = "list that host name under `admin.origins` in Caddy's configuration, or use its socket";
const ADVICE_REFUSED: &str =
    "mend what it says; Caddy goes on with the configuration it has, and is asked again by itself";
const ADVICE_CHANGED: &str =
    "find what else changes Caddy's configuration all the time, another Skipper with other settings say";

/// What keeps Caddy.
pub(crate) struct Front {
    app: App,
    settings: Settings,
    /// That DNS-01 was refused.
    no_dns: Option<NoDns>,
    /// What Caddy refused: the same is not asked again before its time.
    refused: Option<Refusal>,
    last_change: Option<Instant>,
    state: CaddyState,
}

/// A refusal of the DNS-01 challenge.
struct NoDns {
    at: Instant,
    etag: Option<HeaderValue>,
    why: String,
}

impl NoDns {
    /// Whether it is worth another try: after some time, and for another Caddy, perhaps with the module. One that has nothing of ours was
    /// started anew.
    fn is_over(&self, found: &Found) -> bool {
        self.at.elapsed() > DNS_AGAIN || (self.etag != found.etag && !plan::has_ours(&found.config))
    }
}

struct Refusal {
    etag: Option<HeaderValue>,
    hosts: BTreeSet<String>,
    again: Instant,
    why: Trouble,
}

impl Front {
    pub(crate) fn new(app: App, settings: Settings) -> Self {
        let state = CaddyState {
            admin: settings.admin.to_string(),
            health: CaddyHealth::Unknown,
            since: app.clock.now(),
            entry: None,
            hosts: 0,
            left: Vec::new(),
            changes: 0,
        };
        Self { app, settings, no_dns: None, refused: None, last_change: None, state }
    }

    /// Keeps it until `stop`. What is in Caddy stays there: the edge goes on without the server.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        self.app.caddy.set(Some(self.state.clone()));
        stop.run_until_cancelled(self.keep()).await;
        self.app.caddy.set(None);
    }

    async fn keep(&mut self) {
        let mut events = self.app.store.events_subscribe();
        let mut failures = 0;
        loop {
            events.mark_unchanged();
            let hosts = match self.app.store.route_hosts().await {
                Ok(hosts) => hosts,
                Err(error) => {
                    warn!(%error, "the host names for Caddy cannot be read yet");
                    sleep(PAUSE_AWAY).await;
                    continue;
                }
            };
            let (connection, result) = self.pass(&hosts).await;
            let pause = match &result {
                Ok(_) => {
                    failures = 0;
                    LOOK
                }
                Err(trouble) => {
                    failures += 1;
                    let most = if matches!(trouble, Trouble::Unreachable(_)) { PAUSE_AWAY } else { PAUSE_REFUSED };
                    self.jittered((PAUSE * 2_u32.pow(failures.min(10))).min(most))
                }
            };
            if let (Err(why @ (Trouble::Refused(_) | Trouble::Changed)), Some(refused)) = (&result, &mut self.refused)
                && refused.again <= Instant::now()
            {
                (refused.again, refused.why) = (Instant::now() + pause, why.clone());
            }
            let waits = result.as_ref().is_ok_and(|planned| !planned.waiting.is_empty());
            // Caddy's admin API is away for a moment whenever it loads a configuration: nothing to raise the alarm for.
            if failures != 1 || !matches!(result, Err(Trouble::Unreachable(_))) {
                self.tell(result).await;
            }
            let store = self.app.store.clone();
            let changed = async {
                while events.changed().await.is_ok() {
                    // Any event may tell that what slip serves until now is served here.
                    if waits || store.route_hosts().await.is_ok_and(|now| now != hosts) {
                        return;
                    }
                    sleep(ASK).await;
                }
                std::future::pending::<()>().await;
            };
            let closed = async {
                match connection {
                    Some(mut connection) => connection.closed().await,
                    None => std::future::pending::<()>().await,
                }
                sleep(SETTLE).await;
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = changed => {}
                () = closed => {}
                () = self.app.caddy.is_left() => {}
            }
        }
    }

    /// Looks, and changes what has to be changed. The connection is the one of the last look.
    async fn pass(&mut self, hosts: &BTreeSet<String>) -> (Option<Connection>, Result<Plan, Trouble>) {
        let mut refused_now = false;
        for _ in 0..ROUNDS {
            let mut connection = match Connection::open(&self.settings.admin).await {
                Ok(connection) => connection,
                Err(trouble) => return (None, Err(trouble)),
            };
            let found = match connection.config().await {
                Ok(found) => found,
                Err(trouble) => return (None, Err(trouble)),
            };
            let again = self.no_dns.as_ref().is_none_or(|refused| !refused_now && refused.is_over(&found));
            let serving = if plan::has_slips(&found.config) { self.serving().await } else { BTreeSet::new() };
            let wanted = Wanted { settings: &self.settings, hosts, serving: &serving, dns: again };
            let leaving = self.app.caddy.leaving();
            let apps = self.app.apps.get();
            let stays = |label: &str| apps.as_ref().is_some_and(|apps| apps.get(label).is_some());
            let without = plan::without_slips(&found.config, &leaving, stays);
            let mut planned = match plan(without.as_ref().unwrap_or(&found.config), wanted) {
                Ok(planned) => planned,
                Err(odd) => return (Some(connection), Err(Trouble::Refused(odd.to_string()))),
            };
            planned.load = planned.load.or(without);
            let Some(load) = &planned.load else {
                self.refused = None;
                self.app.caddy.left(&leaving);
                return (Some(connection), Ok(planned));
            };
            if let Some(refused) = &self.refused
                && refused.etag == found.etag
                && refused.hosts == *hosts
                && Instant::now() < refused.again
            {
                return (Some(connection), Err(refused.why.clone()));
            }
            if let Some(last) = self.last_change {
                sleep(GAP.saturating_sub(last.elapsed())).await;
            }
            match connection.load(load, found.etag.clone()).await {
                Ok(()) => self.changed(&planned).await,
                Err(Trouble::Changed) => sleep(self.jittered(SETTLE)).await,
                Err(Trouble::Refused(why)) if planned.asks_dns => {
                    warn!("Caddy refuses the DNS-01 challenge: {why}");
                    (self.no_dns, refused_now) = (Some(NoDns { at: Instant::now(), etag: found.etag, why }), true);
                }
                Err(trouble @ Trouble::Refused(_)) => {
                    let (etag, hosts, why) = (found.etag, hosts.clone(), trouble.clone());
                    self.refused = Some(Refusal { etag, hosts, again: Instant::now(), why });
                    // The admin API was started anew for what was refused; a connection from after that tells of the next change.
                    return (self.watched().await, Err(trouble));
                }
                Err(trouble) => return (None, Err(trouble)),
            }
        }
        (None, Err(Trouble::Changed))
    }

    /// Host names that are answered behind the edge. What cannot be read now is asked for again.
    async fn serving(&self) -> BTreeSet<String> {
        let (mut hosts, mut after) = (BTreeSet::new(), None);
        while let Ok(page) = self.app.store.live_list(after.as_ref(), PAGE).await {
            let Some(last) = page.last() else { break };
            after = Some(last.deployment.id.clone());
            let routes = page.iter().filter(|live| live.weight > 0).flat_map(|live| &live.deployment.app.routes);
            let named = routes.filter(|route| route.listener == Listener::Http).filter_map(|route| route.host.as_ref());
            hosts.extend(named.map(ToString::to_string));
        }
        hosts
    }

    async fn watched(&self) -> Option<Connection> {
        let mut connection = Connection::open(&self.settings.admin).await.ok()?;
        connection.config().await.ok()?;
        Some(connection)
    }

    async fn changed(&mut self, planned: &Plan) {
        self.state.changes += 1;
        self.last_change = Some(Instant::now());
        if planned.asks_dns {
            self.no_dns = None;
        }
        info!(hosts = planned.placed, "Caddy leads host names to the edge");
        for taken in &planned.taken_over {
            info!("Caddy's route `{taken}` of slip was replaced");
        }
        let data = json!({"hosts": planned.placed, "taken_over": planned.taken_over});
        self.event("caddy.changed", data).await;
    }

    /// Makes known how it went; in the log and as an event only what is new.
    async fn tell(&mut self, result: Result<Plan, Trouble>) {
        let mut state = self.state.clone();
        match result {
            Ok(planned) => {
                state.health = CaddyHealth::Ok;
                (state.entry, state.hosts, state.left) = (planned.entry, planned.placed, planned.left);
                state.left.extend(self.without_dns());
            }
            Err(trouble) => {
                if matches!(trouble, Trouble::Unreachable(_)) {
                    self.no_dns = None;
                }
                let cause = trouble.to_string();
                state.health = match trouble {
                    Trouble::Unreachable(_) => CaddyHealth::Unreachable { cause, advice: ADVICE_AWAY },
                    Trouble::Forbidden(_) => CaddyHealth::Refuses { cause, advice: ADVICE_FORBIDDEN },
                    Trouble::Refused(_) => CaddyHealth::Refuses { cause, advice: ADVICE_REFUSED },
                    Trouble::Changed => CaddyHealth::Refuses { cause, advice: ADVICE_CHANGED },
                };
            }
        }
        let (before, now) = (self.state.health.word(), state.health.word());
        if before != now {
            state.since = self.app.clock.now();
        }
        for left in state.left.iter().filter(|left| !self.state.left.contains(left)) {
            warn!("Caddy does not lead {} to the edge: {}", left.host, left.why);
        }
        self.state = state;
        self.app.caddy.set(Some(self.state.clone()));
        if before == now {
            return;
        }
        match &self.state.health {
            CaddyHealth::Unreachable { cause, advice } => {
                warn!("Caddy does not answer: {cause} ({advice})");
                self.event("caddy.lost", json!({"cause": cause})).await;
            }
            CaddyHealth::Refuses { cause, advice } => {
                warn!("Caddy does not do what it is told: {cause} ({advice})");
                self.event("caddy.refused", json!({"cause": cause})).await;
            }
            CaddyHealth::Ok if before != CaddyHealth::Unknown.word() => {
                info!("Caddy has what it should again");
                self.event("caddy.restored", json!({"hosts": self.state.hosts})).await;
            }
            CaddyHealth::Ok | CaddyHealth::Unknown => {}
        }
    }

    /// Wildcards that have no certificate because Caddy cannot do what it takes.
    fn without_dns(&self) -> Vec<Left> {
        let Some(NoDns { why, .. }) = &self.no_dns else { return Vec::new() };
        let provider = self.settings.dns.as_ref().map_or("", |dns| dns.provider.as_str());
        let why = format!(
            "no certificate for all of it: Caddy refuses the DNS-01 challenge ({why}); use a Caddy with the module \
             dns.providers.{provider}. Until then each host name below it has a certificate of its own"
        );
        let left = |host: &skipper_core::route::Host| Left { host: host.to_string(), why: why.clone() };
        self.settings.wildcards.iter().map(left).collect()
    }

    async fn event(&self, kind: &str, data: serde_json::Value) {
        let request = RequestId::from_uuid(self.app.ids.next());
        let (trigger, correlation) = ("caddy".to_owned(), request.to_string());
        let event = NewEvent {
            kind: kind.to_owned(),
            tenant: None,
            release: None,
            revision: None,
            rollout: None,
            provenance: Provenance { actor: Actor::System, trigger, request, correlation },
            data,
        };
        if let Err(error) = self.app.store.tell(vec![event]).await {
            warn!(%error, "an event about Caddy could not be stored");
        }
    }

    /// Between half of it and all of it, so that several servers do not ask in step.
    fn jittered(&self, pause: Duration) -> Duration {
        let half = pause / 2;
        let part = u32::try_from(self.app.ids.next().as_u128() % 1000).unwrap_or(0);
        half + half * part / 1000
    }
}
