//! The option `pod` of an application: the manifest that its pods are made of.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use skipper_core::{
    port::{Error, ErrorKind},
    spec::{Application, Check, Resource},
};

use super::super::{config::Pull, image::Reference};

/// Largest manifest.
const MAX_BYTES: usize = 1 << 20;
const MAX_CONTAINERS: usize = 64;
/// Lists of containers, those that run first and end included.
pub(super) const LISTS: [&str; 2] = ["initContainers", "containers"];

/// A manifest that can be run.
#[derive(Debug)]
pub(in crate::container) struct Manifest {
    /// As it was written.
    pub(super) document: Map<String, Value>,
    /// Its containers; those that run first and end are before the others, in their order.
    pub(in crate::container) parts: Vec<Part>,
    /// The container that is meant where nobody says which.
    pub(in crate::container) main: String,
    /// What is asked beside the application's own question.
    pub(super) checks: Vec<(String, Check)>,
    /// A container that stays may end with status 0.
    pub(super) may_end: bool,
}

/// A container.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::container) struct Part {
    pub(in crate::container) name: String,
    /// Runs to its end before the others start.
    pub(in crate::container) init: bool,
    /// As the address of a resource.
    pub(in crate::container) uri: String,
    /// When its image is fetched, where the manifest says so.
    pub(in crate::container) pull: Option<Pull>,
}

/// The engine's name for a container of a pod.
pub(in crate::container) fn part_name(pod: &str, part: &str) -> String {
    format!("{pod}-{part}")
}

impl Manifest {
    /// That of an application; `None` where it is no pod.
    pub(in crate::container) fn of(app: &Application) -> Result<Option<Self>, Error> {
        let Some(value) = app.platform_options.get("pod") else { return Ok(None) };
        let document = document(value)?;
        match document.get("kind").and_then(Value::as_str) {
            Some("Pod") => {}
            Some(other) => return Err(wrong("kind", &format!("it is `{}`, and only `Pod` is run", short(other)))),
            None => return Err(wrong("kind", "it is missing; write `Pod`")),
        }
        let spec = object(document.get("spec"), "spec")?;
        if spec.get("hostNetwork").and_then(Value::as_bool) == Some(true) {
            return Err(wrong("spec.hostNetwork", "a pod in the host's network cannot have two versions side by side"));
        }
        let volumes = volumes(spec)?;
        let mut parts: Vec<Part> = Vec::new();
        for list in LISTS {
            for (path, container) in containers(spec, list)? {
                let part = part(&path, container, list == "initContainers", &volumes)?;
                if parts.iter().any(|known| known.name == part.name) {
                    return Err(wrong(&path, &format!("a second container is called `{}`", part.name)));
                }
                parts.push(part);
            }
        }
        let staying = || parts.iter().filter(|part| !part.init).map(|part| part.name.as_str());
        let Some(first) = staying().next() else {
            return Err(wrong("spec.containers", "it has to have a container"));
        };
        let asked = app.health.container.as_deref();
        let reached = app.ports.iter().find_map(|port| port.container.as_deref());
        for name in asked.into_iter().chain(app.ports.iter().filter_map(|port| port.container.as_deref())) {
            if !staying().any(|known| known == name) {
                return Err(unknown(name, staying()));
            }
        }
        let main = asked.or(reached).or_else(|| staying().find(|name| *name == "web")).unwrap_or(first).to_owned();
        let checks = checks(app)?;
        if let Some((name, _)) = checks.iter().find(|(name, _)| !staying().any(|known| known == name)) {
            return Err(unknown(name, staying()));
        }
        let may_end = matches!(spec.get("restartPolicy").and_then(Value::as_str), Some("OnFailure" | "Never"));
        Ok(Some(Self { checks, may_end, main, parts, document }))
    }

    /// The containers that run to their end first, in their order.
    pub(super) fn first(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| part.init)
    }

    /// The containers that stay.
    pub(super) fn staying(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| !part.init)
    }
}

impl Part {
    /// Its image as it was pinned.
    pub(in crate::container) fn pinned(&self, app: &Application) -> Resource {
        let of_this = |image: &&Resource| image.uri == self.uri;
        let pinned = app.images.get(&self.name).filter(of_this);
        pinned.cloned().unwrap_or_else(|| Resource { uri: self.uri.clone(), sha256: None })
    }
}

fn document(value: &Value) -> Result<Map<String, Value>, Error> {
    match value {
        Value::Object(map) => Ok(map.clone()),
        Value::String(text) if text.len() > MAX_BYTES => {
            Err(wrong("", &format!("it has {} bytes, and at most {MAX_BYTES} are read", text.len())))
        }
        Value::String(text) => match serde_json::from_str(text) {
            Ok(Value::Object(map)) => Ok(map),
            Ok(_) => Err(wrong("", "it has to be a map")),
            Err(cause) => Err(wrong("", &format!("as a text it has to be JSON: {cause}"))),
        },
        _ => Err(wrong("", "it has to be a map, or a text with JSON")),
    }
}

fn containers<'a>(
    spec: &'a Map<String, Value>,
    list: &str,
) -> Result<impl Iterator<Item = (String, &'a Value)> + use<'a>, Error> {
    let path = format!("spec.{list}");
    let items = items(spec.get(list), &path)?;
    if items.len() > MAX_CONTAINERS {
        return Err(wrong(&path, &format!("there are {}, and at most {MAX_CONTAINERS} are run", items.len())));
    }
    Ok(items.iter().enumerate().map(move |(at, item)| (format!("{path}[{at}]"), item)))
}

/// Names of the volumes.
fn volumes(spec: &Map<String, Value>) -> Result<BTreeSet<&str>, Error> {
    let mut names = BTreeSet::new();
    for (at, volume) in items(spec.get("volumes"), "spec.volumes")?.iter().enumerate() {
        let path = format!("spec.volumes[{at}]");
        let name = required(object(Some(volume), &path)?, &path, "name")?;
        if !names.insert(name) {
            return Err(wrong(&path, &format!("a second volume is called `{}`", short(name))));
        }
    }
    Ok(names)
}

fn part(path: &str, container: &Value, init: bool, volumes: &BTreeSet<&str>) -> Result<Part, Error> {
    let container = object(Some(container), path)?;
    let name = required(container, path, "name")?;
    if !is_label(name) {
        let why = format!("`{}` has to be small letters, digits and hyphens, at most 63", short(name));
        return Err(wrong(&format!("{path}.name"), &why));
    }
    let image = required(container, path, "image")?;
    let uri = format!("docker:{image}");
    Reference::parse(&uri).map_err(|error| wrong(&format!("{path}.image"), &error.chain()))?;
    for key in ["command", "args"] {
        let path = format!("{path}.{key}");
        if let Some(at) = items(container.get(key), &path)?.iter().position(|word| !is_scalar(word)) {
            return Err(wrong(&format!("{path}[{at}]"), "it has to be a text"));
        }
    }
    for (at, variable) in items(container.get("env"), &format!("{path}.env"))?.iter().enumerate() {
        let path = format!("{path}.env[{at}]");
        let variable = object(Some(variable), &path)?;
        required(variable, &path, "name")?;
        if variable.get("value").is_some_and(|value| !is_scalar(value) && !value.is_null()) {
            return Err(wrong(&format!("{path}.value"), "it has to be a text"));
        }
    }
    for (at, mount) in items(container.get("volumeMounts"), &format!("{path}.volumeMounts"))?.iter().enumerate() {
        let path = format!("{path}.volumeMounts[{at}]");
        let mount = object(Some(mount), &path)?;
        let volume = required(mount, &path, "name")?;
        required(mount, &path, "mountPath")?;
        if !volumes.contains(volume) {
            return Err(wrong(&path, &format!("there is no volume `{}` under spec.volumes", short(volume))));
        }
    }
    items(container.get("ports"), &format!("{path}.ports"))?;
    let pull = match container.get("imagePullPolicy").and_then(Value::as_str) {
        Some("Always") => Some(Pull::Always),
        Some("IfNotPresent") => Some(Pull::Missing),
        Some("Never") => Some(Pull::Never),
        _ => None,
    };
    Ok(Part { name: name.to_owned(), init, uri, pull })
}

/// The option `pod_health`: questions as of a spec's health, each with the name of its container.
fn checks(app: &Application) -> Result<Vec<(String, Check)>, Error> {
    let Some(value) = app.platform_options.get("pod_health") else { return Ok(Vec::new()) };
    let wrong = |why: String| {
        Error::new(ErrorKind::Permanent, "option-invalid", format!("option `pod_health`: {why}"))
            .hint("write a list of maps with `container`, `kind` (http, tcp, command, running) and what that kind asks")
    };
    let list = value.as_array().ok_or_else(|| wrong("it has to be a list".to_owned()))?;
    let check = |item: &Value| {
        let container = item.get("container").and_then(Value::as_str);
        let container = container.ok_or_else(|| wrong("`container` is missing".to_owned()))?;
        let check = serde_json::from_value(item.clone()).map_err(|cause| wrong(format!("{container}: {cause}")))?;
        Ok((container.to_owned(), check))
    };
    list.iter().map(check).collect()
}

fn object<'a>(value: Option<&'a Value>, path: &str) -> Result<&'a Map<String, Value>, Error> {
    match value {
        Some(Value::Object(map)) => Ok(map),
        None => Err(wrong(path, "it is missing")),
        Some(_) => Err(wrong(path, "it has to be a map")),
    }
}

fn items<'a>(value: Option<&'a Value>, path: &str) -> Result<&'a [Value], Error> {
    match value {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(wrong(path, "it has to be a list")),
    }
}

fn required<'a>(map: &'a Map<String, Value>, path: &str, key: &str) -> Result<&'a str, Error> {
    let path = format!("{path}.{key}");
    match map.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        None | Some(Value::Null) => Err(wrong(&path, "it is missing")),
        Some(_) => Err(wrong(&path, "it has to be a text")),
    }
}

/// Podman reads a number as the text of it.
const fn is_scalar(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_))
}

fn is_label(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let known: Vec<&str> = known.collect();
    let message = format!("container `{}` is not in the pod", short(name));
    Error::new(ErrorKind::Permanent, "container-unknown", message)
        .hint(format!("the pod's containers are: {}", known.join(", ")))
}

/// That a key of the manifest is wrong.
pub(super) fn wrong(path: &str, why: &str) -> Error {
    let at = if path.is_empty() { String::new() } else { format!(" at {path}") };
    Error::new(ErrorKind::Permanent, "manifest-invalid", format!("the manifest of the pod is wrong{at}: {why}"))
}
