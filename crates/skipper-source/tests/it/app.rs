//! slip's configuration.

mod building;
mod editing;
mod files;
mod hostile;
mod laws;

use std::collections::BTreeMap;

use skipper_source::{
    Faults,
    app::{self, App, Directory, Environment, Loaded, Server},
};

/// The server of slip's guide, in our own words.
pub(crate) const SERVER: &str = r#"
[server]
listen = "127.0.0.1:7890"

[runtime]
backend = "auto"  # Podman where there is one

[auth]
secret = "${SLIP_SECRET}"

[registry]
# ghcr_token = "${GHCR_TOKEN}"

[caddy]
admin_api = "http://localhost:2019"

[storage]
path = "/var/lib/slip"
"#;

/// Its three kinds of app.
pub(crate) const CONTAINER: &str = r#"
[app]
name = "shop"
image = "ghcr.io/acme/shop"

[routing]
domain = "shop.example.com"
port = 8080

[health]
path = "/health"
interval = "2s"
timeout = "5s"
retries = 5
start_period = "10s"

[deploy]
strategy = "blue-green"
drain_timeout = "30s"

[resources]
memory = "512m"
cpus = "1.0"
"#;

pub(crate) const WORKER: &str = r#"
[app]
name = "pipeline"
image = "ghcr.io/acme/pipeline"

[health]
# nothing to ask

[deploy]
strategy = "recreate"

[[volumes]]
host_path = "/var/lib/slip/volumes/pipeline/state"
mount_path = "/app/data"
read_only = false
"#;

pub(crate) const POD: &str = r#"
[app]
name = "stats"
image = "ghcr.io/acme/stats-api"

[health]
path = "/health"

[deploy]
strategy = "recreate"

[[routing.routes]]
hostname = "stats.example.com"
container = "api"

[[routing.routes]]
hostname = "jobs.example.com"
container = "jobs-web"

[[volumes]]
host_path = "/var/lib/slip/volumes/stats/jobs-home"
mount_path = "/opt/jobs/home"
"#;

pub(crate) fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn load(server: &str, apps: &[(&str, &str)], env: &[(&str, &str)]) -> Loaded {
    let (apps, env) = (vars(apps), vars(env));
    app::load(&Directory { server, apps: &apps, env: Environment::new(&env) })
}

#[track_caller]
pub(crate) fn server(text: &str, env: &[(&str, &str)]) -> Server {
    load(text, &[], env).server.unwrap_or_else(|faults| panic!("{faults}"))
}

/// An app whose file has the name that it gives itself.
pub(crate) fn try_app(text: &str, env: &[(&str, &str)]) -> Result<App, Faults> {
    let stem = text.split("name = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("app");
    app::file(&format!("apps/{stem}.toml"), stem, text, Environment::new(&vars(env))).map(|(app, _)| app)
}

#[track_caller]
pub(crate) fn good(text: &str) -> App {
    try_app(text, &[]).unwrap_or_else(|faults| panic!("{faults}"))
}

/// A small app with these lines.
pub(crate) fn with(lines: &str) -> String {
    format!(
        "app = {{ name = \"a\", image = \"acme/a\" }}\nrouting = {{ domain = \"a.example.com\", port = 80 }}\n{lines}"
    )
}
