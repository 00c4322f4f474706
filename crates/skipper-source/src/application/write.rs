//! From an application to its document.

use serde_json::{Map, Value, json};
use skipper_core::{
    route::{Host, Listener, PathPrefix},
    spec::{Application, Bounds, Check, Health, Hooks, Port, Resource, Route, SecretUse, StopPolicy, Volume},
    time::Millis,
};

use super::{KIND, bytes_text, cpu_text, duration_text, health::DEFAULT_STATUS, process::SIGNALS, strategy};
use crate::package::API_VERSION;

/// The document of an application: keys in a fixed order, defaults left out where they say nothing.
#[must_use]
pub fn write(app: &Application) -> Value {
    let mut spec = Keys::default();
    spec.set("platform", app.target.0.as_str());
    spec.set("resource", app.resource.uri.as_str());
    spec.set_some("checksum", app.resource.sha256.map(|digest| format!("sha256:{digest}")));
    spec.set_list("command", &app.command, |text| text.as_str().into());
    spec.set_list("args", &app.args, |text| text.as_str().into());
    spec.set_map("env", app.env.iter().map(|(key, value)| (key.clone(), value.as_str().into())));
    spec.set_list("secrets", &app.secrets, secret);
    spec.set_list("ports", &app.ports, port);
    spec.set("health", health(&app.health));
    spec.set_list("routes", &app.routes, route);
    if app.routes.is_empty() && app.ports.iter().any(|port| !port.direct) {
        spec.set("expose", false);
    }
    spec.set("strategy", strategy::write(&app.strategy));
    spec.set_span("bake", app.strategy.bake(), Millis(0));
    spec.set_span("drain", app.bounds.drain, Bounds::default().drain);
    spec.set("replicas", app.replicas);
    let mut limits = Keys::default();
    limits.set_some("memory", app.limits.memory_bytes.map(bytes_text));
    limits.set_some("cpu", app.limits.cpu_millis.map(cpu_text));
    spec.set_keys("resources", limits);
    spec.set_list("volumes", &app.volumes, volume);
    spec.set_keys("hooks", hooks(&app.hooks));
    spec.set_list("dependsOn", &app.depends_on, |name| name.as_str().into());
    spec.set_keys("stop", stop(&app.stop));
    spec.set_keys("bounds", bounds(&app.bounds));
    spec.set_some("workingDir", app.working_dir.clone());
    spec.set_map("platformOptions", app.platform_options.clone().into_iter());
    spec.set_map("images", app.images.iter().map(|(container, image)| (container.clone(), resource(image))));
    json!({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": app.name}, "spec": spec.0})
}

fn resource(resource: &Resource) -> Value {
    let mut keys = Keys::default();
    keys.set("resource", resource.uri.as_str());
    keys.set_some("checksum", resource.sha256.map(|digest| format!("sha256:{digest}")));
    keys.0.into()
}

/// A map that is filled with what is worth saying.
#[derive(Default)]
struct Keys(Map<String, Value>);

impl Keys {
    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    fn set_some<T: Into<Value>>(&mut self, key: &str, value: Option<T>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    fn set_list<T>(&mut self, key: &str, items: &[T], write: impl Fn(&T) -> Value) {
        if !items.is_empty() {
            self.set(key, items.iter().map(write).collect::<Vec<_>>());
        }
    }

    fn set_map(&mut self, key: &str, entries: impl Iterator<Item = (String, Value)>) {
        let map: Map<String, Value> = entries.collect();
        self.set_keys(key, Self(map));
    }

    fn set_keys(&mut self, key: &str, keys: Self) {
        if !keys.0.is_empty() {
            self.set(key, keys.0);
        }
    }

    fn set_span(&mut self, key: &str, span: Millis, default: Millis) {
        if span != default {
            self.set(key, duration_text(span));
        }
    }
}

fn secret(used: &SecretUse) -> Value {
    match used {
        SecretUse::Env { secret, var } => json!({"name": secret, "env": var}),
        SecretUse::File { secret, file } => json!({"name": secret, "file": file}),
    }
}

fn port(port: &Port) -> Value {
    let mut keys = Keys::default();
    keys.set("name", port.name.as_str());
    keys.set_some("env", port.env.clone());
    keys.set_some("fixed", port.fixed);
    if port.direct {
        keys.set("direct", true);
    }
    keys.set_some("container", port.container.clone());
    keys.0.into()
}

fn route(route: &Route) -> Value {
    let mut keys = Keys::default();
    keys.set_some("host", route.host.as_ref().map(Host::as_str));
    match route.listener {
        Listener::Port(port) => keys.set("listen", port),
        shared => keys.set("listen", shared.to_string()),
    }
    if route.path != PathPrefix::default() {
        keys.set("path", route.path.as_str());
    }
    keys.set("port", route.port.as_str());
    keys.0.into()
}

fn health(health: &Health) -> Value {
    let defaults = Health::with_defaults(Check::Running);
    let mut keys = Keys::default();
    match &health.check {
        Check::Http { port, path, status } => {
            let mut http = Keys::default();
            http.set("path", path.as_str());
            http.set("port", port.as_str());
            if *status != [DEFAULT_STATUS] {
                http.set("status", statuses(status));
            }
            keys.set("http", http.0);
        }
        Check::Tcp { port } => keys.set("tcp", json!({"port": port})),
        Check::Boot { port } => keys.set("boot", json!({"port": port})),
        Check::Command { command } => keys.set("command", command.clone()),
        Check::Running => keys.set("running", true),
    }
    keys.set_span("interval", health.interval, defaults.interval);
    keys.set_span("timeout", health.timeout, defaults.timeout);
    for (key, number, default) in
        [("retries", health.retries, defaults.retries), ("successes", health.successes, defaults.successes)]
    {
        if number != default {
            keys.set(key, number);
        }
    }
    keys.set_span("startPeriod", health.start_period, defaults.start_period);
    keys.set_some("container", health.container.clone());
    keys.0.into()
}

fn statuses(ranges: &[(u16, u16)]) -> Value {
    let one = |(from, to): &(u16, u16)| if from == to { json!(from) } else { format!("{from}-{to}").into() };
    match ranges {
        [only] => one(only),
        several => several.iter().map(one).collect(),
    }
}

fn volume(volume: &Volume) -> Value {
    let mut keys = Keys::default();
    keys.set("name", volume.name.as_str());
    keys.set("path", volume.path.as_str());
    keys.set_some("env", volume.env.clone());
    keys.set_some("source", volume.source.clone());
    if volume.read_only {
        keys.set("readOnly", true);
    }
    keys.0.into()
}

fn hooks(hooks: &Hooks) -> Keys {
    let mut keys = Keys::default();
    for (key, hook) in [
        ("beforeLaunch", &hooks.before_launch),
        ("beforeShift", &hooks.before_shift),
        ("afterShift", &hooks.after_shift),
    ] {
        keys.set_some(
            key,
            hook.as_ref().map(|hook| json!({"command": hook.command, "timeout": duration_text(hook.timeout)})),
        );
    }
    keys
}

fn stop(stop: &StopPolicy) -> Keys {
    let mut keys = Keys::default();
    let default = StopPolicy::default();
    if stop.signal != default.signal {
        keys.set_some("signal", SIGNALS.iter().find(|(_, signal)| *signal == stop.signal).map(|(name, _)| *name));
    }
    keys.set_span("grace", stop.grace, default.grace);
    keys
}

fn bounds(bounds: &Bounds) -> Keys {
    let default = Bounds::default();
    let mut keys = Keys::default();
    keys.set_span("fetch", bounds.fetch, default.fetch);
    keys.set_span("start", bounds.start, default.start);
    keys.set_span("health", bounds.health, default.health);
    keys.set_span("hold", bounds.hold, default.hold);
    keys
}
