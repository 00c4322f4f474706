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

#[test]
#[ignore = "it takes some minutes: an order that got lost in a kill waits for the run that had it to be silent"]
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
