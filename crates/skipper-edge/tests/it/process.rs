//! The edge as a process: started by its supervisor, killed, started again.

use std::{ffi::OsString, path::Path, time::Duration};

use skipper_core::port::Router as _;
use skipper_edge::{EdgeConfig, EdgeProcess, EdgeRouter, EdgeSupervisor, Ensured, SharedListen};
use tokio::time::{Instant, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::support::{Client, Upstream, config, eventually, get, to};

/// Not a test: what this binary does when it is started as an edge. The harness calls it in every run; without the
/// variable it returns at once.
#[test]
fn an_edge_in_a_process_of_its_own() {
    let Some(folder) = std::env::var_os("SKIPPER_EDGE_TEST_FOLDER") else { return };
    let mut settings: EdgeConfig = config(Path::new(&folder));
    settings.detach = true;
    settings.lame_duck = Duration::from_secs(5);
    // A fixed port, so that it is the same after a restart.
    settings.origin = std::env::var("SKIPPER_EDGE_TEST_ORIGIN").ok();
    if let Some(address) = std::env::var("SKIPPER_EDGE_TEST_HTTP").ok().and_then(|text| text.parse().ok()) {
        settings.http = SharedListen::at(address);
    }
    skipper_edge::run(settings).expect("the edge ends well");
}

fn supervised(folder: &Path, http: &str) -> EdgeSupervisor {
    supervised_for(folder, http, "this")
}

fn supervised_for(folder: &Path, http: &str, origin: &str) -> EdgeSupervisor {
    EdgeSupervisor::new(EdgeProcess {
        exe: "/usr/bin/env".into(),
        args: arguments(folder, http, origin),
        control: folder.join("control.sock"),
        log: folder.join("edge.log"),
        origin: Some(origin.to_owned()),
    })
}

/// Of `env`, which carries the variables: a supervisor starts a process with arguments only.
fn arguments(folder: &Path, http: &str, origin: &str) -> Vec<OsString> {
    let exe = std::env::current_exe().expect("this binary");
    let set = |name: &str, value: &str| OsString::from(format!("{name}={value}"));
    vec![
        set("SKIPPER_EDGE_TEST_FOLDER", &folder.to_string_lossy()),
        set("SKIPPER_EDGE_TEST_HTTP", http),
        set("SKIPPER_EDGE_TEST_ORIGIN", origin),
        exe.into_os_string(),
        "--exact".into(),
        "process::an_edge_in_a_process_of_its_own".into(),
        "--nocapture".into(),
    ]
}

fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address").to_string()
}

/// Ends the edge that runs at the end, also that of a test that failed.
struct Reaper(std::path::PathBuf);

impl Drop for Reaper {
    fn drop(&mut self) {
        let path = self.0.clone();
        let stop = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            let _ = runtime.block_on(EdgeRouter::new(path).shut_down(Duration::ZERO));
        };
        let _ = std::thread::spawn(stop).join();
    }
}

fn kill(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, signal).expect("it runs");
}

#[tokio::test]
async fn a_killed_edge_is_back_within_a_second_with_its_table() {
    let folder = tempfile::tempdir().expect("folder");
    let supervisor = std::sync::Arc::new(supervised(folder.path(), &free_address()));
    let router = EdgeRouter::new(folder.path().join("control.sock"));
    let _reaper = Reaper(folder.path().join("control.sock"));
    let Ensured::Started(first) = supervisor.ensure().await.expect("started") else {
        panic!("nobody else started one")
    };
    assert!(matches!(supervisor.ensure().await.expect("adopted"), Ensured::Adopted(info) if info.pid == first.pid));
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    {
        let (supervisor, stop) = (supervisor.clone(), stop.clone());
        tasks.spawn(async move { supervisor.watch(stop).await });
    }
    let one = Upstream::start("one").await;
    router.sync(&[to(1, &one)]).await.expect("synced");
    let at = router.info().await.expect("info").listeners[0].address;
    let mut pid = first.pid;
    for _ in 0..3 {
        kill(pid, rustix::process::Signal::KILL);
        let killed = Instant::now();
        eventually("another edge serves", async || match tokio::net::TcpStream::connect(at).await {
            Ok(stream) => {
                let mut client = Client { stream, left: Vec::new() };
                client.get("h", "/").await.is_some_and(|answer| answer.text() == "one")
            }
            Err(_) => false,
        })
        .await;
        assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
        let info = router.info().await.expect("info");
        assert_ne!(info.pid, pid);
        assert!(info.needs_sync && router.needs_sync().await);
        router.sync(&[to(1, &one)]).await.expect("synced");
        assert!(!router.needs_sync().await);
        pid = info.pid;
    }
    // An upgrade: another process takes over, and the old one ends.
    let upgraded = supervisor.replace().await.expect("replaced");
    assert_ne!(upgraded.pid, pid);
    assert_eq!(get(at, "h", "/").await.text(), "one");
    pid = upgraded.pid;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    // It outlives its supervisor, and ends when it is told.
    drop(supervisor);
    assert_eq!(get(at, "h", "/").await.text(), "one");
    kill(pid, rustix::process::Signal::TERM);
    eventually("it has ended", async || !folder.path().join("control.sock").exists()).await;
}

#[tokio::test]
async fn an_edge_that_was_started_with_other_settings_is_replaced_once_and_listens_where_it_should() {
    let folder = tempfile::tempdir().expect("folder");
    let (before, after) = (free_address(), free_address());
    let _reaper = Reaper(folder.path().join("control.sock"));
    let router = EdgeRouter::new(folder.path().join("control.sock"));
    let Ensured::Started(first) = supervised_for(folder.path(), &before, "a").ensure().await.expect("started") else {
        panic!("nobody else started one")
    };
    let one = Upstream::start("one").await;
    router.sync(&[to(1, &one)]).await.expect("synced");
    let same = supervised_for(folder.path(), &before, "a").ensure().await.expect("adopted");
    assert!(matches!(same, Ensured::Adopted(info) if info.pid == first.pid), "nothing has changed");

    let supervisor = supervised_for(folder.path(), &after, "b");
    let Ensured::Replaced(second) = supervisor.ensure().await.expect("replaced") else { panic!("not replaced") };
    assert_ne!(second.pid, first.pid);
    let at: std::net::SocketAddr = after.parse().expect("an address");
    assert_eq!(get(at, "h", "/").await.text(), "one", "with its table, where it is to listen now");
    eventually("nobody listens where it was", async || tokio::net::TcpStream::connect(&*before).await.is_err()).await;

    // Another server on the same edge takes it once; then this one leaves it.
    supervised_for(folder.path(), &before, "a").ensure().await.expect("replaced");
    let third = supervisor.ensure().await.expect("adopted");
    assert!(matches!(&third, Ensured::Adopted(info) if info.pid != second.pid), "{third:?}");
}

#[tokio::test]
async fn a_newcomer_that_is_told_to_end_before_it_serves_leaves_the_edge_that_serves_alone() {
    let (folder, http) = (tempfile::tempdir().expect("folder"), free_address());
    let _reaper = Reaper(folder.path().join("control.sock"));
    let Ensured::Started(first) = supervised(folder.path(), &http).ensure().await.expect("started") else {
        panic!("nobody else started one")
    };
    // As if a third one was just taking over, which the newcomer waits for.
    let lock = std::fs::File::open(folder.path().join("control.lock")).expect("the lock");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("it is free");
    let mut newcomer = std::process::Command::new("/usr/bin/env")
        .args(arguments(folder.path(), &http, "other"))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let handles_term = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", newcomer.id())).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or_default();
        u64::from_str_radix(caught.trim(), 16).unwrap_or_default() & 1 << 14 != 0
    };
    eventually("it listens to signals", async || handles_term()).await;
    kill(newcomer.id(), rustix::process::Signal::TERM);
    let ended = tokio::task::spawn_blocking(move || newcomer.wait());
    let ended = timeout(Duration::from_secs(10), ended).await.expect("at once").expect("joined").expect("waited");
    assert!(!ended.success(), "it did not do what it was started for");
    drop(lock);
    let info = EdgeRouter::new(folder.path().join("control.sock")).info().await.expect("it answers");
    assert_eq!(info.pid, first.pid);
}

#[tokio::test]
async fn an_edge_that_cannot_start_says_why() {
    let folder = tempfile::tempdir().expect("folder");
    let supervisor = EdgeSupervisor::new(EdgeProcess {
        exe: "/bin/sh".into(),
        args: vec!["-c".into(), "echo no luck today; exit 3".into()],
        control: folder.path().join("control.sock"),
        log: folder.path().join("log").join("edge.log"),
        origin: None,
    });
    let error = timeout(Duration::from_secs(20), supervisor.ensure()).await.expect("in time").expect_err("it ended");
    assert_eq!(error.code(), "edge-start");
    assert!(error.to_string().contains("exit status: 3") && error.to_string().contains("no luck today"), "{error}");
}

#[tokio::test]
async fn an_edge_gets_nothing_of_the_environment_of_its_supervisor() {
    let folder = tempfile::tempdir().expect("folder");
    let log = folder.path().join("edge.log");
    let supervisor = EdgeSupervisor::new(EdgeProcess {
        exe: "/usr/bin/env".into(),
        args: Vec::new(),
        control: folder.path().join("control.sock"),
        log: log.clone(),
        origin: None,
    });
    timeout(Duration::from_secs(20), supervisor.ensure()).await.expect("in time").expect_err("it only prints");
    assert!(std::env::vars_os().next().is_some(), "there is something to keep from it");
    assert_eq!(std::fs::read_to_string(log).expect("its output"), "");
}
