//! slip's three kinds of app, deployed by its own requests on the engines that are here: the program from the outside.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use skipper_platform::container::{EngineKind, answers};

use crate::{
    bench::{Bench, LONG, until},
    crashes::start_to_die,
};

pub(crate) const KEY: &str = "the key of the whole server";
/// What an application of busybox does that serves its folder until it is asked to stop.
pub(crate) const SERVES: &str = r#"CMD ["/bin/busybox","httpd","-f","-p","8080","-h","/www"]"#;
const WORKS: &str = r#"CMD ["/bin/sh","-c","trap 'exit 0' TERM; while :; do date >> /data/log; sleep 0.1; done"]"#;

/// An engine, and a server that has a directory of slip's.
pub(crate) struct Yard {
    pub(crate) bench: Bench,
    kind: EngineKind,
    socket: String,
    /// Begins the names of images: no other test has these.
    prefix: String,
    pub(crate) edge: String,
}

/// Where an engine is, or why the tests on it are skipped.
fn socket(kind: EngineKind) -> Option<String> {
    let named = std::env::var(format!("SKIPPER_TEST_{}", kind.word().to_uppercase())).ok();
    let hosts = named.map_or_else(|| kind.usual_hosts(&std::env::vars().collect()), |host| vec![host]);
    let found = hosts.into_iter().find(|host| host.starts_with("unix://") && answers(host));
    if found.is_none() {
        eprintln!("skipped: no {kind} answers here (./test starts one where it can)");
    }
    found.map(|host| host.trim_start_matches("unix://").to_owned())
}

impl Yard {
    pub(crate) fn start(kind: EngineKind) -> Option<Self> {
        Some(Self::on(kind, &socket(kind)?))
    }

    /// On the engine at that socket.
    pub(crate) fn on(kind: EngineKind, socket: &str) -> Self {
        let mut bench = Bench::unstarted();
        let (cfg, data) = (bench.home().join("cfg"), bench.data());
        fs::create_dir_all(cfg.join("apps")).expect("made");
        fs::create_dir_all(&data).expect("made");
        let server = format!(
            "[server]\n[auth]\nsecret = \"{KEY}\"\n[registry]\n[storage]\npath = \"{}\"\n[runtime]\nbackend = \"{}\"\n\
             [preview]\ndomain = \"preview.test\"\n",
            bench.home().join("slip").display(),
            kind.word()
        );
        fs::write(cfg.join("slip.toml"), server).expect("written");
        let word = kind.word();
        let account = format!(
            "[platforms.local]\ntype = \"local\"\n[platforms.{word}]\ntype = \"{word}\"\nsocket = \"{socket}\"\n"
        );
        fs::write(data.join("skipper.toml"), account).expect("written");
        let edge = format!("127.0.0.1:{}", bench.port(9));
        bench.add_args(&["--config", "cfg", "--edge-http", &edge, "--edge-https", "off"]);
        bench.start_server();
        let prefix = format!("skipper-bb-{}-{}", std::process::id(), bench.port(0));
        Self { bench, kind, socket: socket.to_owned(), prefix, edge }
    }

    /// The name of an app: what runs of it is told from what other tests run, and from what those left that were killed.
    pub(crate) fn name(&self, app: &str) -> String {
        format!("{app}-{}-{}", self.bench.port(0), std::process::id())
    }

    pub(crate) fn image(&self, app: &str) -> String {
        format!("localhost/{}-{app}", self.prefix)
    }

    pub(crate) fn curl(&self, args: &[&str], path: &str) -> String {
        let mut command = Command::new("curl");
        command.args(["-sg", "-m", "60", "--unix-socket", &self.socket]).args(args);
        let told = command.arg(format!("http://engine/v1.41{path}")).output().expect("curl is there");
        String::from_utf8_lossy(&told.stdout).into_owned()
    }

    /// What such an image consists of.
    pub(crate) fn fill(&self, root: &Path, text: &str, app: &str, files: &[(&str, &str)]) {
        for name in ["bin", "www", "slip", "data"] {
            fs::create_dir_all(root.join(name)).expect("made");
        }
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
        fs::copy(busybox.expect("busybox-static is installed"), root.join("bin/busybox")).expect("copied");
        for name in ["sh", "date", "sleep", "cat", "true", "false"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).expect("linked");
        }
        fs::write(root.join("www/index.html"), text).expect("written");
        fs::write(root.join("www/health"), "ok").expect("written");
        for (name, text) in files {
            fs::write(root.join("slip").join(name), text.replace("APP", &self.name(app))).expect("written");
        }
    }

    /// Makes an image of busybox that serves `text`, with these files in `/slip`.
    pub(crate) fn build(&self, app: &str, tag: &str, text: &str, files: &[(&str, &str)], command: &str) {
        let root = tempfile::tempdir().expect("a temporary folder");
        let root = root.path();
        self.fill(root, text, app, files);
        let rules =
            format!("FROM scratch\nCOPY bin /bin/\nCOPY www /www/\nCOPY slip /slip/\nCOPY data /data/\n{command}\n");
        fs::write(root.join("Dockerfile"), rules).expect("written");
        let tar = root.join("all.tar");
        let mut pack = Command::new("tar");
        pack.arg("-C").arg(root).arg("-cf").arg(&tar).args(["bin", "www", "slip", "data", "Dockerfile"]);
        assert!(pack.status().expect("tar is there").success());
        // Podman loses its own layers when two builds share them.
        static BUILDING: Mutex<()> = Mutex::new(());
        let _turn = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        let body = format!("@{}", tar.display());
        let args = ["-X", "POST", "-H", "Content-Type: application/x-tar", "--data-binary", &body];
        let told = self.curl(&args, &format!("/build?t={}:{tag}&rm=true", self.image(app)));
        assert!(!told.contains("\"error\""), "{told}");
    }

    /// Writes the file of an app.
    pub(crate) fn app(&self, name: &str, rest: &str) {
        let text = format!("[app]\nname = \"{}\"\nimage = \"{}\"\n{rest}", self.name(name), self.image(name));
        fs::write(self.bench.home().join(format!("cfg/apps/{}.toml", self.name(name))), text).expect("written");
    }

    /// A request to the API: status and body.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
        self.try_ask(method, path, headers, body).expect("it answers")
    }

    fn try_ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> std::io::Result<(u16, Value)> {
        ask(self.bench.url(), method, path, headers, body)
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, &[("Authorization", &format!("Bearer {KEY}"))], "");
        assert_eq!(status, 200, "{body}");
        body
    }

    /// A webhook as slip's users send it.
    pub(crate) fn deploy(&self, body: &Value) -> Value {
        let (status, answer) = self.try_deploy(body).expect("it answers");
        assert_eq!(status, 202, "{answer}");
        answer
    }

    pub(crate) fn try_deploy(&self, body: &Value) -> std::io::Result<(u16, Value)> {
        deliver(self.bench.url(), body)
    }

    /// Sends a webhook to a server that dies at its `nth` sync, and waits until one that follows has nothing left to do.
    /// Whether it died.
    pub(crate) fn die_at(&mut self, nth: u32, body: &Value) -> bool {
        let listens = start_to_die(&mut self.bench, nth);
        if listens {
            // Whether it is answered depends on where the server dies.
            let _ = self.try_deploy(body);
        }
        let came = until(
            "the server dies or gets through",
            || match (self.bench.is_traced_server_alive(), listens) {
                (false, _) => Some(true),
                (true, true) => self.is_idle().then_some(false),
                (true, false) => None,
            },
            Option::is_some,
        );
        self.bench.end_traced_server();
        self.bench.start_server();
        until("no rollout is open", || self.is_idle(), |idle| *idle);
        came.expect("just seen")
    }

    fn is_idle(&self) -> bool {
        let bearer = format!("Bearer {KEY}");
        let told = self.try_ask("GET", "/v1/deploys?limit=20", &[("Authorization", &bearer)], "");
        let over = |deploy: &Value| deploy["finished_at"].is_string();
        told.is_ok_and(|(_, told)| told["deploys"].as_array().is_some_and(|all| all.iter().all(over)))
    }

    /// Waits for a deploy with nothing but what was answered to it.
    pub(crate) fn ended(&self, accepted: &Value) -> Value {
        self.ended_within(accepted, LONG)
    }

    pub(crate) fn ended_within(&self, accepted: &Value, bound: Duration) -> Value {
        let url = accepted["status_url"].as_str().expect("an address");
        let path = url.split_once("/v1/").map(|(_, path)| format!("/v1/{path}")).expect("a path");
        let end = Instant::now() + bound;
        loop {
            let view = self.ask("GET", &path, &[], "").1;
            if view["finished_at"].is_string() {
                return view;
            }
            assert!(Instant::now() < end, "the deploy does not end: {view}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    pub(crate) fn completed(&self, body: &Value) {
        let ended = self.ended(&self.deploy(body));
        assert_eq!(ended["status"], "completed", "{ended}");
    }

    /// What the edge answers for a host name.
    pub(crate) fn at(&self, host: &str, path: &str) -> (u16, String) {
        request(&self.edge, host, path).unwrap_or_else(|error| panic!("{host}: {error}"))
    }

    /// Names of containers and pods of an app, running or not.
    pub(crate) fn containers(&self, app: &str) -> Vec<String> {
        let told = self.curl(&[], "/containers/json?all=true");
        let all: Vec<Value> = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}"));
        let names = all.iter().filter_map(|one| one["Names"][0].as_str());
        let begins = format!("/skipper-{}", self.name(app));
        let mut names: Vec<String> = names.filter(|name| name.starts_with(&begins)).map(str::to_owned).collect();
        names.sort();
        names
    }

    pub(crate) fn delete(&self, app: &str, more: &str) {
        let release = format!("{}{more}", self.name(app));
        let bearer = format!("Bearer {KEY}");
        let (status, told) = self.ask("DELETE", &format!("/v1/releases/{release}"), &[("Authorization", &bearer)], "");
        assert_eq!(status, 202, "{told}");
        until(
            "nothing is left",
            || self.containers(app),
            |all| all.iter().all(|name| !name.contains(&release.replace('.', "-"))),
        );
    }
}

impl Drop for Yard {
    /// Whatever a failing test left, and its images.
    fn drop(&mut self) {
        let all: Vec<Value> = serde_json::from_str(&self.curl(&[], "/containers/json?all=true")).unwrap_or_default();
        for one in all.iter().filter(|one| one["Labels"]["skipper.image"].to_string().contains(&self.prefix)) {
            let id = one["Id"].as_str().unwrap_or_default();
            self.curl(&["-X", "DELETE"], &format!("/containers/{id}?force=true&v=true"));
        }
        let all: Vec<Value> = serde_json::from_str(&self.curl(&[], "/images/json")).unwrap_or_default();
        for one in all.iter().filter(|one| one["RepoTags"].to_string().contains(&self.prefix)) {
            let id = one["Id"].as_str().unwrap_or_default();
            self.curl(&["-X", "DELETE"], &format!("/images/{id}?force=true"));
        }
    }
}

/// A request to the API at that address: status and body.
fn ask(url: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> std::io::Result<(u16, Value)> {
    let host = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(LONG))?;
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let cut = || std::io::Error::other(format!("half an answer: {answer}"));
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(cut)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or_else(cut)?;
    Ok((status, serde_json::from_str(body).map_err(|_| cut())?))
}

/// A webhook as slip's users send it, to the server at that address.
pub(crate) fn deliver(url: &str, body: &Value) -> std::io::Result<(u16, Value)> {
    let body = body.to_string();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(KEY.as_bytes()).expect("any length");
    mac.update(body.as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let signature = format!("sha256={hex}");
    let headers = [("Content-Type", "application/json"), ("X-Slip-Signature", signature.as_str())];
    ask(url, "POST", "/v1/deploy", &headers, &body)
}

pub(crate) fn request(edge: &str, host: &str, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(edge)?;
    stream.set_read_timeout(Some(LONG))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
    Ok((status, answer.split_once("\r\n\r\n").map(|(_, body)| body.trim().to_owned()).unwrap_or_default()))
}

pub(crate) const WEB: &str = "[routing]\ndomain = \"web.test\"\nport = 8080\n[health]\npath = \"/health\"\ninterval = \"50ms\"\n\
    start_period = \"0s\"\n[deploy]\nstrategy = \"blue-green\"\ndrain_timeout = \"2s\"\npull = \"missing\"\n[resources]\nmemory = \"64m\"\n";

/// Requests until they are stopped: how many there were, and what went wrong with some.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    worker: thread::JoinHandle<Vec<String>>,
}

impl Load {
    pub(crate) fn start(edge: &str, host: &'static str) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (edge, over, count) = (edge.to_owned(), Arc::clone(&stop), Arc::clone(&sent));
        let worker = thread::spawn(move || {
            let mut wrong = Vec::new();
            while !over.load(Ordering::Relaxed) {
                match request(&edge, host, "/") {
                    Ok((200, _)) => {}
                    other => wrong.push(format!("{other:?}")),
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
            wrong
        });
        Self { stop, sent, worker }
    }

    pub(crate) fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let wrong = self.worker.join().expect("it does not panic");
        let sent = self.sent.load(Ordering::Relaxed);
        assert!(sent > 20, "{sent} requests are none");
        assert!(wrong.is_empty(), "of {sent}: {wrong:?}");
    }
}

fn a_container_with_a_way_in(kind: EngineKind) {
    let Some(mut yard) = Yard::start(kind) else { return };
    let repo = "[app]\nname = \"APP\"\n[preview]\nenabled = true\nttl = \"10m\"\n";
    for tag in ["v1", "v2", "v3"] {
        yard.build("web", tag, tag, &[("slip.toml", repo)], SERVES);
    }
    // Written while the server runs, and deployed at once.
    yard.app("web", WEB);
    yard.completed(&json!({"app": yard.name("web"), "tag": "v1"}));
    assert_eq!(yard.at("web.test", "/"), (200, "v1".to_owned()));
    let load = Load::start(&yard.edge, "web.test");
    yard.completed(&json!({"app": yard.name("web"), "tag": "v2"}));
    assert_eq!(yard.at("web.test", "/"), (200, "v2".to_owned()));

    // What cannot be had leaves what serves, and says so.
    let failed = yard.ended(&yard.deploy(&json!({"app": yard.name("web"), "tag": "gone", "image": yard.image("web")})));
    assert_eq!(failed["status"], "failed");
    assert!(failed["error"].as_str().is_some_and(|error| error.contains("gone")), "{failed}");
    let status = &yard.get("/v1/status")["apps"][yard.name("web")];
    assert_eq!((&status["status"], &status["tag"]), (&json!("running"), &json!("v2")));

    // The server dies while it deploys, and goes on when it is back.
    let accepted = yard.deploy(&json!({"app": yard.name("web"), "tag": "v3"}));
    yard.bench.kill_server();
    yard.bench.start_server();
    assert_eq!(yard.ended(&accepted)["status"], "completed");
    assert_eq!(yard.at("web.test", "/"), (200, "v3".to_owned()));
    until("the old one is gone", || yard.containers("web"), |all| all.len() == 1);

    // A preview beside it, until somebody closes it.
    let preview = yard.deploy(&json!({"app": yard.name("web"), "tag": "v1", "preview": {"id": "pr-7"}}));
    let (_, port) = yard.edge.rsplit_once(':').expect("an address");
    assert_eq!(preview["preview_url"], json!(format!("http://pr-7.preview.test:{port}")), "there is no TLS here");
    assert_eq!(yard.ended(&preview)["status"], "completed");
    assert_eq!(yard.at("pr-7.preview.test", "/"), (200, "v1".to_owned()));
    yard.delete("web", ".preview.pr-7");
    until("nobody gets there any more", || yard.at("pr-7.preview.test", "/").0, |status| *status == 404);
    load.end();
    yard.delete("web", "");
}

fn a_worker_that_alone_may_write(kind: EngineKind) {
    let Some(yard) = Yard::start(kind) else { return };
    let repo = "[app]\nname = \"APP\"\nkind = \"worker\"\n[[volumes]]\nmount_path = \"/data\"\n";
    for tag in ["v1", "v2"] {
        yard.build("pipeline", tag, tag, &[("slip.toml", repo)], WORKS);
    }
    yard.build("pipeline", "broken", "", &[("slip.toml", repo)], r#"CMD ["/bin/false"]"#);
    let state = yard.bench.home().join("state");
    let rest = format!(
        "[health]\nstart_period = \"300ms\"\n[deploy]\nstrategy = \"recreate\"\npull = \"missing\"\n\
         [[volumes]]\nhost_path = \"{}\"\nmount_path = \"/data\"\nread_only = false\n",
        state.display()
    );
    yard.app("pipeline", &rest);
    yard.completed(&json!({"app": yard.name("pipeline"), "tag": "v1"}));
    until("it writes", || fs::read_to_string(state.join("log")).unwrap_or_default(), |text| !text.is_empty());
    yard.completed(&json!({"app": yard.name("pipeline"), "tag": "v2"}));
    assert_eq!(yard.containers("pipeline").len(), 1, "one writes");
    let failed = yard.ended(&yard.deploy(&json!({"app": yard.name("pipeline"), "tag": "broken"})));
    assert_eq!(failed["status"], "failed", "{failed}");
    until(
        "the one before is back",
        || yard.get("/v1/status")["apps"][yard.name("pipeline")]["tag"].clone(),
        |tag| tag == "v2",
    );
    assert_eq!(yard.containers("pipeline").len(), 1, "{:?}", yard.containers("pipeline"));
    yard.delete("pipeline", "");
}

fn a_pod_with_two_ways_in(kind: EngineKind) {
    let Some(yard) = Yard::start(kind) else { return };
    let repo = "[app]\nname = \"APP\"\nkind = \"pod\"\nmanifest = \"pod.yaml\"\n[[routing.routes]]\ncontainer = \"api\"\nport = 8080\n\
        [[routing.routes]]\ncontainer = \"side\"\nport = 3000\n";
    let image = yard.image("stat");
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{ name: stat }}\nspec:\n  initContainers:\n    - name: first\n      image: \
         {image}:${{tag}}\n      command: [/bin/sh, -c, \"echo made > /shared/it\"]\n  containers:\n    - name: api\n      image: \
         {image}:${{tag}}\n      ports: [{{ containerPort: 8080 }}]\n    - name: side\n      image: {image}:${{tag}}\n      command: \
         [/bin/busybox, httpd, -f, -p, \"3000\", -h, /shared]\n      ports: [{{ containerPort: 3000 }}]\n"
    );
    for tag in ["v1", "v2"] {
        yard.build("stat", tag, tag, &[("slip.toml", repo), ("pod.yaml", &pod)], SERVES);
    }
    let shared = yard.bench.home().join("shared");
    let rest = format!(
        "[health]\npath = \"/health\"\ninterval = \"50ms\"\nstart_period = \"0s\"\n[deploy]\nstrategy = \"recreate\"\npull = \"missing\"\n\
         [[routing.routes]]\nhostname = \"stat.test\"\ncontainer = \"api\"\n[[routing.routes]]\nhostname = \"side.test\"\ncontainer = \
         \"side\"\n[[volumes]]\nhost_path = \"{}\"\nmount_path = \"/shared\"\n",
        shared.display()
    );
    yard.app("stat", &rest);
    let first = yard.ended(&yard.deploy(&json!({"app": yard.name("stat"), "tag": "v1"})));
    if yard.kind == EngineKind::Docker {
        assert_eq!(first["status"], "failed");
        assert!(first["error"].as_str().is_some_and(|error| error.contains("the app is a pod")), "{first}");
        assert!(yard.containers("stat").is_empty());
        return;
    }
    assert_eq!(first["status"], "completed", "{first}");
    assert_eq!(yard.at("stat.test", "/"), (200, "v1".to_owned()));
    assert_eq!(yard.at("side.test", "/it"), (200, "made".to_owned()));
    yard.completed(&json!({"app": yard.name("stat"), "tag": "v2"}));
    assert_eq!(yard.at("stat.test", "/"), (200, "v2".to_owned()));
    yard.delete("stat", "");
}

/// Each on both engines.
macro_rules! on_each_engine {
    ($($name:ident)*) => {$(
        mod $name {
            #[test]
            fn docker() {
                super::$name(skipper_platform::container::EngineKind::Docker);
            }

            #[test]
            fn podman() {
                super::$name(skipper_platform::container::EngineKind::Podman);
            }
        }
    )*};
}
pub(crate) use on_each_engine;
on_each_engine!(a_container_with_a_way_in a_worker_that_alone_may_write a_pod_with_two_ways_in);
