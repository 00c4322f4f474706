use std::{io, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use skipper_core::{
    port::DeploymentStats,
    route::{Listener, RouteKey, Service},
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::task::TaskTracker;

use super::{
    frame, handover,
    wire::{
        self, Answer, CallHead, CheckBody, DrainBody, EdgeInfo, Fault, Hello, InFlightBody, Left, Nothing, OLDEST,
        RemoveBody, SetBody, ShutInfo, ShutdownBody, StatsBody, SyncBody, TableBody, TablePage, TableRow, Text,
        VERSION, service_id,
    },
};
use crate::{
    edge::{Core, Leave},
    state::Change,
    stats::Page,
    table::Deployment,
};

/// Control connections at a time. Each rollout that drains holds one.
const CONNECTIONS: usize = 1024;
/// Longest wait of one drain.
const DRAIN_MAX: Duration = Duration::from_secs(24 * 3600);
/// How often a predecessor is asked for its requests in flight.
const PREDECESSOR: Duration = Duration::from_millis(50);
/// Rows of a table page.
const PAGE: u32 = 1000;

/// Answers the control socket until this is dropped.
pub(crate) async fn serve(core: Arc<Core>, socket: Arc<UnixListener>, tasks: TaskTracker) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match socket.accept().await {
            Ok((stream, _)) => {
                let core = core.clone();
                tasks.spawn(async move {
                    if let Err(error) = talk(&core, stream).await {
                        tracing::debug!(%error, "a control connection broke");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept on the control socket");
                sleep(PREDECESSOR).await;
            }
        }
    }
}

/// Serves one control connection. Those that are not a successor's close when a successor takes over, so that their
/// clients find it.
async fn talk(core: &Arc<Core>, mut stream: UnixStream) -> io::Result<()> {
    loop {
        let Some(call) = core.replaced.run_until_cancelled(frame::read(&mut stream)).await.transpose()?.flatten()
        else {
            return Ok(());
        };
        let Ok(head) = serde_json::from_slice::<CallHead>(&call) else {
            frame::write(&mut stream, &refused("bad-request", "this is not a call: it needs `v` and `op`")).await?;
            return Ok(());
        };
        if head.op == "handover" {
            return handover::give(core, stream).await;
        }
        let waits = head.op == "drain";
        let answer = tokio::select! {
            answer = perform(core, &head, &call) => answer?,
            () = hung_up(&stream), if waits => return Ok(()),
            () = core.replaced.cancelled(), if waits => return Ok(()),
        };
        tokio::io::AsyncWriteExt::write_all(&mut stream, &answer).await?;
    }
}

/// Resolves when the caller is gone, or sends something before it has its answer, which no client does.
async fn hung_up(stream: &UnixStream) {
    loop {
        if stream.readable().await.is_err() {
            return;
        }
        match stream.try_read(&mut [0; 1]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            _ => return,
        }
    }
}

fn refused(code: &str, message: impl Into<String>) -> Answer<Nothing> {
    Answer { v: VERSION, ok: None, error: Some(fault("permanent", code, message)) }
}

pub(super) fn fault(kind: &str, code: &str, message: impl Into<String>) -> Fault {
    Fault { kind: kind.to_owned(), code: code.to_owned(), message: message.into(), hint: None }
}

pub(super) fn body<T: DeserializeOwned>(call: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(call).map_err(|error| fault("permanent", "bad-request", format!("the call's body: {error}")))
}

fn service(wire: super::wire::Service) -> Result<Service, Fault> {
    Service::try_from(wire).map_err(|error| fault("permanent", "bad-request", error.to_string()))
}

fn encode<T: Serialize>(result: Result<T, Fault>) -> io::Result<Vec<u8>> {
    let (ok, error) = match result {
        Ok(ok) => (Some(ok), None),
        Err(fault) => (None, Some(fault)),
    };
    frame::encode(&Answer { v: VERSION, ok, error })
}

/// Performs an operation and returns the answer's frame.
pub(super) async fn perform(core: &Core, head: &CallHead, call: &[u8]) -> io::Result<Vec<u8>> {
    if head.op != "hello" && !(OLDEST..=VERSION).contains(&head.v) {
        return frame::encode(&refused("edge-version", versions(head.v, head.v)));
    }
    let done = |result: Result<(), Fault>| encode(result.map(|()| Nothing {}));
    match head.op.as_str() {
        "hello" => encode(body(call).and_then(|hello| greet(core, &hello))),
        "set" | "remove" | "sync" => {
            let changed = change(&head.op, call).and_then(|change| core.registry().change(change));
            // What a `sync` refuses of one service it has done of the others.
            if changed.is_ok() || head.op == "sync" {
                core.predecessor.follow(call).await;
            }
            done(changed)
        }
        "check" => done(body(call).and_then(|CheckBody { routes }| check(core, &routes))),
        "drain" => match body::<DrainBody>(call) {
            Ok(DrainBody { deployment, bound_ms }) => {
                encode(Ok(Left { left: drain(core, &deployment, Duration::from_millis(bound_ms)).await }))
            }
            Err(fault) => encode::<Left>(Err(fault)),
        },
        "in-flight" => match body::<InFlightBody>(call) {
            Ok(asked) => {
                let own = core.registry().books().in_flight_except(&asked.deployment, &asked.keep);
                let before = core.predecessor.in_flight(&asked).await;
                encode(Ok(Left { left: own + before }))
            }
            Err(fault) => encode::<Left>(Err(fault)),
        },
        "stats" => encode(body(call).and_then(|asked| stats(core, &asked))),
        "table" => encode(body(call).and_then(|asked| table(core, &asked))),
        "metrics" => encode(Ok(Text { text: metrics(core) })),
        "shutdown" => done(body(call).map(|ShutdownBody { bound_ms }| {
            core.leave(Leave { bound: Duration::from_millis(bound_ms), successor: false });
        })),
        other => frame::encode(&refused("unknown-op", format!("this edge does not know the operation `{other}`"))),
    }
}

/// Makes a change that the successor has made. `None`: this is no change.
pub(super) async fn follow(core: &Core, head: &CallHead, call: &[u8]) -> Option<io::Result<Vec<u8>>> {
    if !matches!(head.op.as_str(), "set" | "remove" | "sync") {
        return None;
    }
    let followed = change(&head.op, call).and_then(|change| core.registry().follow(change));
    // The edge before this one may still serve something too.
    core.predecessor.follow(call).await;
    Some(encode(followed.map(|()| Nothing {})))
}

/// Reads a change of the table.
fn change(op: &str, call: &[u8]) -> Result<Change, Fault> {
    Ok(match op {
        "set" => Change::Set(Box::new(service(body::<SetBody>(call)?.service)?)),
        "remove" => {
            let RemoveBody { release, app, generation } = body(call)?;
            let id = service_id(&release, app).map_err(|error| fault("permanent", "bad-request", error.to_string()))?;
            Change::Remove(id, generation)
        }
        _ => {
            let SyncBody { services } = body(call)?;
            Change::Sync(services.into_iter().map(service).collect::<Result<_, _>>()?)
        }
    })
}

fn versions(oldest: u32, newest: u32) -> String {
    format!("this edge speaks control versions {OLDEST} to {VERSION}, not {oldest} to {newest}: upgrade the older one")
}

fn greet(core: &Core, hello: &Hello) -> Result<EdgeInfo, Fault> {
    let v = hello.newest.min(VERSION);
    if v < hello.oldest.max(OLDEST) {
        return Err(fault("permanent", "edge-version", versions(hello.oldest, hello.newest)));
    }
    let registry = core.registry();
    Ok(EdgeInfo {
        v,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot: core.boot.clone(),
        pid: std::process::id(),
        verify_token: core.shared.token.clone(),
        needs_sync: registry.needs_sync(),
        services: registry.len() as u64,
        listeners: registry.listeners().infos(),
        shut: registry.shut().map(|(listener, fault)| shut_info(*listener, fault)).collect(),
        origin: core.origin.clone(),
        acme: core.shared.acme.as_ref().map(|acme| acme.info()),
    })
}

fn shut_info(listener: Listener, fault: &Fault) -> ShutInfo {
    let hint = fault.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    ShutInfo { listener: listener.to_string(), reason: format!("{}{hint}", fault.message) }
}

/// Says which of the routes could not be opened now.
fn check(core: &Core, routes: &[wire::Route]) -> Result<(), Fault> {
    // One that has just been put there counts.
    core.certificates.reload_if_changed();
    for route in routes {
        let key = RouteKey::try_from(route).map_err(|error| fault("permanent", "bad-request", error.to_string()))?;
        core.registry().listeners().check(key.listener)?;
        if key.listener == Listener::Https && !core.certificates.could_have(key.host.as_ref()) {
            return Err(Fault {
                hint: Some(core.certificates.advice(key.host.as_ref())),
                ..fault("permanent", "no-certificate", format!("there is no certificate for the route {key}"))
            });
        }
    }
    Ok(())
}

/// Waits until nothing that must end is in flight any more. Returns what was left at the bound.
async fn drain(core: &Core, id: &str, bound: Duration) -> u64 {
    let deadline = Instant::now() + bound.min(DRAIN_MAX);
    let unknown = Arc::new(Deployment::new(id, 0));
    loop {
        let known = core.registry().books().deployment(id).cloned();
        let deployment = known.unwrap_or_else(|| unknown.clone());
        let draining = deployment.drain();
        let mut woken = std::pin::pin!(draining.woken());
        // Before the counts are read, so that no request ends unnoticed in between.
        woken.as_mut().enable();
        let (own, keep) = {
            let registry = core.registry();
            let keep = registry.books().serving(id);
            (registry.books().in_flight_except(id, &keep), keep)
        };
        let asked = InFlightBody { deployment: id.to_owned(), keep };
        let before = core.predecessor.in_flight(&asked).await;
        if own + before == 0 || Instant::now() >= deadline {
            return own + before;
        }
        let again = if before > 0 { deadline.min(Instant::now() + PREDECESSOR) } else { deadline };
        tokio::select! {
            () = woken => {}
            () = sleep_until(again) => {}
        }
    }
}

fn stats(core: &Core, asked: &StatsBody) -> Result<DeploymentStats, Fault> {
    let registry = core.registry();
    let books = registry.books();
    let Some(deployment) = books.deployment(&asked.deployment) else {
        let message = format!("the edge does not know the deployment {}", asked.deployment);
        return Err(fault("not-found", "unknown-deployment", message));
    };
    let latency = |quantile| deployment.counters.latency().map_or(0.0, |latency| latency.quantile_ms(quantile));
    Ok(DeploymentStats {
        requests: deployment.counters.requests(),
        in_flight: books.in_flight(&asked.deployment),
        errors: deployment.counters.errors(),
        p50_ms: latency(0.5),
        p99_ms: latency(0.99),
    })
}

fn table(core: &Core, asked: &TableBody) -> Result<TablePage, Fault> {
    let after = asked.after.as_deref().map(|after| {
        let (release, app) = after.split_once('/').unwrap_or((after, ""));
        service_id(release, app.to_owned()).map_err(|error| fault("permanent", "bad-request", error.to_string()))
    });
    let after = after.transpose()?;
    let registry = core.registry();
    let limit = usize::try_from(asked.limit.unwrap_or(PAGE).min(PAGE)).unwrap_or(0);
    let row = |service: Arc<Service>| {
        let count = |backend: &skipper_core::route::Backend| {
            let id = backend.deployment.as_str();
            (id.to_owned(), registry.books().in_flight(id))
        };
        TableRow { in_flight: service.backends.iter().map(count).collect(), service: (&*service).into() }
    };
    Ok(TablePage { rows: registry.page(after.as_ref(), limit).into_iter().map(row).collect() })
}

fn metrics(core: &Core) -> String {
    let mut page = Page::default();
    let (all, services) = {
        let registry = core.registry();
        (registry.books().current(), registry.len())
    };
    for (name, help, value) in core.shared.counters.all() {
        page.number(name, help, value);
    }
    page.number("services", "Services in the table.", services as u64);
    page.number("routes", "Routes in the table.", core.shared.table.load().len() as u64);
    page.number("connections_open", "Client connections that are open.", core.shared.connections());
    page.number("waiting", "Held requests that wait.", core.shared.waiting() as u64);
    if let Some(acme) = &core.shared.acme {
        acme.metrics(&mut page);
    }
    let mut refs: Vec<(&Deployment, u64)> = all.iter().map(|(deployment, count)| (&**deployment, *count)).collect();
    refs.sort_by(|a, b| a.0.id.cmp(&b.0.id));
    page.deployments(&refs);
    page.into_text()
}
