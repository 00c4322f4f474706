//! From a tenant and its services to one project for each node.

use std::collections::{BTreeMap, BTreeSet};

use skipper_core::{
    compose::{self, COMPOSE_FILE, EnvValue, Terms, key_for, project_name},
    name::{NodeName, PlatformName, TenantName},
};

use super::{
    read::MAX_SERVICES,
    render,
    resource::{Service, ServiceSpec, Tenant},
    words::{ImageRef, PortMapping},
};
use crate::finding::{Faults, Finding, Findings};

/// What projects are told of where they are made.
#[derive(Debug, Clone)]
pub struct Surroundings<'a> {
    /// Whose containers they are, as their label says it; nobody's in particular when `None`.
    pub owner: Option<&'a str>,
    /// The account that runs what names no node; `compose` unless it is called otherwise.
    pub account: PlatformName,
}

impl Surroundings<'_> {
    /// Nobody's in particular, with the account `compose`.
    ///
    /// # Panics
    ///
    /// Never: the name is one.
    #[must_use]
    pub fn usual() -> Self {
        Self { owner: None, account: PlatformName::new(compose::SCHEME).expect("a valid name") }
    }
}

/// What a tenant's services come to on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Whose.
    pub tenant: TenantName,
    /// Where; the server's own account when `None`.
    pub node: Option<NodeName>,
    /// The platform that carries it out.
    pub target: PlatformName,
    /// What compose calls it.
    pub name: String,
    /// Text, variables, and what has to be known beside them.
    pub content: compose::Project,
}

impl Project {
    /// The text of its `docker-compose.yml`.
    #[must_use]
    pub fn text(&self) -> &str {
        self.content.files.get(COMPOSE_FILE).map_or("", String::as_str)
    }
}

/// The projects of a tenant, by node; that of the server's own account comes first. `services` are all that are kept in files of
/// their own; those of other tenants are passed over.
///
/// # Errors
///
/// What no single document can know: a service that is written twice, a port that two of them want, more of them than a tenant may
/// have.
pub fn projects(tenant: &Tenant, services: &[Service], around: &Surroundings<'_>) -> Result<Vec<Project>, Faults> {
    let mut findings = Findings::new();
    let all = gather(tenant, services, &mut findings);
    let mut nodes: BTreeMap<Option<&NodeName>, BTreeMap<&str, &ServiceSpec>> = BTreeMap::new();
    for (name, service) in all {
        nodes.entry(service.node.as_ref().or(tenant.spec.node.as_ref())).or_default().insert(name, service);
    }
    let projects = nodes
        .into_iter()
        .map(|(node, services)| {
            check_ports(&services, &mut findings);
            one(tenant, node, &services, around)
        })
        .collect();
    findings.into_result().map(|_| projects)
}

fn gather<'a>(
    tenant: &'a Tenant,
    services: &'a [Service],
    findings: &mut Findings,
) -> BTreeMap<&'a str, &'a ServiceSpec> {
    let mut all: BTreeMap<&str, &ServiceSpec> =
        tenant.spec.services.iter().map(|(name, service)| (name.as_str(), service)).collect();
    for service in services.iter().filter(|service| service.spec.tenant == tenant.id) {
        if all.insert(&service.id, &service.spec.service).is_some() {
            let message = format!(
                "the service `{}` is written twice: in the file of tenant `{}`, and in one of its own",
                service.id, tenant.id
            );
            findings.push(Finding::error("service-twice", message).path(format!("services.{}", service.id)));
        }
    }
    if all.len() > MAX_SERVICES {
        let message = format!("has {} services, and at most {MAX_SERVICES} are allowed", all.len());
        findings.push(Finding::error("value-invalid", message).path("services"));
    }
    all
}

fn check_ports(services: &BTreeMap<&str, &ServiceSpec>, findings: &mut Findings) {
    let mut taken: Vec<(&str, PortMapping)> = Vec::new();
    for (name, service) in services {
        for port in mappings(service) {
            if let Some((other, _)) = taken.iter().find(|(other, had)| other != name && had.collides(&port)) {
                let message = format!("the port `{port}` of the node is that of `{other}` already");
                findings.push(Finding::error("port-taken", message).path(format!("services.{name}.ports")));
            }
            taken.push((name, port));
        }
    }
}

/// Ports as they were checked when they were read; what is no mapping is passed over.
pub(super) fn mappings(service: &ServiceSpec) -> Vec<PortMapping> {
    service.ports.iter().filter_map(|text| text.parse().ok()).collect()
}

fn one(
    tenant: &Tenant,
    node: Option<&NodeName>,
    services: &BTreeMap<&str, &ServiceSpec>,
    around: &Surroundings<'_>,
) -> Project {
    let name = project_name(tenant.id.as_str());
    let target = node.map_or_else(|| around.account.clone(), |node| PlatformName::of_node(node, None));
    let keys = Keys::of(services);
    let mut env = BTreeMap::new();
    for (service, spec) in services {
        for (variable, value) in variables(spec) {
            env.insert(keys.key(variable, service), value);
        }
    }
    if name != tenant.id.as_str() {
        // Its folder is called after the tenant, and whoever runs compose there by hand means this project.
        env.insert("COMPOSE_PROJECT_NAME".to_owned(), EnvValue::Value(name.clone()));
    }
    let text = render::compose(&render::Context { tenant: &tenant.id, target: &target, around, keys: &keys }, services);
    let terms = services.iter().map(|(name, service)| {
        let digest = service.image.parse::<ImageRef>().ok().and_then(|image| image.digest);
        let mut health = service.health.clone();
        if let Some(health) = &mut health
            && health.path.is_some()
            && health.port.is_none()
        {
            health.port = asked_at(service);
        }
        let terms = Terms { image: service.image.clone(), digest, health, routes: service.routes.clone() };
        ((*name).to_owned(), terms)
    });
    let content = compose::Project {
        tenant: Some(tenant.id.clone()),
        files: [(COMPOSE_FILE.to_owned(), text)].into(),
        env,
        services: terms.collect(),
    };
    Project { tenant: tenant.id.clone(), node: node.cloned(), target, name, content }
}

/// Where a service is asked for its health that does not say it: at its first published port, else where its routes lead.
pub(super) fn asked_at(service: &ServiceSpec) -> Option<u16> {
    let published =
        mappings(service).into_iter().find(|port| port.publishes(port.container.0)).map(|port| port.container.0);
    published.or_else(|| service.routes.first().map(|route| route.port))
}

/// A service's variables, whatever is behind them.
pub(super) fn variables(service: &ServiceSpec) -> impl Iterator<Item = (&str, EnvValue)> {
    let literal = service.env.iter().map(|(name, value)| (name.as_str(), EnvValue::Value(value.clone())));
    literal.chain(service.secrets.iter().map(|name| (name.as_str(), EnvValue::Secret(name.clone()))))
}

/// Under which keys variables stand in the project's file.
pub(super) struct Keys<'a> {
    /// Names that mean different things to different services.
    disputed: BTreeSet<&'a str>,
}

impl<'a> Keys<'a> {
    fn of(services: &BTreeMap<&'a str, &'a ServiceSpec>) -> Self {
        let mut first: BTreeMap<&str, EnvValue> = BTreeMap::new();
        let mut disputed = BTreeSet::new();
        for (name, value) in services.values().copied().flat_map(variables) {
            match first.get(name) {
                Some(had) if *had != value => {
                    disputed.insert(name);
                }
                Some(_) => {}
                None => {
                    first.insert(name, value);
                }
            }
        }
        Self { disputed }
    }

    pub(super) fn key(&self, variable: &str, service: &str) -> String {
        key_for(variable, self.disputed.contains(variable).then_some(service))
    }
}
