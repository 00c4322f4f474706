//! From a manifest to what Podman is given.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use skipper_core::name::slug;

use super::{LISTS, Pod};
use crate::{
    app::value::{Resources, is_reference, split_reference},
    finding::{Finding, Findings},
    yaml::shorten,
};

/// Longest name of a pod, so that the platform can append eight characters and a hyphen within the 63 of a label.
const MAX_NAME: usize = 54;
const MAX_VOLUME: usize = 63;

/// What a manifest is filled with.
pub(in crate::app) struct Rendering<'a> {
    /// The app, or what stands for it in a preview.
    pub(in crate::app) name: &'a str,
    pub(in crate::app) image: &'a str,
    /// A tag, or a digest with its `sha256:`.
    pub(in crate::app) tag: &'a str,
    /// Whole references by the name of their container.
    pub(in crate::app) images: &'a BTreeMap<String, String>,
    pub(in crate::app) env: &'a BTreeMap<String, String>,
    pub(in crate::app) labels: &'a Map<String, Value>,
    pub(in crate::app) volumes: &'a [Volume],
    /// Containers and ports that traffic or a health check comes to.
    pub(in crate::app) ports: &'a [(String, u16)],
    /// What each container may have at most, whatever it says itself.
    pub(in crate::app) most: Resources,
}

/// A folder that every container sees.
pub(in crate::app) struct Volume {
    pub(in crate::app) name: String,
    /// Of the host; `None` is one that is thrown away with the pod.
    pub(in crate::app) host_path: Option<String>,
    pub(in crate::app) mount_path: String,
    pub(in crate::app) read_only: bool,
}

/// The manifest as JSON, which is YAML as well.
///
/// Ports that are reached have `hostPort: 0` and `hostIP: 127.0.0.1`: the platform puts a free port there. Others are not
/// published.
pub(in crate::app) fn render(pod: &Pod, with: &Rendering<'_>, findings: &mut Findings) -> Value {
    let mut document = pod.document.clone();
    if let Some(metadata) = document.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("name".to_owned(), slug(with.name, MAX_NAME).into());
        let labels = metadata.entry("labels").or_insert_with(|| json!({}));
        if let Some(labels) = labels.as_object_mut() {
            labels.extend(with.labels.clone());
        }
    }
    let Some(spec) = document.get_mut("spec").and_then(Value::as_object_mut) else { return document };
    let mounted: Vec<&Volume> = with.volumes.iter().filter(|volume| add_volume(spec, volume, findings)).collect();
    for list in LISTS {
        let mut primary_seen = false;
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(container) = container.as_object_mut() else { continue };
            let name = container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let written = container.get("image").and_then(Value::as_str).unwrap_or_default().to_owned();
            let image = image(&name, &written, with, &mut primary_seen, findings);
            container.insert("image".to_owned(), image.into());
            publish(container, &name, with.ports);
            add_env(container, with.env);
            bound(container, "memory", with.most.memory, |bytes| (u128::from(bytes) * 1000, bytes.to_string()));
            bound(container, "cpu", with.most.cpus, |millis| (u128::from(millis), format!("{millis}m")));
            for volume in &mounted {
                add_mount(container, volume);
            }
        }
    }
    document
}

/// The image of a container: the one that the deploy names for it, else the app's own with the deploy's tag, else the one
/// that is written, with the tag in its placeholder.
fn image(name: &str, written: &str, with: &Rendering<'_>, primary: &mut bool, findings: &mut Findings) -> String {
    let refuse = |findings: &mut Findings, message: String| {
        findings.push(Finding::error("image-invalid", message).path(format!("containers.{name}.image")));
    };
    if let Some(named) = with.images.get(name) {
        if !is_reference(named) {
            refuse(findings, format!("`{}` is not a whole reference: IMAGE:TAG or IMAGE@sha256:…", shorten(named)));
        }
        return named.clone();
    }
    let is_digest = with.tag.starts_with("sha256:");
    let placed = written.contains("${tag}");
    let filled = written.replace("${tag}", with.tag);
    // A placeholder would be read as part of the name.
    let bare = written.replace("${tag}", "tag");
    let (base, tag) = split_reference(&bare);
    // A second container of the same image that names a tag of its own keeps it.
    if base == with.image && (!*primary || tag.is_none() || placed) {
        *primary = true;
        return format!("{}{}{}", with.image, if is_digest { "@" } else { ":" }, with.tag);
    }
    if placed && is_digest {
        refuse(findings, format!("`{}` wants a tag, and the deploy names a digest", shorten(written)));
    } else if !is_reference(&filled) && !crate::app::value::is_repository(&filled) {
        refuse(findings, format!("`{}` is not an image", shorten(&filled)));
    }
    filled
}

fn publish(container: &mut Map<String, Value>, name: &str, published: &[(String, u16)]) {
    let mut wanted: Vec<u16> = published.iter().filter(|(c, _)| c == name).map(|(_, port)| *port).collect();
    let ports = container.entry("ports").or_insert_with(|| json!([]));
    let Some(ports) = ports.as_array_mut() else { return };
    for port in ports.iter_mut().filter_map(Value::as_object_mut) {
        port.remove("hostPort");
        port.remove("hostIP");
        let number = port.get("containerPort").and_then(Value::as_u64);
        let udp = port.get("protocol").and_then(Value::as_str).is_some_and(|p| !p.eq_ignore_ascii_case("tcp"));
        if let Some(at) = wanted.iter().position(|w| Some(u64::from(*w)) == number && !udp) {
            wanted.remove(at);
            port.insert("hostPort".to_owned(), 0.into());
            port.insert("hostIP".to_owned(), "127.0.0.1".into());
        }
    }
    ports.extend(wanted.into_iter().map(|port| json!({"containerPort": port, "hostPort": 0, "hostIP": "127.0.0.1"})));
    if ports.is_empty() {
        container.remove("ports");
    }
}

/// Bounds a limit of a container. `written`: the most in thousandths, and as Kubernetes writes it.
fn bound(container: &mut Map<String, Value>, key: &str, most: Option<u64>, written: impl Fn(u64) -> (u128, String)) {
    let Some((most, text)) = most.map(written) else { return };
    let resources = container.entry("resources").or_insert_with(|| json!({}));
    let Some(resources) = resources.as_object_mut() else { return };
    let limits = resources.entry("limits").or_insert_with(|| json!({}));
    let Some(limits) = limits.as_object_mut() else { return };
    // It may be content with less.
    if limits.get(key).and_then(thousandths).is_none_or(|said| said == 0 || said > most) {
        limits.insert(key.to_owned(), text.into());
    }
    // What it asks for at least may be more than it is given now.
    if let Some(requests) = resources.get_mut("requests").and_then(Value::as_object_mut) {
        requests.remove(key);
    }
}

/// A quantity of Kubernetes in thousandths: `500m`, `0.5`, `128Mi`, `1G`.
fn thousandths(value: &Value) -> Option<u128> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let factor: u128 = match unit {
        "m" => 1,
        "" => 1000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        "Ti" => 1000 << 40,
        _ => return None,
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if part.len() > 9 || part.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let scale = 10u128.pow(u32::try_from(part.len()).ok()?);
    let part: u128 = if part.is_empty() { 0 } else { part.parse().ok()? };
    whole.checked_mul(factor)?.checked_add(part.checked_mul(factor)? / scale)
}

/// Adds the variables; those that the manifest names itself stay.
fn add_env(container: &mut Map<String, Value>, env: &BTreeMap<String, String>) {
    if env.is_empty() {
        return;
    }
    let list = container.entry("env").or_insert_with(|| json!([]));
    let Some(list) = list.as_array_mut() else { return };
    for (name, value) in env {
        if !list.iter().any(|item| item.get("name").and_then(Value::as_str) == Some(name)) {
            list.push(json!({"name": name, "value": value}));
        }
    }
}

/// Whether the pod has the volume now. One of the manifest's own that has its name stays, and the server's is left out.
fn add_volume(spec: &mut Map<String, Value>, volume: &Volume, findings: &mut Findings) -> bool {
    let list = spec.entry("volumes").or_insert_with(|| json!([]));
    let Some(list) = list.as_array_mut() else { return false };
    if list.iter().any(|item| item.get("name").and_then(Value::as_str) == Some(&volume.name)) {
        let message =
            format!("the manifest has a volume `{}` of its own, so that the server's is not mounted", volume.name);
        findings.push(Finding::warning("volume-shadowed", message));
        return false;
    }
    list.push(match &volume.host_path {
        Some(path) => json!({"name": volume.name, "hostPath": {"path": path, "type": "DirectoryOrCreate"}}),
        None => json!({"name": volume.name, "emptyDir": {}}),
    });
    true
}

fn add_mount(container: &mut Map<String, Value>, volume: &Volume) {
    let list = container.entry("volumeMounts").or_insert_with(|| json!([]));
    let Some(list) = list.as_array_mut() else { return };
    let at = |item: &Value| item.get("mountPath").and_then(Value::as_str).map(|p| p.trim_end_matches('/').to_owned());
    if !list.iter().any(|item| at(item).as_deref() == Some(&volume.mount_path)) {
        let mut mount = json!({"name": volume.name, "mountPath": volume.mount_path});
        if volume.read_only {
            mount["readOnly"] = true.into();
        }
        list.push(mount);
    }
}

/// `slip-APP-MOUNT`, at most 63 characters; told apart by a hash where that is too long.
pub(in crate::app) fn volume_name(app: &str, mount_path: &str) -> String {
    let whole = format!("slip-{app}-{mount_path}");
    let name = slug(&whole, MAX_VOLUME);
    if name.len() < MAX_VOLUME {
        return name;
    }
    let hash = skipper_core::Sha256::of(whole.as_bytes()).short();
    format!("{}-{hash}", slug(&whole, MAX_VOLUME - hash.to_string().len() - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_those_of_kubernetes() {
        let read = |value: Value| thousandths(&value);
        for (value, expected) in [
            (json!("500m"), Some(500)),
            (json!("0.5"), Some(500)),
            (json!(2), Some(2000)),
            (json!(1.5), Some(1500)),
            (json!("128Mi"), Some(1000 * (128 << 20))),
            (json!("1G"), Some(1_000_000_000_000)),
            (json!("1.5Ki"), Some(1_536_000)),
            (json!("1e3"), None),
            (json!("1.2.3"), None),
            (json!("-1"), None),
            (json!("lots"), None),
            (json!(null), None),
        ] {
            assert_eq!(read(value.clone()), expected, "{value}");
        }
    }

    #[test]
    fn a_container_keeps_less_and_gets_no_more() {
        let bounded = |said: Value| {
            let mut container = json!({"resources": said});
            let most = |bytes: u64| (u128::from(bytes) * 1000, bytes.to_string());
            bound(container.as_object_mut().expect("a map"), "memory", Some(64 << 20), most);
            container["resources"].clone()
        };
        let most = json!({"limits": {"memory": (64 << 20).to_string()}});
        assert_eq!(bounded(json!({})), most);
        assert_eq!(bounded(json!({"limits": {"memory": "1Gi"}})), most);
        assert_eq!(bounded(json!({"limits": {"memory": "what"}})), most);
        assert_eq!(bounded(json!({"limits": {"memory": "32Mi"}})), json!({"limits": {"memory": "32Mi"}}));
        let asking = json!({"limits": {"cpu": "1"}, "requests": {"memory": "1Gi", "cpu": "1"}});
        let expected = json!({"limits": {"cpu": "1", "memory": (64 << 20).to_string()}, "requests": {"cpu": "1"}});
        assert_eq!(bounded(asking), expected);
    }
}
