//! The real server, killed at every write that it makes durable.
//!
//! `strace` sends SIGKILL the moment the n-th sync to disk returns, for n = 1, 2, 3, … until the verb gets through. Every
//! record of a step, before its effect and after it, is one such write, so this is every place where a crash can find it.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use serde_json::Value;

use crate::bench::{Bench, get, package, processes, until};

/// More syncs than any verb here takes; reaching it means that the enumeration does not end.
const MOST: u32 = 120;

/// Whether a server can be killed like this here; says so where it cannot.
pub(crate) fn possible() -> bool {
    let tried = Command::new("strace").args(["-f", "-qq", "-e", "trace=none", "true"]).output();
    let works = tried.is_ok_and(|tried| tried.status.success());
    if !works {
        println!("skipped: killing the server at every write needs strace, and the right to trace");
    }
    works
}

/// What became of a verb whose server was to be killed.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Killed,
    Through,
}

/// Starts the server so that it dies at its `nth` sync. Whether it got as far as listening.
pub(crate) fn start_to_die(bench: &mut Bench, nth: u32) -> bool {
    let inject = format!("inject=fsync,fdatasync:signal=SIGKILL:when={nth}");
    bench.start_server_under(&[
        "strace",
        "-f",
        // A filter in the kernel would be quicker, and would outlive strace in the keepers that the server has started.
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=fsync,fdatasync",
        "-e",
        &inject,
    ])
}

/// Starts the server so that it dies at its `nth` sync, asks for something, and starts it again.
fn ask_and_die(bench: &mut Bench, nth: u32, ask: &[&str]) -> Came {
    let listens = start_to_die(bench, nth);
    if listens {
        // Whether it is answered depends on where the server dies.
        let _ = bench.run(ask);
    }
    let came = until(
        "the server dies or gets through",
        || match (bench.is_traced_server_alive(), listens) {
            (false, _) => Some(Came::Killed),
            (true, true) => is_idle(bench).then_some(Came::Through),
            (true, false) => None,
        },
        Option::is_some,
    );
    bench.end_traced_server();
    bench.start_server();
    until("no rollout is open", || is_idle(bench), |idle| *idle);
    came.expect("just seen")
}

fn status(bench: &Bench) -> Option<Value> {
    let ended = bench.run(&["status", "web", "--json"]);
    (ended.code == 0).then(|| serde_json::from_str(&ended.out).expect("JSON"))
}

/// The server answers and nothing is under way.
fn is_idle(bench: &Bench) -> bool {
    let ended = bench.run(&["list", "--json"]);
    ended.code == 0 && !ended.out.contains("\"finished\": false")
}

/// The version of the package whose revision serves.
#[track_caller]
fn version(bench: &Bench) -> String {
    let status = status(bench).expect("the release");
    status["package"].as_str().and_then(|package| package.strip_prefix("shop-")).expect("its package").to_owned()
}

fn applications(bench: &Bench) -> usize {
    let all = processes(&bench.data().join("local"));
    all.iter().filter(|(_, line)| line.contains("\0sample")).count()
}

/// One version serves, the one that the status names, and nothing else is left running.
#[track_caller]
fn serves(bench: &Bench, address: &str, nth: u32) {
    let told = version(bench);
    let answer = get(address, "/about").expect("it answers").1;
    assert!(answer.contains(&told), "killed at sync {nth}: {told} should serve, and {answer} does");
    until("one instance is left", || applications(bench), |count| *count == 1);
}

fn path(package: &Path) -> &str {
    package.to_str().expect("UTF-8")
}

#[test]
fn an_upgrade_whose_server_is_killed_at_any_write_ends_and_drops_no_request() {
    if !possible() {
        return;
    }
    let mut bench = Bench::start();
    let quick = [("SAMPLE_READY_AFTER", "0")];
    let versions = ["1.0.0", "2.0.0"].map(|version| package(bench.home(), "shop", version, &quick, ""));
    let bad = package(bench.home(), "shop", "3.0.0", &[("SAMPLE_READY_AFTER", "never")], "");
    bench.run(&["install", "web", path(&versions[0]), "--wait"]).ok();
    let address = bench.address_of("web");
    bench.stop_server();
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let user = {
        let (address, stop, asked) = (address.clone(), Arc::clone(&stop), Arc::clone(&asked));
        std::thread::spawn(move || {
            let mut failed = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                match get(&address, "/about") {
                    Ok((200, _)) => {}
                    other => failed.push(format!("{other:?}")),
                }
                asked.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            failed
        })
    };
    let mut deaths = 0;
    for ask in ["good", "bad"] {
        for nth in 1.. {
            assert!(nth < MOST, "{ask}: it never gets through");
            let serving = status_when_back(&mut bench);
            let next = if serving == "1.0.0" { &versions[1] } else { &versions[0] };
            let args = match ask {
                "good" => vec!["upgrade", "web", path(next), "--no-wait"],
                _ => vec!["upgrade", "web", path(&bad), "--set", "startPeriod=50ms", "--no-wait"],
            };
            let came = ask_and_die(&mut bench, nth, &args);
            serves(&bench, &address, nth);
            bench.stop_server();
            if came == Came::Through {
                break;
            }
            deaths += 1;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let failed = user.join().expect("no panic");
    println!("{deaths} deaths, {} requests", asked.load(Ordering::Relaxed));
    assert!(failed.is_empty(), "{} of {}: {:?}", failed.len(), asked.load(Ordering::Relaxed), failed.first());
    assert!(deaths > 30, "a good and a bad upgrade have more writes than {deaths}");
    bench.start_server();
    bench.run(&["events", "verify"]).ok();
}

/// The version that serves, asked of a server that is started for that alone.
fn status_when_back(bench: &mut Bench) -> String {
    bench.start_server();
    let version = version(bench);
    bench.stop_server();
    version
}

#[test]
fn an_install_and_a_delete_whose_server_is_killed_at_any_write_leave_all_or_nothing() {
    if !possible() {
        return;
    }
    let mut bench = Bench::start();
    let package = package(bench.home(), "shop", "1.0.0", &[("SAMPLE_READY_AFTER", "0")], "");
    bench.run(&["package", "upload", path(&package)]).ok();
    bench.stop_server();
    for nth in 1.. {
        assert!(nth < MOST, "it never gets through");
        let installed = ask_and_die(&mut bench, nth, &["install", "web", "shop@1.0.0", "--no-wait"]);
        let before = status(&bench);
        if before.as_ref().is_none_or(|status| status["state"] != "live") {
            // Not accepted, or undone: nothing of it is left, and the name is free.
            until("nothing runs", || applications(&bench), |count| *count == 0);
            bench.run(&["install", "web", "shop@1.0.0", "--wait"]).ok();
        }
        let address = bench.address_of("web");
        serves(&bench, &address, nth);
        bench.stop_server();
        let deleted = ask_and_die(&mut bench, nth, &["delete", "web", "--yes", "--no-wait"]);
        if status(&bench).is_some_and(|status| status["state"] == "live") {
            serves(&bench, &address, nth);
            bench.run(&["delete", "web", "--yes", "--wait"]).ok();
        }
        until("nothing runs", || applications(&bench), |count| *count == 0);
        assert!(get(&address, "/about").is_err(), "nobody listens any more");
        bench.stop_server();
        if installed == Came::Through && deleted == Came::Through {
            break;
        }
    }
    bench.start_server();
    bench.run(&["events", "verify"]).ok();
}
