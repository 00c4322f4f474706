//! The command line of the fleet's users.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::{Value, json};

use crate::bench::{Bench, LONG, run, skipper};

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

/// One request of a node's agent: status and body.
fn ask(url: &str, token: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
    let address = url.strip_prefix("http://").expect("plain http");
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(LONG)).expect("a timeout");
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    (status, serde_json::from_str(body).unwrap_or_default())
}

/// What a node does: reports every order as done, but for those with `bad` in their compose file.
fn agent(url: &str, node: &str, token: &str, ends: &AtomicBool) {
    while !ends.load(Ordering::Relaxed) {
        let (status, order) = ask(url, token, "GET", &format!("/v1/nodes/{node}/work-orders/next?wait=1"), "");
        if status != 200 {
            continue;
        }
        let is_bad = order["desired"]["files"]["docker-compose.yml"].as_str().is_some_and(|text| text.contains("bad"));
        let word = if is_bad { "failed" } else { "succeeded" };
        let summary = if is_bad { "web does not get healthy" } else { "1 service runs" };
        let result = json!({"status": word, "exit_code": 0, "summary": summary,
            "services": {"web": {"state": "running", "container": "c1"}}, "logs_tail": "a line"});
        let report = json!({"generation": order["generation"], "status": word, "result": result}).to_string();
        let id = order["id"].as_str().expect("an id");
        assert_eq!(ask(url, token, "POST", &format!("/v1/work-orders/{id}/result"), &report).0, 200);
    }
}

fn write_tenant(bench: &Bench, image: &str) -> String {
    let path = bench.home().join("shop.json");
    let spec = json!({"node": "host-1", "services": {"web": {"image": image, "ports": ["8080:8080"]}}});
    fs::write(&path, json!({"kind": "tenant", "id": "shop", "spec": spec}).to_string()).expect("written");
    path.display().to_string()
}

#[test]
fn nodes_are_looked_after_from_the_command_line() {
    let bench = Bench::start();
    let register = ["node", "register", "--node-id", "host-1", "--region", "se", "--url", bench.url()];
    let token = bench.run(&register).ok();
    assert!(token.starts_with("skn_") && token.lines().count() == 1, "{token}");
    let err = bench.run(&register).fails(1);
    assert!(err.contains("registered already"), "{err}");
    assert_eq!(bench.run(&["node", "show", "--node-id", "host-1", "--json"]).json()["spec"]["region"], "se");
    let table = bench.run(&["node", "list"]).ok();
    assert!(
        table.starts_with("NODE\tROLE\tREGION\tSTATE") && table.contains("host-1\tworker\tse\tregistered"),
        "{table}"
    );
    bench.run(&["node", "cordon", "host-1"]).ok();
    let next = |token: &str| ask(bench.url(), token.trim(), "GET", "/v1/nodes/host-1/work-orders/next", "").0;
    assert_eq!(next(&token), 204);
    assert!(bench.run(&["node", "show", "host-1"]).ok().contains("state      cordoned\n"));
    bench.run(&["node", "uncordon", "host-1"]).ok();
    assert!(bench.run(&["node", "drain", "host-1"]).ok().starts_with("host-1 is draining; open orders: 0"));

    let second = bench.run(&["node", "rotate-token", "host-1", "--grace", "10m"]).ok();
    assert_eq!((next(&token), next(&second)), (204, 204), "both let it in meanwhile");
    let third =
        bench.run(&["node", "rotate-token", "host-1", "--json"]).json()["token"].as_str().expect("a token").to_owned();
    assert_eq!((next(&second), next(&third)), (401, 204));
    let once = bench.run(&["node", "enrol", "host-1"]).ok();
    assert!(once.starts_with("ske_"), "{once}");
    fs::write(bench.home().join("once"), once).expect("written");
    let fetched = bench.run(&["node", "enrol", "host-1", "--with-file", "once"]).ok();
    assert_eq!((fetched.starts_with("skn_"), next(&fetched)), (true, 204));
    bench.run(&["node", "enrol", "host-1", "--with-file", "once"]).fails(3);

    bench.run(&["node", "remove", "host-1"]).ok();
    assert_eq!(next(&fetched), 401, "its token stops working at once");
    bench.run(&["node", "show", "host-1"]).fails(4);
    let err = bench.run(&["node", "list"]);
    assert!(err.err.contains("no node"), "{err:?}");
}

#[test]
fn a_node_that_was_registered_without_a_server_is_known_to_it() {
    let mut bench = Bench::unstarted();
    let mut command = skipper(bench.home());
    let token = run(command.args(["node", "register", "host-1", "--region", "se", "--data-dir", "data"])).ok();
    bench.start_server();
    assert_eq!(bench.run(&["node", "show", "host-1", "--json"]).json()["spec"]["region"], "se");
    let next = |token: &str| ask(bench.url(), token.trim(), "GET", "/v1/nodes/host-1/work-orders/next", "").0;
    assert_eq!(next(&token), 204);
}

#[test]
fn an_apply_is_followed_to_its_end_and_its_exit_code_tells_how_it_ended() {
    let bench = Bench::start();
    assert!(bench.run(&["health"]).ok().starts_with("ok: http://"));
    let token = bench.run(&["node", "register", "host-1", "--url", bench.url()]).ok();
    bench.run(&["deploy", "apply", "--tenant-id", "shop"]).fails(4);
    assert_eq!(bench.run(&["tenant", "put", &write_tenant(&bench, "localhost/good:1")]).ok(), "shop is stored\n");
    let err = bench.run(&["deploy", "apply", "--tenant-id", "shop", "--timeout", "200ms"]).fails(6);
    assert!(err.contains("has not ended yet") && err.contains("skipper orders show wo_"), "{err}");
    let pending = bench.run(&["orders", "list", "--status", "pending", "--json"]).json();
    assert_eq!(pending["work_orders"].as_array().map(Vec::len), Some(1), "{pending}");
    let id = pending["work_orders"][0]["id"].as_str().expect("an id").to_owned();
    let shown = bench.run(&["orders", "show", &id]).ok();
    assert!(shown.contains("status       pending") && shown.contains("service      web: localhost/good:1"), "{shown}");

    let (ends, token) = (&AtomicBool::new(false), token.as_str());
    thread::scope(|scope| {
        let url = bench.url();
        scope.spawn(move || agent(url, "host-1", token.trim(), ends));
        // Also where an assertion fails, or the scope would wait for ever.
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _end = End(ends);
        let apply = |more: &[&str]| bench.run(&[&["deploy", "apply", "--tenant-id", "shop"], more].concat());
        apply(&["--wait", "--timeout", "50s"]).ok();
        let unchanged = apply(&["--wait"]);
        assert!(unchanged.err.contains("shop is unchanged"), "{unchanged:?}");
        let tenant = bench.run(&["tenant", "show", "shop"]).ok();
        assert!(
            tenant.contains("node       host-1\n") && tenant.contains("web\tlocalhost/good:1\t8080:8080"),
            "{tenant}"
        );
        assert!(bench.run(&["tenant", "list"]).ok().contains("shop\thost-1\tweb"));

        bench.run(&["tenant", "put", &write_tenant(&bench, "localhost/bad:1")]).ok();
        let failed = apply(&["--wait", "--timeout", "50s"]);
        let err = failed.fails(5);
        assert!(err.contains("web does not get healthy") && err.contains("skipper orders show wo_"), "{err}");

        bench.run(&["tenant", "put", &write_tenant(&bench, "localhost/good:2")]).ok();
        let key = ["--idempotency-key", "deploy-7", "--json"];
        let (first, again) = (apply(&key).json(), apply(&key).json());
        assert_eq!((&first["id"], first["idempotency_key"].as_str()), (&again["id"], Some("deploy-7")), "{again}");
    });
    let orders = bench.run(&["orders", "list", "--tenant-id", "shop", "--node", "host-1"]).ok();
    assert!(orders.contains("deploy_service\tshop\thost-1\tfailed"), "{orders}");
    bench.run(&["tenant", "delete", "shop"]).fails(2);
    bench.run(&["tenant", "delete", "shop", "--yes"]).ok();
    bench.run(&["tenant", "show", "shop"]).fails(4);
}

/// Of each node: its wave, the revision it runs, and how far it is.
fn fleet_status(bench: &Bench) -> Vec<(Option<u64>, Option<u64>, String)> {
    let status = bench.run(&["fleet", "status", "shop", "--json"]).json();
    let nodes = status["nodes"].as_array().expect("nodes").iter();
    let state = |node: &Value| node["state"].as_str().expect("a state").to_owned();
    nodes.map(|node| (node["wave"].as_u64(), node["revision"].as_u64(), state(node))).collect()
}

#[test]
fn a_fleet_stops_at_its_bad_node_and_is_taken_on_or_back_from_the_command_line() {
    let bench = Bench::start();
    let names = ["host-1", "host-2", "host-3"];
    let tokens = names.map(|name| bench.run(&["node", "register", name, "--url", bench.url()]).ok());
    let put = |images: [&str; 3]| {
        let path = bench.home().join("shop.json");
        let services: serde_json::Map<String, Value> = names
            .iter()
            .zip(images)
            .map(|(node, image)| (format!("web-{node}"), json!({"image": format!("localhost/{image}"), "node": node})))
            .collect();
        let spec = json!({"services": services, "rollout": {"waves": [1]}});
        fs::write(&path, json!({"kind": "tenant", "id": "shop", "spec": spec}).to_string()).expect("written");
        bench.run(&["tenant", "put", &path.display().to_string()]).ok();
    };
    let ends = &AtomicBool::new(false);
    thread::scope(|scope| {
        for (name, token) in names.iter().zip(&tokens) {
            let url = bench.url();
            scope.spawn(move || agent(url, name, token.trim(), ends));
        }
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _end = End(ends);
        let at = |state: &str, wave: Option<u64>, revision: u64| (wave, Some(revision), state.to_owned());
        let wait = ["shop", "--wait", "--timeout", "50s"];
        let run = |verb: &[&str], more: &[&str]| bench.run(&[verb, &wait[..], more].concat());
        put(["good:1", "good:1", "good:1"]);
        run(&["deploy", "apply"], &["--waves", "rest"]).ok();
        put(["good:2", "bad:2", "good:2"]);
        let planned = bench.run(&["fleet", "plan", "shop"]).ok();
        assert!(planned.contains("1\thost-1\t") && planned.contains("a bad node: stop"), "{planned}");
        let err = run(&["deploy", "apply"], &[]).fails(5);
        assert!(err.contains("1 of 3 run revision 2; went back: host-2; not begun: host-3"), "{err}");
        assert!(err.contains("host-3: not begun") && err.contains("skipper fleet status shop"), "{err}");
        let stopped = [at("current", Some(1), 2), at("went-back", Some(2), 1), at("not-begun", Some(3), 1)];
        assert_eq!(fleet_status(&bench), stopped);
        let table = bench.run(&["fleet", "status", "--tenant-id", "shop"]).ok();
        assert!(table.contains("host-2\t2\t1\twent-back\twell\two_"), "{table}");
        assert!(table.contains("web does not get healthy"), "{table}");
        // The same again meets the same bad node.
        run(&["fleet", "converge"], &[]).fails(5);
        run(&["fleet", "roll-back"], &["--waves", "rest"]).ok();
        let states: Vec<String> = fleet_status(&bench).into_iter().map(|(.., state)| state).collect();
        assert_eq!(states, ["current"; 3]);
        put(["good:2", "good:2", "good:2"]);
        run(&["deploy", "apply"], &["--max-unavailable", "2"]).ok();
        let unchanged = run(&["fleet", "converge"], &[]);
        assert!(unchanged.err.contains("shop is unchanged"), "{unchanged:?}");
        run(&["fleet", "roll-back"], &[]).ok();
        bench.run(&["deploy", "apply", "shop", "--waves", "0"]).fails(2);
        bench.run(&["deploy", "apply", "shop", "--on-failure", "panic"]).fails(2);
    });
}
