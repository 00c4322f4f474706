//! From the bytes of a document to what it says, with every fault.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use skipper_core::{
    compose::{Health, Route},
    name::{NodeName, SecretName, TenantName},
    route::{Host, PathPrefix},
    spec::{OnFailure, Portion, WaveTerms},
};

use super::{
    resource::{Command, OwnedSpec, Service, ServiceSpec, Tenant, TenantSpec},
    words::{ImageRef, Mount, PortMapping},
};
use crate::{
    fields::{Document, Field, Fields},
    finding::{Faults, Finding},
    json,
    yaml::shorten,
};

/// Most services of a tenant.
pub(super) const MAX_SERVICES: usize = 100;
/// Most of what a service lists.
const MAX_LIST: usize = 100;
/// Most variables of a service.
const MAX_ENV: usize = 500;
/// Longest value of a variable; the kernel takes 128 KiB with its name.
const MAX_VALUE: usize = 64 << 10;
/// Longest name of a variable.
const MAX_VAR: usize = 255;
/// Most containers of a service.
const MAX_REPLICAS: u32 = 100;
/// Longest line or word of a command.
const MAX_WORD: usize = 32 << 10;
/// Longest name of a service: it is a host name among the tenant's services.
const MAX_NAME: usize = 63;
/// Longest a service may take to get healthy, in seconds.
const MAX_WITHIN: u32 = 3600;

/// What a document says.
#[derive(Debug, Clone, PartialEq)]
pub struct Read<T> {
    /// What is wanted.
    pub resource: T,
    /// What the document says of its own status, which means nothing; null where it says nothing.
    pub status: Value,
    /// What will surprise somebody.
    pub warnings: Vec<Finding>,
}

/// Reads a tenant's document. `file` is what messages call it; where that ends in `<id>.json`, the id has to be the document's.
///
/// # Errors
///
/// Everything that is wrong, with line and key.
pub fn tenant(file: &str, bytes: &[u8]) -> Result<Read<Tenant>, Faults> {
    document(file, bytes, "tenant", |id, spec| {
        let id = id.parsed(TenantName::new);
        let mut spec = spec.fields()?;
        let node = node(&mut spec);
        let services = spec.get("services").map(|field| services(&field)).unwrap_or_default();
        let rollout = spec.get("rollout").and_then(|field| rollout(&field));
        spec.finish();
        Some(Tenant { id: id?, spec: TenantSpec { node, services, rollout } })
    })
}

/// Reads the document of a service that is kept in a file of its own; see [`tenant`].
///
/// # Errors
///
/// Everything that is wrong, with line and key.
pub fn service(file: &str, bytes: &[u8]) -> Result<Read<Service>, Faults> {
    document(file, bytes, "service", |id, spec| {
        let name = id.text();
        if let Some(name) = &name {
            check_name(&id, name);
        }
        let mut fields = spec.fields()?;
        let tenant = fields.require("tenant").and_then(|field| field.parsed(TenantName::new));
        let service = read_service(fields);
        Some(Service { id: name?, spec: OwnedSpec { tenant: tenant?, service: service? } })
    })
}

fn document<T>(
    file: &str,
    bytes: &[u8],
    kind: &str,
    read: impl FnOnce(Field<'_>, Field<'_>) -> Option<T>,
) -> Result<Read<T>, Faults> {
    let node = json::read(file, bytes)?;
    let doc = Document::new(file);
    let mut resource = None;
    let mut status = Value::Null;
    if let Some(mut top) = Field::root(&doc, &node).fields() {
        if let Some(field) = top.require("kind")
            && field.text().is_some_and(|word| word != kind)
        {
            field.error("value-invalid", format!("must be `{kind}` in this place"));
        }
        status = top.get("status").map(|field| field.node.to_value()).unwrap_or_default();
        let (id, spec) = (top.require("id"), top.require("spec"));
        if let Some(id) = &id {
            check_file(file, id);
        }
        if let (Some(id), Some(spec)) = (id, spec) {
            resource = read(id, spec);
        }
        top.finish();
    }
    let warnings = doc.into_findings().into_result()?;
    match resource {
        Some(resource) => Ok(Read { resource, status, warnings }),
        // Whatever kept it from being read was an error.
        None => Err(Finding::error("document-invalid", "the document cannot be read").in_file(file).into()),
    }
}

/// A document is found by its file's name.
fn check_file(file: &str, id: &Field<'_>) {
    let name = file.rsplit('/').next().unwrap_or(file);
    if let (Some(stem), Some(Value::String(id_text))) = (name.strip_suffix(".json"), id.scalar())
        && stem != id_text
    {
        id.error_hint(
            "id-file",
            format!("is `{}`, and the file is called {}", shorten(id_text), shorten(name)),
            "name the file after the id",
        );
    }
}

fn node(fields: &mut Fields<'_>) -> Option<NodeName> {
    fields.get("node").and_then(|field| field.parsed(NodeName::new))
}

fn rollout(field: &Field<'_>) -> Option<WaveTerms> {
    let mut fields = field.fields()?;
    let portion = |field: Field<'_>| field.parsed(|text| text.parse::<Portion>());
    let waves = fields.get("waves").map(|field| field.items(MAX_LIST).into_iter().filter_map(portion).collect());
    let max_unavailable = fields.get("max_unavailable").and_then(portion);
    let on_failure = fields.get("on_failure").and_then(|field| field.parsed(|text| text.parse::<OnFailure>()));
    fields.finish();
    let terms =
        WaveTerms { waves: waves.unwrap_or_default(), max_unavailable, on_failure: on_failure.unwrap_or_default() };
    terms.check().map_err(|wrong| field.error("value-invalid", wrong.to_string())).ok()?;
    Some(terms)
}

fn services(field: &Field<'_>) -> BTreeMap<String, ServiceSpec> {
    let mut services = BTreeMap::new();
    for (name, field) in field.entries(MAX_SERVICES) {
        check_name(&field, name);
        if let Some(service) = field.fields().and_then(read_service) {
            services.insert(name.to_owned(), service);
        }
    }
    services
}

fn check_name(field: &Field<'_>, name: &str) {
    let good = (1..=MAX_NAME).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !good {
        let rule = "use 1 to 63 of the characters A-Z a-z 0-9 . _ - and start with a letter or digit";
        field.error_hint("value-invalid", format!("`{}` is no name of a service", shorten(name)), rule);
    }
}

fn read_service(mut fields: Fields<'_>) -> Option<ServiceSpec> {
    let image = fields.require("image").and_then(|field| field.parsed(|text| text.parse::<ImageRef>()));
    let ports = fields.get("ports").map(|field| ports(&field)).unwrap_or_default();
    let env = fields.get("env").map(|field| env(&field)).unwrap_or_default();
    let secrets = fields.get("secrets").map(|field| secrets(&field, &env)).unwrap_or_default();
    let volumes = fields.get("volumes").map(|field| volumes(&field)).unwrap_or_default();
    let command = fields.get("command").and_then(|field| command(&field));
    let replicas = fields.get("replicas").map_or(Some(1), |field| {
        let replicas = field.whole32(0, MAX_REPLICAS)?;
        if replicas > 1 && ports.iter().any(|port: &PortMapping| port.host.is_some_and(|(from, to)| from == to)) {
            let hint = "leave the node's port out (`80` instead of `8080:80`) and reach it by a route";
            field.error_hint("replicas-port", "several containers cannot have one port of the node", hint);
        }
        Some(replicas)
    });
    let routes = fields.get("routes").map(|field| routes(&field)).unwrap_or_default();
    let health = fields.get("health").and_then(|field| health(&field, &ports, &routes));
    let node = node(&mut fields);
    fields.finish();
    Some(ServiceSpec {
        image: image?.text,
        ports: ports.iter().map(ToString::to_string).collect(),
        env,
        secrets,
        volumes,
        command,
        health,
        routes,
        replicas: replicas?,
        node,
    })
}

fn ports(field: &Field<'_>) -> Vec<PortMapping> {
    let mut ports: Vec<PortMapping> = Vec::new();
    for item in field.items(MAX_LIST) {
        let Some(port) = item.parsed(|text| text.parse::<PortMapping>()) else { continue };
        if ports.iter().any(|other| other.collides(&port)) {
            item.error("port-taken", "another entry has that port of the node already");
        }
        ports.push(port);
    }
    ports
}

fn env(field: &Field<'_>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for (name, field) in field.entries(MAX_ENV) {
        check_variable(&field, name);
        let Some(value) = field.text() else { continue };
        if value.len() > MAX_VALUE {
            field.error("value-invalid", format!("longer than {MAX_VALUE} bytes"));
        }
        env.insert(name.to_owned(), value);
    }
    env
}

fn check_variable(field: &Field<'_>, name: &str) {
    let good = (1..=MAX_VAR).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !good {
        let rule = "use letters, digits and . _ - and start with a letter or `_`";
        field.error_hint("value-invalid", format!("`{}` is no name of a variable", shorten(name)), rule);
    }
}

fn secrets(field: &Field<'_>, env: &BTreeMap<String, String>) -> Vec<SecretName> {
    let mut secrets = Vec::new();
    let mut seen = BTreeSet::new();
    for item in field.items(MAX_LIST) {
        let Some(name) = item.parsed(SecretName::new) else { continue };
        check_variable(&item, name.as_str());
        if env.contains_key(name.as_str()) {
            item.error("secret-env", format!("`{name}` is a variable under `env` as well"));
        }
        if seen.insert(name.clone()) {
            secrets.push(name);
        } else {
            item.error("secret-twice", format!("`{name}` is listed twice"));
        }
    }
    secrets
}

fn volumes(field: &Field<'_>) -> Vec<String> {
    let mut volumes = Vec::new();
    let mut targets = BTreeSet::new();
    for item in field.items(MAX_LIST) {
        let Some(text) = item.text() else { continue };
        match text.parse::<Mount>() {
            Ok(mount) => {
                if !targets.insert(mount.target.trim_end_matches('/').to_owned()) {
                    item.error("volume-twice", format!("something is mounted at `{}` already", shorten(&mount.target)));
                }
                volumes.push(text);
            }
            Err(why) => item.error("value-invalid", why),
        }
    }
    volumes
}

fn command(field: &Field<'_>) -> Option<Command> {
    if field.scalar().is_some() {
        return field.short_text(MAX_WORD).map(Command::Line);
    }
    let words = field.texts(MAX_LIST, MAX_WORD);
    if words.is_empty() { field.expected("a line or a list of words") } else { Some(Command::Words(words)) }
}

fn routes(field: &Field<'_>) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for item in field.items(MAX_LIST) {
        let Some(mut fields) = item.fields() else { continue };
        let host = fields.get("host").map(|field| field.parsed(|text| Host::new(&text)));
        let path = fields.get("path").map(|field| field.parsed(|text| PathPrefix::new(&text)));
        let port = fields.require("port").and_then(|field| field.port());
        fields.finish();
        let (Some(port), Some(host), Some(path)) =
            (port, host.map_or(Some(None), |host| host.map(Some)), path.map_or(Some(None), |path| path.map(Some)))
        else {
            continue;
        };
        if routes.iter().any(|other| other.host == host && other.path == path) {
            item.error("route-twice", "another route has that host and path already");
        }
        routes.push(Route { host, port, path });
    }
    routes
}

fn health(field: &Field<'_>, ports: &[PortMapping], routes: &[Route]) -> Option<Health> {
    let mut fields = field.fields()?;
    let path = fields.get("path").and_then(|field| {
        let path = field.short_text(1024)?;
        let good = path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        if !good {
            field.error("value-invalid", "is not a path; it begins with / and has no spaces");
        }
        good.then_some(path)
    });
    let port = fields.get("port").and_then(|field| field.port());
    let command = fields.get("command").map(|field| field.texts(MAX_LIST, MAX_WORD));
    let within = fields.get("within").and_then(|field| field.whole32(1, MAX_WITHIN));
    fields.finish();
    match (&path, &command) {
        (Some(_), Some(_)) => field.error("health-both", "asks by `path` and by `command`; say one of them"),
        (None, Some(words)) if words.is_empty() => field.error("value-invalid", "`command` is empty"),
        _ => {}
    }
    if path.is_some()
        && port.is_none()
        && routes.is_empty()
        && !ports.iter().any(|p| p.protocol == super::words::Protocol::Tcp)
    {
        field.error_hint(
            "health-port",
            "`path` is asked at a port, and there is none",
            "say `port`, or list it under `ports`",
        );
    }
    Some(Health { path, port, command, within })
}
