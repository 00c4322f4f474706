//! The original Java client, 2.11.5 from Maven Central, doing everything that it can do.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    bench::{Bench, get},
    java,
};

/// What the steps of the flow brought, by name.
struct Steps(HashMap<String, Value>);

impl Steps {
    #[track_caller]
    fn line(&self, step: &str) -> &Value {
        self.0.get(step).unwrap_or_else(|| panic!("no step {step}"))
    }

    /// What a step brought that must have worked.
    #[track_caller]
    fn ok(&self, step: &str) -> &Value {
        let line = self.line(step);
        line.get("result").unwrap_or_else(|| panic!("{line}"))
    }

    /// The class that a step threw, without its package, and its message.
    #[track_caller]
    fn thrown(&self, step: &str) -> (&str, &str) {
        let line = self.line(step);
        let class = line["exception"].as_str().unwrap_or_else(|| panic!("{line}"));
        (class.rsplit('.').next().unwrap_or(class), line["message"].as_str().unwrap_or_default())
    }
}

/// Users of the release, from its install until it is deleted.
struct Users {
    stop: Arc<AtomicBool>,
    all: Vec<JoinHandle<(u64, Vec<String>)>>,
}

impl Users {
    fn of(address: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let all = (0..3)
            .map(|_| {
                let (address, stop) = (address.to_owned(), Arc::clone(&stop));
                std::thread::spawn(move || {
                    let (mut asked, mut failed) = (0, Vec::new());
                    while !stop.load(Ordering::Relaxed) {
                        match get(&address, "/greeting") {
                            Ok((200, body)) if body == "hi" || body == "ho" => {}
                            other => failed.push(format!("{other:?}")),
                        }
                        asked += 1;
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    (asked, failed)
                })
            })
            .collect();
        Self { stop, all }
    }

    #[track_caller]
    fn none_failed(self) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut asked, mut failed) = (0, Vec::new());
        for user in self.all {
            let (more, bad) = user.join().expect("no panic");
            asked += more;
            failed.extend(bad);
        }
        assert!(failed.is_empty(), "{} of {asked} failed: {:?}", failed.len(), failed.first());
        assert!(asked > 100, "{asked}");
    }
}

/// Runs the flow, with users on the release from the step `installed` to the one before it is deleted.
fn flow(bench: &Bench, classes: &str, port: u16) -> Steps {
    let mut child = Command::new("java")
        .args(["-XX:TieredStopAtLevel=1", "-cp", classes, "Flow", &format!("{}/api", bench.url())])
        .arg(bench.home())
        .arg(port.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("java starts");
    let mut go_on = child.stdin.take().expect("piped");
    let (mut steps, mut users) = (HashMap::new(), None);
    for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
        let line: Value = serde_json::from_str(&line.expect("text")).expect("a line of JSON");
        let step = line["step"].as_str().expect("a step").to_owned();
        match step.as_str() {
            "installed" => users = Some(Users::of(&format!("127.0.0.1:{port}"))),
            "package-delete-in-use" => {
                users.take().expect("there were users").none_failed();
                // The release goes only now: a request that meets its end would rightly find nobody.
                writeln!(go_on).expect("it waits for this");
            }
            _ => {}
        }
        steps.insert(step, line);
    }
    assert!(child.wait().expect("it ends").success(), "the flow got as far as {:?}", steps.len());
    Steps(steps)
}

#[test]
#[expect(clippy::too_many_lines, reason = "one flow, told from its beginning to its end")]
fn the_original_java_client_does_its_whole_flow() {
    let (Some(jars), Some(classes)) = (java::standin(), java::client()) else { return };
    let bench = Bench::start();
    for version in ["1.0.0", "1.0.1", "1.0.2"] {
        fs::write(bench.home().join(format!("tiny-{version}.zip")), java::tiny("tiny", version, jars))
            .expect("written");
    }
    let port = bench.port(5);
    let steps = flow(&bench, classes, port);

    // What is there at first.
    assert!(steps.ok("about")["version"].is_string());
    let platforms = steps.ok("platforms").as_array().expect("a list");
    assert!(platforms.iter().any(|it| it["name"] == "default" && it["type"] == "local"), "{platforms:?}");
    let repositories = steps.ok("repositories").as_array().expect("a list");
    assert!(repositories.iter().any(|it| it["name"] == "local" && it["local"] == true), "{repositories:?}");
    assert_eq!(steps.ok("search-empty"), &json!([]));
    assert_eq!(steps.ok("list-empty"), &json!([]));

    // Packages.
    assert_eq!(
        steps.ok("upload"),
        &json!({
            "apiVersion": "skipper.spring.io/v1", "kind": "SkipperPackageMetadata", "name": "tiny", "version": "1.0.0",
            "repository": "local", "tags": "tiny, http", "description": "The tiny http app.",
            "maintainer": "https://example.org/me", "source": "https://example.org/tiny/source",
            "home": "https://example.org/tiny",
        })
    );
    assert_eq!(
        steps.thrown("upload-twice"),
        (
            "SkipperException",
            "Failed to upload the package. Package [tiny:1.0.0] in Repository [local] already exists."
        )
    );
    assert_eq!(
        steps.thrown("upload-bad-version"),
        ("SkipperException", "UploadRequest doesn't have a valid semantic version.  Version = abc")
    );
    assert_eq!(steps.thrown("upload-bad-name").0, "SkipperException");
    assert_eq!(
        steps.thrown("upload-nowhere"),
        ("SkipperException", "Could not find local repository to upload to named nope")
    );
    let three = json!(["tiny 1.0.0 local", "tiny 1.0.1 local", "tiny 1.0.2 local"]);
    assert_eq!(steps.ok("search"), &three);
    assert_eq!(steps.ok("search-details")[0], *steps.ok("upload"));
    let all = steps.ok("search-all").as_array().expect("a list");
    assert!(three.as_array().expect("a list").iter().all(|it| all.contains(it)), "{all:?}");
    assert_eq!(steps.ok("search-nothing"), &json!([]));

    // Install, and what can be seen of it.
    assert_eq!(
        steps.thrown("install-unknown-package"),
        ("SkipperException", "Can not find package 'nope', version '1.0.0'")
    );
    assert_eq!(
        steps.thrown("install-unknown-version"),
        ("SkipperException", "Can not find package 'tiny', version '9.9.9'")
    );
    assert_eq!(steps.thrown("install-unknown-platform"), ("SkipperException", "No deployer named 'nowhere'"));
    let install = steps.ok("install");
    assert_eq!(
        (&install["version"], &install["status"], &install["description"], &install["package"], &install["platform"]),
        (&json!(1), &json!("DEPLOYED"), &json!("Install complete"), &json!("tiny 1.0.0"), &json!("default"))
    );
    assert_eq!(install["deployed"], true);
    assert_eq!(steps.thrown("install-twice").0, "SkipperException");
    let app = &steps.ok("installed")["apps"][0];
    assert_eq!((&app["id"], &app["state"]), (&json!("r1.tiny-v1"), &json!("deployed")));
    let instance = &app["instances"][0];
    assert_eq!(instance["id"], "r1.tiny-v1-0");
    let attributes = &instance["attributes"];
    assert_eq!(
        (
            &attributes["skipper.application.name"],
            &attributes["skipper.release.name"],
            &attributes["skipper.release.version"]
        ),
        (&json!("tiny"), &json!("r1"), &json!("1"))
    );
    for key in ["guid", "port", "stderr", "stdout", "url", "working.dir"] {
        assert!(attributes[key].is_string(), "{key}: {attributes}");
    }
    assert_eq!(steps.ok("status-of-version")["status"], "DEPLOYED");
    for (step, text) in [("status-unknown", "nope"), ("status-unknown-version", "r1"), ("manifest-unknown", "nope")] {
        let (class, message) = steps.thrown(step);
        assert!(class == "ReleaseNotFoundException" && message.contains(text), "{step}: {class}: {message}");
    }
    assert_eq!(steps.ok("statuses").as_object().map(|all| all.keys().map(String::as_str).collect()), Some(vec!["r1"]));
    assert_eq!(steps.ok("states"), &json!({"r1": {"r1.tiny-v1": "deployed"}}));
    let manifest = steps.ok("manifest")["text"].as_str().expect("text");
    assert!(manifest.contains("\"tiny.greeting\": \"hi\""), "{manifest}");
    assert_eq!(steps.ok("manifest-of-version")["text"], manifest);
    assert_eq!(install["manifest"], manifest);
    for step in ["logs", "logs-of-deployment"] {
        let log = steps.ok(step)["r1.tiny-v1"].as_str().expect("its log");
        assert!(log.contains("tiny 1.0.0 listening"), "{log}");
    }
    assert_eq!(steps.thrown("logs-unknown").0, "ReleaseNotFoundException");
    let one = json!([{
        "name": "r1", "version": 1, "status": "DEPLOYED", "description": "Install complete", "package": "tiny 1.0.0"
    }]);
    for step in ["list", "list-by-name", "history"] {
        assert_eq!(steps.ok(step), &one, "{step}");
    }
    assert_eq!(steps.ok("list-nothing"), &json!([]));
    assert_eq!(steps.ok("actuator")["text"], r#"{"app":"tiny","path":"/actuator/info"}"#);
    assert!(steps.line("actuator-unknown").get("exception").is_some());
    let posted = steps.ok("actuator-post").to_string();
    assert!(posted.contains("/actuator/bindings/input"), "{posted}");

    // Upgrade: under way, busy, done, without a difference, failing.
    let upgrade = steps.ok("upgrade");
    assert_eq!(
        (&upgrade["version"], &upgrade["status"], &upgrade["description"]),
        (&json!(2), &json!("UNKNOWN"), &json!("Upgrade install underway"))
    );
    for (step, event) in [("upgrade-busy", "UPGRADE"), ("delete-busy", "DELETE")] {
        let wanted = format!("Statemachine is not in state ready to do {event}");
        assert_eq!(steps.thrown(step), ("SkipperException", wanted.as_str()));
    }
    let told = |step: &str| {
        let info = steps.ok(step);
        (info["status"].as_str().unwrap_or_default(), info["description"].as_str().unwrap_or_default())
    };
    assert_eq!(told("upgraded"), ("DEPLOYED", "Upgrade complete"));
    assert_eq!(told("superseded"), ("DELETED", "Delete complete"));
    let versions = |step: &str| {
        let rows = steps.ok(step).as_array().expect("a list").clone();
        rows.iter()
            .map(|row| format!("{} {}", row["version"], row["status"].as_str().unwrap_or_default()))
            .collect::<Vec<_>>()
    };
    assert_eq!(versions("history-after-upgrade"), ["2 DEPLOYED", "1 DELETED"]);
    assert_eq!(
        steps.thrown("upgrade-no-difference"),
        (
            "ReleaseUpgradeException",
            "Package to upgrade has no difference than existing deployed/deleted package. Not upgrading."
        )
    );
    assert_eq!(steps.thrown("upgrade-unknown").0, "ReleaseNotFoundException");
    assert_eq!(steps.thrown("upgrade-unknown-package").0, "SkipperException");
    assert_eq!(steps.ok("upgrade-failing")["version"], 3);
    assert_eq!(told("upgrade-failed").0, "FAILED");
    assert_eq!(told("still-serving"), ("DEPLOYED", "Upgrade complete"));

    // Rollback, scale, cancel.
    assert_eq!(steps.ok("rollback")["version"], 4);
    assert_eq!(told("rolled-back"), ("DEPLOYED", "Rollback complete"));
    assert_eq!(steps.ok("rollback-previous")["version"], 5);
    assert_eq!(told("rolled-back-again"), ("DEPLOYED", "Rollback complete"));
    assert_eq!(steps.ok("rollback-previous")["package"], "tiny 1.0.1");
    assert_eq!(steps.thrown("rollback-unknown-version").0, "ReleaseNotFoundException");
    assert_eq!(steps.ok("scale")["version"], 5, "scaling makes no version");
    assert_eq!(steps.ok("scaled")["apps"][0]["instances"].as_array().map(Vec::len), Some(2));
    assert_eq!(steps.thrown("scale-unknown").0, "ReleaseNotFoundException");
    assert_eq!((steps.ok("cancel-nothing"), steps.ok("cancel-unknown")), (&json!(false), &json!(false)));
    assert_eq!(steps.ok("upgrade-slow")["version"], 6);
    assert_eq!(steps.ok("cancel"), &json!(true));
    let (status, description) = told("cancelled");
    assert!(status == "FAILED" && description.starts_with("Cancelled after "), "{status} {description}");
    assert_eq!(versions("list-after-cancel"), ["3 FAILED", "5 DEPLOYED", "6 FAILED"]);

    // Delete, and back again.
    assert_eq!(
        steps.thrown("package-delete-in-use"),
        (
            "PackageDeleteException",
            "Can not delete Package Metadata [tiny:1.0.1] in Repository [local]. Not all releases of this package have the \
             status DELETED. Active Releases [r1]"
        )
    );
    steps.ok("delete");
    assert_eq!(versions("deleted"), ["6 FAILED", "5 DELETED", "4 DELETED", "3 FAILED", "2 DELETED", "1 DELETED"]);
    assert_eq!(steps.thrown("delete-unknown").0, "ReleaseNotFoundException");
    assert_eq!(steps.ok("rollback-of-deleted")["version"], 7);
    assert_eq!(told("back-again").0, "DEPLOYED");
    steps.ok("delete-again");
    assert_eq!(told("status-of-deleted"), ("DELETED", "Delete complete"));
    assert_eq!(steps.ok("install-r2")["package"], "tiny 1.0.2", "the latest where no version is named");
    assert_eq!(told("installed-r2").0, "DEPLOYED");
    steps.ok("delete-with-package");
    assert_eq!(steps.ok("search-after-package-delete"), &json!([]));
    steps.ok("upload-again");
    steps.ok("package-delete");
    assert_eq!(steps.thrown("package-delete-unknown"), ("SkipperException", "Can not find a package named 'nope'"));
    assert!(!steps.ok("search-at-the-end").to_string().contains("tiny"));
    assert_eq!(crate::bench::processes(&bench.data().join("local")).len(), 0, "nothing is left running");
}
