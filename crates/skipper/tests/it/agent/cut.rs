//! In a network namespace of its own, cut off and let in again.

use super::*;
use crate::bench::LONG;

/// A network of two: the server's side and the agent's.
struct Wire {
    name: String,
    server: String,
}

fn ip(args: &[&str]) -> bool {
    Command::new("ip").args(args).output().is_ok_and(|told| told.status.success())
}

impl Wire {
    /// `None`, with a printed line, where namespaces cannot be had.
    fn new() -> Option<Self> {
        let number = std::process::id() % 200;
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let nth = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (name, net) = (format!("agbb{number}x{nth}"), format!("10.{}.{nth}", 40 + number));
        let wire = Self { server: format!("{net}.1"), name };
        let (near, far) = (format!("{}n", wire.name), format!("{}f", wire.name));
        let made = ip(&["netns", "add", &wire.name])
            && ip(&["link", "add", &near, "type", "veth", "peer", "name", &far, "netns", &wire.name])
            && ip(&["addr", "add", &format!("{net}.1/24"), "dev", &near])
            && ip(&["link", "set", &near, "up"])
            && ip(&["-n", &wire.name, "addr", "add", &format!("{net}.2/24"), "dev", &far])
            && ip(&["-n", &wire.name, "link", "set", &far, "up"])
            && ip(&["-n", &wire.name, "link", "set", "lo", "up"]);
        if !made {
            println!("skipped: a network namespace of its own needs root");
            return None;
        }
        Some(wire)
    }

    /// Packets vanish from now on, both ways, and nobody is told. (A link that is down would be noticed.)
    fn cut(&self) {
        let nowhere = ["lladdr", "02:00:00:00:00:01", "nud", "permanent", "dev"];
        for (prefix, other, device) in self.ends() {
            assert!(ip(&[&prefix[..], &["neigh", "replace", &other], &nowhere, &[&device]].concat()));
        }
    }

    fn heal(&self) {
        for (prefix, other, device) in self.ends() {
            assert!(ip(&[&prefix[..], &["neigh", "del", &other, "dev", &device]].concat()));
        }
    }

    /// How `ip` is told of each end, the address of the other one, and the device.
    fn ends(&self) -> [(Vec<&str>, String, String); 2] {
        let client = format!("{}.2", self.server.trim_end_matches(".1"));
        [
            (vec!["-n", &self.name], self.server.clone(), format!("{}f", self.name)),
            (Vec::new(), client, format!("{}n", self.name)),
        ]
    }

    /// The agent is on a machine that vanishes without a word, as one whose cable is drawn.
    fn vanish(&self) {
        assert!(ip(&["-n", &self.name, "link", "set", &format!("{}f", self.name), "down"]));
    }

    fn come_back(&self) {
        assert!(ip(&["-n", &self.name, "link", "set", &format!("{}f", self.name), "up"]));
    }

    fn agent(&self, fleet: &Fleet, token: &Path) -> Watched {
        let mut command = Command::new("ip");
        command
            .env_clear()
            .env("HOME", fleet.bench.home())
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir(fleet.bench.home());
        fleet.settings(&mut command, "host-1", token, fleet.bench.url());
        Watched::start(command.args(["netns", "exec", &self.name, env!("CARGO_BIN_EXE_skipper"), "agent"]))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        ip(&["link", "del", &format!("{}n", self.name)]);
        ip(&["netns", "del", &self.name]);
    }
}

fn yard() -> Option<(Wire, Fleet, PathBuf)> {
    engine()?;
    let wire = Wire::new()?;
    let fleet = Fleet::start(Some(&format!("{}:0", wire.server)))?;
    let token = fleet.register("host-1");
    Some((wire, fleet, token))
}

/// As long as it takes for a lease to run out.
fn until_order(fleet: &Fleet, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let end = std::time::Instant::now() + LONG * 2;
    loop {
        let order = fleet.order(id);
        if is_so(&order) {
            return order;
        }
        assert!(std::time::Instant::now() < end, "{order}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

#[test]
fn cut_off_before_it_takes_an_order_the_agent_takes_it_when_it_is_back() {
    let Some((wire, fleet, token)) = yard() else { return };
    let agent = wire.agent(&fleet, &token);
    agent.line_with("the agent starts");
    let tenant = fleet.tenant("a");
    fleet.put(&tenant, "host-1", "one");
    fleet.succeeded(&fleet.apply(&tenant));
    wire.cut();
    fleet.put(&tenant, "host-1", "two");
    let order = fleet.apply(&tenant);
    // The question that waits there was answered into the void, and the agent has noticed that its connection is dead.
    agent.line_with("ask for work: the connection to the server broke");
    wire.heal();
    until_order(&fleet, &order, |order| order["status"] == "succeeded");
    fleet.greets(&tenant, "two");
    end(agent);
}

#[test]
fn cut_off_while_it_works_the_agent_finishes_and_tells_when_it_is_back() {
    let Some((wire, fleet, token)) = yard() else { return };
    let agent = wire.agent(&fleet, &token);
    agent.line_with("the agent starts");
    let tenant = fleet.tenant("a");
    fleet.put(&tenant, "host-1", "one");
    let order = fleet.apply(&tenant);
    agent.line_with("the order is carried out");
    wire.cut();
    agent.line_with("the order is done");
    let before = fleet.containers(&tenant);
    assert_eq!(before.len(), 1);
    agent.line_with("report to the server: ");
    assert_eq!(fleet.order(&order)["status"], "active");
    wire.heal();
    fleet.succeeded(&order);
    assert_eq!(fleet.containers(&tenant), before, "it was done once");
    end(agent);
}

#[test]
fn cut_off_for_longer_than_its_lease_the_agent_has_done_it_once_all_the_same() {
    let Some((wire, fleet, token)) = yard() else { return };
    let agent = wire.agent(&fleet, &token);
    agent.line_with("the agent starts");
    let tenant = fleet.tenant("a");
    fleet.put(&tenant, "host-1", "one");
    let order = fleet.apply(&tenant);
    agent.line_with("the order is carried out");
    wire.vanish();
    agent.line_with("the order is done");
    let before = fleet.containers(&tenant);
    // A lease is a minute, and was renewed just before at the latest.
    until_order(&fleet, &order, |order| {
        let ends = order["lease"]["expires_at"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
        ends.is_some_and(|ends| ends < jiff::Timestamp::now())
    });
    wire.come_back();
    until_order(&fleet, &order, |order| order["status"] == "succeeded");
    assert_eq!(fleet.containers(&tenant), before, "it was done once");
    end(agent);
}

#[test]
fn an_order_that_is_answered_into_a_half_open_connection_is_handed_out_again() {
    let Some((wire, fleet, token)) = yard() else { return };
    let mut agent = wire.agent(&fleet, &token);
    agent.line_with("the agent starts");
    let tenant = fleet.tenant("a");
    fleet.put(&tenant, "host-1", "one");
    fleet.succeeded(&fleet.apply(&tenant));
    // Nobody tells the server that the agent, whose question waits there, is gone for good.
    wire.vanish();
    agent.child.kill().expect("killed");
    agent.ended();
    fleet.put(&tenant, "host-1", "two");
    let order = fleet.apply(&tenant);
    until_order(&fleet, &order, |order| order["status"] == "active");
    wire.come_back();
    let agent = wire.agent(&fleet, &token);
    let order = until_order(&fleet, &order, |order| order["status"] == "succeeded");
    assert_eq!(fleet.handed_out(&order), 2);
    fleet.greets(&tenant, "two");
    end(agent);
}
