//! The agent of a node as a process of its own, on the real engine with the real compose, against the real server.

mod alone;
mod cut;
mod doubled;
mod killed;
mod luck;
mod whole;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use skipper_platform::container::{EngineKind, answers};

use crate::bench::{Bench, Ended, Watched, signal, skipper, until};

const ADMIN: &str = "the-token-of-the-administrator";
/// What a service of busybox does until it is told to end.
const RUNS: [&str; 3] = ["/bin/busybox", "sh", "-c"];
const LOOP: &str = "trap 'exit 0' TERM; while :; do /bin/busybox sleep 0.1; done";

/// A server with a fleet, an engine, and an image of its own.
pub(super) struct Fleet {
    pub(super) bench: Bench,
    socket: String,
    prefix: String,
}

/// Where Docker is, if compose is there too.
fn engine() -> Option<String> {
    let hosts = std::env::var("SKIPPER_TEST_DOCKER")
        .map_or_else(|_| EngineKind::Docker.usual_hosts(&std::env::vars().collect()), |host| vec![host]);
    let found = hosts.into_iter().find(|host| host.starts_with("unix://") && answers(host));
    let compose = [&["docker", "compose"][..], &["docker-compose"]].iter().any(|words| {
        let asked = Command::new(words[0]).args(&words[1..]).arg("version").output();
        asked.is_ok_and(|asked| asked.status.success())
    });
    if found.is_none() || !compose {
        println!("skipped: the agent's work needs Docker and compose");
        return None;
    }
    found.map(|host| host.trim_start_matches("unix://").to_owned())
}

impl Fleet {
    /// A server that listens at `listen`; `None`: on the loopback address.
    pub(super) fn start(listen: Option<&str>) -> Option<Self> {
        let socket = engine()?;
        let mut bench = Bench::unstarted();
        fs::create_dir_all(bench.data()).expect("made");
        fs::write(bench.data().join("skipper.toml"), format!("admin_token = \"{ADMIN}\"\n")).expect("written");
        if let Some(listen) = listen {
            bench.listen_at(listen);
        }
        bench.start_server();
        let prefix = format!("agbb{}x{}", std::process::id(), bench.port(0));
        let fleet = Self { bench, socket, prefix };
        fleet.import();
        Some(fleet)
    }

    fn image(&self) -> String {
        format!("localhost/{}:1", self.prefix)
    }

    /// Busybox and nothing else.
    fn import(&self) {
        let root = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir_all(root.path().join("bin")).expect("made");
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
        fs::copy(busybox.expect("busybox-static is installed"), root.path().join("bin/busybox")).expect("copied");
        let tar = root.path().join("all.tar");
        let packed = Command::new("tar").arg("-C").arg(root.path()).arg("-cf").arg(&tar).arg("bin").status();
        assert!(packed.expect("tar is there").success());
        let body = format!("@{}", tar.display());
        let args = ["-X", "POST", "-H", "Content-Type: application/x-tar", "--data-binary", &body];
        let told = self.curl(&args, &format!("/images/create?fromSrc=-&repo=localhost/{}&tag=1", self.prefix));
        assert!(!told.contains("\"error\""), "{told}");
    }

    fn curl(&self, args: &[&str], path: &str) -> String {
        let mut command = Command::new("curl");
        command.args(["-sg", "-m", "60", "--unix-socket", &self.socket]).args(args);
        let told = command.arg(format!("http://engine/v1.41{path}")).output().expect("curl is there");
        String::from_utf8_lossy(&told.stdout).into_owned()
    }

    /// A request of the administrator: status and body.
    pub(super) fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let mut command = Command::new("curl");
        command.args(["-sg", "-m", "60", "-X", method, "-w", "\n%{http_code}"]);
        command.args(["-H", &format!("x-admin-token: {ADMIN}"), "-H", "content-type: application/json"]);
        if !body.is_null() {
            command.args(["-d", &body.to_string()]);
        }
        let told = command.arg(format!("{}{path}", self.bench.url())).output().expect("curl is there");
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').expect("a status");
        (status.parse().expect("a number"), serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// Registers a node, and writes its token to a file.
    pub(super) fn register(&self, node: &str) -> PathBuf {
        let (status, told) = self.ask("POST", "/v1/nodes", &json!({"id": node}));
        assert_eq!(status, 201, "{told}");
        let path = self.bench.home().join(format!("{node}.token"));
        fs::write(&path, told["token"].as_str().expect("a token")).expect("written");
        path
    }

    /// A tenant's name that no other test has.
    pub(super) fn tenant(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// What a tenant is to be: one service with a variable.
    pub(super) fn document(&self, tenant: &str, node: &str, greeting: &str) -> Value {
        let command: Vec<&str> = RUNS.into_iter().chain([LOOP]).collect();
        let service = json!({"image": self.image(), "command": command, "env": {"GREETING": greeting}});
        json!({"kind": "tenant", "id": tenant, "spec": {"node": node, "services": {"web": service}}})
    }

    /// Says what a tenant is to be.
    pub(super) fn put(&self, tenant: &str, node: &str, greeting: &str) {
        let body = self.document(tenant, node, greeting);
        let (status, told) = self.ask("PUT", &format!("/v1/resources/tenant/{tenant}"), &body);
        assert!(status == 200 || status == 201, "{status} {told}");
    }

    /// Applies a tenant; the order.
    pub(super) fn apply(&self, tenant: &str) -> String {
        let (status, told) = self.ask("POST", &format!("/v1/deployments/{tenant}/apply"), &Value::Null);
        assert_eq!(status, 202, "{told}");
        told["id"].as_str().expect("an order").to_owned()
    }

    pub(super) fn order(&self, id: &str) -> Value {
        self.ask("GET", &format!("/v1/work-orders/{id}"), &Value::Null).1
    }

    /// Waits until an order has ended.
    pub(super) fn ended(&self, id: &str) -> Value {
        until(
            "the order ends",
            || self.order(id),
            |order| !matches!(order["status"].as_str(), None | Some("pending" | "active")),
        )
    }

    /// Waits until an order is done.
    #[track_caller]
    pub(super) fn succeeded(&self, id: &str) -> Value {
        let order = self.ended(id);
        assert_eq!(order["status"], "succeeded", "{order}");
        order
    }

    /// Containers of a tenant: their ids and the values of the variable.
    pub(super) fn containers(&self, tenant: &str) -> Vec<(String, String)> {
        let filter = format!("%7B%22label%22%3A%5B%22skipper.tenant%3D{tenant}%22%5D%7D");
        let told = self.curl(&[], &format!("/containers/json?all=true&filters={filter}"));
        let all: Vec<Value> = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}"));
        let ids = all.iter().filter_map(|one| one["Id"].as_str());
        ids.map(|id| {
            let told = self.curl(&[], &format!("/containers/{id}/json"));
            let one: Value = serde_json::from_str(&told).unwrap_or_default();
            let env = one["Config"]["Env"].as_array().cloned().unwrap_or_default();
            let greeting = env.iter().filter_map(Value::as_str).find_map(|line| line.strip_prefix("GREETING="));
            (id.to_owned(), greeting.unwrap_or_default().to_owned())
        })
        .collect()
    }

    /// One container runs for the tenant, and has that value.
    #[track_caller]
    pub(super) fn greets(&self, tenant: &str, greeting: &str) {
        let all = self.containers(tenant);
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!(all[0].1, greeting);
    }

    /// The agent's command line, without what names the program.
    pub(super) fn settings(&self, command: &mut Command, node: &str, token: &Path, url: &str) {
        command
            .env("SKIPPER_URL", url)
            .env("AGENT_ID", node)
            .env("AGENT_TOKEN_FILE", token)
            .env("DATA_DIR", self.agent_dir(node))
            .env("SKIPPY_COMPOSE_BASE_DIR", self.bench.home().join(format!("{node}-tenants")))
            .env("HEARTBEAT_INTERVAL_MS", "1000")
            .env("DOCKER_HOST", format!("unix://{}", self.socket))
            .env("SKIPPER_LOG_LEVEL", "info,skipper=debug");
    }

    pub(super) fn agent_dir(&self, node: &str) -> PathBuf {
        self.bench.home().join(format!("{node}-data"))
    }

    /// The agent of a node, to be started.
    pub(super) fn command(&self, node: &str, token: &Path) -> Command {
        let mut command = skipper(self.bench.home());
        self.settings(&mut command, node, token, self.bench.url());
        command.arg("agent");
        command
    }

    pub(super) fn agent(&self, node: &str, token: &Path) -> Watched {
        Watched::start(&mut self.command(node, token))
    }

    /// How far a tenant is.
    pub(super) fn state(&self, tenant: &str) -> String {
        let told = self.ask("GET", &format!("/v1/resources/tenant/{tenant}"), &Value::Null).1;
        told["status"]["state"].as_str().unwrap_or_default().to_owned()
    }

    /// How often an order was handed out.
    pub(super) fn handed_out(&self, order: &Value) -> usize {
        let id = order["id"].as_str().expect("an order");
        let told = self.ask("GET", "/v1/events?limit=1000", &Value::Null).1;
        let events = told["items"].as_array().unwrap_or_else(|| panic!("{told}"));
        events.iter().filter(|event| event["kind"] == "order.taken" && event.to_string().contains(id)).count()
    }

    pub(super) fn check(&self, node: &str, token: &Path) -> Ended {
        let mut command = skipper(self.bench.home());
        self.settings(&mut command, node, token, self.bench.url());
        crate::bench::run(command.args(["agent", "--check"]))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let told = self.curl(&[], "/containers/json?all=true");
        let all: Vec<Value> = serde_json::from_str(&told).unwrap_or_default();
        let is_ours =
            |one: &&Value| one["Labels"]["skipper.tenant"].as_str().is_some_and(|name| name.starts_with(&self.prefix));
        for one in all.iter().filter(is_ours) {
            self.curl(
                &["-X", "DELETE"],
                &format!("/containers/{}?force=true&v=true", one["Id"].as_str().unwrap_or_default()),
            );
        }
        let told = self.curl(&[], "/networks");
        let all: Vec<Value> = serde_json::from_str(&told).unwrap_or_default();
        for one in all.iter().filter_map(|one| one["Name"].as_str()).filter(|name| name.starts_with(&self.prefix)) {
            self.curl(&["-X", "DELETE"], &format!("/networks/{one}"));
        }
        self.curl(&["-X", "DELETE"], &format!("/images/{}?force=true", self.image()));
    }
}

/// Ends an agent as its service manager does.
fn end(mut agent: Watched) {
    signal(agent.child.id(), rustix::process::Signal::TERM);
    assert_eq!(agent.ended(), 0);
}
