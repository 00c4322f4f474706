use serde_json::{Map, Value};

use super::{Policy, Refusal, Scene, normal, volume};

/// Goes through a file and notes what is not allowed.
pub(super) struct Scan<'a> {
    pub(super) scene: Scene<'a>,
    pub(super) policy: &'a Policy,
    refusals: Vec<Refusal>,
}

impl<'a> Scan<'a> {
    pub(super) const fn new(scene: Scene<'a>, policy: &'a Policy) -> Self {
        Self { scene, policy, refusals: Vec::new() }
    }

    pub(super) fn into_refusals(mut self, most: usize) -> Vec<Refusal> {
        self.refusals.truncate(most);
        self.refusals
    }

    /// Notes what no word can allow.
    pub(super) fn refuse(&mut self, code: &'static str, path: &str, message: impl Into<String>) {
        self.refusals.push(Refusal { code, path: path.to_owned(), message: message.into(), allowed_by: None });
    }

    /// Notes it unless the policy allows it by that word.
    pub(super) fn need(&mut self, code: &'static str, word: &str, path: &str, message: impl Into<String>) {
        if !self.policy.allows(word) {
            let allowed_by = Some(word.to_owned());
            self.refusals.push(Refusal { code, path: path.to_owned(), message: message.into(), allowed_by });
        }
    }

    /// The entries of a map; nothing where it is empty.
    pub(super) fn map<'v>(&mut self, value: &'v Value, path: &str) -> Option<&'v Map<String, Value>> {
        match value {
            Value::Object(map) => Some(map),
            Value::Null => None,
            _ => {
                self.refuse("shape", path, "must be a map");
                None
            }
        }
    }

    pub(super) fn file(&mut self, file: &Value) {
        let Some(top) = self.map(file, "the compose file") else {
            return self.refuse("shape", "the compose file", "is empty");
        };
        for (key, value) in top {
            match key.as_str() {
                "version" => {}
                "name" => self.project_name(value),
                "services" => {
                    for (name, service) in self.map(value, key).into_iter().flatten() {
                        self.service(&format!("services.{name}"), service);
                    }
                }
                "volumes" => {
                    for (name, of) in self.map(value, key).into_iter().flatten() {
                        self.volume_of_project(name, &format!("volumes.{name}"), of);
                    }
                }
                "networks" => {
                    for (name, of) in self.map(value, key).into_iter().flatten() {
                        self.network_of_project(name, &format!("networks.{name}"), of);
                    }
                }
                "configs" | "secrets" => {
                    for (name, of) in self.map(value, key).into_iter().flatten() {
                        self.file_of_project(name, &format!("{key}.{name}"), of);
                    }
                }
                // Its own extensions mean nothing by themselves; where they are used, that is looked at.
                key if key.starts_with("x-") => {}
                key => self.need("key", &format!("key:{key}"), key, "is not known to be harmless"),
            }
        }
    }

    fn project_name(&mut self, value: &Value) {
        if value.as_str() != Some(self.scene.project) {
            let message = format!("the project is called `{}` here, and by no other name", self.scene.project);
            self.refuse("name", "name", message);
        }
    }

    /// A name that something of the project has on the engine.
    fn called(&mut self, key: &str, path: &str, name: &Value) {
        let own = format!("{}_{key}", self.scene.project);
        if name.as_str().is_none_or(|name| name != own) {
            let message = format!("is called `{own}`; under another name it could be somebody else's");
            self.need("external", "external", &format!("{path}.name"), message);
        }
    }

    fn is_external(&mut self, path: &str, value: &Value) {
        if !matches!(value, Value::Null | Value::Bool(false)) {
            self.need("external", "external", &format!("{path}.external"), "belongs to somebody else");
        }
    }

    fn volume_of_project(&mut self, name: &str, path: &str, of: &Value) {
        for (key, value) in self.map(of, path).into_iter().flatten() {
            match key.as_str() {
                "labels" => {}
                "name" => self.called(name, path, value),
                "external" => self.is_external(path, value),
                "driver" if matches!(value.as_str(), Some("local" | "")) => {}
                // By its options a volume becomes a mount of any folder or device.
                "driver_opts" if is_empty(value) => {}
                key => self.key(path, key),
            }
        }
    }

    fn network_of_project(&mut self, name: &str, path: &str, of: &Value) {
        for (key, value) in self.map(of, path).into_iter().flatten() {
            match key.as_str() {
                "labels" | "internal" | "attachable" | "enable_ipv6" | "enable_ipv4" | "ipam" => {}
                "name" => self.called(name, path, value),
                "external" => self.is_external(path, value),
                "driver" if matches!(value.as_str(), Some("bridge" | "default" | "")) => {}
                "driver" if value.as_str() == Some("host") => {
                    self.need("host-network", "host-network", &format!("{path}.driver"), "is the host's own network");
                }
                "driver_opts" if is_empty(value) => {}
                key => self.key(path, key),
            }
        }
    }

    fn file_of_project(&mut self, name: &str, path: &str, of: &Value) {
        for (key, value) in self.map(of, path).into_iter().flatten() {
            match key.as_str() {
                "content" | "environment" | "labels" => {}
                "name" => self.called(name, path, value),
                "external" => self.is_external(path, value),
                "file" => self.read_file(&format!("{path}.file"), value),
                key => self.key(path, key),
            }
        }
    }

    /// A file that compose reads on the host and hands to a container.
    pub(super) fn read_file(&mut self, path: &str, value: &Value) {
        let file = value.as_str().and_then(|file| normal(self.scene.folder, file));
        match file {
            Some(file) if volume::is_beneath(&file, self.scene.folder) => {
                if volume::is_own(&file, self.scene.folder) {
                    self.refuse("own-files", path, "is one of the files that the project itself is made of");
                }
            }
            _ => self.need("files", "files", path, "is a file of the host outside the project's folder"),
        }
    }

    pub(super) fn key(&mut self, path: &str, key: &str) {
        self.need("key", &format!("key:{key}"), &format!("{path}.{key}"), "is not known to be harmless");
    }
}

/// Whether nothing is said.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}
