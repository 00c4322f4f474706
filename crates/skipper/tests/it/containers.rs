//! Deploys on containers when things go wrong: the server killed at every write, an engine that is restarted or stalls, a
//! registry that is not well, applications that do not live, and many at once.

use std::{
    cell::Cell,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Barrier, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use skipper_platform::container::{EngineKind, answers};
use testkit::registry::{Registry, Way};

use crate::{
    bench::{LONG, signal, until},
    crashes::possible,
    deploys::{KEY, Load, SERVES, WEB, Yard, deliver},
};

/// An engine of our own, that may be ended and stopped as we like.
struct Daemon {
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Daemon {
    fn start() -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !Path::new("/usr/sbin/dockerd").exists() {
            eprintln!("skipped: a Docker of one's own needs root, and dockerd");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("skipper-dockerd-").tempdir().expect("a temporary folder");
        let mut daemon = Self { folder, child: None };
        daemon.begin();
        Some(daemon)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn socket(&self) -> String {
        self.path("docker.sock")
    }

    /// Starts it, and waits until it answers.
    fn begin(&mut self) {
        // Its containerd dies with it; where nobody reaps that one, it would be taken for alive.
        for left in ["pid", "run/containerd/containerd.pid"] {
            let _ = fs::remove_file(self.path(left));
        }
        // Told to have none, it would take the bridge of the machine's own Docker away.
        let _ = ip(&["link", "add", &self.bridge(), "type", "bridge"]);
        let _ = ip(&["addr", "add", &format!("10.199.{}.1/28", self.number()), "dev", &self.bridge()]);
        let mut command = Command::new("/usr/sbin/dockerd");
        command.args(["--data-root", &self.path("data"), "--exec-root", &self.path("run"), "-p", &self.path("pid")]);
        command.args(["-H", &format!("unix://{}", self.socket()), "--bridge", &self.bridge(), "--iptables=false"]);
        let log = fs::File::options().create(true).append(true).open(self.path("log")).expect("a file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("it starts"));
        let ping = || {
            let mut curl = Command::new("curl");
            curl.args(["-sf", "-m", "2", "-o", "/dev/null", "--unix-socket", &self.socket(), "http://engine/_ping"]);
            curl.status().is_ok_and(|status| status.success())
        };
        until("Docker answers", ping, |answers| *answers);
    }

    /// Named after the folder: an interface has at most 15 letters.
    fn bridge(&self) -> String {
        let folder = self.folder.path().display().to_string();
        format!("skipper-{}", folder.rsplit('-').next().unwrap_or_default())
    }

    /// Tells it from others that run beside it.
    fn number(&self) -> u8 {
        self.bridge().bytes().fold(0, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte))
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal(child.id(), rustix::process::Signal::CONT);
            signal(child.id(), rustix::process::Signal::TERM);
            let _ = child.wait();
        }
        // What it mounted is in the way of the folder's removal.
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let folder = self.folder.path().display().to_string();
        for place in mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|place| place.starts_with(&folder))
        {
            let _ = Command::new("umount").args(["-l", place]).status();
        }
        let _ = ip(&["link", "del", &self.bridge()]);
    }
}

fn ip(args: &[&str]) -> std::io::Result<std::process::ExitStatus> {
    Command::new("ip").args(args).stderr(Stdio::null()).status()
}

/// What serves is what the status names, one container of it is there, and nothing else.
#[track_caller]
fn one_serves(yard: &Yard, app: &str, host: &str, when: &str) -> String {
    let status = yard.get("/v1/status")["apps"][yard.name(app)].clone();
    let tag = status["tag"].as_str().unwrap_or_else(|| panic!("{when}: {status}")).to_owned();
    until(
        &format!("{when}: {tag} serves"),
        || crate::deploys::request(&yard.edge, host, "/").ok(),
        |answer| answer.as_ref().is_some_and(|(status, text)| *status == 200 && *text == tag),
    );
    until(&format!("{when}: one container is left"), || yard.containers(app), |all| all.len() == 1);
    tag
}

/// Kills the server at every `step`th write of a deploy that works and of one that does not.
fn killed_at_writes(kind: EngineKind, step: usize) {
    if !possible() {
        return;
    }
    let Some(mut yard) = Yard::start(kind) else { return };
    for tag in ["v1", "v2"] {
        yard.build("web", tag, tag, &[], SERVES);
    }
    yard.build("web", "bad", "", &[], r#"CMD ["/bin/false"]"#);
    yard.app("web", WEB);
    yard.completed(&json!({"app": yard.name("web"), "tag": "v1"}));
    yard.bench.stop_server();
    let load = Load::start(&yard.edge, "web.test");
    let (mut deaths, mut serving) = (0, "v1".to_owned());
    for what in ["good", "bad"] {
        for nth in (1..).step_by(step) {
            assert!(nth < 150, "{what}: it never gets through");
            let next = match (what, serving.as_str()) {
                ("bad", _) => "bad",
                (_, "v1") => "v2",
                _ => "v1",
            };
            let body = json!({"app": yard.name("web"), "tag": next, "force": true, "nth": nth});
            let died = yard.die_at(nth, &body);
            serving = one_serves(&yard, "web", "web.test", &format!("{what}, killed at sync {nth}"));
            assert_ne!(serving, "bad");
            yard.bench.stop_server();
            if !died {
                break;
            }
            deaths += 1;
        }
    }
    yard.bench.start_server();
    println!("{deaths} deaths");
    load.end();
    assert!(deaths * step > 25, "a good and a bad deploy have more writes than {deaths} times {step}");
    yard.bench.run(&["events", "verify", "--token", KEY]).ok();
    yard.delete("web", "");
}

#[test]
fn a_deploy_whose_server_is_killed_at_some_writes_ends_and_drops_no_request() {
    killed_at_writes(EngineKind::Docker, 5);
}

#[test]
fn a_deploy_on_podman_whose_server_is_killed_at_some_writes_ends_and_drops_no_request() {
    killed_at_writes(EngineKind::Podman, 8);
}

#[test]
#[ignore = "three minutes; some of the writes are looked at always"]
fn a_deploy_whose_server_is_killed_at_any_write_ends_and_drops_no_request() {
    killed_at_writes(EngineKind::Docker, 1);
}

#[test]
#[ignore = "five minutes; some of the writes are looked at always"]
fn a_deploy_on_podman_whose_server_is_killed_at_any_write_ends_and_drops_no_request() {
    killed_at_writes(EngineKind::Podman, 1);
}

#[test]
fn a_hundred_deliveries_of_one_webhook_are_one_deploy() {
    let Some(yard) = Yard::start(EngineKind::Docker) else { return };
    yard.build("web", "v1", "v1", &[], SERVES);
    yard.app("web", WEB);
    let body = json!({"app": yard.name("web"), "tag": "v1"});
    let (gate, answers, url) = (Barrier::new(100), Mutex::new(Vec::new()), yard.bench.url());
    thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                gate.wait();
                let (status, answer) = deliver(url, &body).expect("it answers");
                assert_eq!(status, 202, "{answer}");
                answers.lock().expect("no panic").push(answer);
            });
        }
    });
    let answers = answers.into_inner().expect("no panic");
    assert_eq!(answers.len(), 100);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "all are answered as the first was");
    let ended = yard.ended(&answers[0]);
    assert_eq!(ended["status"], "completed", "{ended}");
    assert_eq!(yard.containers("web").len(), 1);
    assert_eq!(yard.get(&format!("/v1/deploys?app={}", yard.name("web")))["deploys"].as_array().map(Vec::len), Some(1));
    yard.delete("web", "");
}

fn deployed_at_once(count: usize) {
    let Some(yard) = Yard::start(EngineKind::Docker) else { return };
    yard.build("many", "v1", "v1", &[], SERVES);
    let (name, image) = (|number: usize| format!("{}-{number}", yard.name("many")), yard.image("many"));
    for number in 0..count {
        let rest = WEB.replace("web.test", &format!("app-{number}.test"));
        let text = format!("[app]\nname = \"{}\"\nimage = \"{image}\"\n{rest}", name(number));
        fs::write(yard.bench.home().join(format!("cfg/apps/{}.toml", name(number))), text).expect("written");
    }
    let (gate, accepted, url) = (Barrier::new(count), Mutex::new(Vec::new()), yard.bench.url());
    thread::scope(|scope| {
        for number in 0..count {
            let (gate, accepted, name) = (&gate, &accepted, name(number));
            scope.spawn(move || {
                gate.wait();
                let (status, answer) = deliver(url, &json!({"app": name, "tag": "v1"})).expect("it answers");
                assert_eq!(status, 202, "{answer}");
                accepted.lock().expect("no panic").push(answer);
            });
        }
    });
    for answer in accepted.into_inner().expect("no panic") {
        let ended = yard.ended_within(&answer, LONG * 5);
        assert_eq!(ended["status"], "completed", "{ended}");
    }
    let containers = yard.containers("many");
    let all: std::collections::BTreeSet<_> = containers.iter().collect();
    assert_eq!((containers.len(), all.len()), (count, count));
    for number in 0..count {
        assert_eq!(yard.at(&format!("app-{number}.test"), "/"), (200, "v1".to_owned()));
    }
    for number in 0..count {
        let (status, told) = yard.ask(
            "DELETE",
            &format!("/v1/releases/{}", name(number)),
            &[("Authorization", &format!("Bearer {KEY}"))],
            "",
        );
        assert_eq!(status, 202, "{told}");
    }
    let end = Instant::now() + LONG * 5;
    while !yard.containers("many").is_empty() {
        assert!(Instant::now() < end, "{:?}", yard.containers("many"));
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn apps_deployed_at_once_have_names_and_places_of_their_own() {
    deployed_at_once(20);
}

#[test]
#[ignore = "a minute; fewer apps are deployed at once always"]
fn a_hundred_apps_deployed_at_once_have_names_and_places_of_their_own() {
    deployed_at_once(100);
}

#[test]
fn an_engine_that_is_killed_or_stalls_in_the_middle_of_a_deploy() {
    let Some(mut daemon) = Daemon::start() else { return };
    assert!(answers(&format!("unix://{}", daemon.socket())));
    let yard = Yard::on(EngineKind::Docker, &daemon.socket());
    let late = r#"CMD ["/bin/sh","-c","sleep 3; exec /bin/busybox httpd -f -p 8080 -h /www"]"#;
    for (tag, command) in [("v1", SERVES), ("v2", late), ("v3", late)] {
        yard.build("web", tag, tag, &[], command);
    }
    let web = WEB.replace("start_period = \"0s\"", "start_period = \"30s\"");
    yard.app("web", &web);
    yard.completed(&json!({"app": yard.name("web"), "tag": "v1"}));

    // Stopped: what runs serves on, and the deploy goes on when it goes on.
    let load = Load::start(&yard.edge, "web.test");
    let accepted = yard.deploy(&json!({"app": yard.name("web"), "tag": "v2"}));
    until("the new one is started", || yard.containers("web").len(), |count| *count == 2);
    signal(daemon.pid(), rustix::process::Signal::STOP);
    thread::sleep(Duration::from_secs(8));
    assert_eq!(yard.get("/v1/status")["apps"][yard.name("web")]["tag"], "v1", "the API answers meanwhile");
    signal(daemon.pid(), rustix::process::Signal::CONT);
    let ended = yard.ended(&accepted);
    assert_eq!(ended["status"], "completed", "{ended}");
    load.end();
    assert_eq!(one_serves(&yard, "web", "web.test", "after the engine stalled"), "v2");

    // Killed: it takes everything down, and brings nothing back by itself.
    let accepted = yard.deploy(&json!({"app": yard.name("web"), "tag": "v3"}));
    until("the new one is started", || yard.containers("web").len(), |count| *count == 2);
    daemon.kill();
    daemon.begin();
    let ended = yard.ended(&accepted);
    assert!(["completed", "failed"].iter().any(|word| ended["status"] == *word), "{ended}");
    let tag = one_serves(&yard, "web", "web.test", "after the engine was killed");
    assert_eq!(tag, if ended["status"] == "completed" { "v3" } else { "v2" });

    // And while it fetches.
    let Some(registry) = Registry::start(false) else { return };
    let root = tempfile::tempdir().expect("a temporary folder");
    yard.fill(root.path(), "v4", "web", &[]);
    registry.push(
        "web",
        "v4",
        root.path(),
        &json!({"Cmd": ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"]}),
    );
    let text = format!("[app]\nname = \"{}\"\nimage = \"{}/web\"\n{web}", yard.name("web"), registry.host());
    fs::write(yard.bench.home().join(format!("cfg/apps/{}.toml", yard.name("web"))), text).expect("written");
    registry.go(Way::Stall);
    let accepted = until(
        "the file is read",
        || {
            yard.try_deploy(&json!({"app": yard.name("web"), "tag": "v4", "image": format!("{}/web", registry.host())}))
                .expect("it answers")
        },
        |answer| answer.0 == 202,
    )
    .1;
    let is_blob = |request: &testkit::registry::Request| request.line.contains("/blobs/");
    until("it fetches", || registry.asked(), |asked| asked.iter().any(is_blob));
    signal(daemon.pid(), rustix::process::Signal::STOP);
    let status = yard.get("/v1/status");
    assert_eq!(
        (status["runtime"].as_str(), status["apps"][yard.name("web")]["tag"].as_str()),
        (Some("error"), Some(&*tag))
    );
    signal(daemon.pid(), rustix::process::Signal::CONT);
    daemon.kill();
    registry.go(Way::Through);
    daemon.begin();
    let ended = yard.ended(&accepted);
    assert_eq!(ended["status"], "completed", "{ended}");
    assert_eq!(one_serves(&yard, "web", "web.test", "after the engine was killed while it fetched"), "v4");
    yard.delete("web", "");
}

#[test]
fn a_registry_that_is_not_well_leaves_what_serves() {
    let (Some(registry), Some(closed)) = (Registry::start(false), Registry::start(true)) else { return };
    let Some(yard) = Yard::start(EngineKind::Docker) else { return };
    let command = json!({"Cmd": ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"]});
    for (to, tag) in [(&registry, "v1"), (&registry, "v2"), (&closed, "v2")] {
        let root = tempfile::tempdir().expect("a temporary folder");
        yard.fill(root.path(), tag, "web", &[]);
        to.push("web", tag, root.path(), &command);
    }
    let write = |of: &Registry, timeout: &str| {
        let rest = WEB.replace("[deploy]\n", &format!("[deploy]\ntimeout = \"{timeout}\"\n"));
        let text = format!("[app]\nname = \"{}\"\nimage = \"{}/web\"\n{rest}", yard.name("web"), of.host());
        fs::write(yard.bench.home().join(format!("cfg/apps/{}.toml", yard.name("web"))), text).expect("written");
    };
    write(&registry, "60s");
    yard.completed(&json!({"app": yard.name("web"), "tag": "v1"}));
    let load = Load::start(&yard.edge, "web.test");
    // The same body again would be the same delivery.
    let count = Cell::new(0);
    let fails = |image: &Registry, tag: &str, told: &[&str]| {
        count.set(count.get() + 1);
        let image = format!("{}/web", image.host());
        let body = json!({"app": yard.name("web"), "tag": tag, "image": image, "force": true, "nth": count.get()});
        let begun = Instant::now();
        let accepted =
            until("the file is read", || yard.try_deploy(&body).expect("it answers"), |answer| answer.0 == 202).1;
        let ended = yard.ended(&accepted);
        assert_eq!(ended["status"], "failed", "{ended}");
        let error = ended["error"].as_str().unwrap_or_default();
        assert!(told.iter().any(|told| error.contains(told)), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(30), "{error}: {:?}", begun.elapsed());
        assert_eq!(one_serves(&yard, "web", "web.test", error), "v1");
    };
    write(&registry, "5s");
    fails(&registry, "none", &["manifest"]);
    for (way, told) in [
        (Way::Down, "connection refused"),
        (Way::Hang, "not done after"),
        (Way::Slow(2000), "not done after"),
        (Way::Stall, "not done after"),
        // The engine tries these again, for longer than there is time.
        (Way::Half, "EOF"),
        (Way::Wrong, "verification failed"),
    ] {
        registry.go(way);
        fails(&registry, "v2", &[told, "not done after"]);
    }
    registry.go(Way::Through);
    write(&closed, "60s");
    fails(&closed, "v2", &["credentials", "unauthorized"]);
    write(&registry, "60s");
    let body =
        json!({"app": yard.name("web"), "tag": "v2", "image": format!("{}/web", registry.host()), "force": true});
    let accepted =
        until("the file is read", || yard.try_deploy(&body).expect("it answers"), |answer| answer.0 == 202).1;
    let ended = yard.ended(&accepted);
    assert_eq!(ended["status"], "completed", "{ended}");
    assert_eq!(one_serves(&yard, "web", "web.test", "at last"), "v2");
    load.end();
    yard.delete("web", "");
}

fn an_application_that_does_not_live_leaves_what_serves(kind: EngineKind) {
    let Some(yard) = Yard::start(kind) else { return };
    yard.build("web", "v1", "v1", &[], SERVES);
    let ways = [
        ("hungry", r#"CMD ["/bin/sh","-c","exec /bin/busybox dd if=/dev/zero of=/dev/null bs=200M"]"#, "memory"),
        ("flaps", r#"CMD ["/bin/false"]"#, "status 1"),
        ("dies", r#"CMD ["/bin/sh","-c","/bin/busybox httpd -p 8080 -h /www; sleep 2; exit 3"]"#, "status 3"),
        ("deaf", r#"CMD ["/bin/sleep","600"]"#, "health"),
    ];
    for (tag, command, _) in ways {
        yard.build("web", tag, tag, &[], command);
    }
    // What dies has the time to: only then is it told from what does not answer.
    let patient = WEB.replace("start_period = \"0s\"", "start_period = \"4s\"");
    yard.app(
        "web",
        &patient.replace("[deploy]\n", "[deploy]\ntimeout = \"6s\"\nbake = \"4s\"\nstop_timeout = \"1s\"\n"),
    );
    yard.completed(&json!({"app": yard.name("web"), "tag": "v1"}));
    for (tag, _, told) in ways {
        let ended = yard.ended(&yard.deploy(&json!({"app": yard.name("web"), "tag": tag})));
        assert_eq!(ended["status"], "failed", "{tag}: {ended}");
        assert!(ended["error"].as_str().is_some_and(|error| error.contains(told)), "{tag}: {ended}");
        assert_eq!(one_serves(&yard, "web", "web.test", tag), "v1");
    }
    yard.delete("web", "");
}

fn images_that_nobody_can_go_back_to_go_by_themselves(kind: EngineKind) {
    let Some(mut yard) = Yard::start(kind) else { return };
    yard.bench.stop_server();
    let path = yard.bench.data().join("skipper.toml");
    let told = fs::read_to_string(&path).expect("it is there");
    let keep = "[containers]\nkeep_revisions = 2\nkeep_for = \"1s\"\ncollect_every = \"500ms\"\n";
    fs::write(&path, format!("{told}{keep}")).expect("written");
    yard.bench.start_server();
    yard.app("web", WEB);
    let names = || -> Vec<String> {
        let all: Vec<Value> = serde_json::from_str(&yard.curl(&[], "/images/json")).expect("JSON");
        let owned = all.iter().flat_map(|one| one["RepoTags"].as_array().cloned().unwrap_or_default());
        owned.filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let id_of = |tag: &str| -> String {
        let told: Value =
            serde_json::from_str(&yard.curl(&[], &format!("/images/{}:{tag}/json", yard.image("web")))).expect("JSON");
        told["Id"].as_str().expect("an id").to_owned()
    };
    let is_here = |id: &str| {
        let told: Value = serde_json::from_str(&yard.curl(&[], &format!("/images/{id}/json"))).expect("JSON");
        told["Id"].is_string()
    };
    let mut ids = Vec::new();
    for number in 1..=5 {
        // Built under one name, as a build on the server itself is: the one before has no name but ours.
        yard.build("web", "latest", &format!("{number}"), &[], SERVES);
        ids.push(id_of("latest"));
        yard.completed(&json!({"app": yard.name("web"), "tag": "latest", "force": true, "number": number}));
        assert_eq!(yard.at("web.test", "/"), (200, number.to_string()));
    }
    until(
        "the first two are gone",
        || ids.iter().map(|id| is_here(id)).collect::<Vec<_>>(),
        |here| *here == [false, false, true, true, true],
    );
    assert!(names().contains(&format!("{}:latest", yard.image("web"))), "{:?}", names());
    // What can be gone back to is here.
    let bearer = format!("Bearer {KEY}");
    let path = format!("/v1/apps/{}/rollback", yard.name("web"));
    let (status, accepted) =
        yard.ask("POST", &path, &[("Authorization", &bearer), ("Content-Type", "application/json")], "{}");
    assert_eq!(status, 202, "{accepted}");
    assert_eq!(yard.ended(&accepted)["status"], "completed");
    assert_eq!(yard.at("web.test", "/"), (200, "4".to_owned()));
    assert!(yard.bench.run(&["events", "--json", "--token", KEY]).ok().contains("garbage.removed"));
    yard.delete("web", "");
    until(
        "only what has a name of its own stays",
        || ids.iter().map(|id| is_here(id)).collect::<Vec<_>>(),
        |here| *here == [false, false, false, false, true],
    );
}

crate::deploys::on_each_engine!(an_application_that_does_not_live_leaves_what_serves images_that_nobody_can_go_back_to_go_by_themselves);
