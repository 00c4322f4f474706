use crate::bench::{Bench, run, run_with_input, skipper};

#[test]
fn the_first_token_is_made_without_a_server_and_closes_the_door() {
    let mut bench = Bench::start();
    bench.run(&["list"]).ok();
    bench.stop_server();
    let secret = bench.run(&["token", "create", "root", "--role", "admin", "--data-dir", "data", "--secret-only"]).ok();
    bench.start_server();
    let err = bench.run(&["list"]).fails(3);
    assert!(err.contains("--token-file"), "{err}");
    std::fs::write(bench.home().join("token"), &secret).expect("written");
    bench.run(&["list", "--token-file", "token"]).ok();
    run(bench.command(&["list"]).env("SKIPPER_TOKEN", secret.trim())).ok();
    bench.run(&["list", "--token", "skp_wrong"]).fails(3);

    let made = bench.run(&["token", "create", "look", "--role", "viewer", "--token-file", "token", "--json"]).json();
    let viewer = made["secret"].as_str().expect("a secret");
    bench.run(&["list", "--token", viewer]).ok();
    bench.run(&["install", "a", "helloworld", "--token", viewer]).fails(3);
    bench.run(&["secrets", "list", "--token", viewer]).fails(3);
    let list = bench.run(&["token", "list", "--token-file", "token"]).ok();
    assert!(list.contains("look") && !list.contains(viewer), "{list}");
    bench.run(&["token", "revoke", made["id"].as_str().expect("an id"), "--token-file", "token"]).ok();
    bench.run(&["list", "--token", viewer]).fails(3);
}

#[test]
fn a_token_is_for_the_tenant_that_is_named() {
    let mut bench = Bench::start();
    bench.stop_server();
    let tenant = |args: &[&str], env: Option<&str>| {
        let mut command = bench.command(&[&["token", "create", "ci", "--json"], args].concat());
        command.envs(env.map(|value| ("SKIPPER_TENANT", value)));
        run(&mut command).json()["tenant"].clone()
    };
    for (args, env, wanted) in [
        (["--data-dir", "data", "--tenant", "shop"].as_slice(), None, "shop".into()),
        (&["--data-dir", "data"], Some("shop"), "shop".into()),
        (&["--data-dir", "data", "--every-tenant"], Some("shop"), serde_json::Value::Null),
    ] {
        assert_eq!(tenant(args, env), wanted, "{args:?}");
    }
    bench.start_server();
    let secret = bench.run(&["token", "create", "root", "--role", "admin", "--secret-only"]).fails(3);
    assert!(secret.contains("--token-file"), "{secret}");
}

#[test]
fn a_token_is_not_made_beside_a_running_server() {
    let bench = Bench::start();
    let err = bench.run(&["token", "create", "root", "--data-dir", "data"]).fails(1);
    assert!(err.contains("a server runs on") && err.contains("without --data-dir"), "{err}");
}

#[test]
fn a_secret_comes_from_standard_input_and_is_never_read_back() {
    let bench = Bench::start();
    run_with_input(&mut bench.command(&["secrets", "set", "db"]), "pa55-w0rd\n").ok();
    let ended = run_with_input(&mut bench.command(&["secrets", "set", "empty"]), "");
    assert_eq!(ended.code, 2, "{}", ended.err);
    let list = bench.run(&["secrets", "list", "--json"]).json();
    assert_eq!((&list["items"][0]["name"], &list["items"][0]["version"]), (&"db".into(), &1.into()));
    let more = "  secrets: [{ name: db, env: DB_PASSWORD }]\n  args: [\"--sample.show-env\", \"DB_PASSWORD\"]\n";
    let dir = crate::bench::package(bench.home(), "shop", "1.0.0", &[], more);
    bench.run(&["install", "web", dir.to_str().expect("UTF-8"), "--wait"]).ok();
    let (_, env) = crate::bench::get(&bench.address_of("web"), "/env?name=DB_PASSWORD").expect("answers");
    assert!(env.contains("pa55-w0rd"), "{env}");
    let everything = [
        bench.run(&["status", "web", "--json"]).ok(),
        bench.run(&["manifest", "web"]).ok(),
        bench.run(&["events", "--json", "--limit", "500"]).ok(),
        bench.run(&["history", "web", "--json"]).ok(),
    ]
    .concat();
    assert!(!everything.contains("pa55-w0rd"));
    bench.run(&["secrets", "rm", "db"]).fails(1);
    bench.run(&["delete", "web", "--wait"]).ok();
    bench.run(&["secrets", "rm", "db"]).ok();
}

#[test]
fn listening_for_other_machines_without_a_token_is_refused() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let err = run(skipper(home.path()).args(["server", "--listen", "0.0.0.0:0", "--data-dir", "data"])).fails(1);
    assert!(err.contains("without a token"), "{err}");
}

#[test]
fn a_removal_that_cannot_be_taken_back_needs_yes_where_nobody_can_be_asked() {
    let bench = Bench::start();
    bench.install("hello", &[]);
    let err = bench.run(&["delete", "hello", "--purge"]).fails(2);
    assert!(err.contains("--yes"), "{err}");
    assert_eq!(bench.run(&["list", "--names"]).ok(), "hello\n");
    let out = bench.run(&["delete", "hello", "--purge", "--yes", "--wait"]).ok();
    assert!(out.contains("deleted"), "{out}");
    bench.run(&["status", "hello"]).fails(4);
}
