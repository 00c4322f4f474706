use serde_json::Value;

use super::{
    capability,
    scan::{Scan, is_empty},
};

/// Keys of a service that ask nothing of the host.
const HARMLESS: [&str; 49] = [
    "annotations",
    "attach",
    "command",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_shares",
    "cpus",
    "cpuset",
    "depends_on",
    "develop",
    "dns",
    "dns_opt",
    "dns_search",
    "domainname",
    "entrypoint",
    "environment",
    "expose",
    "extra_hosts",
    "group_add",
    "healthcheck",
    "hostname",
    "image",
    "init",
    "labels",
    "links",
    "logging",
    "mem_limit",
    "mem_reservation",
    "mem_swappiness",
    "memswap_limit",
    "networks",
    "pids_limit",
    "platform",
    "ports",
    "profiles",
    "read_only",
    "restart",
    "scale",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "tmpfs",
    "tty",
    "ulimits",
    "user",
    "working_dir",
];

impl Scan<'_> {
    pub(super) fn service(&mut self, path: &str, service: &Value) {
        let Some(keys) = self.map(service, path) else { return };
        for (key, value) in keys {
            if !HARMLESS.contains(&key.as_str()) && !key.starts_with("x-") {
                self.service_key(path, key, value);
            }
        }
        if !keys.contains_key("image") && !keys.contains_key("extends") {
            self.refuse("image", path, "has no image; nothing is built here");
        }
    }

    fn service_key(&mut self, service: &str, key: &str, value: &Value) {
        let path = &format!("{service}.{key}");
        match key {
            "privileged" | "use_api_socket" | "oom_kill_disable" if is_empty(value) => {}
            "privileged" => self.need("privileged", "privileged", path, "takes away what divides it from the host"),
            "use_api_socket" => self.need("docker-socket", "docker-socket", path, "hands it the whole engine"),
            "network_mode" => match value.as_str() {
                Some("none" | "") | None => {}
                Some(mode) if mode.starts_with("service:") => {}
                Some(mode) => {
                    let message = format!("`{mode}` is a network that is not the project's own");
                    self.need("host-network", "host-network", path, message);
                }
            },
            "pid" => self.namespace(path, value, "host-pid", &[]),
            "ipc" => self.namespace(path, value, "host-ipc", &["private", "shareable", "none"]),
            "uts" | "userns_mode" | "cgroup" => self.namespace(path, value, "privileged", &["private"]),
            "cap_add" => {
                for name in value.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    let message = format!("`{}` is a capability that containers usually do not have", capability(name));
                    if !self.policy.allows("cap:ALL") {
                        self.need("cap", &format!("cap:{}", capability(name)), path, message);
                    }
                }
                if !matches!(value, Value::Array(_) | Value::Null) {
                    self.refuse("shape", path, "must be a list");
                }
            }
            "cap_drop" => {}
            "devices" | "device_cgroup_rules" | "gpus" if is_empty(value) => {}
            "devices" | "device_cgroup_rules" | "gpus" => {
                self.need("devices", "devices", path, "reaches for devices of the host");
            }
            "security_opt" => {
                let harmless = |option: &str| {
                    matches!(option, "no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true")
                };
                let all = value.as_array().map(|all| all.iter().all(|option| option.as_str().is_some_and(harmless)));
                if all == Some(false) || (all.is_none() && !value.is_null()) {
                    self.need("unconfined", "unconfined", path, "changes what protects the host");
                }
            }
            "volumes" => self.mounts(path, value),
            "volumes_from" => {
                for other in value.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    if other.starts_with("container:") {
                        self.need("external", "external", path, format!("`{other}` belongs to somebody else"));
                    }
                }
            }
            "env_file" | "label_file" => self.files(path, value),
            "configs" | "secrets" => {}
            "deploy" => self.deploy(path, value),
            "pull_policy" => {
                if value.as_str() == Some("build") {
                    self.refuse("image", path, "nothing is built here");
                }
            }
            "extends" => {
                if value.get("file").is_some_and(|file| !file.is_null()) {
                    self.read_file(&format!("{path}.file"), &value["file"]);
                }
            }
            "build" => self.need("key", "key:build", path, "nothing is built here; name an image"),
            _ if value.is_null() => {}
            key => self.key(service, key),
        }
    }

    fn namespace(&mut self, path: &str, value: &Value, word: &'static str, harmless: &[&str]) {
        let Some(mode) = value.as_str() else { return };
        if !mode.is_empty() && !harmless.contains(&mode) && !mode.starts_with("service:") {
            self.need(word, word, path, format!("`{mode}` is not the container's own"));
        }
    }

    fn files(&mut self, path: &str, value: &Value) {
        match value {
            Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| {
                self.read_file(&format!("{path}[{index}]"), item.get("path").unwrap_or(item));
            }),
            Value::Null => {}
            one => self.read_file(path, one),
        }
    }

    fn deploy(&mut self, path: &str, value: &Value) {
        let reserved = value.pointer("/resources/reservations");
        for key in ["devices", "generic_resources"] {
            if reserved.and_then(|reserved| reserved.get(key)).is_some_and(|devices| !is_empty(devices)) {
                let path = format!("{path}.resources.reservations.{key}");
                self.need("devices", "devices", &path, "reaches for devices of the host");
            }
        }
    }
}
