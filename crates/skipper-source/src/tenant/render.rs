//! The text of a project's `docker-compose.yml`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use skipper_core::name::{PlatformName, TenantName};

use super::{
    project::{Keys, Surroundings, asked_at, mappings, variables},
    resource::{Command, ServiceSpec},
    words::Mount,
};
use crate::yaml::emit;

pub(super) struct Context<'a> {
    pub tenant: &'a TenantName,
    pub target: &'a PlatformName,
    pub around: &'a Surroundings<'a>,
    pub keys: &'a Keys<'a>,
}

/// Equal services give equal texts: what did not change is not started anew.
pub(super) fn compose(context: &Context<'_>, services: &BTreeMap<&str, &ServiceSpec>) -> String {
    let mut shown = Map::new();
    let mut volumes = BTreeSet::new();
    for (name, service) in services {
        shown.insert((*name).to_owned(), one(context, name, service).into());
        let mounts = service.volumes.iter().filter_map(|text| text.parse::<Mount>().ok());
        volumes.extend(mounts.filter_map(|mount| mount.volume().map(str::to_owned)));
    }
    let mut file = json!({"services": shown});
    if !volumes.is_empty() {
        file["volumes"] = volumes.into_iter().map(|name| (name, json!({}))).collect::<Map<_, _>>().into();
    }
    let head = format!(
        "# The services of tenant {} on this node, written by Skipper: the next apply overwrites what is changed here.\n",
        context.tenant
    );
    head + &emit(&file)
}

fn one(context: &Context<'_>, name: &str, service: &ServiceSpec) -> Map<String, Value> {
    let mut shown = Map::new();
    let mut set = |key: &str, value: Value| shown.insert(key.to_owned(), value);
    set("image", literal(&service.image));
    set("restart", "unless-stopped".into());
    match &service.command {
        Some(Command::Line(line)) => drop(set("command", literal(line))),
        Some(Command::Words(words)) => drop(set("command", words.iter().map(|word| literal(word)).collect())),
        None => {}
    }
    let environment: Map<String, Value> = sorted(variables(service).map(|(variable, _)| {
        // Without the value nothing is started: an empty password would be worse.
        (variable.to_owned(), format!("${{{}?}}", context.keys.key(variable, name)).into())
    }));
    if !environment.is_empty() {
        set("environment", environment.into());
    }
    let ports = ports(service);
    if !ports.is_empty() {
        set("ports", ports.into());
    }
    if !service.volumes.is_empty() {
        set("volumes", service.volumes.iter().map(|mount| Value::from(mount.as_str())).collect());
    }
    if let Some(words) = service.health.as_ref().and_then(|health| health.command.as_ref()) {
        let test: Vec<Value> = std::iter::once("CMD".into()).chain(words.iter().map(|word| literal(word))).collect();
        set(
            "healthcheck",
            json!({"test": test, "interval": "2s", "timeout": "5s", "retries": 3, "start_period": "60s"}),
        );
    }
    if service.replicas != 1 {
        set("scale", service.replicas.into());
    }
    set("labels", labels(context, name).into());
    shown
}

/// What is published, and on the loopback address what only the edge and whoever asks for health have to reach.
fn ports(service: &ServiceSpec) -> Vec<Value> {
    let published = mappings(service);
    let asked = service
        .health
        .as_ref()
        .filter(|health| health.path.is_some())
        .and_then(|health| health.port.or_else(|| asked_at(service)));
    let needed: BTreeSet<u16> = service.routes.iter().map(|route| route.port).chain(asked).collect();
    let missing = needed.into_iter().filter(|port| !published.iter().any(|mapping| mapping.publishes(*port)));
    let missing: Vec<Value> = missing.map(|port| format!("127.0.0.1::{port}").into()).collect();
    published.iter().map(|mapping| Value::from(mapping.to_string())).chain(missing).collect()
}

fn labels(context: &Context<'_>, service: &str) -> Map<String, Value> {
    let owner = context.around.owner.map(|owner| ("skipper.owner".to_owned(), literal(owner)));
    let own = [
        ("skipper.account", context.target.as_str()),
        ("skipper.kind", "service"),
        ("skipper.service", service),
        ("skipper.tenant", context.tenant.as_str()),
    ];
    sorted(own.map(|(key, value)| (key.to_owned(), literal(value))).into_iter().chain(owner))
}

fn sorted(entries: impl Iterator<Item = (String, Value)>) -> Map<String, Value> {
    entries.collect::<BTreeMap<_, _>>().into_iter().collect()
}

/// Text that compose takes as it is: it would look for variables in it otherwise.
fn literal(text: &str) -> Value {
    text.replace('$', "$$").into()
}
