//! What is mounted into containers.

use serde_json::Value;

use super::{
    super::{COMPOSE_FILE, ENV_FILE},
    is_within, normal,
    scan::Scan,
};

/// Where engines listen: whoever has it is root on the host.
pub(super) const SOCKETS: [&str; 5] = [
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/podman/podman.sock",
    "/var/run/podman/podman.sock",
    "/run/containerd/containerd.sock",
];
/// Files of ours beside the compose file begin with it.
const OURS: &str = ".skipper";

/// Whether a path lies in the folder, and is not the folder itself.
pub(super) fn is_beneath(path: &str, folder: &str) -> bool {
    path != folder && is_within(path, folder)
}

/// Whether it is a file that the project itself is made of, or lies in a folder of ours.
pub(super) fn is_own(path: &str, folder: &str) -> bool {
    let first = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
    let first = first.split('/').next().unwrap_or_default();
    matches!(first, COMPOSE_FILE | ENV_FILE) || first.starts_with(OURS)
}

/// Folders and files of the host that a file's services mount, as normal absolute paths; `folder` is the project's. What still holds
/// variables is left out.
#[must_use]
pub fn binds(file: &Value, folder: &str) -> Vec<String> {
    let services = file.get("services").and_then(Value::as_object);
    let mounts = services.into_iter().flatten().filter_map(|(_, service)| service.get("volumes")?.as_array());
    let sources = mounts.flatten().filter_map(|mount| match mount {
        Value::String(short) => Short::of(short).bind(),
        mount => (mount.get("type").and_then(Value::as_str) == Some("bind"))
            .then(|| mount.get("source").and_then(Value::as_str).unwrap_or_default().to_owned()),
    });
    sources.filter(|source| !source.contains('$')).filter_map(|source| normal(folder, &source)).collect()
}

/// `[SOURCE:]TARGET[:MODE]`.
struct Short<'a> {
    source: Option<&'a str>,
}

impl<'a> Short<'a> {
    fn of(text: &'a str) -> Self {
        Self { source: text.split_once(':').map(|(source, _)| source) }
    }

    fn bind(&self) -> Option<String> {
        self.source.filter(|source| source.starts_with(['/', '.', '~', '\\'])).map(str::to_owned)
    }
}

impl Scan<'_> {
    pub(super) fn mounts(&mut self, path: &str, value: &Value) {
        let Some(mounts) = value.as_array() else {
            if !value.is_null() {
                self.refuse("shape", path, "must be a list");
            }
            return;
        };
        for (index, mount) in mounts.iter().enumerate() {
            let path = &format!("{path}[{index}]");
            match mount {
                Value::String(short) => {
                    if let Some(source) = Short::of(short).bind() {
                        self.bind(path, &source);
                    }
                }
                mount => match mount.get("type").and_then(Value::as_str) {
                    Some("volume" | "tmpfs") => {}
                    Some("bind") => self.bind(path, mount.get("source").and_then(Value::as_str).unwrap_or_default()),
                    kind => {
                        let message =
                            format!("mounts of the type `{}` are not known to be harmless", kind.unwrap_or_default());
                        self.refuse("shape", path, message);
                    }
                },
            }
        }
    }

    fn bind(&mut self, path: &str, source: &str) {
        // Which path it is, is decided where compose has filled it in.
        if source.contains('$') {
            return;
        }
        let folder = self.scene.folder;
        let Some(whole) = (!source.starts_with(['~', '\\'])).then(|| normal(folder, source)).flatten() else {
            return self.refuse("bind", path, format!("`{source}` is no path within the project's folder"));
        };
        if SOCKETS.iter().any(|socket| is_within(socket, &whole)) || whole.ends_with("/docker.sock") {
            return self.need("docker-socket", "docker-socket", path, format!("`{whole}` hands it the whole engine"));
        }
        if is_beneath(&whole, folder) {
            if is_own(&whole, folder) {
                self.refuse(
                    "own-files",
                    path,
                    format!("`{source}` is one of the files that the project itself is made of"),
                );
            }
        } else if is_within(folder, &whole) {
            self.refuse(
                "own-files",
                path,
                format!("`{source}` holds the files that the project itself is made of; mount a folder in it"),
            );
        } else if !self.policy.allows_bind(&whole) {
            let message = format!("`{whole}` is outside the project's folder {folder}");
            self.need("bind", &format!("bind:{whole}"), path, message);
        }
    }
}
