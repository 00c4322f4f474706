//! Clocks, disks, files and results as nobody wants them.

use std::io::Write as _;

use super::*;

/// A small disk of its own.
struct Disk(PathBuf);

impl Disk {
    /// `None`, with a printed line, where none can be mounted.
    fn new(at: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&at).expect("made");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&at).output();
        if !mounted.is_ok_and(|mounted| mounted.status.success()) {
            println!("skipped: a small disk of its own needs the right to mount one");
            return None;
        }
        Some(Self(at))
    }

    /// Takes so much of it, or all that there is.
    fn fill(&self, most: usize) {
        let mut file = fs::File::create(self.0.join("filler")).expect("made");
        let zeros = [0; 4096];
        for _ in 0..most / zeros.len() {
            if file.write_all(&zeros).is_err() {
                return;
            }
        }
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).expect("removed");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_disk_without_room_keeps_orders_away_and_says_so() {
    let Some(fleet) = Fleet::start(None) else { return };
    let Some(disk) = Disk::new(fleet.agent_dir("host-1"), "48m") else { return };
    disk.fill(40 << 20);
    let token = fleet.register("host-1");
    let agent = fleet.agent("host-1", &token);
    agent.line_with("no order is taken until there is room");
    let shown = || fleet.ask("GET", "/v1/nodes/host-1", &Value::Null).1["status"]["trouble"].clone();
    until("it is told of", shown, |told| told.as_str().is_some_and(|told| told.contains("MiB left")));
    let tenant = fleet.tenant("a");
    fleet.put(&tenant, "host-1", "one");
    let order = fleet.apply(&tenant);
    assert_eq!(fleet.order(&order)["status"], "pending");
    disk.free();
    agent.line_with("there is room again");
    fleet.succeeded(&order);
    fleet.greets(&tenant, "one");
    until("it is over", shown, Value::is_null);
    end(agent);
}

#[test]
fn a_disk_that_is_full_in_mid_order_loses_no_result() {
    let Some(fleet) = Fleet::start(None) else { return };
    let Some(disk) = Disk::new(fleet.agent_dir("host-1"), "48m") else { return };
    let token = fleet.register("host-1");
    let mut agent = fleet.agent("host-1", &token);
    let tenant = fleet.tenant("a");
    fleet.put(&tenant, "host-1", "one");
    let order = fleet.apply(&tenant);
    agent.line_with("the order is carried out");
    disk.fill(usize::MAX);
    agent.line_with("the result cannot be kept on the disk yet");
    let done = fleet.succeeded(&order);
    assert_eq!(done["result"]["services"]["web"]["state"], "running", "{done}");
    let before = fleet.containers(&tenant);
    // What the journal could not be told is lost with the process: the order is settled again then, which changes nothing.
    agent.child.kill().expect("killed");
    agent.ended();
    disk.free();
    let agent = fleet.agent("host-1", &token);
    agent.line_with("the agent starts");
    fleet.put(&tenant, "host-1", "one");
    until("nothing is on its way", || fleet.state(&tenant), |state| state != "deploying");
    assert_eq!(fleet.containers(&tenant), before);
    fleet.put(&tenant, "host-1", "two");
    fleet.succeeded(&fleet.apply(&tenant));
    fleet.greets(&tenant, "two");
    end(agent);
}

#[test]
fn where_a_project_does_not_fit_on_the_disk_what_runs_goes_on_until_there_is_room() {
    let Some(fleet) = Fleet::start(None) else { return };
    let Some(disk) = Disk::new(fleet.bench.home().join("host-1-tenants"), "256k") else { return };
    let token = fleet.register("host-1");
    let agent = fleet.agent("host-1", &token);
    let tenant = fleet.tenant("a");
    fleet.put(&tenant, "host-1", "one");
    fleet.succeeded(&fleet.apply(&tenant));
    let before = fleet.containers(&tenant);
    disk.fill(usize::MAX);
    let long = "two".repeat(2000);
    fleet.put(&tenant, "host-1", &long);
    let order = fleet.apply(&tenant);
    let line = agent.line_with("it is tried again: ");
    assert!(line.contains("space"), "{line}");
    assert_eq!((fleet.order(&order)["status"].clone(), fleet.containers(&tenant)), ("active".into(), before));
    disk.free();
    fleet.succeeded(&order);
    fleet.greets(&tenant, &long);
    end(agent);
}

/// Shifts what time it is, for programs that ask the C library.
const SHIFT: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *ts) {
  int told = syscall(SYS_clock_gettime, id, ts);
  if (id == CLOCK_REALTIME && told == 0) ts->tv_sec += atol(getenv("SHIFT_SECONDS"));
  return told;
}
"#;

#[test]
fn clocks_that_are_an_hour_apart_do_not_matter() {
    let Some(fleet) = Fleet::start(None) else { return };
    let (code, library) = (fleet.bench.home().join("shift.c"), fleet.bench.home().join("shift.so"));
    fs::write(&code, SHIFT).expect("written");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &code]).output();
    if !built.is_ok_and(|built| built.status.success()) {
        println!("skipped: another clock for one process needs a compiler for C");
        return;
    }
    let token = fleet.register("host-1");
    let tenant = fleet.tenant("a");
    for (shift, greeting) in [("3600", "ahead"), ("-3600", "behind")] {
        let mut command = fleet.command("host-1", &token);
        let agent = Watched::start(command.env("LD_PRELOAD", &library).env("SHIFT_SECONDS", shift));
        fleet.put(&tenant, "host-1", greeting);
        let order = fleet.succeeded(&fleet.apply(&tenant));
        fleet.greets(&tenant, greeting);
        let at = |time: &Value| time.as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok()).expect("a time");
        let apart = at(&order["result"]["started_at"]).duration_since(at(&order["created_at"])).as_secs();
        assert!((3000..4200).contains(&apart.abs()), "the test shifts the clock: {order}");
        end(agent);
    }
}

#[test]
fn a_result_of_ten_megabytes_is_refused_and_the_order_is_still_to_be_had() {
    let Some(fleet) = Fleet::start(None) else { return };
    let token = fs::read_to_string(fleet.register("host-1")).expect("there");
    let tenant = fleet.tenant("a");
    fleet.put(&tenant, "host-1", "one");
    let id = fleet.apply(&tenant);
    let header = format!("authorization: Bearer {token}");
    let asks = |path: &str, body: Option<&Path>| {
        let mut command = Command::new("curl");
        command.args([
            "-sg",
            "-m",
            "60",
            "-w",
            "\n%{http_code}",
            "-H",
            &header,
            "-H",
            "content-type: application/json",
        ]);
        if let Some(body) = body {
            command.arg("--data-binary").arg(format!("@{}", body.display()));
        }
        let told = command.arg(format!("{}{path}", fleet.bench.url())).output().expect("curl is there");
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').expect("a status");
        (status.to_owned(), serde_json::from_str::<Value>(body).unwrap_or(Value::Null))
    };
    let (status, order) = asks("/v1/nodes/host-1/work-orders/next?wait=30", None);
    assert_eq!((status.as_str(), &order["id"]), ("200", &json!(id)));
    let file = fleet.bench.home().join("report.json");
    let report = |length: usize| {
        let tail = format!("{}the end", "x".repeat(length));
        let result = json!({"status": "failed", "summary": "no", "logs_tail": tail});
        let body = json!({"generation": order["generation"], "status": "failed", "result": result});
        fs::write(&file, body.to_string()).expect("written");
        asks(&format!("/v1/work-orders/{id}/result"), Some(&file))
    };
    let (status, told) = report(10 << 20);
    assert_eq!((status.as_str(), &told["error"]["code"]), ("413", &"body-too-large".into()), "{told}");
    assert_eq!(fleet.order(&id)["status"], "active");
    assert_eq!(report(500 << 10).0, "200");
    let kept = fleet.order(&id)["result"]["logs_tail"].as_str().expect("a text").to_owned();
    assert!(kept.len() <= 64 << 10 && kept.ends_with("the end"), "the end of {} bytes is kept", kept.len());
}
