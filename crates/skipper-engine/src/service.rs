//! From what is live to what a router is told. Pure.

use std::collections::BTreeMap;

use skipper_core::{
    deployment::Live,
    name::AppName,
    route::{Backend, Mode, RouteKey, Service, ServiceId},
    spec::Route,
    time::Millis,
};

/// How an application is reached right now: changed by `Hold`, `Shift` and `Unroute`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Surface {
    /// Its ways in.
    pub(crate) routes: Vec<Route>,
    /// Requests are held, each at most this long.
    pub(crate) held: Option<Millis>,
}

impl Surface {
    /// How the application is reached outside a rollout: by the routes of the newest deployment that serves.
    pub(crate) fn settled<'a>(lives: impl IntoIterator<Item = &'a Live>) -> Self {
        let newest = lives.into_iter().filter(|live| live.weight > 0).max_by_key(|live| live.deployment.revision);
        Self { routes: newest.map(|live| live.deployment.app.routes.clone()).unwrap_or_default(), held: None }
    }

    fn mode(&self) -> Mode {
        self.held.map_or(Mode::Open, |bound| Mode::Held { bound })
    }
}

/// The lives of one application of one release.
pub(crate) fn of_app<'a>(
    lives: impl IntoIterator<Item = &'a Live>,
    app: &AppName,
) -> impl Iterator<Item = &'a Live> + Clone {
    lives.into_iter().filter(|live| live.deployment.app.name == *app).collect::<Vec<_>>().into_iter()
}

/// The whole desired state of an application at its router; `None` when there is nothing to be told: no way in, or
/// nobody to answer. `lives` are those of the application.
///
/// A held service stays held whatever the user asked for; otherwise `asked` (a maintenance page) wins over open.
pub(crate) fn service<'a>(
    surface: &Surface,
    lives: impl Iterator<Item = &'a Live> + Clone,
    asked: Option<&Mode>,
) -> Option<Service> {
    let serving = lives.clone().filter(|live| live.weight > 0);
    let first = &serving.clone().next()?.deployment;
    if surface.routes.is_empty() {
        return None;
    }
    let mut routes: BTreeMap<String, Vec<RouteKey>> = BTreeMap::new();
    for route in &surface.routes {
        routes.entry(route.port.to_string()).or_default().push(route.key());
    }
    Some(Service {
        id: ServiceId { release: first.release, app: first.app.name.clone() },
        label: format!("{}/{}/{}", first.tenant, first.release_name, first.app.name),
        generation: lives.map(|live| live.generation).max()?,
        backends: serving.map(|live| backend(live, &surface.routes)).collect(),
        routes,
        mode: match asked {
            Some(mode) if surface.held.is_none() => mode.clone(),
            _ => surface.mode(),
        },
    })
}

fn backend(live: &Live, routes: &[Route]) -> Backend {
    let mut addresses: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for route in routes {
        let wanted = route.port.as_str();
        let port = port_for(live, route);
        let list = live.instances.iter().filter_map(|index| live.addresses.get(index)?.get(port).copied()).collect();
        addresses.entry(wanted.to_owned()).or_insert(list);
    }
    Backend {
        deployment: live.deployment.id.clone(),
        revision: live.deployment.revision,
        weight: live.weight,
        addresses,
    }
}

/// The name that the deployment itself has for the port behind a route: two revisions that share the traffic may call it
/// differently.
fn port_for<'a>(live: &'a Live, route: &'a Route) -> &'a str {
    let app = &live.deployment.app;
    if app.ports.iter().any(|port| port.name == route.port) {
        return route.port.as_str();
    }
    let same_way_in = app.routes.iter().find(|own| own.key() == route.key());
    same_way_in.map_or(route.port.as_str(), |own| own.port.as_str())
}

#[cfg(test)]
mod tests {
    use skipper_core::{deployment::Deployment, generation::Generation, name::PortName};
    use testkit::fixture;

    use super::*;

    fn live(revision: u64, port: &str, weight: u8) -> Live {
        let mut app = fixture::app("web", "1");
        app.ports[0].name = PortName::new(port).expect("valid");
        app.routes[0].port = app.ports[0].name.clone();
        let release = "00000000-0000-0000-0000-000000000001".parse().expect("an id");
        let name = fixture::release("shop");
        let address = format!("127.0.0.1:{}", 1000 + revision).parse().expect("an address");
        Live {
            deployment: Deployment {
                id: skipper_core::deployment::DeploymentId::derive(release, &name, &app.name, revision),
                release,
                release_name: name,
                tenant: fixture::tenant(),
                revision,
                app,
                secrets: Default::default(),
            },
            weight,
            instances: vec![0, 1],
            addresses: BTreeMap::from([(0, BTreeMap::from([(port.to_owned(), address)]))]),
            generation: Generation { epoch: 1, counter: revision },
        }
    }

    #[test]
    fn revisions_that_call_the_port_differently_share_the_traffic() {
        let lives = [live(1, "http", 90), live(2, "web", 10), live(3, "web", 0)];
        let surface = Surface::settled(&lives);
        let service = service(&surface, lives.iter(), None).expect("somebody serves");
        let reached: Vec<_> = service.backends.iter().map(|b| (b.weight, b.addresses["web"][0].port())).collect();
        assert_eq!(reached, [(90, 1001), (10, 1002)]);
        assert_eq!(service.generation.counter, 3, "of the newest right, whoever it was used on");
    }

    #[test]
    fn a_hold_wins_over_a_maintenance_page_and_that_over_open() {
        let lives = [live(1, "http", 100)];
        let page = Mode::Maintenance { message: "soon".into() };
        let mode = |held| {
            let surface = Surface { held, ..Surface::settled(&lives) };
            service(&surface, lives.iter(), Some(&page)).expect("somebody serves").mode
        };
        assert_eq!(mode(Some(Millis(5))), Mode::Held { bound: Millis(5) });
        assert_eq!(mode(None), page);
    }

    #[test]
    fn nobody_to_answer_and_no_way_in_are_nothing_to_be_told() {
        let nobody = [live(1, "http", 0)];
        assert_eq!(service(&Surface::settled(&[live(1, "http", 100)]), nobody.iter(), None), None);
        let serving = [live(1, "http", 100)];
        assert_eq!(service(&Surface::default(), serving.iter(), None), None);
    }
}
