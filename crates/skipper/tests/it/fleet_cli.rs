//! The command line of the fleet's users.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::Value;

use crate::bench::{run, skipper};

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_node_is_registered_in_an_empty_folder_without_a_server() {
    let home = home();
    let register = |args: &[&str]| {
        let mut command = skipper(home.path());
        run(command.env("DATA_DIR", "data").args(["node", "register"]).args(args))
    };
    let first = register(&["--node-id", "host-1", "--role", "worker", "--region", "se-sto-1", "--label", "disk=ssd"]);
    let token = first.ok();
    let token = token.strip_suffix('\n').expect("the token alone");
    assert!(token.starts_with("skn_") && token.len() > 40, "{token}");
    let data = home.path().join("data");
    let node = read(&data.join("resources/nodes/host-1.json"));
    assert_eq!((&node["kind"], &node["id"]), (&"node".into(), &"host-1".into()));
    assert_eq!(node["spec"], serde_json::json!({"role": "worker", "region": "se-sto-1", "labels": {"disk": "ssd"}}));
    let auth_path = data.join("auth/nodes/host-1.json");
    let auth = read(&auth_path);
    let hash = skipper_core::Sha256::of(token.as_bytes()).to_string();
    assert!(hash.ends_with(auth["token_hash"].as_str().expect("a hash")), "{auth}");
    assert_eq!((&auth["rotated_at"], &auth["revoked"]), (&Value::Null, &false.into()));
    assert!(!fs::read_to_string(&auth_path).expect("there").contains(token), "the token is stored nowhere");
    assert_eq!(fs::metadata(&auth_path).expect("there").permissions().mode() & 0o777, 0o600);

    // A second time locks nobody out by accident.
    let err = register(&["--node-id", "host-1"]).fails(1);
    assert!(err.contains("host-1 is registered already") && err.contains("--rotate-token"), "{err}");
    assert_eq!(read(&auth_path), auth);
    let rotated = register(&["host-1", "--rotate-token", "--token", "my-own-long-token", "--json"]).json();
    assert_eq!(rotated["token"], "my-own-long-token");
    let again = read(&auth_path);
    assert_ne!(again["token_hash"], auth["token_hash"]);
    assert_eq!(again["created_at"], auth["created_at"]);
    assert!(again["rotated_at"].is_string(), "{again}");
    assert_eq!(read(&data.join("resources/nodes/host-1.json"))["spec"], node["spec"], "what was said of it stays");
}

#[test]
fn what_cannot_be_a_node_or_its_token_is_refused_before_anything_is_written() {
    let home = home();
    for args in [
        &["--node-id", "../x"][..],
        &["--node-id", "Host 1"],
        &["--node-id", "h", "--token", "short"],
        &["--node-id", "h", "--token", "with blanks in it"],
        &["--node-id", "h", "--label", "x"],
        &[],
    ] {
        let ended = run(skipper(home.path()).env("DATA_DIR", "data").args(["node", "register"]).args(args));
        assert_eq!(ended.code, 2, "{args:?}: {}", ended.err);
    }
    assert!(!home.path().join("data/resources").exists());
    fs::create_dir_all(home.path().join("data/resources/nodes")).expect("made");
    fs::write(home.path().join("data/resources/nodes/h.json"), r#"{"kind":"node","id":"h","spec":{"rôle":1}}"#)
        .expect("written");
    let err =
        run(skipper(home.path()).env("DATA_DIR", "data").args(["node", "register", "h", "--rotate-token"])).fails(1);
    assert!(err.contains("h.json") && err.contains("rôle"), "{err}");
}

#[test]
fn the_address_of_a_server_is_that_of_its_own_environment() {
    let home = home();
    let err = run(skipper(home.path()).env("HOST", "0.0.0.0").env("PORT", "1").arg("health")).fails(1);
    assert!(err.contains("no server answers at http://127.0.0.1:1") && err.contains("PORT"), "{err}");
    let err = run(skipper(home.path()).env("PORT", "1").args(["health", "--url", "http://127.0.0.1:2"])).fails(1);
    assert!(err.contains("http://127.0.0.1:2"), "{err}");
    let shown = run(skipper(home.path()).env("ADMIN_TOKEN", "t").args(["config", "show", "--json"])).json();
    assert_eq!(shown["credentials"]["origin"], "ADMIN_TOKEN");
}

#[test]
fn documents_of_tenants_are_looked_at_without_a_server() {
    let home = home();
    let example =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/development/resources/tenants/example-tenant.json");
    let validate = |files: &[&str]| run(skipper(home.path()).args(["tenant", "validate"]).args(files));
    assert_eq!(validate(&[example]).ok(), "✓ example-tenant: 1 services\n");
    fs::write(home.path().join("t.json"), r#"{"kind":"tenant","id":"t","spec":{"servces":{},"node":"h"}}"#)
        .expect("written");
    let err = validate(&["t.json"]).fails(1);
    assert!(err.contains("servces") && err.contains("services") && err.contains("t.json:1"), "{err}");
    let shown = run(skipper(home.path()).args(["tenant", "validate", "t.json", "--json"]));
    assert_eq!(shown.code, 1);
    let shown: Value = serde_json::from_str(&shown.out).expect("JSON");
    assert_eq!(shown["valid"], false);
    assert_eq!(shown["items"][0]["code"], "key-unknown");
    fs::write(home.path().join("t.json"), "{").expect("written");
    validate(&["t.json"]).fails(1);
    validate(&["missing.json"]).fails(1);
    validate(&[]).fails(2);
}

#[test]
fn init_makes_an_agent_of_a_machine_and_keeps_its_token_from_others() {
    let home = home();
    fs::write(home.path().join("token"), "skn_of-this-node\n").expect("written");
    let init =
        |args: &[&str]| run(skipper(home.path()).args(["init", "--agent", "--yes", "--root", "root"]).args(args));
    let given = ["--server-url", "https://skipper.test", "--node-id", "host-1", "--agent-token-file", "token"];
    let out = init(&given).ok();
    assert!(out.contains("made        /etc/skipper/agent.env") && !out.contains("skn_of"), "{out}");
    let env_path = home.path().join("root/etc/skipper/agent.env");
    let env = fs::read_to_string(&env_path).expect("written");
    assert!(
        env.ends_with("SKIPPER_URL=https://skipper.test\nAGENT_ID=host-1\nAGENT_TOKEN=skn_of-this-node\n"),
        "{env}"
    );
    assert_eq!(fs::metadata(&env_path).expect("there").permissions().mode() & 0o777, 0o600);
    let unit = fs::read_to_string(home.path().join("root/etc/systemd/system/skipper-agent.service")).expect("written");
    assert!(unit.contains("ExecStart=/usr/local/bin/skipper agent\n"), "{unit}");
    assert!(!home.path().join("root/etc/skipper/slip.toml").exists(), "no server is set up");
    let again = init(&["--node-id", "host-2"]).ok();
    assert!(again.contains("kept        /etc/skipper/agent.env"), "{again}");
    init(&["--server-url", "skipper.test"]).fails(2);
    init(&["--node-id", "a b"]).fails(2);
}
