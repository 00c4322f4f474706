//! From an apply to containers and back.

use super::*;
use crate::bench::LONG;

#[test]
fn an_apply_reaches_the_engine_at_once_and_is_told_of() {
    let Some(fleet) = Fleet::start(None) else { return };
    let token = fleet.register("host-1");
    let check = fleet.check("host-1", &token);
    assert_eq!(check.code, 0, "{}", check.out);
    let agent = fleet.agent("host-1", &token);
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
    end(agent);
}

#[test]
fn an_agent_that_came_before_its_node_was_registered_waits_for_it() {
    let Some(fleet) = Fleet::start(None) else { return };
    let token = fleet.bench.home().join("host-1.token");
    fs::write(&token, "skn_not-yet").expect("written");
    let agent = fleet.agent("host-1", &token);
    agent.line_with("does not let this node in");
    fleet.register("host-1");
    agent.line_with("works again");
    let tenant = fleet.tenant("a");
    fleet.put(&tenant, "host-1", "one");
    fleet.succeeded(&fleet.apply(&tenant));
    end(agent);
}

#[test]
fn a_server_that_is_started_anew_gets_the_result_of_what_was_done_meanwhile() {
    let Some(mut fleet) = Fleet::start(None) else { return };
    let token = fleet.register("host-1");
    let agent = fleet.agent("host-1", &token);
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
    end(agent);
}

#[test]
fn a_host_that_was_set_up_anew_gets_its_projects_again() {
    let Some(fleet) = Fleet::start(None) else { return };
    let token = fleet.register("host-1");
    let mut agent = fleet.agent("host-1", &token);
    let tenant = fleet.tenant("a");
    fleet.put(&tenant, "host-1", "one");
    fleet.succeeded(&fleet.apply(&tenant));
    // A rollout that still looks would find that nothing came of it.
    until("the rollout ends", || fleet.state(&tenant), |state| state == "deployed");
    agent.child.kill().expect("killed");
    agent.ended();
    // Another disk: nothing of what was there is left.
    for (id, _) in fleet.containers(&tenant) {
        fleet.curl(&["-X", "DELETE"], &format!("/containers/{id}?force=true&v=true"));
    }
    fs::remove_dir_all(fleet.agent_dir("host-1")).expect("removed");
    fs::remove_dir_all(fleet.bench.home().join("host-1-tenants")).expect("removed");
    let agent = fleet.agent("host-1", &token);
    let until = std::time::Instant::now() + LONG * 2;
    while fleet.containers(&tenant).is_empty() {
        assert!(std::time::Instant::now() < until, "it is not brought back");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    fleet.greets(&tenant, "one");
    end(agent);
}
