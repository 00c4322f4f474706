//! Ports, ways in, and the question that decides on health.

use serde_json::{Value, json};
use skipper_core::{
    name::PortName,
    route::Listener,
    spec::{Check, Health, Port, Route},
};

use crate::{
    app::{
        health::HealthSettings,
        merge::{Merged, MergedRoute},
        pod::Pod,
        repo::Kind,
        tls::TlsHosts,
    },
    finding::{Finding, Findings},
    nearest::suggestion,
};

/// How an application is reached.
pub(super) struct Ways {
    pub(super) ports: Vec<Port>,
    pub(super) routes: Vec<Route>,
    pub(super) health: Health,
    /// In a pod, what is watched beside [`Ways::health`].
    pub(super) checks: Vec<Value>,
}

impl Ways {
    /// Containers of a pod and their ports.
    pub(super) fn published(&self) -> Vec<(String, u16)> {
        self.ports.iter().filter_map(|port| port.container.clone().zip(port.fixed)).collect()
    }
}

pub(super) fn ways(
    merged: &Merged,
    pod: Option<&Pod>,
    wanted: &[MergedRoute],
    tls: &TlsHosts,
    findings: &mut Findings,
) -> Option<Ways> {
    let mut ports: Vec<Port> = Vec::new();
    let mut routes = Vec::new();
    for route in wanted {
        let reached = match pod {
            None => route.port.map(|port| (None, port)),
            Some(pod) => in_pod(pod, route.container.as_deref(), route.port, "a route", findings)
                .map(|(container, port)| (Some(container), port)),
        };
        let Some((container, port)) = reached else { continue };
        let name = declare(&mut ports, port, container);
        let secure = tls.serves(&route.host).then_some(Listener::Https);
        for listener in [Some(Listener::Http), secure].into_iter().flatten() {
            let (host, path) = (Some(route.host.clone()), route.path.clone());
            routes.push(Route { listener, host, path, port: name.clone() });
        }
    }
    let check = check(merged, pod, &mut ports, findings)?;
    let main = pod.and_then(|pod| asked(merged, pod, &ports));
    let checks = pod.map(|pod| pod_checks(merged, pod, main.as_ref(), &ports, findings)).unwrap_or_default();
    let health = health(&merged.health, check, main);
    Some(Ways { ports, routes, health, checks })
}

/// The port's name; a number that is there already is not declared again.
fn declare(ports: &mut Vec<Port>, number: u16, container: Option<String>) -> PortName {
    if let Some(port) = ports.iter().find(|port| port.fixed == Some(number) && port.container == container) {
        return port.name.clone();
    }
    let name = match (ports.is_empty(), &container) {
        (true, _) => "http".to_owned(),
        (false, None) => format!("http-{number}"),
        (false, Some(container)) => format!("{container}-{number}"),
    };
    let name = PortName::new(name).expect("a label and a number are a name");
    ports.push(Port { name: name.clone(), env: None, fixed: Some(number), direct: false, container });
    name
}

/// The container and port of a pod that are meant: those that are named, else the only ones there are.
fn in_pod(
    pod: &Pod,
    container: Option<&str>,
    port: Option<u16>,
    user: &str,
    findings: &mut Findings,
) -> Option<(String, u16)> {
    let found = match container {
        Some(name) => pod.container(name),
        // slip calls it `web` where nobody says anything.
        None => pod.container("web").or_else(|| {
            let mut staying = pod.containers.iter().filter(|container| !container.init);
            staying.next().filter(|_| staying.next().is_none())
        }),
    };
    let Some(found) = found else {
        let hint = suggestion(container.unwrap_or_default(), pod.names());
        let message = match container {
            Some(name) => format!("container `{name}` not found in pod manifest (referenced in {user})"),
            None => format!("{user} names no container, and the pod has several"),
        };
        findings.push(Finding::error("container-unknown", message).hint(hint));
        return None;
    };
    let Some(port) = port.or_else(|| found.ports.first().copied()) else {
        let message = format!("{user} leads to container `{}`, which names no containerPort", found.name);
        let hint = "write `port` beside the route, or `ports` in the manifest".to_owned();
        findings.push(Finding::error("port-unknown", message).hint(hint));
        return None;
    };
    Some((found.name.clone(), port))
}

/// The container whose health is asked for: the one that is named, else that of the first way in, else `web`.
fn asked(merged: &Merged, pod: &Pod, ports: &[Port]) -> Option<String> {
    let routed = || ports.first().and_then(|port| port.container.clone());
    let web = || pod.container("web").map(|container| container.name.clone());
    merged.health.container.clone().or_else(routed).or_else(web)
}

fn check(merged: &Merged, pod: Option<&Pod>, ports: &mut Vec<Port>, findings: &mut Findings) -> Option<Check> {
    let settings = &merged.health;
    if let Some(command) = &settings.command {
        return Some(Check::Command { command: command.clone() });
    }
    let asks_port = settings.path.is_some() || settings.tcp == Some(true);
    if merged.kind == Kind::Worker && asks_port {
        let message = "a worker has no port; it is healthy while it runs";
        findings.push(Finding::warning("health-ignored", message).path("health"));
    }
    if merged.kind == Kind::Worker {
        return Some(Check::Running);
    }
    if !asks_port {
        // slip asks nothing then, and requests go to what does not listen yet.
        let unasked = settings.tcp == Some(false) || pod.is_some_and(|pod| asks_itself(merged, pod, ports));
        let port = asked_port(merged, pod, ports).filter(|_| !unasked);
        return Some(port.map_or(Check::Running, |port| Check::Tcp { port }));
    }
    let port = match (pod, asked_port(merged, pod, ports)) {
        (_, Some(port)) => port,
        (Some(pod), None) => {
            let container = asked(merged, pod, ports);
            let (container, number) = in_pod(pod, container.as_deref(), None, "health.container", findings)?;
            declare(ports, number, Some(container))
        }
        (None, None) => {
            findings.push(Finding::error("port-unknown", "health asks a port, and the app has none").path("health"));
            return None;
        }
    };
    Some(match &settings.path {
        Some(path) => Check::Http { port, path: path.clone(), status: settings.expect_status.clone() },
        None => Check::Tcp { port },
    })
}

/// Whether the manifest has a question of its own for the container that would be asked.
fn asks_itself(merged: &Merged, pod: &Pod, ports: &[Port]) -> bool {
    asked(merged, pod, ports).and_then(|name| pod.container(&name)).is_some_and(|container| container.probed)
}

/// A port that is declared already: that of the container that is asked, else the first.
fn asked_port(merged: &Merged, pod: Option<&Pod>, ports: &[Port]) -> Option<PortName> {
    let container = pod.and(merged.health.container.as_ref());
    let port = ports.iter().find(|port| container.is_none() || port.container.as_ref() == container);
    port.map(|port| port.name.clone())
}

/// Beside the one question of the spec: other containers with a way in are asked the same, workers only whether they run.
fn pod_checks(
    merged: &Merged,
    pod: &Pod,
    main: Option<&String>,
    ports: &[Port],
    findings: &mut Findings,
) -> Vec<Value> {
    let mut checks = Vec::new();
    for port in ports.iter().filter(|port| port.container.as_ref() != main) {
        let asked = port.container.as_ref().filter(|name| pod.container(name).is_some_and(|known| !known.probed));
        if let Some(container) = asked {
            // Their paths are their own, and nobody says them: an open port is what can be asked.
            checks.push(json!({"container": container, "kind": "tcp", "port": port.name}));
        }
    }
    for worker in &merged.workers {
        if pod.container(worker).is_none() {
            let message = format!("container `{worker}` not found in pod manifest (referenced in routing.routes)");
            findings.push(Finding::error("container-unknown", message).hint(suggestion(worker, pod.names())));
        }
        checks.push(json!({"container": worker, "kind": "running"}));
    }
    checks
}

fn health(settings: &HealthSettings, check: Check, container: Option<String>) -> Health {
    Health {
        check,
        interval: settings.interval,
        timeout: settings.timeout,
        retries: settings.retries,
        successes: settings.successes,
        start_period: settings.start_period,
        container,
    }
}
