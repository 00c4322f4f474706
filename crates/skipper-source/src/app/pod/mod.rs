//! `pod.yaml`: several containers that run as one, in the words of Kubernetes.

mod render;

pub(super) use render::{Rendering, Volume, render, volume_name};

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    text::MAX_BYTES,
    value::{is_label, is_variable},
};
use crate::{
    fields::{Document, Field},
    finding::{Faults, Finding},
    nearest::suggestion,
    yaml::{self, Content, Input, shorten},
};

const MAX_CONTAINERS: usize = 64;
/// Lists of containers, those that run first and end included.
const LISTS: [&str; 2] = ["initContainers", "containers"];

const PROBES: [&str; 3] = ["readinessProbe", "livenessProbe", "startupProbe"];

/// A manifest that can be rendered.
#[derive(Debug, Clone, PartialEq)]
pub struct Pod {
    /// `metadata.name`.
    pub name: String,
    /// Its containers, those that run first and end included.
    pub containers: Vec<PodContainer>,
    document: Value,
}

/// A container of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodContainer {
    /// Its name.
    pub name: String,
    /// Its image as it is written, with `${tag}` in it or not.
    pub image: String,
    /// Ports that it is said to listen on.
    pub ports: Vec<u16>,
    /// Runs to its end before the others start.
    pub init: bool,
    /// It has a probe of its own.
    pub probed: bool,
}

impl Pod {
    /// The container of that name that stays.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&PodContainer> {
        self.containers.iter().find(|container| !container.init && container.name == name)
    }

    /// Names of the containers that stay.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.containers.iter().filter(|container| !container.init).map(|container| container.name.as_str())
    }
}

/// Reads a manifest; with the warnings. Only what is looked at here is checked: Podman knows the rest.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn pod(file: &str, text: &str) -> Result<(Pod, Vec<Finding>), Faults> {
    if text.len() > MAX_BYTES {
        let message = format!("has {} bytes, and at most {MAX_BYTES} are read", text.len());
        return Err(Finding::error("file-too-large", message).in_file(file).into());
    }
    let Some(node) = yaml::read_one(Input::plain(file, text))? else {
        return Err(Finding::error("manifest-field", "pod manifest is empty").in_file(file).into());
    };
    let document = Document::new(file);
    let root = Field::root(&document, &node);
    let name = head(&root);
    let containers = match child(&root, "spec") {
        Some(spec) => spec_of(&spec),
        None => {
            missing(&root, "spec.containers");
            Vec::new()
        }
    };
    let warnings = document.into_findings().into_result()?;
    let Some(name) = name else {
        return Err(Finding::error("manifest-field", "not a pod").in_file(file).into());
    };
    Ok((Pod { name, containers, document: node.to_value() }, warnings))
}

/// The value of a key whose neighbours are none of our business.
fn child<'a>(field: &Field<'a>, key: &'static str) -> Option<Field<'a>> {
    let Content::Map(_) = &field.node.content else { return None };
    // Without `finish`, what is not asked for is not unknown.
    field.fields()?.get(key)
}

fn missing(field: &Field<'_>, what: &str) {
    field.error("manifest-field", format!("pod manifest missing required field: {what}"));
}

fn head(root: &Field<'_>) -> Option<String> {
    if child(root, "apiVersion").and_then(|field| field.short_text(100)).is_none() {
        missing(root, "apiVersion");
    }
    match child(root, "kind").map(|field| (field.text(), field)) {
        None => missing(root, "kind"),
        Some((Some(kind), field)) if kind != "Pod" => {
            field.error(
                "manifest-kind",
                format!("pod manifest has invalid kind: expected `Pod`, got `{}`", shorten(&kind)),
            );
        }
        Some(_) => {}
    }
    let name = child(root, "metadata").and_then(|metadata| child(&metadata, "name"));
    let Some(field) = name else {
        missing(root, "metadata.name");
        return None;
    };
    let name = field.text()?;
    let label = name.replace('.', "-");
    if !is_label(&label) {
        field.error("value-invalid", format!("`{}` cannot be the name of a pod", shorten(&name)));
        return None;
    }
    Some(name)
}

fn spec_of(spec: &Field<'_>) -> Vec<PodContainer> {
    if child(spec, "hostNetwork").and_then(|field| field.boolean()) == Some(true) {
        let hint = "leave hostNetwork out; ways in are published on ports of 127.0.0.1";
        spec.error_hint("manifest-network", "a pod in the host's network cannot have two versions side by side", hint);
    }
    let mut volumes = BTreeSet::new();
    for volume in child(spec, "volumes").map(|field| field.items(200)).unwrap_or_default() {
        match child(&volume, "name").map(|field| field.text()) {
            Some(name) => volumes.extend(name),
            None => missing(&volume, "name"),
        }
        if let Some(path) = child(&volume, "hostPath").and_then(|source| child(&source, "path"))
            && let Some(path) = path.text()
        {
            let hint = "volumes whose folder the server names stand under [[volumes]] of its file for the app";
            volume.warning(
                "manifest-host-path",
                format!("the manifest mounts the server's `{}`", shorten(&path)),
                hint,
            );
        }
    }
    let mut names = BTreeSet::new();
    let mut containers = Vec::new();
    for list in LISTS {
        let Some(field) = child(spec, list) else { continue };
        for item in field.items(MAX_CONTAINERS) {
            let Some(container) = container(&item, list == "initContainers", &volumes) else { continue };
            if !names.insert(container.name.clone()) {
                item.error("value-invalid", format!("two containers are called `{}`", container.name));
            }
            containers.push(container);
        }
    }
    if !containers.iter().any(|container| !container.init) {
        missing(spec, "spec.containers (must be non-empty)");
    }
    containers
}

fn container(item: &Field<'_>, init: bool, volumes: &BTreeSet<String>) -> Option<PodContainer> {
    let name = match child(item, "name") {
        Some(field) => super::value::container(&field),
        None => {
            missing(item, "name");
            None
        }
    };
    let image = match child(item, "image") {
        Some(field) => field.short_text(1024),
        None => {
            missing(item, "image");
            None
        }
    };
    let mut ports = Vec::new();
    for port in child(item, "ports").map(|field| field.items(64)).unwrap_or_default() {
        match child(&port, "containerPort") {
            Some(field) => ports.extend(field.port()),
            None => missing(&port, "containerPort"),
        }
    }
    for key in ["command", "args"] {
        for word in child(item, key).map(|field| field.items(1000)).unwrap_or_default() {
            word.text();
        }
    }
    for variable in child(item, "env").map(|field| field.items(1000)).unwrap_or_default() {
        // Without a value it is empty.
        if let Some(value) = child(&variable, "value").filter(|value| value.node.to_value() != Value::Null) {
            value.text();
        }
        match child(&variable, "name").and_then(|field| field.text()) {
            Some(name) if is_variable(&name) => {}
            Some(name) => variable.error("value-invalid", format!("`{}` cannot name a variable", shorten(&name))),
            None => missing(&variable, "name"),
        }
    }
    for mount in child(item, "volumeMounts").map(|field| field.items(200)).unwrap_or_default() {
        if child(&mount, "mountPath").and_then(|field| field.text()).is_none() {
            missing(&mount, "mountPath");
        }
        match child(&mount, "name").map(|field| (field.text(), field)) {
            None => missing(&mount, "name"),
            Some((Some(name), field)) if !volumes.contains(&name) => {
                let hint = suggestion(&name, volumes.iter().map(String::as_str));
                let message = format!("there is no volume `{}` under spec.volumes", shorten(&name));
                field.error_hint("volume-unknown", message, hint.unwrap_or_default());
            }
            Some(_) => {}
        }
    }
    let probed = PROBES.iter().any(|probe| child(item, probe).is_some());
    Some(PodContainer { name: name?, image: image?, ports, init, probed })
}
