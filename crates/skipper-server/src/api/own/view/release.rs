use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use skipper_core::{
    deployment::{Instance, Observed},
    name::PortName,
    release::Source,
    rollout::{Phase, Rollout},
    route::{Host, Listener, PathPrefix},
    spec::Route,
};
use skipper_engine::{InstanceHealth, InstanceState};

use super::{cause, revision::source, summary, time};
use crate::{
    api::own::wire::{AppStatus, DriftView, InstanceStatus, ReleaseState, ReleaseStatus, ReleaseSummary},
    caddy::CaddyState,
    edge::EdgeState,
    verb::{
        list::Listed,
        status::{AppSeen, Status},
        wrong::{self, Drift, Evidence, Serving},
    },
};

/// One line of the list.
pub(crate) fn listed(item: &Listed) -> ReleaseSummary {
    let release = &item.listed.release;
    let state = if release.deleted {
        ReleaseState::Deleted
    } else if item.listed.open.is_some() {
        ReleaseState::Deploying
    } else if release.serving.is_none() {
        ReleaseState::Failed
    } else {
        ReleaseState::Live
    };
    ReleaseSummary {
        id: release.id.to_string(),
        name: release.name.to_string(),
        tenant: release.tenant.to_string(),
        door: release.door.as_str().to_owned(),
        state,
        revision: release.serving,
        last_revision: release.last_revision,
        package: item.package.as_ref().map(label),
        rollout: item.rollout.as_ref().map(summary),
        created_at: time(release.created_at),
        updated_at: time(release.updated_at),
    }
}

fn label(package: &Source) -> String {
    source(package).text()
}

/// Everything about a release.
pub(crate) fn status(seen: &Status) -> ReleaseStatus {
    let release = &seen.release;
    let apps: Vec<AppStatus> = seen.apps.iter().map(|app| application(app, seen)).collect();
    let drift = drift(seen);
    let state = state(seen, &apps, &drift);
    let failed = seen.latest.as_ref().and_then(|latest| latest.phase.cause());
    ReleaseStatus {
        id: release.id.to_string(),
        name: release.name.to_string(),
        tenant: release.tenant.to_string(),
        door: release.door.as_str().to_owned(),
        state,
        summary: sentence(seen, state, &drift),
        revision: release.serving,
        last_revision: release.last_revision,
        package: seen.package.as_ref().map(label),
        description: seen.description.clone(),
        apps,
        rollout: seen.open.as_ref().or(seen.latest.as_ref()).map(summary),
        waiting: seen.waiting.as_ref().map(summary),
        last_error: failed.map(cause),
        drift: drift.into_iter().map(shown).collect(),
        created_at: time(release.created_at),
        updated_at: time(release.updated_at),
        row_version: release.row_version,
    }
}

fn shown(drift: Drift) -> DriftView {
    DriftView { app: drift.app.map(|app| app.to_string()).unwrap_or_default(), message: drift.message }
}

fn state(seen: &Status, apps: &[AppStatus], drift: &[Drift]) -> ReleaseState {
    // What this server cannot see is no evidence.
    let lacking = seen.elsewhere.is_none() && apps.iter().any(|app| app.weight > 0 && app.running < app.replicas);
    let degraded = wrong::degraded(seen.health.as_ref(), drift).is_some();
    if seen.release.deleted && seen.open.is_none() {
        ReleaseState::Deleted
    } else if seen.open.is_some() {
        ReleaseState::Deploying
    } else if seen.release.serving.is_none() {
        ReleaseState::Failed
    } else if degraded || lacking {
        ReleaseState::Degraded
    } else {
        ReleaseState::Live
    }
}

fn sentence(seen: &Status, state: ReleaseState, drift: &[Drift]) -> String {
    let serves =
        seen.release.serving.map_or_else(|| "nothing serves".to_owned(), |number| format!("revision {number} serves"));
    let rest = match state {
        ReleaseState::Deploying => {
            let doing = |open: &Rollout| seen.activity.clone().unwrap_or_else(|| open.phase.name().to_owned());
            match &seen.open {
                // Past the point of no return the new one has all the traffic.
                Some(open) if open.phase == Phase::Finishing => {
                    let serves = open
                        .to
                        .map_or_else(|| "nothing serves".to_owned(), |number| format!("revision {number} serves"));
                    return format!("{serves}; what no longer does is cleared away: {}", doing(open));
                }
                Some(open) => Some(format!("{} is under way: {}", open.verb.as_str(), doing(open))),
                None => None,
            }
        }
        ReleaseState::Deleted => return "deleted; its history is kept".to_owned(),
        ReleaseState::Degraded => wrong::degraded(seen.health.as_ref(), drift),
        ReleaseState::Failed | ReleaseState::Live => seen.latest.as_ref().and_then(|latest| {
            let verb = latest.verb.as_str();
            latest.phase.cause().map(|cause| match latest.phase {
                Phase::Cancelled { .. } => format!("the last {verb} was cancelled"),
                _ => format!("the last {verb} failed: {}", cause.message),
            })
        }),
    };
    rest.map_or_else(|| serves.clone(), |rest| format!("{serves}; {rest}"))
}

fn application(seen: &AppSeen, status: &Status) -> AppStatus {
    let deployment = &seen.live.deployment;
    let app = &deployment.app;
    let watched = status.health.iter().flat_map(|health| &health.instances);
    let own: Vec<&InstanceHealth> = watched.filter(|health| health.deployment == deployment.id).collect();
    let instances: Vec<InstanceStatus> = seen
        .instances
        .iter()
        .map(|(index, observed)| instance(*index, observed, own.iter().find(|health| health.index == *index).copied()))
        .collect();
    let running = instances.iter().filter(|instance| instance.state == "running").count();
    AppStatus {
        name: app.name.to_string(),
        platform: app.target.to_string(),
        deployment: deployment.id.to_string(),
        revision: deployment.revision,
        weight: seen.live.weight,
        strategy: app.effective_strategy().0.name().to_owned(),
        resource: app.resource.uri.clone(),
        replicas: app.replicas,
        running: u32::try_from(running).unwrap_or(u32::MAX),
        urls: match &seen.host {
            None => {
                app.routes.iter().filter_map(|route| url(route, status.edge.as_ref(), status.caddy.as_ref())).collect()
            }
            Some(host) => app.routes.iter().filter_map(|route| url_at(route, host)).collect(),
        },
        mode: seen.mode.clone().unwrap_or_else(|| "open".to_owned()),
        instances,
    }
}

fn instance(index: u32, observed: &Observed, health: Option<&InstanceHealth>) -> InstanceStatus {
    let (state, detail, known): (&str, Option<String>, Option<&Instance>) = match observed {
        Observed::Absent => ("absent", None, None),
        Observed::Unknown { reason } => ("unknown", Some(reason.clone()), None),
        Observed::Running(instance) => ("running", None, Some(instance)),
        Observed::Exited { exit, instance } => ("exited", Some(exit.to_string()), Some(instance)),
    };
    let looked_after = health.map(|health| match &health.state {
        InstanceState::BackingOff { until } => format!("is started again at {}", time(*until)),
        InstanceState::Starting => "was started again and is not healthy yet".to_owned(),
        InstanceState::Recovered => "runs again".to_owned(),
    });
    let detail = match (detail, looked_after) {
        (Some(detail), Some(more)) => Some(format!("{detail}; {more}")),
        (detail, more) => detail.or(more),
    };
    InstanceStatus {
        index,
        state: state.to_owned(),
        detail,
        handle: known.map(|instance| instance.handle.clone()),
        started_at: known.map(|instance| time(instance.started_at)),
        restarts: known.map_or(0, |instance| instance.restarts).max(health.map_or(0, |health| health.restarts)),
        addresses: known
            .into_iter()
            .flat_map(|instance| &instance.addresses)
            .map(|(port, address)| (port.clone(), address.to_string()))
            .collect(),
    }
}

/// Only while no rollout is open: during one, what runs is meant to differ.
fn drift(seen: &Status) -> Vec<Drift> {
    if seen.open.is_some() || seen.release.deleted || seen.elsewhere.is_some() {
        return Vec::new();
    }
    let serving = seen.apps.iter().filter(|app| app.live.weight > 0);
    let serving = serving.map(|app| Serving { app: &app.live.deployment.app, seen: Some(&app.instances) });
    wrong::drift(&Evidence {
        health: seen.health.as_ref(),
        edge: seen.edge.as_ref(),
        caddy: seen.caddy.as_ref(),
        serving: serving.collect(),
    })
}

/// Where a host name of an app is reached, as a person would type it. `tls`: whether the edge serves it so. Where nothing is known of what
/// listens, the ports are the usual ones.
pub(crate) fn host_url(host: &Host, tls: bool, edge: Option<&EdgeState>, caddy: Option<&CaddyState>) -> String {
    let route = |listener| Route {
        listener,
        host: Some(host.clone()),
        path: PathPrefix::default(),
        port: PortName::new("http").expect("the constant is a name"),
    };
    let behind = caddy.is_some_and(|caddy| caddy.entry.is_some());
    let listeners = if tls && !behind { &[Listener::Https, Listener::Http][..] } else { &[Listener::Http] };
    let known = listeners.iter().find_map(|listener| url(&route(*listener), edge, caddy));
    let scheme = if tls || caddy.is_some() { "https" } else { "http" };
    let known = known.unwrap_or_else(|| format!("{scheme}://{host}"));
    known.trim_end_matches('/').to_owned()
}

/// Where a route is reached, as a person would type it. `None` while that is not known.
fn url(route: &Route, edge: Option<&EdgeState>, caddy: Option<&CaddyState>) -> Option<String> {
    let outside = caddy.filter(|_| route.listener == Listener::Http).and_then(|caddy| caddy.entry);
    if let (Some(entry), Some(host)) = (outside, &route.host) {
        let (scheme, standard) = if entry.tls { ("https", 443) } else { ("http", 80) };
        let port = if entry.port == standard { String::new() } else { format!(":{}", entry.port) };
        return Some(format!("{scheme}://{host}{port}{}", route.path));
    }
    let listener = route.listener.to_string();
    let open = edge.and_then(|edge| edge.listeners.iter().find(|(name, _)| *name == listener)).map(|(_, at)| *at);
    let (scheme, standard, at) = match route.listener {
        Listener::Http => ("http", 80, open?),
        Listener::Https => ("https", 443, open?),
        Listener::Port(port) => ("http", 80, open.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))),
        Listener::Auto => return None,
    };
    let host = route.host.as_ref().map_or_else(|| reachable(at.ip()), ToString::to_string);
    let port = if at.port() == standard { String::new() } else { format!(":{}", at.port()) };
    Some(format!("{scheme}://{host}{port}{}", route.path))
}

/// What a person would type for a route of another host's edge, whose listeners are those that are usual.
fn url_at(route: &Route, at: &str) -> Option<String> {
    let (scheme, port) = match route.listener {
        Listener::Http => ("http", String::new()),
        Listener::Https => ("https", String::new()),
        Listener::Port(port) => ("http", format!(":{port}")),
        Listener::Auto => return None,
    };
    let host = route.host.as_ref().map_or_else(|| at.to_owned(), ToString::to_string);
    Some(format!("{scheme}://{host}{port}{}", route.path))
}

/// An address that listens everywhere is reached on this machine by loopback.
fn reachable(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        IpAddr::V6(v6) if v6 == Ipv6Addr::UNSPECIFIED => Ipv4Addr::LOCALHOST.to_string(),
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(listener: Listener, host: Option<&str>, path: &str, edge: &[(&str, &str)], expected: Option<&str>) {
        let route = Route {
            listener,
            host: host.map(|host| Host::new(host).expect("host")),
            path: PathPrefix::new(path).expect("path"),
            port: PortName::new("http").expect("name"),
        };
        let listeners = edge.iter().map(|(name, at)| ((*name).to_owned(), at.parse().expect("address"))).collect();
        let edge = EdgeState { listeners, ..EdgeState::default() };
        assert_eq!(url(&route, Some(&edge), None).as_deref(), expected);
    }

    #[test]
    fn routes_of_a_nodes_edge_are_reached_at_the_node() {
        let route = |listener, host: Option<&str>| Route {
            listener,
            host: host.map(|host| Host::new(host).expect("host")),
            path: PathPrefix::new("/x").expect("path"),
            port: PortName::new("http").expect("name"),
        };
        let at = |listener, host| url_at(&route(listener, host), "192.0.2.7");
        assert_eq!(at(Listener::Port(30_001), None).as_deref(), Some("http://192.0.2.7:30001/x"));
        assert_eq!(at(Listener::Https, Some("a.example")).as_deref(), Some("https://a.example/x"));
        assert_eq!(at(Listener::Auto, None), None);
    }

    #[test]
    fn urls_are_what_a_person_would_type() {
        check(Listener::Http, Some("a.example"), "/", &[("http", "0.0.0.0:80")], Some("http://a.example/"));
        check(Listener::Http, Some("a.example"), "/x", &[("http", "[::]:8080")], Some("http://a.example:8080/x"));
        check(Listener::Https, None, "/", &[("https", "192.0.2.1:443")], Some("https://192.0.2.1/"));
        check(Listener::Port(9090), None, "/", &[(":9090", "0.0.0.0:9090")], Some("http://127.0.0.1:9090/"));
        check(Listener::Port(9090), None, "/", &[], Some("http://127.0.0.1:9090/"));
        check(Listener::Http, None, "/", &[], None);
        check(Listener::Auto, None, "/", &[], None);
    }

    #[test]
    fn the_address_of_a_host_name_says_https_only_where_that_is() {
        let host = Host::new("a.example").expect("a host");
        let edge = |all: &[(&str, &str)]| EdgeState {
            listeners: all.iter().map(|(name, at)| ((*name).to_owned(), at.parse().expect("an address"))).collect(),
            ..EdgeState::default()
        };
        let both = edge(&[("http", "0.0.0.0:80"), ("https", "0.0.0.0:8443")]);
        assert_eq!(host_url(&host, true, Some(&both), None), "https://a.example:8443");
        assert_eq!(host_url(&host, false, Some(&both), None), "http://a.example");
        assert_eq!(host_url(&host, true, Some(&edge(&[("http", "0.0.0.0:8080")])), None), "http://a.example:8080");
        assert_eq!(
            (host_url(&host, true, None, None), host_url(&host, false, None, None)),
            ("https://a.example".into(), "http://a.example".into())
        );
        let caddy = |entry| CaddyState {
            admin: String::new(),
            health: crate::caddy::CaddyHealth::Ok,
            since: Default::default(),
            entry,
            hosts: 0,
            left: Vec::new(),
            changes: 0,
        };
        let entry = |tls, port| Some(crate::caddy::Entry { tls, port });
        assert_eq!(host_url(&host, false, None, Some(&caddy(entry(true, 443)))), "https://a.example");
        assert_eq!(host_url(&host, false, None, Some(&caddy(entry(false, 8080)))), "http://a.example:8080");
        assert_eq!(host_url(&host, false, None, Some(&caddy(None))), "https://a.example");
    }
}
