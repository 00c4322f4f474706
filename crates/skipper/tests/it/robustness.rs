use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::bench::{Bench, Watched, get, package, processes, signal, until};

#[test]
fn a_server_that_is_killed_in_the_middle_of_an_upgrade_completes_it_when_it_is_back() {
    let mut bench = Bench::start();
    let first = package(bench.home(), "shop", "1.0.0", &[], "");
    let slow = package(bench.home(), "shop", "2.0.0", &[("SAMPLE_READY_AFTER", "1500")], "");
    bench.run(&["install", "web", first.to_str().expect("UTF-8"), "--wait"]).ok();
    let address = bench.address_of("web");
    // The command that waits sees the whole of it, restart included.
    let mut waiting = Watched::start(&mut bench.command(&["upgrade", "web", slow.to_str().expect("UTF-8"), "--wait"]));
    waiting.line_with("await healthy");
    bench.kill_server();
    assert!(get(&address, "/about").expect("the edge serves on").1.contains("1.0.0"));
    bench.start_server();
    assert_eq!(waiting.ended(), 0);
    assert!(get(&address, "/about").expect("answers").1.contains("2.0.0"));
    let status = bench.run(&["status", "web", "--json"]).json();
    assert_eq!((&status["revision"], &status["state"]), (&2.into(), &"live".into()));
    bench.run(&["events", "verify"]).ok();
}

#[test]
fn stopping_the_server_stops_no_application_and_drops_no_request() {
    let mut bench = Bench::start();
    let address = bench.install("hello", &["--set", "greeting=still here"]);
    let handle =
        |bench: &Bench| bench.run(&["status", "hello", "--json"]).json()["apps"][0]["instances"][0]["handle"].clone();
    let before = handle(&bench);
    bench.stop_server();
    assert_eq!(get(&address, "/greeting").expect("answers").1, "still here");
    bench.run(&["status", "hello"]).fails(1);
    bench.start_server();
    let after = until("the process is seen", || handle(&bench), |handle| !handle.is_null());
    assert_eq!(before, after, "the process is adopted");
}

#[test]
fn an_edge_that_is_killed_is_back_and_serves_what_it_served() {
    let bench = Bench::start();
    let address = bench.install("hello", &["--set", "greeting=hi"]);
    let before = bench.edge_pid();
    signal(before, Signal::KILL);
    let begun = Instant::now();
    until("the edge answers", || get(&address, "/greeting").ok(), |got| got.as_ref().is_some_and(|got| got.0 == 200));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_ne!(bench.edge_pid(), before);
}

#[test]
fn an_application_that_is_killed_is_started_again() {
    let bench = Bench::start();
    let address = bench.install("hello", &[]);
    let handle = bench.run(&["status", "hello", "--json"]).json()["apps"][0]["instances"][0]["handle"].clone();
    let pid: u32 = handle.as_str().and_then(|h| h.split(' ').nth(1)).and_then(|p| p.parse().ok()).expect("a pid");
    signal(pid, Signal::KILL);
    until(
        "it is started again",
        || bench.run(&["status", "hello", "--json"]).json()["apps"][0]["instances"][0].clone(),
        |i| i["state"] == "running" && i["restarts"].as_u64() > Some(0),
    );
    until("it answers", || get(&address, "/greeting").ok(), |got| got.as_ref().is_some_and(|got| got.0 == 200));
}

#[test]
fn an_upgrade_under_load_drops_no_request() {
    let bench = Bench::start();
    let address = bench.install("hello", &["--set", "greeting=one"]);
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let users: Vec<_> = (0..4)
        .map(|_| {
            let (address, stop, asked) = (address.clone(), Arc::clone(&stop), Arc::clone(&asked));
            std::thread::spawn(move || {
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
    bench.run(&["upgrade", "hello", "--set", "greeting=two", "--wait"]).ok();
    bench.run(&["rollback", "hello", "--wait"]).ok();
    stop.store(true, Ordering::Relaxed);
    let failed: Vec<String> = users.into_iter().flat_map(|user| user.join().expect("no panic")).collect();
    assert!(failed.is_empty(), "{} of {}: {:?}", failed.len(), asked.load(Ordering::Relaxed), failed.first());
    assert!(asked.load(Ordering::Relaxed) > 20);
}

#[test]
fn a_second_server_on_the_same_folder_is_refused() {
    let bench = Bench::start();
    let mut command = crate::bench::skipper(bench.home());
    let err = crate::bench::run(command.args(["server", "--listen", "127.0.0.1:0", "--data-dir", "data"])).fails(1);
    assert!(err.contains("in use by another server (process"), "{err}");
}

#[test]
fn an_empty_database_stops_nothing_that_another_one_remembers() {
    let mut bench = Bench::start();
    let address = bench.install("hello", &["--set", "greeting=still here"]);
    bench.run(&["backup", "saved.db"]).ok();
    bench.stop_server();
    for file in ["skipper.db", "skipper.db-wal", "skipper.db-shm"] {
        let _ = std::fs::remove_file(bench.data().join(file));
    }
    let start = |bench: &Bench| {
        let mut command = crate::bench::skipper(bench.home());
        crate::bench::run(command.args(["server", "--listen", "127.0.0.1:0", "--data-dir", "data"]))
    };
    let refused = start(&bench).fails(1);
    assert!(refused.contains("another database") && refused.contains("1 deployments"), "{refused}");
    assert_eq!(get(&address, "/greeting").expect("the old one serves").1, "still here");
    bench.run(&["restore", "saved.db", "--data-dir", "data", "--force", "--yes"]).ok();
    bench.start_server();
    assert_eq!(bench.run(&["status", "hello", "--json"]).json()["state"], "live");
    assert_eq!(get(&address, "/greeting").expect("it goes on").1, "still here");
}

#[test]
fn a_backup_brings_back_what_was_and_the_edge_accepts_the_restored_server() {
    let mut bench = Bench::start();
    let address = bench.install("hello", &["--set", "greeting=one"]);
    bench.run(&["backup", "saved.db"]).ok();
    bench.run(&["backup", "saved.db"]).fails(1);
    bench.run(&["upgrade", "hello", "--set", "greeting=two", "--wait"]).ok();
    let err = bench.run(&["restore", "saved.db", "--data-dir", "data", "--force", "--yes"]).fails(1);
    assert!(err.contains("a server runs on"), "{err}");
    bench.stop_server();
    let err = bench.run(&["restore", "saved.db", "--data-dir", "data"]).fails(1);
    assert!(err.contains("--force") || err.contains("is there already") || err.contains("exists"), "{err}");
    bench.run(&["restore", "saved.db", "--data-dir", "data", "--force", "--yes"]).ok();
    bench.start_server();
    assert_eq!(bench.run(&["status", "hello", "--json"]).json()["revision"], 1);
    until(
        "revision 1 serves again",
        || get(&address, "/greeting").ok(),
        |got| got.as_ref().is_some_and(|(_, body)| body == "one"),
    );
    bench.run(&["events", "verify"]).ok();
}

#[test]
fn after_a_restore_a_revision_number_that_was_given_before_runs_what_it_says_now() {
    let mut bench = Bench::start();
    let address = bench.install("hello", &["--set", "greeting=one"]);
    bench.run(&["backup", "saved.db"]).ok();
    bench.run(&["upgrade", "hello", "--set", "greeting=lost", "--wait"]).ok();
    bench.stop_server();
    bench.run(&["restore", "saved.db", "--data-dir", "data", "--force", "--yes"]).ok();
    bench.start_server();
    bench.run(&["upgrade", "hello", "--set", "greeting=two", "--wait"]).ok();
    assert_eq!(get(&address, "/greeting").expect("answers").1, "two");
}

#[test]
fn a_deleted_release_leaves_no_process_behind() {
    let bench = Bench::start();
    bench.install("hello", &["--set", "replicas=2"]);
    let of_release = || {
        let all = processes(&bench.data().join("local"));
        all.into_iter().map(|(pid, line)| format!("{pid} {}", line.replace('\0', " "))).collect::<Vec<_>>()
    };
    assert!(of_release().len() >= 2, "{:?}", of_release());
    bench.run(&["delete", "hello", "--wait"]).ok();
    until("every process is gone", of_release, Vec::is_empty);
}

#[test]
fn ctrl_c_stops_waiting_and_not_the_rollout() {
    let bench = Bench::start();
    let slow = package(bench.home(), "shop", "1.0.0", &[("SAMPLE_READY_AFTER", "1500")], "");
    let mut waiting = Watched::start(&mut bench.command(&["install", "web", slow.to_str().expect("UTF-8"), "--wait"]));
    waiting.line_with("await healthy");
    signal(waiting.child.id(), Signal::INT);
    waiting.line_with("skipper cancel web");
    assert_eq!(waiting.ended(), 130);
    until("the install ends", || bench.run(&["status", "web", "--json"]).json()["state"].clone(), |s| s == "live");
}
