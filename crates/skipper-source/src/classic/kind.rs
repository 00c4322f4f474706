//! From the documents of a manifest to applications: the kinds that the original's platforms read.

use std::collections::{BTreeMap, BTreeSet};

use skipper_core::{
    name::{AppName, PortName},
    route::{Listener, PathPrefix},
    spec::{
        Application, Bounds, Check, Deployer, Health, Hooks, Limits, Port, Resource, Route, Signal, Spec, StopPolicy,
        Strategy, Target,
    },
    time::Millis,
};

use super::{
    value::{Map, Value},
    yaml::{Generation, Typing, load, load_all},
};
use crate::{
    finding::{Faults, Finding, Findings},
    package::{RenderOptions, validated},
};

/// What the original calls a manifest's place, for errors.
const MANIFEST: &str = "manifest";
const SPRING: [&str; 2] = ["SpringBootApp", "SpringCloudDeployerApplication"];
const CLOUD_FOUNDRY: &str = "CloudFoundryApplication";
/// Documents of the second generation say so; only there is the kind checked.
const SECOND: &str = "skipper.spring.io/";

const COUNT: &str = "spring.cloud.deployer.count";
/// Most instances of an application, as of one in Skipper's own format.
const MAX_COUNT: u32 = 1000;
/// Prefixes of options, the more special one first.
const PREFIXES: [&str; 2] = ["spring.cloud.deployer.local.", "spring.cloud.deployer."];

/// How long the original waits for health, and for an application to shut down.
const HEALTH: Millis = Millis::secs(300);
const SHUTDOWN: Millis = Millis::secs(30);

/// The spec of a manifest that is kept to the letter.
///
/// # Errors
///
/// As [`applications`]; applications of the same name.
pub fn spec_of(manifest: &str, options: &RenderOptions) -> Result<Spec, Faults> {
    let documents = documents(manifest)?;
    let metadata = metadata(&documents);
    let spec = Spec { verbatim: true, metadata, ..Spec::new(read(&documents, options)?) };
    validated(&spec)?;
    Ok(spec)
}

/// The applications of a manifest, in the order of its documents.
///
/// # Errors
///
/// A text that is no YAML; documents of a kind that no platform reads, or of several kinds; a document without name or
/// resource; a count that is no number.
pub fn applications(manifest: &str, options: &RenderOptions) -> Result<Vec<Application>, Faults> {
    read(&documents(manifest)?, options)
}

fn documents(manifest: &str) -> Result<Vec<Value>, Faults> {
    let mut documents = load_all(MANIFEST, manifest, Typing::Text)?;
    documents.retain(|document| !matches!(document, Value::Null));
    Ok(documents)
}

/// What the documents say of themselves. Their names are not in it: applications have them.
fn metadata(documents: &[Value]) -> BTreeMap<String, BTreeSet<String>> {
    let mut metadata = BTreeMap::<_, BTreeSet<_>>::new();
    for (key, value) in documents.iter().flat_map(|document| texts(document.get("metadata"))) {
        if key != "name" {
            metadata.entry(key).or_default().insert(value);
        }
    }
    metadata
}

fn read(documents: &[Value], options: &RenderOptions) -> Result<Vec<Application>, Faults> {
    let mut findings = Findings::new();
    let first = documents.first().map(|document| text(document.get("kind"))).unwrap_or_default();
    let mut applications = Vec::new();
    for document in documents {
        let kind = text(document.get("kind"));
        if findings.take(known(&kind, &text(document.get("apiVersion")))).is_none() {
            continue;
        }
        if (kind == CLOUD_FOUNDRY) != (first == CLOUD_FOUNDRY) {
            let message =
                format!("the documents are of the kinds `{first}` and `{kind}`, which no platform runs together");
            findings.push(fault("manifest-kind", message));
        } else {
            let read = if kind == CLOUD_FOUNDRY { cloud_foundry(document, options) } else { spring(document, options) };
            applications.extend(findings.take(read));
        }
    }
    findings.into_result()?;
    Ok(applications)
}

/// What somebody set, for those who read it as a tree; what cannot be read is nothing.
#[must_use]
pub fn values_tree(text: &str) -> serde_json::Value {
    match load("values", text, Typing::Typed(Generation::Two)) {
        Ok(values @ Value::Map(_)) => values.to_json(),
        _ => serde_json::Value::Object(serde_json::Map::new()),
    }
}

fn fault(code: &'static str, message: impl Into<String>) -> Finding {
    Finding::error(code, message).in_file(MANIFEST)
}

fn known(kind: &str, api_version: &str) -> Result<(), Faults> {
    if kind == CLOUD_FOUNDRY || SPRING.contains(&kind) || !api_version.starts_with(SECOND) {
        return Ok(());
    }
    let message = format!("No release manager available for '{kind}'");
    Err(fault("manifest-kind", message)
        .hint(format!("kinds are {}, {} and {CLOUD_FOUNDRY}", SPRING[0], SPRING[1]))
        .into())
}

fn spring(document: &Value, options: &RenderOptions) -> Result<Application, Faults> {
    let name = text(document.get("metadata").and_then(|metadata| metadata.get("name")));
    let name = app_name(&name)?;
    let spec = document.get("spec").unwrap_or(&Value::Null);
    let properties_of = |key| properties(spec, key, &name);
    let (properties, mut deployment) =
        (properties_of("applicationProperties")?, properties_of("deploymentProperties")?);
    let replicas = match deployment.remove(COUNT) {
        Some(text) if !text.trim().is_empty() => count(COUNT, &text, &name)?,
        _ => 1,
    };
    // A placeholder is for the application to resolve.
    let port =
        properties.get("server.port").map(|text| text.trim()).filter(|text| !text.is_empty() && !text.contains("${"));
    if let Some(port) = port.filter(|text| !text.parse::<i64>().is_ok_and(|port| port <= i64::from(u16::MAX))) {
        return Err(fault("value-invalid", format!("`server.port` = `{port}` is not a port"))
            .path(name.as_str())
            .into());
    }
    let ports = Ways::of(properties.get("server.port").map(String::as_str), &deployment);
    let mut application = bare(name, resource(spec)?, options);
    application.replicas = replicas;
    application.health.check = ports.check(&deployment);
    application.ports = ports.ports;
    application.routes = ports.routes;
    if let Some(seconds) = option(&deployment, "shutdownTimeout").and_then(|text| text.trim().parse().ok()) {
        application.stop.grace = Millis::secs(seconds);
    }
    application.deployer = Some(Deployer { properties, options: deployment });
    Ok(application)
}

/// How many instances a text asks for.
fn count(key: &str, text: &str, of: &AppName) -> Result<u32, Faults> {
    let wrong = |what: &str| fault("value-invalid", format!("`{key}` = `{text}` is {what}")).path(of.as_str()).into();
    match text.trim().parse() {
        Ok(count) if count <= MAX_COUNT => Ok(count),
        Ok(_) => Err(wrong(&format!("more than {MAX_COUNT} instances"))),
        Err(_) => Err(wrong("not a count of instances")),
    }
}

/// One application, which Cloud Foundry alone can run: what it is told is kept for that platform.
fn cloud_foundry(document: &Value, options: &RenderOptions) -> Result<Application, Faults> {
    let spec = document.get("spec").unwrap_or(&Value::Null);
    let own = text(document.get("metadata").and_then(|metadata| metadata.get("name")));
    let name = app_name(if own.is_empty() { options.release.as_str() } else { &own })?;
    let mut application = bare(name, resource(spec)?, options);
    let manifest = spec.get("manifest").map_or_else(|| serde_json::json!({}), Value::to_json);
    if let Some(instances) = manifest.get("instances").and_then(serde_json::Value::as_str) {
        application.replicas = count("instances", instances, &application.name)?;
    }
    application.platform_options = BTreeMap::from([("cloudfoundry".to_owned(), manifest)]);
    Ok(application)
}

/// An application that says nothing but what it runs.
fn bare(name: AppName, uri: String, options: &RenderOptions) -> Application {
    let mut health = Health::with_defaults(Check::Running);
    // A JVM on a small machine takes its time; it is not given up before the whole wait is over.
    health.start_period = HEALTH;
    // Asked while a rollout waits, and by nobody after it.
    health.interval = Millis(100);
    Application {
        name,
        target: Target(options.platform.clone()),
        resource: Resource { uri, sha256: None },
        command: Vec::new(),
        args: Vec::new(),
        env: BTreeMap::new(),
        secrets: Vec::new(),
        ports: Vec::new(),
        health,
        routes: Vec::new(),
        strategy: Strategy::BlueGreen { bake: Millis(0) },
        replicas: 1,
        limits: Limits::default(),
        volumes: Vec::new(),
        hooks: Hooks::default(),
        depends_on: Vec::new(),
        stop: StopPolicy { signal: Signal::Term, grace: SHUTDOWN },
        bounds: Bounds { health: HEALTH, ..Bounds::default() },
        working_dir: None,
        platform_options: BTreeMap::new(),
        images: BTreeMap::new(),
        deployer: None,
        relaunched: None,
    }
}

fn app_name(name: &str) -> Result<AppName, Faults> {
    if name.is_empty() {
        return Err(fault("manifest-name", "a document has no `metadata.name`, which names the application").into());
    }
    AppName::new(name).map_err(|wrong| fault("manifest-name", wrong.to_string()).into())
}

/// How an application is reached.
struct Ways {
    ports: Vec<Port>,
    routes: Vec<Route>,
    http: Option<PortName>,
}

impl Ways {
    /// `server.port` is the edge's port; the process gets a free one. Below 1: no port at all.
    fn of(server_port: Option<&str>, options: &BTreeMap<String, String>) -> Self {
        let wanted = server_port.and_then(|text| text.trim().parse::<i64>().ok());
        if wanted.is_some_and(|port| port < 1) {
            return Self { ports: Vec::new(), routes: Vec::new(), http: None };
        }
        let fixed = wanted.and_then(|port| u16::try_from(port).ok());
        let direct = fixed.is_some() && option(options, "direct").is_some_and(|text| text.trim() == "true");
        let name = PortName::new("http").expect("the constant is a name");
        let port = Port { name: name.clone(), env: None, fixed: fixed.filter(|_| direct), direct, container: None };
        let route = Route {
            listener: fixed.map_or(Listener::Auto, Listener::Port),
            host: None,
            path: PathPrefix::default(),
            port: name.clone(),
        };
        let routes = if direct { Vec::new() } else { vec![route] };
        Self { ports: vec![port], routes, http: Some(name) }
    }

    /// A path that was given is asked; else what a Boot application tells.
    fn check(&self, options: &BTreeMap<String, String>) -> Check {
        let Some(port) = self.http.clone() else { return Check::Running };
        let path = ["healthProbe.path", "startupProbe.path"].into_iter().find_map(|key| option(options, key));
        match path.map(str::trim).filter(|path| !path.is_empty()) {
            Some(path) => {
                Check::Http { port, path: format!("/{}", path.trim_start_matches('/')), status: vec![(200, 299)] }
            }
            None => Check::Boot { port },
        }
    }
}

/// An option by its camel-case name, however it was written: `healthProbe.path` is `health-probe.path` too.
fn option<'a>(options: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    let plain = |text: &str| text.chars().filter(|c| *c != '-' && *c != '_').collect::<String>().to_ascii_lowercase();
    let wanted = plain(name);
    PREFIXES.iter().find_map(|prefix| {
        let found = options.iter().find(|(key, _)| key.strip_prefix(prefix).is_some_and(|key| plain(key) == wanted));
        found.map(|(_, value)| value.as_str())
    })
}

/// The address with the version, as the original puts them together.
fn resource(spec: &Value) -> Result<String, Faults> {
    let resource = text(spec.get("resource"));
    let resource = resource.trim();
    if resource.is_empty() {
        return Err(fault("resource-missing", "Package template must define a resource uri").into());
    }
    let version = text(spec.get("version"));
    let version = version.trim();
    Ok(if version.is_empty() || version == "null" {
        resource.to_owned()
    } else if resource.starts_with("maven") || resource.starts_with("docker") {
        let suffix = format!(":{version}");
        if resource.ends_with(&suffix) { resource.to_owned() } else { format!("{resource}{suffix}") }
    } else {
        format!("{resource}-{version}.jar")
    })
}

fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null | Value::List(_) | Value::Map(_)) => String::new(),
        Some(other) => other.to_string(),
    }
}

/// A map of texts; what is nothing is an empty text, as YAML's `key:` means it.
fn texts(value: Option<&Value>) -> BTreeMap<String, String> {
    let map: Option<&Map> = value.and_then(Value::as_map);
    map.into_iter().flatten().map(|(key, value)| (key.to_string(), flat(value))).collect()
}

/// The texts of a key of `spec`. A tree below it is a mistake: what is behind a dot is part of a key here.
fn properties(spec: &Value, key: &str, of: &AppName) -> Result<BTreeMap<String, String>, Faults> {
    let wrong = |what: String| fault("value-invalid", what).path(of.as_str());
    let found = spec.get(key);
    let nested = match found {
        Some(Value::Map(map)) => map.iter().find_map(|(inner, value)| match value {
            Value::Map(_) => {
                Some((inner, "map", format!("each property has one key, with dots: `{inner}.KEY: VALUE`")))
            }
            Value::List(_) => Some((inner, "list", format!("write the items as one text: `{inner}: \"a,b\"`"))),
            _ => None,
        }),
        None | Some(Value::Null) => None,
        Some(Value::Text(text)) if matches!(text.trim(), "" | "null") => None,
        Some(Value::List(_)) => return Err(wrong(format!("`{key}` is a list, and a map is expected")).into()),
        Some(_) => return Err(wrong(format!("`{key}` is a text, and a map is expected")).into()),
    };
    match nested {
        None => Ok(texts(found)),
        Some((inner, what, hint)) => {
            Err(wrong(format!("`{key}.{inner}` is a {what}, and a text is expected")).hint(hint).into())
        }
    }
}

fn flat(value: &Value) -> String {
    if matches!(value, Value::Null) { String::new() } else { value.to_string() }
}
