//! Killed at every write that it makes durable.

use super::*;
use crate::bench::{LONG, processes};

/// More syncs than an order takes; reaching it means that the enumeration does not end.
const MOST: u32 = 60;

/// Whether processes can be traced; a printed line where not.
fn can_trace() -> bool {
    let tried = Command::new("strace").args(["-f", "-qq", "-e", "trace=none", "true"]).output();
    let can = tried.is_ok_and(|tried| tried.status.success());
    if !can {
        println!("skipped: killing a process at a write needs strace, and the right to trace");
    }
    can
}

/// How many syncs lie between two at which the server is killed: it makes many, and the order of them is not the same each time.
const STRIDE: usize = 7;

#[test]
fn wherever_the_server_is_killed_an_apply_ends_as_it_was_meant() {
    if !can_trace() {
        return;
    }
    let Some(mut fleet) = Fleet::start(None) else { return };
    let token = fleet.register("host-1");
    let mut agent = fleet.agent("host-1", &token);
    let tenant = fleet.tenant("a");
    fleet.put(&tenant, "host-1", "one");
    fleet.succeeded(&fleet.apply(&tenant));
    for nth in (1..).step_by(STRIDE) {
        assert!(nth < 40 * STRIDE, "no end of syncs");
        fleet.bench.stop_server();
        let inject = format!("inject=fsync,fdatasync:signal=SIGKILL:when={nth}");
        let trace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", &inject];
        let listens = fleet.bench.start_server_under(&trace);
        let greeting = format!("g{nth}");
        let body = fleet.document(&tenant, "host-1", &greeting);
        let (path, apply) = (format!("/v1/resources/tenant/{tenant}"), format!("/v1/deployments/{tenant}/apply"));
        let mut order = Value::Null;
        if listens {
            // Each may be its last one.
            fleet.ask("PUT", &path, &body);
            order = fleet.ask("POST", &apply, &Value::Null).1["id"].clone();
        }
        let through = until(
            "the server dies or gets through",
            || {
                let lives = fleet.bench.is_traced_server_alive();
                let done = order.as_str().is_some_and(|id| fleet.order(id)["status"] == "succeeded");
                (!lives || done).then_some(lives && done)
            },
            Option::is_some,
        );
        fleet.bench.end_traced_server();
        fleet.bench.start_server();
        fleet.put(&tenant, "host-1", &greeting);
        let (status, told) = fleet.ask("POST", &apply, &Value::Null);
        assert!(status == 200 || status == 202, "killed at sync {nth}: {status} {told}");
        // The second apply may find that the first one has done it, and its order is not wanted any more then.
        let ended = fleet.ended(told["id"].as_str().expect("an order"));
        assert!(ended["status"] == "succeeded" || ended["status"] == "superseded", "killed at sync {nth}: {ended}");
        until("nothing is on its way", || fleet.state(&tenant), |state| state == "deployed");
        fleet.greets(&tenant, &greeting);
        if through == Some(true) {
            assert!(nth > STRIDE, "the server makes its steps durable");
            break;
        }
    }
    crate::bench::signal(agent.child.id(), rustix::process::Signal::TERM);
    assert_eq!(agent.ended(), 0);
}

#[test]
fn wherever_the_agent_is_killed_the_order_is_done_once_and_told() {
    if !can_trace() {
        return;
    }
    let Some(fleet) = Fleet::start(None) else { return };
    let token = fleet.register("host-1");
    let tenant = fleet.tenant("a");
    for nth in 1..MOST {
        let inject = format!("inject=fsync,fdatasync:signal=SIGKILL:when={nth}");
        let mut command = Command::new("strace");
        command
            .env_clear()
            .env("HOME", fleet.bench.home())
            .env("PATH", "/usr/bin:/bin")
            .current_dir(fleet.bench.home());
        fleet.settings(&mut command, "host-1", &token, fleet.bench.url());
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", &inject]);
        let mut traced = Watched::start(command.arg(env!("CARGO_BIN_EXE_skipper")).arg("agent"));
        let greeting = format!("g{nth}");
        fleet.put(&tenant, "host-1", &greeting);
        let order = fleet.apply(&tenant);
        let through = until(
            "the agent dies or gets through",
            || {
                let status = fleet.order(&order)["status"].clone();
                let lives = traced.child.try_wait().expect("a child").is_none();
                (!lives || status == "succeeded" || status == "failed").then_some((lives, status))
            },
            Option::is_some,
        );
        // Compose is traced as well, and may be what was killed.
        let (lives, status) = through.expect("it is there");
        let through = lives && status == "succeeded";
        let head = format!("{}\0agent", env!("CARGO_BIN_EXE_skipper"));
        for (pid, _) in
            processes(&fleet.bench.home().join("host-1-data")).iter().filter(|(_, line)| line.starts_with(&head))
        {
            crate::bench::signal(*pid, rustix::process::Signal::KILL);
        }
        traced.ended();
        if status == "failed" {
            continue;
        }
        let mut agent = fleet.agent("host-1", &token);
        // Where the order was not on the disk yet, its lease has to run out first.
        let end = std::time::Instant::now() + LONG * 2;
        while fleet.order(&order)["status"] != "succeeded" {
            assert!(std::time::Instant::now() < end, "killed at sync {nth}: {}", fleet.order(&order));
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        fleet.greets(&tenant, &greeting);
        crate::bench::signal(agent.child.id(), rustix::process::Signal::TERM);
        assert_eq!(agent.ended(), 0, "killed at sync {nth}");
        if through {
            assert!(nth > 5, "the agent makes its steps durable");
            return;
        }
    }
    panic!("no end of syncs");
}
