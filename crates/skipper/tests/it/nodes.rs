//! Releases on a node: a server, an agent that reaches it by an outgoing connection alone, and what runs at the agent's.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::bench::{Bench, LONG, Watched, clear, get, package, signal, skipper, until};

/// An agent in a folder of its own.
struct Node {
    dir: tempfile::TempDir,
    name: &'static str,
    token: String,
    url: String,
    env: Vec<(&'static str, String)>,
    agent: Option<Watched>,
}

impl Node {
    /// Registers the node and starts its agent, which reaches the server at `url`.
    #[track_caller]
    fn start(bench: &Bench, name: &'static str, url: &str, env: &[(&'static str, &str)]) -> Self {
        let token = bench.run(&["node", "register", name, "--url", bench.url()]).ok().trim().to_owned();
        let dir = tempfile::Builder::new().prefix("skipper-it-node-").tempdir().expect("a temporary folder");
        let env = env.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        let mut node = Self { dir, name, token, url: url.to_owned(), env, agent: None };
        node.resume(bench);
        node
    }

    fn command(&self) -> Command {
        let home = self.dir.path();
        let mut command = skipper(home);
        command.env("SKIPPER_URL", &self.url).env("AGENT_ID", self.name).env("AGENT_TOKEN", &self.token);
        command.env("DATA_DIR", home.join("data")).env("SKIPPY_COMPOSE_BASE_DIR", home.join("tenants"));
        command.env("DOCKER_HOST", format!("unix://{}", home.join("no.sock").display()));
        for (key, value) in &self.env {
            command.env(key, value);
        }
        command.arg("agent");
        command
    }

    /// Starts the agent, and waits until the server has heard of it.
    #[track_caller]
    fn resume(&mut self, bench: &Bench) {
        self.agent = Some(Watched::start(&mut self.command()));
        let show = || bench.run(&["node", "show", self.name, "--url", bench.url(), "--json"]).json();
        until("it is heard", show, |seen| seen["status"]["platforms"]["local"] == "local");
    }

    fn says(&self, text: &str) -> String {
        self.agent.as_ref().expect("it runs").line_with(text)
    }

    fn end(&mut self, how: Signal) {
        if let Some(mut agent) = self.agent.take() {
            signal(agent.child.id(), how);
            let _ = agent.child.wait();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end(Signal::KILL);
        clear(self.dir.path());
    }
}

/// Leads connections on to a server until it is cut.
struct Relay {
    address: SocketAddr,
    open: Arc<AtomicBool>,
    ends: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    fn to(url: &str) -> Self {
        let server = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("its address");
        let (open, ends) = (Arc::new(AtomicBool::new(true)), Arc::new(Mutex::new(Vec::new())));
        let relay = Self { address, open: Arc::clone(&open), ends: Arc::clone(&ends) };
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(&server) else { continue };
                if !open.load(Ordering::SeqCst) {
                    continue;
                }
                let copies = [(&near, &far), (&far, &near)];
                for (from, to) in copies.map(|(from, to)| (from.try_clone(), to.try_clone())) {
                    let (Ok(mut from), Ok(mut to)) = (from, to) else { continue };
                    thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Write);
                    });
                }
                ends.lock().expect("no panic").extend([near, far]);
            }
        });
        relay
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn cut(&self) {
        self.open.store(false, Ordering::SeqCst);
        for end in self.ends.lock().expect("no panic").drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    fn heal(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}

/// What every node of these tests has: processes, and an edge on the loopback device.
const LOCAL: [(&str, &str); 3] =
    [("AGENT_PLATFORMS", "local"), ("AGENT_EDGE_BIND", "127.0.0.1"), ("AGENT_EDGE_HTTP", "off")];

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn status(bench: &Bench, name: &str) -> Value {
    bench.run(&["status", name, "--json"]).json()
}

#[test]
fn a_release_on_a_node_is_installed_upgraded_under_load_rolled_back_and_deleted_there() {
    let bench = Bench::start();
    let node = Node::start(&bench, "web1", bench.url(), &LOCAL);
    let platforms = bench.run(&["platform", "list", "--json"]).json();
    let there =
        platforms["items"].as_array().and_then(|items| items.iter().find(|one| one["name"] == "node:web1/local"));
    let there = there.unwrap_or_else(|| panic!("{platforms}"));
    assert_eq!((&there["type"], &there["reachable"]), (&"local".into(), &true.into()), "{there}");
    let shown = || bench.run(&["node", "show", "web1", "--url", bench.url(), "--json"]).json();
    assert_eq!(shown()["status"]["link"], Value::Null, "nobody has asked the node anything");

    let one = bench.run(&[
        "install",
        "web",
        "helloworld",
        "--set",
        "greeting=one",
        "--platform",
        "node:web1/local",
        "--wait",
    ]);
    one.ok();
    assert_eq!(shown()["status"]["link"]["edge"], true);
    let address = bench.address_of("web");
    assert_eq!(get(&address, "/greeting").expect("the node's edge answers"), (200, "one".to_owned()));
    // It runs in the node's folder, and nothing of it in the server's.
    let keepers =
        |folder: &Path| crate::bench::processes(folder).iter().filter(|(_, line)| line.contains("\0keeper\0")).count();
    assert_eq!((keepers(node.dir.path()), keepers(&bench.data())), (1, 0));

    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let users: Vec<_> = (0..3)
        .map(|_| {
            let (address, stop, asked) = (address.clone(), Arc::clone(&stop), Arc::clone(&asked));
            thread::spawn(move || {
                let mut failed = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match get(&address, "/greeting") {
                        Ok((200, body)) if body == "one" || body == "two" => {}
                        other => failed.push(format!("{other:?}")),
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                failed
            })
        })
        .collect();
    bench.run(&["upgrade", "web", "--set", "greeting=two", "--wait"]).ok();
    assert_eq!(get(&address, "/greeting").expect("answers").1, "two");
    bench.run(&["rollback", "web", "--wait"]).ok();
    stop.store(true, Ordering::Relaxed);
    let failed: Vec<String> = users.into_iter().flat_map(|user| user.join().expect("no panic")).collect();
    assert!(failed.is_empty(), "{} of {}: {:?}", failed.len(), asked.load(Ordering::Relaxed), failed.first());
    assert!(asked.load(Ordering::Relaxed) > 20);
    assert_eq!(get(&address, "/greeting").expect("answers").1, "one");

    let lines = bench.run(&["logs", "web", "--tail", "20"]).ok();
    assert!(!lines.trim().is_empty(), "the sample writes what it is asked");
    let done = bench.run(&["exec", "web", "--", "/bin/sh", "-c", "echo from $PWD; exit 3"]);
    assert!(done.out.contains(text(node.dir.path())), "{done:?}");
    assert!(done.err.contains("ended with 3"), "{done:?}");

    bench.run(&["delete", "web", "--wait"]).ok();
    until("nothing is left there", || keepers(node.dir.path()), |left| *left == 0);
    assert!(get(&address, "/greeting").is_err(), "nobody listens any more");
    bench.run(&["events", "verify"]).ok();
}

#[test]
fn a_link_that_is_cut_in_the_middle_of_an_upgrade_makes_it_wait_and_nothing_wrong_is_told_meanwhile() {
    let bench = Bench::start();
    let relay = Relay::to(bench.url());
    let node = Node::start(&bench, "web1", &relay.url(), &LOCAL);
    let first = package(bench.home(), "shop", "1.0.0", &[], "");
    let slow = package(bench.home(), "shop", "2.0.0", &[("SAMPLE_READY_AFTER", "1500")], "");
    bench.run(&["install", "web", text(&first), "--platform", "node:web1/local", "--wait"]).ok();
    let address = bench.address_of("web");
    let mut waiting = Watched::start(&mut bench.command(&["upgrade", "web", text(&slow), "--wait"]));
    waiting.line_with("await healthy");
    relay.cut();
    node.says("the link to the server");
    let seen = until(
        "the cut is noticed",
        || status(&bench, "web"),
        |seen| {
            seen["apps"].as_array().is_some_and(|apps| apps.iter().all(|app| app["instances"][0]["state"] == "unknown"))
        },
    );
    assert!(!seen.to_string().contains("exited"), "{seen}");
    let platforms = bench.run(&["platform", "list", "--json"]).json();
    let there =
        platforms["items"].as_array().and_then(|items| items.iter().find(|one| one["name"] == "node:web1/local"));
    assert_eq!(there.map(|there| &there["reachable"]), Some(&false.into()), "{platforms}");
    // The node's users notice nothing.
    assert!(get(&address, "/about").expect("the node's edge serves on").1.contains("1.0.0"));
    // Whoever asks for something new now is told so at once.
    let told = bench.run(&["install", "other", text(&first), "--platform", "node:web1/local", "--wait"]).fails(1);
    assert!(told.contains("node `web1` is not connected"), "{told}");
    relay.heal();
    assert_eq!(waiting.ended(), 0);
    assert!(get(&address, "/about").expect("answers").1.contains("2.0.0"));
    let seen = status(&bench, "web");
    assert_eq!((&seen["revision"], &seen["state"]), (&2.into(), &"live".into()), "{seen}");
}

#[test]
fn what_runs_on_a_node_outlives_its_agent_and_the_server_and_is_found_again() {
    let mut bench = Bench::start();
    let mut node = Node::start(&bench, "web1", bench.url(), &LOCAL);
    bench
        .run(&["install", "web", "helloworld", "--set", "greeting=hi", "--platform", "node:web1/local", "--wait"])
        .ok();
    let address = bench.address_of("web");
    let handle = |bench: &Bench| status(bench, "web")["apps"][0]["instances"][0]["handle"].clone();
    let before = handle(&bench);
    node.end(Signal::KILL);
    assert_eq!(get(&address, "/greeting").expect("the edge serves on").1, "hi");
    until("it is not known", || status(&bench, "web"), |seen| seen["apps"][0]["instances"][0]["state"] == "unknown");
    node.resume(&bench);
    assert_eq!(until("it is seen", || handle(&bench), |handle| !handle.is_null()), before, "adopted");
    // A server that comes back knows nothing of the node until it has its link again.
    bench.kill_server();
    bench.start_server();
    bench.logs("what a node offers");
    assert_eq!(until("it is seen", || handle(&bench), |handle| !handle.is_null()), before, "adopted");
    bench.run(&["upgrade", "web", "--set", "greeting=ho", "--wait"]).ok();
    assert_eq!(get(&address, "/greeting").expect("answers").1, "ho");
    // One that died there is started again there.
    let after = handle(&bench);
    let pid: u32 = after.as_str().and_then(|h| h.split(' ').nth(1)).and_then(|p| p.parse().ok()).expect("a pid");
    signal(pid, Signal::KILL);
    until("it is started again", || handle(&bench), |now| !now.is_null() && *now != after);
    // It takes leave of the server, which knows at once that it is gone.
    node.end(Signal::TERM);
    let line = bench.logs("the link to a node");
    assert!(line.contains("web1"), "{line}");
}

#[test]
fn routes_need_an_edge_on_the_node_and_a_platform_has_to_be_offered() {
    let bench = Bench::start();
    let _node = Node::start(&bench, "bare", bench.url(), &[("AGENT_PLATFORMS", "local")]);
    let told = bench.run(&["install", "web", "helloworld", "--platform", "node:bare/local", "--wait"]).fails(5);
    assert!(told.contains("no edge"), "{told}");
    let told = bench.run(&["install", "web", "helloworld", "--platform", "node:bare/docker", "--wait"]).fails(1);
    assert!(told.contains("there is no platform `docker` on this node"), "{told}");
    let told = bench.run(&["install", "web", "helloworld", "--platform", "node:ghost/local", "--wait"]).fails(1);
    assert!(told.contains("node `ghost` is not registered"), "{told}");
    bench.run(&["node", "cordon", "bare", "--url", bench.url()]).ok();
    let first = package(bench.home(), "quiet", "1.0.0", &[], "  expose: false\n");
    let told = bench.run(&["install", "web", text(&first), "--platform", "node:bare/local", "--wait"]).fails(1);
    assert!(told.contains("cordoned"), "{told}");
    bench.run(&["node", "uncordon", "bare", "--url", bench.url()]).ok();
    bench.run(&["install", "web", text(&first), "--platform", "node:bare/local", "--wait"]).ok();
}

/// An image of the engine that this machine has, gone with the test.
struct Image(String);

impl Image {
    /// A web server that says `GREETING`; `None` where there is no Docker, or nothing to make an image of.
    fn build(folder: &Path) -> Option<Self> {
        std::os::unix::net::UnixStream::connect("/var/run/docker.sock").ok()?;
        std::fs::copy("/usr/bin/busybox", folder.join("busybox")).ok()?;
        let recipe = "FROM scratch\nCOPY busybox /bin/busybox\nCMD [\"/bin/busybox\", \"sh\", \"-c\", \"/bin/busybox mkdir -p /www; \
             echo $GREETING > /www/index.html; echo started $GREETING; /bin/busybox httpd -f -p 8080 -h /www\"]\n";
        std::fs::write(folder.join("Dockerfile"), recipe).ok()?;
        let name = format!("localhost/skipper-it-nodes-{}:1", std::process::id());
        let mut build = Command::new("docker");
        build.env("DOCKER_BUILDKIT", "0").args(["build", "-q", "-t", &name, "."]).current_dir(folder);
        build.output().ok()?.status.success().then_some(Self(name))
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rmi", "-f", &self.0]).output();
    }
}

#[test]
fn containers_and_a_tenants_project_on_a_node_are_reached_by_the_same_link() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(image) = Image::build(folder.path()) else { return };
    let bench = Bench::start();
    let run = |args: &[&str]| bench.run(args);
    let token = run(&["node", "register", "web1", "--url", bench.url()]).ok().trim().to_owned();
    let dir = tempfile::Builder::new().prefix("skipper-it-node-").tempdir().expect("a temporary folder");
    let env = vec![
        ("DOCKER_HOST", "unix:///var/run/docker.sock".to_owned()),
        ("AGENT_PLATFORMS", "docker".to_owned()),
        ("AGENT_EDGE_BIND", "127.0.0.1".to_owned()),
        ("AGENT_EDGE_HTTP", "off".to_owned()),
    ];
    let mut node = Node { dir, name: "web1", token, url: bench.url().to_owned(), env, agent: None };
    node.agent = Some(Watched::start(&mut node.command()));
    let show = || run(&["node", "show", "web1", "--url", bench.url(), "--json"]).json();
    until("it is heard", show, |seen| seen["status"]["platforms"]["docker"] == "docker");

    let write = |version: &str, more: &str| {
        let dir = bench.home().join(format!("boxed-{version}"));
        std::fs::create_dir_all(dir.join("templates")).expect("made");
        let head = format!("apiVersion: skipper/v2\nkind: Package\nname: boxed\nversion: {version}\n");
        std::fs::write(dir.join("package.yml"), head).expect("written");
        let template = format!(
            "apiVersion: skipper/v2\nkind: Application\nmetadata: {{ name: web }}\nspec:\n  resource: docker:{}\n  env: {{ GREETING: \
             \"{version}\" }}\n  ports: [{{ name: http, fixed: 8080 }}]\n  health: {{ http: {{ path: /index.html, port: http }}, \
             interval: 100ms }}\n  bake: 0s\n{more}",
            image.0
        );
        std::fs::write(dir.join("templates/web.yml"), template).expect("written");
        dir
    };
    let name = format!("it-nodes-{}", std::process::id());
    run(&["install", &name, text(&write("1.0.0", "")), "--platform", "node:web1/docker", "--wait"]).ok();
    let status = run(&["status", &name, "--json"]).json();
    let address = status["apps"][0]["urls"][0].as_str().unwrap_or_else(|| panic!("no address: {status}"));
    let address = address.trim_start_matches("http://").trim_end_matches('/').to_owned();
    assert_eq!(get(&address, "/index.html").expect("answers").1.trim(), "1.0.0");
    run(&["upgrade", &name, text(&write("2.0.0", "")), "--wait"]).ok();
    assert_eq!(get(&address, "/index.html").expect("answers").1.trim(), "2.0.0");
    assert!(run(&["logs", &name]).ok().contains("started 2.0.0"));
    assert_eq!(run(&["exec", &name, "--", "/bin/busybox", "cat", "/www/index.html"]).ok().trim(), "2.0.0");
    // The owner of the node has allowed no folder of the host.
    let taken = write("3.0.0", "  volumes: [{ name: etc, path: /host, source: /etc }]\n");
    let told = run(&["upgrade", &name, text(&taken), "--wait"]).fails(1);
    assert!(told.contains("/etc of the host is not to be mounted"), "{told}");
    run(&["delete", &name, "--wait"]).ok();

    if !Path::new("/usr/bin/docker-compose").exists() {
        return;
    }
    let tenant = format!(
        r#"{{"kind": "tenant", "id": "{name}", "spec": {{"node": "web1", "services": {{"web": {{"image": "{}", "env": {{"GREETING": "of-a-tenant"}}}}}}}}}}"#,
        image.0
    );
    let file = bench.home().join("tenant.json");
    std::fs::write(&file, tenant).expect("written");
    run(&["tenant", "put", text(&file), "--url", bench.url()]).ok();
    run(&["deploy", "apply", "--tenant-id", &name, "--wait", "--url", bench.url()]).ok();
    let lines = run(&["logs", &name, "--tenant", &name]).ok();
    let heard = run(&["exec", &name, "--tenant", &name, "--", "/bin/busybox", "cat", "/www/index.html"]).ok();
    run(&["delete", &name, "--tenant", &name, "--wait", "--yes"]).ok();
    assert!(lines.contains("started of-a-tenant"), "{lines}");
    assert_eq!(heard.trim(), "of-a-tenant");
}

/// Asks for a link as an agent would, and returns the connection and the head of the answer.
fn ask(bench: &Bench, node: &str, token: &str, more: &str) -> (TcpStream, String) {
    let address = bench.url().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(LONG)).expect("set");
    write!(stream, "GET /v1/nodes/{node}/link?{more} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n")
        .expect("sent");
    if !more.contains("plain") {
        stream.write_all(b"Connection: Upgrade\r\nUpgrade: skipper-link/1\r\n").expect("sent");
    }
    stream.write_all(b"\r\n").expect("sent");
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    (stream, String::from_utf8_lossy(&head).into_owned())
}

/// Whether the other side closes the connection, whatever it says before.
fn is_closed(mut stream: TcpStream) -> bool {
    let end = Instant::now() + LONG;
    let mut bytes = [0; 4096];
    while Instant::now() < end {
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
    false
}

#[test]
fn a_link_is_for_the_nodes_own_token_and_ends_with_it() {
    let bench = Bench::start();
    let register = |node: &str| bench.run(&["node", "register", node, "--url", bench.url()]).ok().trim().to_owned();
    let (one, two) = (register("one"), register("two"));
    let head = |node: &str, token: &str, more: &str| ask(&bench, node, token, more).1;
    assert!(head("one", "skn_nonsense", "").starts_with("HTTP/1.1 401 "));
    assert!(head("one", &two, "").starts_with("HTTP/1.1 403 "));
    let plain = head("one", &one, "plain=1");
    assert!(plain.starts_with("HTTP/1.1 400 "), "{plain}");
    let (link, answer) = ask(&bench, "one", &one, "instance=a");
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.to_lowercase().contains("upgrade: skipper-link/1"), "{answer}");
    // Another token does not end it, the end of the node does, and at once.
    let rotated = bench.run(&["node", "rotate-token", "one", "--url", bench.url(), "--grace", "10m"]).ok();
    bench.logs("a node has a link");
    link.set_read_timeout(Some(Duration::from_millis(300))).expect("set");
    let mut preface = [0; 24];
    (&link).read_exact(&mut preface).expect("the server begins with HTTP/2");
    assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let still = |mut link: &TcpStream| loop {
        let mut bytes = [0; 4096];
        match link.read(&mut bytes) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    };
    assert!(still(&link), "it goes on with a token that was replaced");
    assert!(!rotated.trim().is_empty());
    bench.run(&["node", "remove", "one", "--url", bench.url(), "--yes"]).ok();
    let begun = Instant::now();
    link.set_read_timeout(Some(LONG)).expect("set");
    assert!(is_closed(link) && begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(head("one", &one, "").starts_with("HTTP/1.1 401 "), "it lets nobody in any more");
}

#[test]
fn two_agents_with_one_token_are_named() {
    let bench = Bench::start();
    let token = bench.run(&["node", "register", "one", "--url", bench.url()]).ok().trim().to_owned();
    let (first, _) = ask(&bench, "one", &token, "instance=run-a");
    bench.logs("run-a");
    let (second, _) = ask(&bench, "one", &token, "instance=run-b");
    bench.logs("run-b");
    assert!(is_closed(first), "the newest wins");
    let (_third, _) = ask(&bench, "one", &token, "instance=run-a");
    let line = bench.logs("two agents use the token of this node");
    assert!(line.contains("run-a") && line.contains("run-b"), "{line}");
    assert!(is_closed(second));
    let document = bench.run(&["node", "show", "one", "--url", bench.url(), "--json"]).json();
    let trouble = document["status"]["trouble"].as_str().unwrap_or_default();
    assert!(trouble.contains("run-a") && trouble.contains("run-b"), "{document}");
}
