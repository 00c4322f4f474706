//! Waiting until every service of a project is well.
//!
//! A service is well when as many containers as it should have run, and each shows it: by the check of its image or of the compose file,
//! where the engine runs one; by the answer at a path, asked from outside at the port where it is published; by a command; else by
//! running on for a moment. One that has ended with status 0 and is not to be started again has done its work.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use skipper_core::{compose::Terms, port::Error};
use tokio::time::Instant;

use super::look::{self, Container};
use crate::{
    container::{account::Account, exec},
    probe,
};

/// How long something without a check has to run on.
const STEADY: Duration = Duration::from_millis(1500);
/// Between two looks.
const AGAIN: Duration = Duration::from_millis(250);
/// Longest one question may take.
const ASKED: Duration = Duration::from_secs(3);
/// Starts again within one apply from which on it is given up.
const TOO_OFTEN: u32 = 3;
/// Answers that show a service to be well.
const WELL: [(u16, u16); 1] = [(200, 399)];

/// What is expected of a service.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub count: usize,
    pub terms: Terms,
}

/// What is expected, by what compose resolved and what else is known.
pub(super) fn expected(resolved: &Value, terms: &BTreeMap<String, Terms>) -> BTreeMap<String, Expected> {
    let services = resolved.get("services").and_then(Value::as_object);
    let one = |(name, service): (&String, &Value)| {
        let is_optional = service.get("profiles").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
        let count =
            service.get("scale").or_else(|| service.pointer("/deploy/replicas")).and_then(Value::as_u64).unwrap_or(1);
        let expected = Expected {
            count: usize::try_from(count).unwrap_or(1),
            terms: terms.get(name).cloned().unwrap_or_default(),
        };
        (!is_optional).then(|| (name.clone(), expected))
    };
    services.into_iter().flatten().filter_map(one).collect()
}

/// Why a project is not well.
#[derive(Debug)]
pub(super) struct Unwell {
    /// The service.
    pub service: String,
    /// As a sentence.
    pub why: String,
}

/// One container.
enum Verdict {
    Well,
    /// Not yet, and why.
    Waiting(String),
    /// It will not be.
    Bad(String),
}

/// Whether everything is well now; else the first that is not.
pub(super) async fn look_once(
    account: &Arc<Account>,
    project: &str,
    expected: &BTreeMap<String, Expected>,
) -> Result<(), String> {
    let containers = look::project(account, project).await.map_err(|error| error.chain())?;
    let mut watch = Watch { account, seen: HashMap::new(), is_new: false };
    for (name, service) in expected {
        match watch.service(name, service, &containers).await {
            Verdict::Well => {}
            Verdict::Waiting(why) | Verdict::Bad(why) => return Err(format!("{name}: {why}")),
        }
    }
    Ok(())
}

/// Waits until everything is well, at most until `until`, and for each service no longer than it says itself. `before` are the
/// containers that were there already.
pub(super) async fn wait(
    account: &Arc<Account>,
    project: &str,
    expected: &BTreeMap<String, Expected>,
    before: &[Container],
    until: Instant,
) -> Result<Result<(), Unwell>, Error> {
    let begun = Instant::now();
    let mut watch = Watch { account, seen: HashMap::new(), is_new: true };
    for one in before.iter().filter(|one| one.state == "running") {
        let steady = begun.checked_sub(STEADY).unwrap_or(begun);
        watch
            .seen
            .insert(one.id.clone(), Seen { started_at: one.started_at.clone(), since: steady, restarts: one.restarts });
    }
    loop {
        let containers = look::project(account, project).await?;
        let mut waiting = None;
        for (name, service) in expected {
            let verdict = watch.service(name, service, &containers).await;
            let bound = service
                .terms
                .health
                .as_ref()
                .map_or(skipper_core::compose::Health::USUAL, skipper_core::compose::Health::bound);
            match verdict {
                Verdict::Well => {}
                Verdict::Bad(why) => return Ok(Err(Unwell { service: name.clone(), why })),
                Verdict::Waiting(why) if begun.elapsed() >= bound.duration() || Instant::now() >= until => {
                    let why = format!("is not well after {} s: {why}", begun.elapsed().as_secs());
                    return Ok(Err(Unwell { service: name.clone(), why }));
                }
                Verdict::Waiting(why) => {
                    waiting.get_or_insert(why);
                }
            }
        }
        if waiting.is_none() {
            return Ok(Ok(()));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// How a container was when it was first seen like that.
struct Seen {
    started_at: String,
    since: Instant,
    /// When it was first seen at all.
    restarts: u32,
}

struct Watch<'a> {
    account: &'a Arc<Account>,
    seen: HashMap<String, Seen>,
    /// Whether containers that are new have to run on for a moment.
    is_new: bool,
}

impl Watch<'_> {
    async fn service(&mut self, name: &str, service: &Expected, containers: &[Container]) -> Verdict {
        let mine: Vec<&Container> = containers.iter().filter(|one| one.service == name).collect();
        let mut waiting = None;
        let mut well = 0;
        for one in mine {
            match self.container(one, &service.terms).await {
                Verdict::Well => well += 1,
                Verdict::Waiting(why) => {
                    waiting.get_or_insert(why);
                }
                bad @ Verdict::Bad(_) => return bad,
            }
        }
        if let Some(why) = waiting {
            return Verdict::Waiting(why);
        }
        if well >= service.count {
            Verdict::Well
        } else {
            Verdict::Waiting(format!("{well} of {} containers are there", service.count))
        }
    }

    async fn container(&mut self, one: &Container, terms: &Terms) -> Verdict {
        let now = Instant::now();
        let fresh = || Seen { started_at: one.started_at.clone(), since: now, restarts: one.restarts };
        let seen = self.seen.entry(one.id.clone()).or_insert_with(fresh);
        if seen.started_at != one.started_at {
            seen.started_at.clone_from(&one.started_at);
            seen.since = now;
        }
        let restarts = one.restarts.saturating_sub(seen.restarts);
        let steady = !self.is_new || now.duration_since(seen.since) >= STEADY;
        let status = one.exit_code.map_or_else(|| "some status".to_owned(), |code| format!("status {code}"));
        match one.state.as_str() {
            "running" => {}
            "exited" | "dead" if one.is_done() => return Verdict::Well,
            "exited" | "dead" if !one.is_restarted => return Verdict::Bad(format!("ended with {status}")),
            _ if restarts >= TOO_OFTEN => return Verdict::Bad(format!("ends again and again, with {status}")),
            state => return Verdict::Waiting(format!("is {state}, last with {status}")),
        }
        if restarts >= TOO_OFTEN {
            return Verdict::Bad(format!("ends again and again, with {status}"));
        }
        let said = || one.health_said.as_ref().map_or_else(String::new, |said| format!(": {said}"));
        // Podman runs no checks without systemd, and says that one is about to begin for ever.
        let podman = self.account.config.kind == crate::container::EngineKind::Podman;
        match one.health.as_deref() {
            Some("unhealthy") => return Verdict::Bad(format!("its check says that it is unhealthy{}", said())),
            Some("starting") if !podman => return Verdict::Waiting(format!("its check has not passed yet{}", said())),
            _ => {}
        }
        match &terms.health {
            Some(health) if health.path.is_some() => asked(self.account, one, health).await,
            Some(health) if health.command.is_some() && one.health.as_deref() != Some("healthy") => {
                commanded(self.account, one, health.command.as_deref().unwrap_or_default()).await
            }
            _ if steady || one.health.is_some() => Verdict::Well,
            _ => Verdict::Waiting("has just been started".to_owned()),
        }
    }
}

/// Asks at the path. One answer is enough, whichever way it was had.
async fn asked(account: &Account, one: &Container, health: &skipper_core::compose::Health) -> Verdict {
    let path = health.path.as_deref().unwrap_or("/");
    let port = health.port.or_else(|| one.published.first().map(|published| published.port));
    let Some(port) = port else { return Verdict::Bad("no port of it is published to be asked at".to_owned()) };
    let ways = ways(account, one, port);
    if ways.is_empty() {
        return Verdict::Waiting(format!("port {port} is not published yet"));
    }
    let attempts = ways.iter().map(|way| probe::http(*way, path, &WELL, ASKED));
    let outcomes = futures::future::join_all(attempts).await;
    if outcomes.iter().any(|outcome| outcome.ok) {
        return Verdict::Well;
    }
    // What comes first is how everybody else reaches it.
    let detail = outcomes.into_iter().next().map(|outcome| outcome.detail).unwrap_or_default();
    Verdict::Waiting(format!("GET {path} at {}: {detail}", ways[0]))
}

/// Where a container's port may be reached from here, the likeliest first: as it is published, or, where this runs in a container itself,
/// by the way to the host, and at the container's own address.
fn ways(account: &Account, one: &Container, port: u16) -> Vec<SocketAddr> {
    let mut ways = Vec::new();
    for published in one.published.iter().filter(|published| published.port == port) {
        let address = match published.address {
            address if !address.is_unspecified() => address,
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        ways.push(SocketAddr::new(address, published.host_port));
        if published.address.is_unspecified() {
            ways.extend(super::mounts::way_to_host().map(|host| SocketAddr::new(host, published.host_port)));
            ways.extend(engine_address(&account.config.host).map(|host| SocketAddr::new(host, published.host_port)));
        }
    }
    ways.extend(one.addresses.iter().map(|address| SocketAddr::new(*address, port)));
    ways.dedup();
    ways
}

/// Where the engine is, where that is written as an address.
fn engine_address(host: &str) -> Option<IpAddr> {
    let (scheme, rest) = host.split_once("://")?;
    (scheme != "unix")
        .then(|| url::Url::parse(&format!("http://{rest}")).ok()?.host_str()?.trim_matches(['[', ']']).parse().ok())?
}

async fn commanded(account: &Arc<Account>, one: &Container, words: &[String]) -> Verdict {
    let running = exec::output(account, &one.id, words, ASKED);
    match tokio::time::timeout(2 * ASKED, running).await {
        Ok(Ok(ran)) if ran.code == Some(0) => Verdict::Well,
        Ok(Ok(ran)) => {
            let last: String = ran.output.lines().last().unwrap_or_default().chars().take(200).collect();
            let code = ran.code.map_or_else(|| "a signal".to_owned(), |code| format!("status {code}"));
            Verdict::Waiting(format!("its check ended with {code}: {last}"))
        }
        Ok(Err(error)) => Verdict::Waiting(error.chain()),
        Err(_) => Verdict::Waiting("its check does not end".to_owned()),
    }
}
