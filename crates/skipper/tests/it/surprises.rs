//! What surprised people who tried the binary without knowing how it is made.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    path::Path,
};

use rustix::process::Signal;

use crate::bench::{Bench, get, package, run_with_input, signal, until};

fn path(package: &Path) -> &str {
    package.to_str().expect("UTF-8")
}

/// Text that no compression makes small.
fn noise(bytes: usize) -> String {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'a' + u8::try_from(state % 26).expect("small"))
    };
    (0..bytes).map(|_| next()).collect()
}

#[test]
fn a_large_package_is_uploaded_as_it_is() {
    let bench = Bench::start();
    let dir = package(bench.home(), "big", "1.0.0", &[], "");
    for part in 0..2 {
        fs::write(dir.join(format!("README-{part}.md")), noise(3 << 20)).expect("written");
    }
    bench.run(&["package", "build", path(&dir), "--output", "big.zip"]).ok();
    let zip = fs::read(bench.home().join("big.zip")).expect("the zip");
    assert!(zip.len() > 2 << 20, "{} bytes", zip.len());
    // As another tool would have zipped it: bytes at the end that a zip may have.
    let mut own = fs::read(bench.home().join("big.zip")).expect("the zip");
    let end = own.len();
    own[end - 2..].copy_from_slice(&3_u16.to_le_bytes());
    own.extend_from_slice(b"own");
    fs::write(bench.home().join("own.zip"), &own).expect("written");
    let uploaded = bench.run(&["package", "upload", "own.zip", "--json"]).json();
    assert_eq!(uploaded["sha256"], skipper_core::Sha256::of(&own).to_string());
    let again = bench.run(&["package", "upload", "own.zip"]).ok();
    assert!(again.contains("already there"), "{again}");
}

#[test]
fn a_plan_of_a_package_on_this_machine_leaves_nothing_on_the_server() {
    let bench = Bench::start();
    let dir = package(bench.home(), "shop", "1.0.0", &[], "");
    let plan = bench.run(&["plan", "install", "web", path(&dir), "--json"]).json();
    bench.run(&["install", "web", path(&dir), "--dry-run"]).ok();
    assert!(!bench.run(&["search"]).ok().contains("shop"));
    let hash = plan["hash"].as_str().expect("a hash");
    bench.run(&["install", "web", path(&dir), "--require-plan", hash, "--wait"]).ok();
    // An edit under the same version can be planned, though it cannot be uploaded.
    fs::write(dir.join("values.yml"), "startPeriod: 20s\nbake: 1s\n").expect("written");
    let diff = bench.run(&["plan", "upgrade", "web", path(&dir)]).ok();
    assert!(diff.contains("bake"), "{diff}");
}

#[test]
fn a_purge_is_planned_as_what_it_is() {
    let bench = Bench::start();
    bench.install("hello", &[]);
    let hash = |args: &[&str]| bench.run(args).json()["hash"].as_str().expect("a hash").to_owned();
    let delete = hash(&["plan", "delete", "hello", "--json"]);
    let purge = hash(&["plan", "delete", "hello", "--purge", "--json"]);
    assert_ne!(delete, purge);
    assert!(bench.run(&["plan", "delete", "hello", "--purge"]).ok().contains("manifests"));
    let refused = bench.run(&["delete", "hello", "--purge", "--yes", "--require-plan", &delete, "--wait"]).fails(1);
    assert!(refused.contains("was required"), "{refused}");
    bench.run(&["delete", "hello", "--purge", "--yes", "--require-plan", &purge, "--wait"]).ok();
    bench.run(&["history", "hello"]).fails(4);
}

#[test]
fn whatever_is_asked_during_a_first_install_it_is_the_install_that_is_in_the_way() {
    let bench = Bench::start();
    let slow = package(bench.home(), "shop", "1.0.0", &[("SAMPLE_READY_AFTER", "never")], "");
    let accepted = bench.run(&["install", "web", path(&slow), "--no-wait", "--json"]).json();
    let rollout = accepted["rollout"]["id"].as_str().expect("an id").to_owned();
    for ask in [
        vec!["upgrade", "web", path(&slow)],
        vec!["rollback", "web"],
        vec!["scale", "web", "web=2"],
        vec!["install", "web", path(&slow)],
        vec!["hold", "web"],
    ] {
        let refused = bench.run(&ask).fails(1);
        assert!(refused.contains(&rollout) || refused.contains("is open"), "{ask:?}: {refused}");
    }
    bench.run(&["cancel", "web", "--wait"]).ok();
}

#[test]
fn a_secret_that_an_application_prints_is_blackened() {
    let bench = Bench::start();
    run_with_input(&mut bench.command(&["secrets", "set", "db"]), "pa55-w0rd").ok();
    let more = "  secrets: [{ name: db, env: DB_PASSWORD }]\n";
    let dir = package(bench.home(), "shop", "1.0.0", &[], more);
    let template = dir.join("templates/web.yml");
    let text = fs::read_to_string(&template).expect("the template").replace(
        "  resource: builtin:sample\n",
        "  resource: builtin:sample\n  command: [sh, -c, 'echo the password is $DB_PASSWORD; exec \"$0\" sample', \"{resource}\"]\n",
    );
    fs::write(&template, text).expect("written");
    bench.run(&["install", "web", path(&dir), "--wait"]).ok();
    let said = until("it says so", || bench.run(&["logs", "web"]).ok(), |logs| logs.contains("the password is"));
    assert!(said.contains("[secret]") && !said.contains("pa55-w0rd"), "{said}");
}

#[test]
fn one_that_others_wait_for_is_reached_before_they_are_healthy() {
    let bench = Bench::start();
    let address = format!("127.0.0.1:{}", bench.port(5));
    let dir = package(bench.home(), "two", "1.0.0", &[], "");
    let listen = format!("ports: [{{ name: http, env: PORT, listen: {} }}]", bench.port(5));
    let template = dir.join("templates/web.yml");
    let db = fs::read_to_string(&template).expect("the template");
    let db = db.replace("name: web", "name: db").replace("ports: [{ name: http, env: PORT }]", &listen);
    let api = "apiVersion: skipper/v2\nkind: Application\nmetadata: { name: api }\nspec:\n  resource: builtin:sample\n  \
               dependsOn: [db]\n  command: [bash, -c, 'exec 3<>/dev/tcp/127.0.0.1/DB && exec \"$0\" sample', \"{resource}\"]\n  \
               ports: [{ name: http, env: PORT }]\n  health: { http: /health }\n";
    fs::write(&template, db).expect("written");
    fs::write(dir.join("templates/api.yml"), api.replace("DB", &bench.port(5).to_string())).expect("written");
    bench.run(&["install", "two", path(&dir), "--wait"]).ok();
    assert_eq!(get(&address, "/health").expect("answers").0, 200);
}

#[test]
fn a_live_one_that_does_not_answer_is_not_called_well() {
    let bench = Bench::start();
    bench.install("hello", &[]);
    assert!(bench.run(&["why", "hello"]).ok().contains("nothing is wrong"));
    let handle = bench.run(&["status", "hello", "--json"]).json()["apps"][0]["instances"][0]["handle"].clone();
    let pid = handle.as_str().and_then(|h| h.split(' ').nth(1)).and_then(|p| p.parse().ok()).expect("a pid");
    signal(pid, Signal::STOP);
    let why = bench.run(&["why", "hello"]).ok();
    signal(pid, Signal::CONT);
    assert!(why.contains("its health check says"), "{why}");
}

#[test]
fn a_client_that_has_said_everything_is_answered_and_one_that_left_has_asked() {
    let bench = Bench::start();
    let address = bench.url().trim_start_matches("http://").to_owned();
    let ask = |name: &str| {
        let body = format!("{{\"name\":\"{name}\",\"package\":{{\"name\":\"helloworld\"}}}}");
        let mut stream = TcpStream::connect(&address).expect("it listens");
        write!(
            stream,
            "POST /v1/releases HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("sent");
        stream
    };
    let mut half = ask("half");
    half.shutdown(Shutdown::Write).expect("shut");
    let mut answer = String::new();
    half.read_to_string(&mut answer).expect("answered");
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    for n in 0..5 {
        drop(ask(&format!("left-{n}")));
    }
    let all = || bench.run(&["list", "--names"]).ok().lines().count();
    until("all of them are there", all, |count| *count == 6);
}
