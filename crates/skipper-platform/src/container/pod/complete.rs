//! What a manifest says that is not Podman's to do: probes, the time to stop in, and volumes that outlive the pod.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use skipper_core::{
    name::PortName,
    port::Error,
    spec::{Application, Check, Port, StopPolicy, Strategy},
    time::Millis,
};

use super::manifest::{LISTS, Manifest, wrong};

/// The first of them that a container has is asked; Podman gets none.
pub(super) const PROBES: [&str; 3] = ["readinessProbe", "livenessProbe", "startupProbe"];
/// Longest a manifest may give a container to stop in, in seconds.
const MAX_GRACE: u64 = 3600;
const HEALTHY: (u16, u16) = (200, 399);

/// Completes an application by what its manifest says; a second time changes nothing. Returns what will not be done as it is
/// written.
pub(in crate::container) fn complete(app: &mut Application, manifest: &Manifest) -> Result<Vec<String>, Error> {
    let mut told = Vec::new();
    let spec = manifest.document.get("spec").and_then(Value::as_object);
    let grace = spec.and_then(|spec| spec.get("terminationGracePeriodSeconds")).and_then(Value::as_u64);
    if let Some(seconds) = grace.filter(|_| app.stop == StopPolicy::default()) {
        app.stop.grace = Millis(seconds.min(MAX_GRACE) * 1000);
    }
    let volumes = spec.and_then(|spec| spec.get("volumes")).and_then(Value::as_array);
    for volume in volumes.into_iter().flatten() {
        if volume.pointer("/emptyDir/medium").and_then(Value::as_str) == Some("Memory") {
            let name = volume.get("name").and_then(Value::as_str).unwrap_or_default();
            told.push(format!("volume `{name}` of the pod is on the disk: Podman has none in memory"));
        }
    }
    if let Some(volume) = written(app, manifest)
        && !matches!(app.strategy, Strategy::Recreate { .. })
    {
        app.strategy = Strategy::Recreate { bake: app.strategy.bake() };
        told.push(format!(
            "the pod writes to volume `{volume}`, which outlives it: a new version starts once the old one has stopped"
        ));
    }
    questions(app, manifest, &mut told)?;
    Ok(told)
}

/// Containers by the paths that lead to them.
fn containers(manifest: &Manifest) -> impl Iterator<Item = (String, &Map<String, Value>)> {
    let spec = manifest.document.get("spec");
    LISTS.iter().flat_map(move |list| {
        let items = spec.and_then(|spec| spec.get(*list)).and_then(Value::as_array).into_iter().flatten();
        let items = items.filter_map(Value::as_object).enumerate();
        items.map(move |(at, item)| (format!("spec.{list}[{at}]"), item))
    })
}

/// A volume of the manifest's own that outlives the pod, and that a container may write to. The planner knows those of the
/// application.
fn written(app: &Application, manifest: &Manifest) -> Option<String> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let volumes = manifest.document.get("spec")?.get("volumes")?.as_array()?;
    let stay: BTreeSet<String> = volumes
        .iter()
        .filter(|volume| {
            let is_read_only = volume.pointer("/persistentVolumeClaim/readOnly").and_then(Value::as_bool) == Some(true);
            let stays = volume.get("persistentVolumeClaim").is_some() || volume.get("hostPath").is_some();
            stays && !is_read_only
        })
        .filter_map(|volume| text(volume, "name"))
        .filter(|name| app.volumes.iter().all(|known| known.name != *name))
        .collect();
    let mounts = containers(manifest).filter_map(|(_, one)| one.get("volumeMounts")?.as_array()).flatten();
    let writes = mounts.filter(|mount| mount.get("readOnly").and_then(Value::as_bool) != Some(true));
    writes.filter_map(|mount| text(mount, "name")).find(|name| stay.contains(name))
}

/// Probes become questions of ours, unless somebody says already what the container is asked.
fn questions(app: &mut Application, manifest: &Manifest, told: &mut Vec<String>) -> Result<(), Error> {
    let mut questions = Vec::new();
    for (path, container) in containers(manifest).filter(|(path, _)| path.starts_with("spec.containers")) {
        let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
        let is_asked = *name == *manifest.main && app.health.check != Check::Running
            || manifest.checks.iter().any(|(known, _)| known == name);
        let Some(kind) = PROBES.iter().find(|kind| container.get(**kind).is_some_and(Value::is_object)) else {
            continue;
        };
        if is_asked {
            continue;
        }
        let path = format!("{path}.{kind}");
        match question(app, name, container, &container[*kind], &path)? {
            Some(question) => questions.push(question),
            None => told.push(format!("{path} of the pod has no effect: write httpGet, tcpSocket or exec")),
        }
    }
    if !questions.is_empty() {
        let option = app.platform_options.entry("pod_health".to_owned()).or_insert_with(|| json!([]));
        option.as_array_mut().into_iter().for_each(|known| known.append(&mut questions));
    }
    Ok(())
}

fn question(
    app: &mut Application,
    name: &str,
    container: &Map<String, Value>,
    probe: &Value,
    path: &str,
) -> Result<Option<Value>, Error> {
    if let Some(exec) = probe.get("exec") {
        let words = exec.get("command").and_then(Value::as_array).filter(|words| words.iter().all(Value::is_string));
        let words = words.filter(|words| !words.is_empty());
        let words = words.ok_or_else(|| wrong(&format!("{path}.exec.command"), "it has to be a list of texts"))?;
        return Ok(Some(json!({"container": name, "kind": "command", "command": words})));
    }
    let kinds = ["httpGet", "tcpSocket"];
    let Some((kind, asked)) = kinds.iter().find_map(|kind| Some((*kind, probe.get(*kind)?))) else { return Ok(None) };
    let number = number(container, asked.get("port"));
    let number = number.ok_or_else(|| {
        let why = "it has to be a number from 1 to 65535, or the name of one of the container's ports";
        wrong(&format!("{path}.{kind}.port"), why)
    })?;
    let port = declared(app, name, number);
    let is_tls = asked.get("scheme").and_then(Value::as_str).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    if kind == "tcpSocket" || is_tls {
        return Ok(Some(json!({"container": name, "kind": "tcp", "port": port})));
    }
    let asked = asked.get("path").and_then(Value::as_str).filter(|asked| !asked.is_empty()).unwrap_or("/");
    let asked = if asked.starts_with('/') { asked.to_owned() } else { format!("/{asked}") };
    Ok(Some(json!({"container": name, "kind": "http", "port": port, "path": asked, "status": [HEALTHY]})))
}

fn number(container: &Map<String, Value>, port: Option<&Value>) -> Option<u16> {
    let plain = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0);
    let port = port?;
    let Some(name) = port.as_str() else { return plain(port) };
    let ports = container.get("ports").and_then(Value::as_array).into_iter().flatten();
    let mut named = ports.filter(|one| one.get("name").and_then(Value::as_str) == Some(name));
    named.find_map(|one| plain(one.get("containerPort")?)).or_else(|| name.parse().ok().filter(|port| *port > 0))
}

/// The name of a port of the application; declared where it is not yet, so that it is published.
fn declared(app: &mut Application, container: &str, number: u16) -> PortName {
    let known =
        app.ports.iter().find(|port| port.fixed == Some(number) && port.container.as_deref() == Some(container));
    if let Some(port) = known {
        return port.name.clone();
    }
    let name = PortName::new(format!("{container}-{number}")).expect("a label and a number are a name");
    app.ports.push(Port {
        name: name.clone(),
        env: None,
        fixed: Some(number),
        direct: false,
        container: Some(container.to_owned()),
    });
    name
}
