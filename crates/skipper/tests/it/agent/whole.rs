//! From an apply to containers and back.

use super::*;
use crate::bench::{LONG, signal};

#[test]
fn an_apply_reaches_the_engine_at_once_and_is_told_of() {
    let Some(fleet) = Fleet::start(None) else { return };
    let token = fleet.register("host-1");
    let check = fleet.check("host-1", &token);
    assert_eq!(check.code, 0, "{}", check.out);
    let mut agent = fleet.agent("host-1", &token);
    agent.line_with("the agent starts");
    let tenant = fleet.tenant("a");
    fleet.put(&tenant, "host-1", "one");
    let order = fleet.succeeded(&fleet.apply(&tenant));
    assert_eq!(order["result"]["services"]["web"]["state"], "running", "{order}");
    assert!(order["result"]["logs_tail"].as_str().is_some_and(|text| !text.is_empty()), "{order}");
    fleet.greets(&tenant, "one");
    fleet.put(&tenant, "host-1", "two");
    fleet.succeeded(&fleet.apply(&tenant));
    fleet.greets(&tenant, "two");
    // The agent's own files hold nothing that is only the tenant's business any more.
    assert!(fs::read_dir(fleet.agent_dir("host-1").join("agent/orders")).expect("a folder").next().is_none());
    signal(agent.child.id(), rustix::process::Signal::TERM);
    assert_eq!(agent.ended(), 0);
}

#[test]
fn an_agent_that_came_before_its_node_was_registered_waits_for_it() {
    let Some(fleet) = Fleet::start(None) else { return };
    let token = fleet.bench.home().join("host-1.token");
    fs::write(&token, "skn_not-yet").expect("written");
    let mut agent = fleet.agent("host-1", &token);
    agent.line_with("does not let this node in");
    fleet.register("host-1");
    agent.line_with("works again");
    let tenant = fleet.tenant("a");
    fleet.put(&tenant, "host-1", "one");
    fleet.succeeded(&fleet.apply(&tenant));
    signal(agent.child.id(), rustix::process::Signal::TERM);
    assert_eq!(agent.ended(), 0);
}

#[test]
fn two_agents_with_one_token_do_nothing_twice() {
    let Some(fleet) = Fleet::start(None) else { return };
    let token = fleet.register("host-1");
    let agents = ["first", "second"].map(|data| {
        let mut command = skipper(fleet.bench.home());
        fleet.settings(&mut command, "host-1", &token, fleet.bench.url());
        command.env("DATA_DIR", fleet.bench.home().join(data));
        Watched::start(command.arg("agent"))
    });
    for agent in &agents {
        agent.line_with("the agent starts");
    }
    let tenant = fleet.tenant("a");
    for greeting in ["one", "two", "three", "four"] {
        fleet.put(&tenant, "host-1", greeting);
        fleet.succeeded(&fleet.apply(&tenant));
        fleet.greets(&tenant, greeting);
    }
    for mut agent in agents {
        signal(agent.child.id(), rustix::process::Signal::TERM);
        assert_eq!(agent.ended(), 0);
    }
}

#[test]
fn a_server_that_is_started_anew_gets_the_result_of_what_was_done_meanwhile() {
    let Some(mut fleet) = Fleet::start(None) else { return };
    let token = fleet.register("host-1");
    let mut agent = fleet.agent("host-1", &token);
    agent.line_with("the agent starts");
    let tenant = fleet.tenant("a");
    fleet.put(&tenant, "host-1", "one");
    let order = fleet.apply(&tenant);
    agent.line_with("the order is carried out");
    fleet.bench.kill_server();
    agent.line_with("the order is done");
    fleet.bench.start_server();
    let since = std::time::Instant::now();
    fleet.succeeded(&order);
    assert!(since.elapsed() < LONG / 2, "it is told without waiting for a lease to run out");
    fleet.greets(&tenant, "one");
    signal(agent.child.id(), rustix::process::Signal::TERM);
    assert_eq!(agent.ended(), 0);
}
