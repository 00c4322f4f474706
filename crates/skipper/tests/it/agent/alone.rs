//! Without a server.

use std::net::TcpListener;

use super::*;
use crate::bench::{run, signal};

#[test]
fn everything_that_is_missing_is_told_at_once() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let told = run(skipper(home.path()).arg("agent")).fails(2);
    for name in ["SKIPPER_URL", "AGENT_ID", "AGENT_TOKEN", "skipper node register"] {
        assert!(told.contains(name), "{name} in {told}");
    }
}

#[test]
fn called_by_its_own_name_it_runs_without_arguments_and_ends_when_told() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let link = home.path().join("skippy-agent");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_skipper"), &link).expect("linked");
    // Somebody who takes the connection and says nothing.
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("its address"));
    let start = |data: &str| {
        let mut command = Command::new(&link);
        command.env_clear().env("HOME", home.path()).env("PATH", "/usr/bin:/bin").current_dir(home.path());
        command.env("SKIPPER_URL", &url).env("AGENT_ID", "host-1").env("AGENT_TOKEN", "skn_secret-word");
        command.env("DATA_DIR", home.path().join(data)).env("SKIPPY_COMPOSE_BASE_DIR", home.path().join("tenants"));
        command
    };
    let mut agent = Watched::start(&mut start("data"));
    let line = agent.line_with("the agent starts");
    assert!(line.contains("host-1") && !line.contains("secret-word"), "{line}");
    let told = run(&mut start("data")).fails(1);
    assert!(told.contains(&format!("(process {})", agent.child.id())), "{told}");
    signal(agent.child.id(), rustix::process::Signal::TERM);
    assert_eq!(agent.ended(), 0);
}

#[test]
fn a_check_names_what_is_wrong_and_ends_with_1() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let gone = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr()).expect("a port");
    let mut command = skipper(home.path());
    command.env("SKIPPER_URL", format!("http://{gone}")).env("AGENT_ID", "host-1").env("AGENT_TOKEN", "x");
    command.env("DATA_DIR", home.path().join("data")).env("SKIPPY_COMPOSE_BASE_DIR", home.path().join("tenants"));
    command.env("DOCKER_HOST", format!("unix://{}", home.path().join("no.sock").display()));
    let ended = run(command.args(["agent", "--check", "--json"]));
    assert_eq!(ended.code, 1, "{}", ended.err);
    let told: Value = serde_json::from_str(&ended.out).expect("JSON");
    let state = |check: &str| {
        let items = told["items"].as_array().expect("a list");
        items.iter().find(|item| item["check"] == check).map(|item| item["state"].clone())
    };
    assert_eq!(state("server"), Some("broken".into()), "{told}");
    assert_eq!(state("compose"), Some("broken".into()), "{told}");
    assert_eq!(state("folder of projects"), Some("ok".into()), "{told}");
    assert_eq!(state("disk"), Some("ok".into()), "{told}");
}
