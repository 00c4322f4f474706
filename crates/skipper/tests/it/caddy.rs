//! The real Caddy in front: one for each test, on ports of its own, with its files in a temporary folder. SKIPPER_TEST_CADDY names
//! another program than the one of the PATH.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bench::{Bench, LONG, get, package, run, until};

/// A Caddy that can be ended and started again. Everything it is told is lost with it, as without `--resume`.
struct Caddy {
    program: PathBuf,
    dir: TempDir,
    child: Option<Child>,
    /// Its admin API, the port that sites have, and the one that the edge has.
    admin: u16,
    site: u16,
    edge: u16,
}

fn program() -> Option<PathBuf> {
    let named = std::env::var_os("SKIPPER_TEST_CADDY").map(PathBuf::from);
    let found = named.or_else(|| Some(PathBuf::from("/usr/bin/caddy"))).filter(|path| path.exists());
    if found.is_none() {
        println!("skipped: there is no Caddy (apt-get install caddy, or SKIPPER_TEST_CADDY=/path/to/caddy)");
    }
    found
}

/// Ports that were free a moment ago, each another one.
fn free<const N: usize>() -> [u16; N] {
    let held: Vec<TcpListener> = (0..N).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    std::array::from_fn(|n| held[n].local_addr().expect("an address").port())
}

impl Caddy {
    /// With these applications in its configuration; `SITE` stands for the port of sites.
    fn new(apps: &str) -> Option<Self> {
        let program = program()?;
        let [admin, site, edge] = free();
        let dir = tempfile::Builder::new().prefix("skipper-caddy-").tempdir().expect("a temporary folder");
        let caddy = Self { program, dir, child: None, admin, site, edge };
        let apps = apps.replace("SITE", &site.to_string());
        let config = format!("{{\"admin\": {{\"listen\": \"127.0.0.1:{admin}\"}}{apps}}}");
        serde_json::from_str::<Value>(&config).expect("JSON");
        fs::write(caddy.dir.path().join("caddy.json"), config).expect("written");
        Some(caddy)
    }

    /// The same, and it runs.
    fn started(apps: &str) -> Option<Self> {
        let mut caddy = Self::new(apps)?;
        caddy.start();
        Some(caddy)
    }

    fn start(&mut self) {
        let log = fs::File::create(self.dir.path().join("log")).expect("made");
        let mut command = Command::new(&self.program);
        command.args(["run", "--config", "caddy.json"]).current_dir(self.dir.path()).env_clear();
        command.env("HOME", self.dir.path()).env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(log).spawn().expect("Caddy starts");
        self.child = Some(child);
        let answers = || TcpStream::connect(("127.0.0.1", self.admin)).is_ok();
        until("Caddy answers", || answers() || self.log().contains("Error:"), |up| *up);
        assert!(answers(), "{}", self.log());
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// A server in front of which it is, with these lines under `[caddy]` as well.
    fn bench(&self, more: &str) -> Bench {
        let path = self.dir.path().join("skipper.toml");
        let text = format!(
            "[caddy]\nadmin = \"http://127.0.0.1:{}\"\nupstream = \"127.0.0.1:{}\"\n{more}",
            self.admin, self.edge
        );
        fs::write(&path, text).expect("written");
        Bench::start_with(&["--config", path.to_str().expect("UTF-8")])
    }

    /// What a server needs for a Caddy that serves without TLS.
    fn plain(&self) -> String {
        format!("tls = \"off\"\nlisten = \"127.0.0.1:{}\"\n", self.site)
    }

    /// Its whole configuration.
    fn config(&self) -> Value {
        self.call("GET", "/config/", "")
    }

    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &str) -> Value {
        // The admin API is away for a moment whenever a configuration is loaded.
        let ask = || http(self.admin, method, path, &format!("127.0.0.1:{}", self.admin), body);
        let (status, body) = until("Caddy answers", ask, Result::is_ok).expect("an answer");
        assert_eq!(status, 200, "{method} {path}: {body}");
        serde_json::from_str(&body).unwrap_or_default()
    }

    /// The ids of the routes of a server.
    fn routes(&self, server: &str) -> Vec<String> {
        let config = self.config();
        let routes = config.pointer(&format!("/apps/http/servers/{server}/routes")).and_then(Value::as_array).cloned();
        let id = |route: &Value| route["@id"].as_str().unwrap_or("-").to_owned();
        routes.unwrap_or_default().iter().map(id).collect()
    }

    /// GET over Caddy: status and body.
    fn get(&self, host: &str, path: &str) -> std::io::Result<(u16, String)> {
        http(self.site, "GET", path, host, "")
    }

    #[track_caller]
    fn serves(&self, host: &str, path: &str, text: &str) {
        let good =
            |got: &std::io::Result<(u16, String)>| got.as_ref().is_ok_and(|got| got.0 == 200 && got.1.contains(text));
        until(&format!("{host} over Caddy"), || self.get(host, path), good).expect("an answer");
    }
}

impl Drop for Caddy {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One request on a connection of its own: status and body, chunks joined.
fn http(port: u16, method: &str, path: &str, host: &str, body: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(LONG))?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    status
        .map(|status| (status, body.to_owned()))
        .ok_or_else(|| std::io::Error::other(format!("no answer: {answer:?}")))
}

/// A package whose application has these host names.
fn site(bench: &Bench, name: &str, version: &str, hosts: &[&str]) -> String {
    let routes: Vec<String> = hosts.iter().map(|host| format!("{{ host: \"{host}\", port: http }}")).collect();
    let more = format!("  routes: [{}]\n", routes.join(", "));
    package(bench.home(), name, version, &[], &more).to_str().expect("UTF-8").to_owned()
}

#[track_caller]
fn install(bench: &Bench, name: &str, hosts: &[&str]) {
    let package = site(bench, name, "1.0.0", hosts);
    bench.run(&["install", name, &package, "--wait"]).ok();
}

/// What the server says of its Caddy.
#[track_caller]
fn caddy(bench: &Bench) -> Value {
    let (status, body) = get(bench.url().trim_start_matches("http://"), "/v1/edge").expect("an answer");
    assert_eq!(status, 200, "{body}");
    let body =
        body.split_once('{').map_or(body.clone(), |(_, rest)| format!("{{{}", rest.trim_end_matches("0\r\n\r\n")));
    serde_json::from_str::<Value>(&body).unwrap_or_else(|error| panic!("{error}: {body}"))["caddy"].clone()
}

#[track_caller]
fn is(bench: &Bench, health: &str) -> Value {
    until(&format!("Caddy is {health}"), || caddy(bench), |caddy| caddy["health"] == health)
}

#[test]
fn a_bare_caddy_is_told_each_host_name_once_and_a_deploy_changes_nothing() {
    let Some(front) = Caddy::started("") else { return };
    let bench = front.bench(&front.plain());
    is(&bench, "ok");
    assert!(front.config().get("apps").is_none(), "nothing is asked for before there is a name");
    install(&bench, "web", &["web.test", "www.web.test"]);
    front.serves("web.test", "/about", "1.0.0");
    front.serves("WWW.web.test", "/about", "1.0.0");
    assert_eq!(front.get("nobody.test", "/about").expect("an answer").0, 404, "and not an empty 200");
    let status = bench.run(&["status", "web", "--json"]).json();
    let url = format!("http://web.test:{}/", front.site);
    assert_eq!(status["apps"][0]["urls"][0], json!(url), "{status}");

    let before = front.config();
    let next = site(&bench, "web", "2.0.0", &["web.test", "www.web.test"]);
    bench.run(&["upgrade", "web", &next, "--wait"]).ok();
    assert!(front.get("web.test", "/about").expect("an answer").1.contains("2.0.0"));
    bench.run(&["rollback", "web", "--wait"]).ok();
    assert!(front.get("web.test", "/about").expect("an answer").1.contains("1.0.0"));
    assert_eq!(front.config(), before, "a deploy changes nothing in Caddy");
    let changes = caddy(&bench)["changes"].clone();

    install(&bench, "other", &["other.test"]);
    front.serves("other.test", "/about", "1.0.0");
    assert_eq!(caddy(&bench)["changes"].as_u64(), changes.as_u64().map(|changes| changes + 1));
    bench.run(&["delete", "other", "--yes", "--wait"]).ok();
    until("its route is gone", || front.config(), |config| *config == before);
    bench.run(&["delete", "web", "--yes", "--wait"]).ok();
    until("the server is gone with the last name", || front.routes("skipper"), Vec::is_empty);
    assert!(front.get("web.test", "/").is_err(), "nobody listens any more");
}

#[test]
fn who_asks_and_how_reaches_the_application() {
    let Some(front) = Caddy::started("") else { return };
    let bench = front.bench(&front.plain());
    install(&bench, "web", &["web.test"]);
    front.serves("web.test", "/echo", "x-forwarded-for");
    let mut stream = TcpStream::connect(("127.0.0.1", front.site)).expect("it listens");
    // What a client claims is not believed.
    let lie = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\n";
    write!(stream, "GET /echo HTTP/1.0\r\nHost: web.test\r\n{lie}\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let headers = serde_json::from_str::<Value>(body).expect("JSON")["headers"].clone();
    assert_eq!(headers["x-forwarded-for"], json!(["127.0.0.1, 127.0.0.1"]), "{headers}");
    assert_eq!((&headers["x-forwarded-proto"], &headers["x-forwarded-host"]), (&json!(["http"]), &json!(["web.test"])));
    assert_eq!(headers["host"], json!(["web.test"]));
}

/// A site, a catch-all, TLS of its own and a policy that is none of ours.
const FOREIGN: &str = r#", "apps": {
    "http": {"servers": {"srv0": {"listen": ["127.0.0.1:SITE"], "automatic_https": {"disable": true}, "routes": [
        {"match": [{"host": ["theirs.test"]}], "handle": [{"handler": "static_response", "body": "theirs"}], "terminal": true},
        {"handle": [{"handler": "static_response", "body": "catch-all"}]}
    ]}}},
    "tls": {"automation": {"policies": [{"subjects": ["theirs.test"], "issuers": [{"module": "internal"}]}]}},
    "pki": {"certificate_authorities": {"local": {"install_trust": false}}}}"#;

#[test]
fn a_server_that_has_the_port_is_shared_and_what_is_foreign_stays_as_it_is() {
    let Some(front) = Caddy::started(FOREIGN) else { return };
    let before = front.config();
    let bench = front.bench(&front.plain());
    install(&bench, "web", &["web.test", "theirs.test"]);
    front.serves("web.test", "/about", "1.0.0");
    front.serves("theirs.test", "/", "theirs");
    front.serves("nobody.test", "/", "catch-all");
    assert_eq!(front.routes("srv0"), ["-", "skipper-web.test", "-"]);

    let left = is(&bench, "ok")["left"].clone();
    assert!(
        left[0]["host"] == "theirs.test" && left[0]["why"].as_str().is_some_and(|why| why.contains("srv0")),
        "{left}"
    );
    let status = bench.run(&["status", "web", "--json"]).json();
    assert_eq!(status["state"], "degraded", "{status}");
    assert!(status["drift"][0]["message"].as_str().is_some_and(|drift| drift.contains("theirs.test")), "{status}");
    let doctor = bench.run(&["doctor"]);
    assert!(doctor.out.contains("theirs.test: another route of Caddy's server `srv0`"), "{}", doctor.out);

    bench.run(&["delete", "web", "--yes", "--wait"]).ok();
    until("it is as it was", || front.config(), |config| *config == before);
}

#[test]
fn routes_of_slip_are_replaced_and_no_others() {
    let slip = |id: &str, host: &str| {
        format!(
            r#"{{"@id": "slip-{id}", "match": [{{"host": ["{host}"]}}], "handle": [{{"handler": "static_response", "body": "slip's"}}], "terminal": true}}"#
        )
    };
    let routes = [slip("web", "web.test"), slip("api-0", "api.test"), slip("old", "old.test")].join(", ");
    let apps = format!(
        r#", "apps": {{"http": {{"servers": {{"slip": {{"listen": ["127.0.0.1:SITE"], "automatic_https": {{"disable": true}}, "routes": [{routes}]}}}}}}}}"#
    );
    let Some(front) = Caddy::started(&apps) else { return };
    let bench = front.bench("");
    front.serves("web.test", "/", "slip's");
    // What slip serves until now is served until it is served here, also where that fails.
    let broken = package(
        bench.home(),
        "web",
        "0.9.0",
        &[("SAMPLE_READY_AFTER", "never")],
        "  routes: [{ host: web.test, port: http }]\n",
    );
    let broken = broken.to_str().expect("UTF-8");
    let mut failing = bench.command(&["install", "web", broken, "--set", "startPeriod=500ms", "--wait"]);
    let failing = std::thread::spawn(move || run(&mut failing));
    while !failing.is_finished() {
        assert_eq!(front.get("web.test", "/").expect("an answer").1, "slip's");
    }
    assert_ne!(failing.join().expect("no panic").code, 0);
    assert_eq!(front.get("web.test", "/").expect("an answer").1, "slip's");
    bench.run(&["delete", "web", "--yes", "--wait"]);
    install(&bench, "web", &["web.test", "api.test"]);
    front.serves("web.test", "/about", "1.0.0");
    front.serves("api.test", "/about", "1.0.0");
    front.serves("old.test", "/", "slip's");
    let mut ids = front.routes("slip");
    ids.sort();
    assert_eq!(ids, ["skipper-api.test", "skipper-web.test", "slip-old"]);
}

#[test]
fn a_caddy_that_lost_its_configuration_gets_it_back() {
    let Some(mut front) = Caddy::started("") else { return };
    let bench = front.bench(&front.plain());
    install(&bench, "web", &["web.test"]);
    front.serves("web.test", "/about", "1.0.0");
    let full = front.config();
    let healed = |what: &str, front: &Caddy| {
        let since = Instant::now();
        until(what, || front.config(), |config| *config == full);
        assert!(since.elapsed() < Duration::from_secs(5), "{what}: {:?}", since.elapsed());
    };
    // Started anew at once, and after a while in which nobody answers.
    front.kill();
    front.start();
    healed("after a restart", &front);
    front.kill();
    is(&bench, "unreachable");
    let away =
        |caddy: &Value| caddy["cause"].as_str().is_some_and(|cause| cause.contains("connect to http://127.0.0.1:"));
    until("it is told why", || caddy(&bench), away);
    let (status, ready) = get(bench.url().trim_start_matches("http://"), "/readyz").expect("an answer");
    assert!(status == 200 && ready.contains("degraded: does not answer"), "{status} {ready}");
    let doctor = bench.run(&["doctor"]);
    assert!(doctor.out.contains("start Caddy, or correct `caddy.admin`"), "{}", doctor.out);
    front.start();
    healed("after an outage", &front);
    is(&bench, "ok");
    // `caddy reload` with the file of the administrator.
    let reloaded = front.call("GET", "/config/admin", "");
    front.call("POST", "/load", &json!({ "admin": reloaded }).to_string());
    healed("after a reload", &front);
    front.serves("web.test", "/about", "1.0.0");
    let metrics = get(bench.url().trim_start_matches("http://"), "/metrics").expect("an answer").1;
    assert!(metrics.contains("skipper_caddy_up 1\n") && metrics.contains("skipper_caddy_hosts{state=\"routed\"} 1\n"));
    let events = bench.run(&["events", "--json"]).ok();
    for kind in ["caddy.changed", "caddy.lost", "caddy.restored"] {
        assert!(events.contains(kind), "{kind}: {events}");
    }
}

#[test]
fn a_caddy_that_is_down_keeps_nobody_from_starting_and_deploying() {
    let Some(mut front) = Caddy::new("") else { return };
    let bench = front.bench(&front.plain());
    is(&bench, "unreachable");
    install(&bench, "web", &["web.test"]);
    assert!(http(front.edge, "GET", "/about", "web.test", "").expect("the edge serves").1.contains("1.0.0"));
    front.start();
    front.serves("web.test", "/about", "1.0.0");
    assert_eq!(is(&bench, "ok")["hosts"], 1);
}

#[test]
fn what_caddy_refuses_is_told_and_tried_again() {
    let Some(front) = Caddy::started("") else { return };
    let taken = TcpListener::bind(("127.0.0.1", front.site)).expect("the port is free");
    let bench = front.bench(&front.plain());
    install(&bench, "web", &["web.test"]);
    let refused = is(&bench, "refuses");
    assert!(refused["cause"].as_str().is_some_and(|cause| cause.contains("address already in use")), "{refused}");
    drop(taken);
    front.serves("web.test", "/about", "1.0.0");
    is(&bench, "ok");
}

#[test]
fn a_socket_is_an_admin_api_as_well() {
    let Some(mut front) = Caddy::new("") else { return };
    let socket = front.dir.path().join("admin.sock");
    let config = json!({"admin": {"listen": format!("unix/{}", socket.display())}});
    fs::write(front.dir.path().join("caddy.json"), config.to_string()).expect("written");
    let path = front.dir.path().join("skipper.toml");
    let lines = format!("[caddy]\nadmin = \"unix/{}\"\nupstream = \"127.0.0.1:{}\"\n", socket.display(), front.edge);
    fs::write(&path, format!("{lines}{}", front.plain())).expect("written");
    let bench = Bench::start_with(&["--config", path.to_str().expect("UTF-8")]);
    let log = fs::File::create(front.dir.path().join("log")).expect("made");
    let mut command = Command::new(&front.program);
    command.args(["run", "--config", "caddy.json"]).current_dir(front.dir.path()).env_clear();
    command.env("HOME", front.dir.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    front.child = Some(command.spawn().expect("Caddy starts"));
    install(&bench, "web", &["web.test"]);
    front.serves("web.test", "/about", "1.0.0");
}

#[test]
fn certificates_are_caddys_and_a_challenge_it_cannot_do_does_not_stand_in_the_way() {
    let apps = r#", "apps": {"http": {"http_port": 1, "https_port": SITE}, "pki": {"certificate_authorities": {"local": {"install_trust": false}}}}"#;
    let [http_port] = free();
    let Some(front) = Caddy::started(&apps.replace("\"http_port\": 1", &format!("\"http_port\": {http_port}"))) else {
        return;
    };
    let dns = "wildcards = [\"p.test\"]\nlisten = \"127.0.0.1:SITE\"\n[caddy.dns]\nprovider = \"nowhere\"\noptions = '{\"token\": \"{env.T}\"}'\n";
    let bench = front.bench(&format!("tls = \"internal\"\n{}", dns.replace("SITE", &front.site.to_string())));
    install(&bench, "web", &["web.test", "pr-1.p.test"]);
    let ask = |host: &str, front: &Caddy| {
        let url = format!("https://{host}:{}/echo", front.site);
        let to = format!("{host}:{}:127.0.0.1", front.site);
        run(Command::new("curl").args(["-sk", "--max-time", "5", "--resolve", &to, &url]))
    };
    if run(Command::new("sh").args(["-c", "command -v curl"])).code != 0 {
        println!("skipped: there is no curl");
        return;
    }
    for host in ["web.test", "pr-1.p.test"] {
        let answer =
            until(host, || ask(host, &front), |ended| ended.code == 0 && ended.out.contains("x-forwarded-proto"));
        let headers = serde_json::from_str::<Value>(&answer.out).expect("JSON")["headers"].clone();
        assert_eq!(headers["x-forwarded-proto"], json!(["https"]), "{headers}");
    }
    assert_eq!(front.routes("skipper"), ["skipper-web.test", "skipper-*.p.test", "skipper.nobody"]);
    let status = bench.run(&["status", "web", "--json"]).json();
    assert_eq!(status["apps"][0]["urls"][1], json!(format!("https://pr-1.p.test:{}/", front.site)), "{status}");
    drop(bench);

    // With an authority outside, the wildcard takes a challenge; this Caddy has no module for it.
    let ca = format!("tls = \"auto\"\nca = \"http://127.0.0.1:{http_port}/none\"\n");
    let bench = front.bench(&format!("{ca}{}", dns.replace("SITE", &front.site.to_string())));
    install(&bench, "web", &["web.test", "pr-1.p.test"]);
    let told = until("the wildcard is told", || caddy(&bench), |caddy| caddy["left"][0]["host"] == "*.p.test");
    assert!(told["left"][0]["why"].as_str().is_some_and(|why| why.contains("module dns.providers.nowhere")), "{told}");
    let each = ["skipper-pr-1.p.test", "skipper-web.test", "skipper.nobody"];
    until("each name has its route", || front.routes("skipper"), |routes| *routes == each);
    let policies = front.call("GET", "/config/apps/tls/automation/policies", "");
    assert_eq!(policies[0]["subjects"], json!(["pr-1.p.test", "web.test"]), "{policies}");
}

/// Asks over one connection until it is told to stop; what went wrong.
fn user(port: u16, post: bool, stop: &AtomicBool, asked: &AtomicU64) -> Vec<String> {
    let mut failed = Vec::new();
    let mut connection: Option<BufReader<TcpStream>> = None;
    while !stop.load(Ordering::Relaxed) {
        let mut ask = || -> std::io::Result<String> {
            let stream = match connection.as_mut() {
                Some(stream) => stream,
                None => connection.insert(BufReader::new(TcpStream::connect(("127.0.0.1", port))?)),
            };
            stream.get_ref().set_read_timeout(Some(LONG))?;
            // What reads no body may close the connection behind its answer.
            let (method, path, length) = if post { ("POST", "/echo", 4) } else { ("GET", "/about", 0) };
            let body = "body".get(..length).unwrap_or_default();
            let head = format!("{method} {path} HTTP/1.1\r\nHost: web.test\r\nContent-Length: {length}\r\n\r\n{body}");
            stream.get_mut().write_all(head.as_bytes())?;
            let (mut line, mut status, mut length) = (String::new(), String::new(), 0);
            loop {
                line.clear();
                if stream.read_line(&mut line)? == 0 {
                    return Err(std::io::Error::other("the connection ended"));
                }
                if status.is_empty() {
                    status.clone_from(&line);
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap_or(0);
                }
                if line == "\r\n" {
                    break;
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body)?;
            Ok(format!("{}{}", status.trim(), String::from_utf8_lossy(&body)))
        };
        match ask() {
            Ok(answer) if answer.contains(" 200 ") && (post || answer.contains(".0.0")) => {}
            other => {
                failed.push(format!("{other:?}"));
                connection = None;
            }
        }
        asked.fetch_add(1, Ordering::Relaxed);
    }
    failed
}

#[test]
fn upgrades_behind_caddy_lose_no_request() {
    let Some(front) = Caddy::started("") else { return };
    let bench = front.bench(&front.plain());
    install(&bench, "web", &["web.test"]);
    front.serves("web.test", "/about", "1.0.0");
    let before = front.config();
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let users: Vec<_> = (0..6)
        .map(|n| {
            let (port, stop, asked) = (front.site, Arc::clone(&stop), Arc::clone(&asked));
            std::thread::spawn(move || user(port, n % 2 == 0, &stop, &asked))
        })
        .collect();
    for version in 2..6 {
        let next = site(&bench, "web", &format!("{version}.0.0"), &["web.test"]);
        bench.run(&["upgrade", "web", &next, "--wait"]).ok();
    }
    bench.run(&["rollback", "web", "--wait"]).ok();
    stop.store(true, Ordering::Relaxed);
    let failed: Vec<String> = users.into_iter().flat_map(|user| user.join().expect("no panic")).collect();
    let asked = asked.load(Ordering::Relaxed);
    assert!(failed.is_empty(), "{} of {asked}: {:?}\n{}", failed.len(), failed.first(), front.log());
    assert!(asked > 100, "{asked}");
    assert_eq!(front.config(), before);
}
