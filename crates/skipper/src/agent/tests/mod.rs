//! Agents with everything but a process of their own: the journal on a disk, a server on a socket, hands that note what they do.

mod crashes;
mod flow;
mod server;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;
use serde_json::json;
use skipper_core::{fleet::Outcome, secret::SecretValue};
use skipper_source::fleet::{ServiceState, WorkOrder};
use tokio::{sync::watch, time::Instant};

use super::{
    args::AgentArgs,
    desk::Desk,
    door::Door,
    hands::{Finished, Hands, Need, Projects},
    serve,
    settings::Settings,
    state::{Agent, Parts, lock},
    token::{Token, TokenSource},
};
use crate::{surroundings::Surroundings, world::SystemClock};
use server::Server;

/// An order, by number.
pub(super) fn order(number: u64, tenant: &str, generation: u64) -> WorkOrder {
    serde_json::from_value(json!({
        "id": format!("wo_{number:032x}"), "type": "deploy_service", "tenant": tenant, "node": "host-1", "status": "active",
        "generation": generation, "revision": number, "created_at": "2026-11-22T10:00:00Z", "deadline": "2026-11-22T11:00:00Z",
        "lease": {"owner": "a", "expires_at": "2026-11-22T10:01:00Z"}, "idempotency_key": null,
        "request_id": format!("request-{number}"), "correlation_id": "correlation",
        "desired": {"project": tenant, "files": {"docker-compose.yml": "services: {}\n", ".env": "PASSWORD=hush-hush\n"}, "services": {}},
        "result": null
    }))
    .expect("an order")
}

/// Hands that note what they are told, and wait where a test wants them to.
pub(super) struct Noting {
    pub(super) done: Mutex<Vec<String>>,
    /// How many may go on; each takes one.
    pub(super) gate: watch::Sender<usize>,
    begun: watch::Sender<usize>,
    pub(super) outcome: Mutex<Outcome>,
}

impl Noting {
    pub(super) fn free() -> Arc<Self> {
        Self::gated(usize::MAX)
    }

    pub(super) fn gated(passes: usize) -> Arc<Self> {
        Arc::new(Self {
            done: Mutex::default(),
            gate: watch::Sender::new(passes),
            begun: watch::Sender::new(0),
            outcome: Mutex::new(Outcome::Succeeded),
        })
    }

    /// Waits until so many effects have begun.
    pub(super) async fn until_begun(&self, count: usize) {
        let mut begun = self.begun.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(60), begun.wait_for(|seen| *seen >= count)).await;
        waited.expect("it begins in time").expect("it lives");
    }

    pub(super) fn begun(&self) -> usize {
        *self.begun.borrow()
    }

    pub(super) fn done(&self) -> Vec<String> {
        lock(&self.done).clone()
    }

    pub(super) fn open(&self) {
        self.gate.send_replace(usize::MAX);
    }
}

impl Hands for Noting {
    fn carry_out<'a>(&'a self, order: &'a WorkOrder, _within: Duration) -> BoxFuture<'a, Finished> {
        Box::pin(async move {
            assert_eq!(order.desired.files[".env"], "PASSWORD=hush-hush\n", "secrets reach the hands");
            self.begun.send_modify(|count| *count += 1);
            let mut gate = self.gate.subscribe();
            let _ = gate.wait_for(|passes| *passes > 0).await;
            self.gate.send_modify(|passes| *passes -= 1);
            lock(&self.done).push(format!("{} {}", order.tenant, order.revision));
            let state = ServiceState { state: "running".to_owned(), container: None };
            Finished {
                outcome: *lock(&self.outcome),
                exit_code: Some(0),
                summary: "done".to_owned(),
                services: BTreeMap::from([("web".to_owned(), state)]),
                logs_tail: String::new(),
            }
        })
    }

    fn look(&self) -> BoxFuture<'_, Result<Projects, String>> {
        Box::pin(async { Ok(Projects::new()) })
    }

    fn needs(&self) -> BoxFuture<'_, Vec<Need>> {
        Box::pin(async { Vec::new() })
    }
}

/// A run of an agent; dropping it is SIGKILL.
pub(super) struct Run {
    pub(super) agent: Arc<Agent>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Run {
    pub(super) fn start(dir: &Path, server: &Server, hands: &Arc<Noting>) -> Self {
        Self::with_token(dir, server, hands, TokenSource::Given(SecretValue::new("skn_x".to_owned())))
    }

    pub(super) fn with_token(dir: &Path, server: &Server, hands: &Arc<Noting>, token: TokenSource) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
        let _entered = runtime.enter();
        let url = format!("http://{}", server.address);
        let vars =
            [("SKIPPER_URL", url.as_str()), ("AGENT_ID", "host-1"), ("AGENT_TOKEN", "x"), ("DATA_DIR", "/nowhere")];
        let mut settings = Settings::load(&AgentArgs::default(), None, &Surroundings::of(&vars)).expect("settings");
        settings.poll_interval = Duration::from_millis(100);
        settings.heartbeat_interval = Duration::from_millis(200);
        let token = Arc::new(Token::open(token, dir).expect("a token"));
        let agent = Agent::new(Parts {
            door: Door::new(&settings, Arc::clone(&token), "run".to_owned()).expect("a door"),
            token,
            hands: Arc::clone(hands) as Arc<dyn Hands>,
            clock: Arc::new(SystemClock),
            desk: Desk::open(dir, Instant::now()).expect("a journal"),
            poll_interval: settings.poll_interval,
            heartbeat_interval: settings.heartbeat_interval,
            drain_within: Duration::from_secs(5),
            links: false,
            offers: BTreeMap::new(),
        });
        serve::start(&agent);
        Self { agent, runtime: Some(runtime) }
    }

    /// SIGKILL.
    pub(super) fn kill(self) {
        drop(self);
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // From a test that is asynchronous itself; what is under way is dropped where it waits.
            std::thread::spawn(move || drop(runtime)).join().expect("it ends");
        }
    }
}
