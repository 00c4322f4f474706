//! Two agents where one should be, and tokens that are worth nothing any more.

use super::*;

/// What the server finds wrong with a node.
fn trouble(fleet: &Fleet) -> String {
    let node = fleet.ask("GET", "/v1/nodes/host-1", &Value::Null).1;
    node["status"]["trouble"].as_str().unwrap_or_default().to_owned()
}

/// Replaces the node's token; the new one.
fn rotate(fleet: &Fleet) -> String {
    let (status, told) = fleet.ask("POST", "/v1/nodes/host-1/rotate-token", &json!({}));
    assert_eq!(status, 200, "{told}");
    told["token"].as_str().expect("a token").to_owned()
}

#[test]
fn two_agents_with_one_token_do_nothing_twice_and_are_told_of() {
    let Some(fleet) = Fleet::start(None) else { return };
    let token = fleet.register("host-1");
    let agents = ["first", "second"].map(|data| {
        let mut command = fleet.command("host-1", &token);
        Watched::start(command.env("DATA_DIR", fleet.bench.home().join(data)))
    });
    for agent in &agents {
        agent.line_with("the agent starts");
    }
    let tenant = fleet.tenant("a");
    for greeting in ["one", "two", "three", "four"] {
        fleet.put(&tenant, "host-1", greeting);
        let order = fleet.succeeded(&fleet.apply(&tenant));
        fleet.greets(&tenant, greeting);
        assert_eq!(fleet.handed_out(&order), 1, "each run names its own orders, and takes none of the other's");
    }
    until("two are told of", || trouble(&fleet), |told| told.contains("two agents use the token"));
    agents.into_iter().for_each(end);
}

#[test]
fn a_node_that_was_cloned_in_the_middle_of_an_order_leaves_one_project() {
    let Some(fleet) = Fleet::start(None) else { return };
    let token = fleet.register("host-1");
    let mut agent = fleet.agent("host-1", &token);
    let tenant = fleet.tenant("a");
    fleet.put(&tenant, "host-1", "one");
    let order = fleet.apply(&tenant);
    agent.line_with("the order is carried out");
    agent.child.kill().expect("killed");
    agent.ended();
    let clone = fleet.bench.home().join("clone");
    let copied = Command::new("cp").arg("-a").args([&fleet.agent_dir("host-1"), &clone]).status();
    assert!(copied.expect("cp is there").success());
    let agents = [fleet.agent_dir("host-1"), clone]
        .map(|data| Watched::start(fleet.command("host-1", &token).env("DATA_DIR", data)));
    for agent in &agents {
        // Both have it in their journals, and both settle it.
        agent.line_with("the order is done");
    }
    fleet.succeeded(&order);
    fleet.greets(&tenant, "one");
    fleet.put(&tenant, "host-1", "two");
    fleet.succeeded(&fleet.apply(&tenant));
    fleet.greets(&tenant, "two");
    until("two are told of", || trouble(&fleet), |told| told.contains("two agents use the token"));
    agents.into_iter().for_each(end);
}

#[test]
fn a_token_that_is_revoked_in_mid_order_keeps_the_result_until_there_is_another() {
    let Some(fleet) = Fleet::start(None) else { return };
    let token = fleet.register("host-1");
    let agent = fleet.agent("host-1", &token);
    let tenant = fleet.tenant("a");
    fleet.put(&tenant, "host-1", "one");
    let order = fleet.apply(&tenant);
    agent.line_with("the order is carried out");
    let new = rotate(&fleet);
    agent.line_with("the order is done");
    let before = fleet.containers(&tenant);
    agent.line_with("report to the server: the server does not let this node in");
    assert_eq!(fleet.order(&order)["status"], "active", "nobody was believed");
    fs::write(&token, new).expect("written");
    let order = fleet.succeeded(&order);
    assert_eq!((fleet.handed_out(&order), fleet.containers(&tenant)), (1, before), "it was done once");
    end(agent);
}

#[test]
fn an_agent_that_waits_with_a_revoked_token_gets_nothing_more() {
    let Some(fleet) = Fleet::start(None) else { return };
    let token = fleet.register("host-1");
    let mut agent = fleet.agent("host-1", &token);
    let tenant = fleet.tenant("a");
    fleet.put(&tenant, "host-1", "one");
    fleet.succeeded(&fleet.apply(&tenant));
    // Its next question waits at the server.
    let new = rotate(&fleet);
    fleet.put(&tenant, "host-1", "two");
    let order = fleet.apply(&tenant);
    agent.line_with("ask for work: the server does not let this node in");
    assert_eq!(fleet.order(&order)["status"], "pending");
    fleet.greets(&tenant, "one");
    agent.child.kill().expect("killed");
    agent.ended();
    fs::write(&token, new).expect("written");
    let agent = fleet.agent("host-1", &token);
    fleet.succeeded(&order);
    fleet.greets(&tenant, "two");
    end(agent);
}

#[test]
fn a_node_that_is_registered_a_second_time_keeps_its_agent() {
    let Some(fleet) = Fleet::start(None) else { return };
    let token = fleet.register("host-1");
    let agent = fleet.agent("host-1", &token);
    agent.line_with("the agent starts");
    let (status, told) = fleet.ask("POST", "/v1/nodes", &json!({"id": "host-1"}));
    assert_eq!((status, &told["error"]["code"]), (409, &"node-exists".into()), "{told}");
    let mut beside = fleet.bench.command(&["node", "register", "--node-id", "host-1"]);
    let told = crate::bench::run(beside.env("SKIPPER_ADMIN_TOKEN", ADMIN).env("ADMIN_TOKEN", ADMIN)).fails(1);
    assert!(told.contains("registered already") && told.contains("rotate"), "{told}");
    let tenant = fleet.tenant("a");
    fleet.put(&tenant, "host-1", "one");
    fleet.succeeded(&fleet.apply(&tenant));
    end(agent);
}
