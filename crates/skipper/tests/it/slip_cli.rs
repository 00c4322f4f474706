//! slip's verbs against a server with a directory of apps. The engine is a socket that knows no image, so that every deploy
//! fails, and at once.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::Path,
    process::Command,
};

use serde_json::Value;

use crate::{
    bench::{Bench, Ended, run, run_with_input, skipper, until},
    slip_config::called,
};

const BEARER: &str = "the bearer of the server";
const KEY: &str = "the key of web";

/// Answers whatever is asked with 404, as an engine does that has no such image.
fn engine(socket: &Path) {
    let listener = UnixListener::bind(socket).expect("it can be bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().expect("the same socket"));
                let mut stream = stream;
                loop {
                    let (mut line, mut length) = (String::new(), 0);
                    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                        let lower = line.to_ascii_lowercase();
                        if let Some(value) = lower.strip_prefix("content-length:") {
                            length = value.trim().parse().unwrap_or(0);
                        }
                        line.clear();
                    }
                    let mut asked = vec![0; length];
                    let body = r#"{"message":"no such image"}"#;
                    if reader.read_exact(&mut asked).is_err() {
                        return;
                    }
                    let answer = format!(
                        "HTTP/1.1 404 Not Found\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

fn directory(home: &Path) {
    fs::create_dir_all(home.join("cfg/apps")).expect("made");
    fs::create_dir_all(home.join("data")).expect("made");
    let server =
        format!("[server]\n[auth]\nsecret = \"{BEARER}\"\n[registry]\n[storage]\n[runtime]\nbackend = \"docker\"\n");
    fs::write(home.join("cfg/slip.toml"), server).expect("written");
    let app = format!(
        "[app]\nname = \"web\"\nimage = \"acme/web\"\nkind = \"worker\"\nsecret = \"{KEY}\"\n[health]\n[deploy]\n"
    );
    fs::write(home.join("cfg/apps/web.toml"), app).expect("written");
    let socket = home.join("engine.sock");
    engine(&socket);
    let own = format!(
        "default_platform = \"local\"\n[platforms.local]\ntype = \"local\"\n[platforms.docker]\ntype = \"docker\"\nsocket = \"{}\"\n",
        socket.display()
    );
    fs::write(home.join("data/skipper.toml"), own).expect("written");
}

fn bench() -> Bench {
    // The folder is the server's working directory.
    Bench::start_prepared(&["--config", "cfg"], directory)
}

fn slip(bench: &Bench, args: &[&str]) -> Command {
    let mut command = called("slip", bench.home());
    command.env("SLIP_SERVER", bench.url()).env("SLIP_TOKEN", BEARER).args(args);
    command
}

#[track_caller]
fn says(bench: &Bench, args: &[&str]) -> String {
    run(&mut slip(bench, args)).ok()
}

fn signed(bench: &Bench, args: &[&str]) -> Ended {
    run(slip(bench, args).env("SLIP_SECRET", KEY))
}

#[test]
fn a_deploy_is_signed_and_its_exit_code_says_how_it_ended() {
    let bench = bench();
    assert_eq!(
        says(&bench, &["status"]),
        "APP\tSTATUS\tTAG\tREVISION\tAGE\tLAST DEPLOY\nweb\tnot_deployed\t-\t-\t-\t-\n"
    );
    let err = run(slip(&bench, &["deploy", "web", "v1"]).env_remove("SLIP_TOKEN")).fails(3);
    assert!(err.contains("--secret-file") && err.contains("SLIP_SECRET"), "{err}");
    let err = run(&mut slip(&bench, &["deploy", "web", "v1", "--secret", "another"])).fails(3);
    assert!(err.contains("invalid signature") && !err.contains("another"), "{err}");
    let err = run(&mut slip(&bench, &["deploy", "nope", "v1", "--secret", BEARER])).fails(4);
    assert!(err.contains("unknown app: nope"), "{err}");
    run(&mut slip(&bench, &["deploy", "web"])).fails(2);
    run(&mut slip(&bench, &["deploy", "web", "v1", "--secret", ""])).fails(2);
    signed(&bench, &["deploy", "web", "a/b"]).fails(1);

    let out = signed(&bench, &["deploy", "web", "v1"]).ok();
    let id = out.strip_prefix("✓ Deploy initiated for 'web' → tag 'v1' (deploy_id: dep_");
    assert_eq!(id.map(|id| id.trim_end().len()), Some(27), "{out}");
    let err = signed(&bench, &["deploy", "web", "v2", "--wait"]).fails(5);
    assert!(err.contains("the deploy of web at v2 ended as failed after") && err.contains("nothing serves"), "{err}");
    // Whoever signs needs no token to wait.
    let waits = ["deploy", "web", "v3", "--wait", "--json", "--quiet"];
    let ended = run(slip(&bench, &waits).env("SLIP_SECRET", KEY).env_remove("SLIP_TOKEN"));
    let view: Value = serde_json::from_str(&ended.out).expect("a deploy");
    assert_eq!((view["tag"].as_str(), view["status"].as_str(), ended.code), (Some("v3"), Some("failed"), 5));
    assert_eq!(run(slip(&bench, &["deploy", "web", "v4", "--wait-timeout", "0"]).env("SLIP_SECRET", KEY)).code, 6);

    // The key may come from a file, and from what `config` remembers of the server.
    fs::write(bench.home().join("key"), format!("{KEY}\n")).expect("written");
    says(&bench, &["deploy", "web", "v5", "--secret-file", "key"]);
    says(&bench, &["config", "add-target", "here", "--url", bench.url(), "--secret-file", "key"]);
    run(slip(&bench, &["deploy", "web", "v6"]).env_remove("SLIP_SERVER")).ok();
    run(slip(&bench, &["deploy", "web", "v7"]).env("SLIP_SERVER", bench.url().replace("127.0.0.1", "localhost")))
        .fails(3);
}

#[test]
fn the_same_line_twice_is_two_deploys() {
    let bench = bench();
    let id = |ended: Ended| ended.json()["deploy_id"].as_str().expect("an id").to_owned();
    let first = id(signed(&bench, &["deploy", "web", "v1", "--json"]));
    assert_ne!(id(signed(&bench, &["deploy", "web", "v1", "--json"])), first);
}

#[test]
fn status_says_what_serves_and_how_the_last_deploy_ended() {
    let bench = bench();
    signed(&bench, &["deploy", "web", "v1", "--wait"]).fails(5);
    let out = says(&bench, &["status", "web"]);
    for line in
        ["app         web\n", "status      failed\n", "serving     nothing serves\n", "last        v1 failed at "]
    {
        assert!(out.contains(line), "{line}: {out}");
    }
    let app = run(&mut slip(&bench, &["status", "web", "--json"])).json();
    assert_eq!((&app["status"], &app["last_deploy"]["status"]), (&"failed".into(), &"failed".into()));
    let err = run(&mut slip(&bench, &["status", "nope"])).fails(4);
    assert!(err.contains("nope"), "{err}");
    run(slip(&bench, &["status"]).env("SLIP_TOKEN", "wrong")).fails(3);
    // Under our own name it is the release that is shown.
    let own = run(skipper(bench.home()).args(["status", "web", "--url", bench.url(), "--token", BEARER])).ok();
    assert!(own.starts_with("release     web (tenant default)\nstate       failed"), "{own}");
}

#[test]
fn an_app_goes_back_by_its_tag_and_another_release_by_its_revision() {
    let bench = bench();
    let err = run(&mut slip(&bench, &["rollback", "web"])).fails(1);
    assert!(err.contains("no previous tag to roll back to"), "{err}");
    run(&mut slip(&bench, &["rollback", "nope"])).fails(4);
    signed(&bench, &["deploy", "web", "v1", "--wait"]).fails(5);
    for args in [["rollback", "web", "--to", "v1"], ["rollback", "web", "1", "--json"]] {
        let err = run(skipper(bench.home()).args(args).args(["--url", bench.url(), "--token", BEARER])).fails(1);
        assert!(err.contains("`v1` of `web` never served") || err.contains("revision 1 of `web` was never"), "{err}");
    }
    run(skipper(bench.home()).args([
        "install",
        "hello",
        "helloworld",
        "--wait",
        "--url",
        bench.url(),
        "--token",
        BEARER,
    ]))
    .ok();
    let err = run(&mut slip(&bench, &["rollback", "hello", "--to", "v1"])).fails(2);
    assert!(err.contains("no revision"), "{err}");
    let err = run(&mut slip(&bench, &["rollback", "hello", "--to", "7"])).fails(4);
    assert!(err.contains("no revision 7"), "{err}");
    let out = says(&bench, &["logs", "hello", "--since", "1h", "-n", "1"]);
    assert!(!out.is_empty());
    assert_eq!(says(&bench, &["logs", "hello", "--since", "0s"]), "");
}

#[test]
fn apps_are_listed_and_shown_without_keys() {
    let bench = bench();
    assert_eq!(says(&bench, &["apps", "list"]), "NAME\tIMAGE\tDOMAIN\tPORT\nweb\tacme/web\t-\t-\n");
    let shown = says(&bench, &["apps", "show", "web"]);
    assert!(shown.starts_with("name = \"web\"\nimage = \"acme/web\"\n") && !shown.contains(KEY), "{shown}");
    run(&mut slip(&bench, &["apps", "show", "nope"])).fails(4);
    run(&mut slip(&bench, &["apps", "add", "x", "acme/x:v1", "x.test"])).fails(2);
    run(&mut slip(&bench, &["apps", "edit", "web"])).fails(2);
    let ended = run_with_input(&mut slip(&bench, &["apps", "rm", "web"]), "y\n");
    assert_eq!((ended.out.as_str(), ended.code), ("Aborted.\n", 0));
    assert_eq!(run(&mut slip(&bench, &["apps", "rm", "web"])).out, "Aborted.\n", "nobody says yes");
    run(&mut slip(&bench, &["previews", "teardown", "web"])).fails(2);
    run(&mut slip(&bench, &["previews", "teardown", "web", "pr-1", "--all"])).fails(2);
}

#[test]
fn secrets_of_an_app_are_set_before_the_server_ever_ran() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let at_rest = |args: &[&str]| {
        let mut command = called("slip", home.path());
        command.arg("secrets").args(args).args(["--data-dir", "data"]);
        command
    };
    assert_eq!(run(&mut at_rest(&["set", "web", "A=1", "B=x=y"])).ok(), "✓ Set 2 secret(s) for 'web'\n");
    assert_eq!(
        run_with_input(&mut at_rest(&["set", "web", "PEM"]), "two\nlines\n").ok(),
        "✓ Set 1 secret(s) for 'web'\n"
    );
    assert_eq!(run(&mut at_rest(&["list", "web"])).ok(), "A\nB\nPEM\n");
    assert_eq!(run(&mut at_rest(&["list", "we"])).ok(), "No secrets set for 'we'.\n");
    let key = run(&mut at_rest(&["rotate", "web", "SLIP_SECRET"])).ok();
    assert_eq!(key.trim_end().len(), 64, "{key}");
    assert_ne!(run(&mut at_rest(&["rotate", "web", "SLIP_SECRET"])).ok(), key);
    assert_eq!(run(&mut at_rest(&["rm", "web", "B"])).ok(), "✓ Removed secret 'B' from 'web'\n");
    run(&mut at_rest(&["rm", "web", "B"])).fails(4);
    for bad in [
        &["set", "web", "1A=1"][..],
        &["set", "web", "../x=1"],
        &["set", "web", "A", "B"],
        &["set", "web", "A="],
        &["set", "web"],
    ] {
        run(&mut at_rest(bad)).fails(2);
    }
    let items = run(skipper(home.path()).args(["secrets", "list", "--json", "--data-dir", "data"])).json();
    let names: Vec<_> = items["items"].as_array().expect("a list").iter().map(|item| item["name"].as_str()).collect();
    assert_eq!(names, [Some("web.A"), Some("web.PEM"), Some("web.SLIP_SECRET")]);
    // Nothing of a value is in any file but sealed.
    for entry in
        fs::read_dir(home.path().join("data")).expect("listed").flatten().filter(|entry| entry.path().is_file())
    {
        let bytes = fs::read(entry.path()).expect("read");
        let found = bytes.windows(key.trim_end().len()).any(|window| window == key.trim_end().as_bytes());
        assert!(!found && !bytes.windows(9).any(|window| window == b"two\nlines"), "{:?}", entry.path());
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode() & 0o777
}

#[test]
fn init_sets_up_a_server_below_a_folder_and_destroys_nothing_the_second_time() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let root = home.path().join("root");
    let args = [
        "init",
        "--yes",
        "--root",
        "root",
        "--app",
        "my-app",
        "--image",
        "acme/web",
        "--host",
        "web.test",
        "--health-path",
        "/up",
    ];
    let out = run(called("slip", home.path()).args(args).arg("--dry-run")).ok();
    assert!(out.contains("would make  /etc/skipper/slip.toml") && !root.exists(), "{out}");
    let out = run(called("slip", home.path()).args(args)).ok();
    for line in [
        "made        /etc/skipper/slip.toml\n",
        "made        /etc/skipper/apps/my-app.toml\n",
        "slip deploy my-app TAG --wait",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    let etc = root.join("etc/skipper");
    assert_eq!(
        (mode(&etc.join("skipper.env")), mode(&etc.join("slip.toml")), mode(&root.join("var/lib/skipper"))),
        (0o600, 0o640, 0o700)
    );
    let keys = fs::read_to_string(etc.join("skipper.env")).expect("read");
    let values: Vec<&str> = keys.lines().filter_map(|line| line.split_once('=')).map(|(_, value)| value).collect();
    assert!(values.len() == 2 && values[0].len() == 64 && values[0] != values[1], "{keys}");
    assert!(values.iter().all(|value| !out.contains(value)), "keys are not shown");

    // What it wrote is what the server takes.
    let env_file = etc.join("skipper.env");
    let checked =
        run(called("slipd", home.path()).args(["--check", "--config"]).arg(&etc).arg("--env-file").arg(&env_file));
    assert_eq!(checked.code, 0, "{}", checked.err);
    let units = root.join("etc/systemd/system");
    let drop_in = fs::read_to_string(units.join("skipper.service.d/10-init.conf")).expect("read");
    assert!(
        drop_in.contains("EnvironmentFile=/etc/skipper/skipper.env\n") && drop_in.contains("User=skipper\n"),
        "{drop_in}"
    );
    assert_eq!(fs::read_link(root.join("usr/local/bin/slip")).expect("a link"), Path::new("skipper"));

    // Again, with another app: it is added, and the rest stays to the letter.
    fs::write(etc.join("slip.toml"), "# mine\n").expect("written");
    let again = ["init", "--yes", "--root", "root", "--app", "jobs", "--image", "acme/jobs", "--json"];
    let shown = run(skipper(home.path()).args(again)).json();
    let state = |what: &str| {
        let items = shown["items"].as_array().expect("a list");
        items.iter().find(|item| item["what"] == what).map(|item| item["state"].clone()).unwrap_or_default()
    };
    assert_eq!((state("/etc/skipper/slip.toml"), state("/etc/skipper/apps/jobs.toml")), ("kept".into(), "made".into()));
    assert_eq!(state("/etc/skipper/skipper.env"), "changed");
    assert_eq!(fs::read_to_string(etc.join("slip.toml")).expect("read"), "# mine\n");
    let more = fs::read_to_string(etc.join("skipper.env")).expect("read");
    assert!(more.starts_with(&keys) && more.lines().count() == keys.lines().count() + 1, "{more}");
    assert!(etc.join("apps/my-app.toml").exists());

    run(skipper(home.path()).args(["init", "--root", "other"])).fails(2);
    run(skipper(home.path()).args(["init", "--yes", "--root", "other", "--app", "../x", "--image", "acme/x"])).fails(2);
    run(skipper(home.path()).args(["init", "--yes", "--root", "other", "--config-dir", "a b"])).fails(2);
    let tagged = ["init", "--yes", "--root", "other", "--app", "web", "--image", "localhost:5000/acme/web:v1"];
    let refused = run(skipper(home.path()).args(tagged)).fails(2);
    assert!(refused.contains("`:v1` does not count") && refused.contains("localhost:5000/acme/web"), "{refused}");
    assert!(!home.path().join("other").exists());
}

#[test]
fn init_uses_slips_own_configuration_where_it_is() {
    let home = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir_all(home.path().join("etc/slip/apps")).expect("made");
    fs::write(home.path().join("etc/slip/slip.toml"), "[server]\n[auth]\nsecret = \"x\"\n[registry]\n[storage]\n")
        .expect("written");
    // Pipelines go on to sign with the key that they have.
    fs::write(home.path().join("etc/slip/slip.env"), "SLIP_SECRET=the-key-of-before\n").expect("written");
    let out = run(skipper(home.path()).args(["init", "--yes", "--root", "."])).ok();
    assert!(out.contains("SLIP_SECRET as slip had them") && !out.contains("the-key-of-before"), "{out}");
    let keys = fs::read_to_string(home.path().join("etc/skipper/skipper.env")).expect("read");
    assert!(keys.ends_with("\nSLIP_SECRET=the-key-of-before\n"), "{keys}");
    assert!(!home.path().join("etc/skipper/slip.toml").exists());
    let drop_in = home.path().join("etc/systemd/system/skipper.service.d/10-init.conf");
    assert!(
        fs::read_to_string(drop_in).expect("read").contains("server --config /etc/slip --data-dir /var/lib/skipper\n")
    );
}

#[test]
fn doctor_says_what_is_wrong_with_apps_and_keys_and_mends_what_is_safe() {
    let bench = bench();
    let cfg = bench.home().join("cfg");
    fs::write(cfg.join("apps/bad.toml"), "[app]\nname = \"bad\"\n").expect("written");
    fs::write(cfg.join("apps/half.toml"), "[app]\nname = \"half\"\nimage = \"acme/half\"\n").expect("written");
    let routed = "[app]\nname = \"open\"\nimage = \"acme/open\"\n[routing]\ndomain = \"no-such-name.invalid\"\nport = 80\n[health]\n[deploy]\n";
    fs::write(cfg.join("apps/open.toml"), routed).expect("written");
    fs::set_permissions(cfg.join("slip.toml"), fs::Permissions::from_mode(0o644)).expect("set");
    let doctor = |more: &[&str]| {
        let mut command =
            bench.command(&["doctor", "--config", "cfg", "--data-dir", "data", "--json", "--token", BEARER]);
        command.env("DOCKER_HOST", format!("unix://{}/none.sock", bench.home().display())).args(more);
        let ended = run(&mut command);
        let shown: Value = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {}", ended.err));
        (shown, ended.code)
    };
    let state = |shown: &Value, check: &str, text: &str| {
        let items = shown["items"].as_array().expect("a list");
        let is_it = |item: &&Value| {
            item["check"] == check && item["detail"].as_str().is_some_and(|detail| detail.contains(text))
        };
        items.iter().find(is_it).unwrap_or_else(|| panic!("{check}: {text}: {shown:#}"))["state"].clone()
    };
    // The server looks at its directory every two seconds.
    let (shown, code) = until(
        "the server has seen it",
        || doctor(&[]),
        |(shown, _)| shown.to_string().contains("half: apps/half.toml"),
    );
    assert_eq!(code, 1);
    for (check, text, expected) in [
        ("app files", "apps/bad.toml", "broken"),
        ("apps", "2 of 4 can be deployed, and not bad, half", "broken"),
        ("app files", "apps/half.toml:1:1: missing field `health`", "broken"),
        ("app", "half: apps/half.toml", "broken"),
        ("engine", "Docker does not run: there is no socket", "broken"),
        ("dns", "no-such-name.invalid leads nowhere", "warning"),
        ("webhook key", "signs the webhooks of open:", "warning"),
        ("key files", "slip.toml can be opened by every user (mode 644)", "broken"),
        ("access", "this client is let in", "ok"),
    ] {
        assert_eq!(state(&shown, check, text), expected, "{check}");
    }
    assert_eq!(mode(&cfg.join("slip.toml")), 0o644, "nothing is changed unless it is asked for");
    let (shown, _) = doctor(&["--fix"]);
    assert_eq!(state(&shown, "key files", "slip.toml"), "fixed");
    assert_eq!(mode(&cfg.join("slip.toml")), 0o640);
    assert!(!shown.to_string().contains(KEY) && !shown.to_string().contains(BEARER));
}

#[test]
fn the_install_script_installs_nothing_that_does_not_match_its_checksum() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let stub = "#!/bin/sh\necho skipper 9.9.9\n";
    fs::write(home.path().join("skipper"), stub).expect("written");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/install.sh");
    let install = |sum: &str| {
        let mut command = Command::new("sh");
        command.arg(script).args(["--file", "skipper", "--root", "root", "--sha256", sum]).current_dir(home.path());
        run(command.env_clear().env("PATH", "/usr/bin:/bin"))
    };
    let err = install(&"0".repeat(64)).fails(1);
    assert!(err.contains("the checksum does not match") && !home.path().join("root").exists(), "{err}");
    install("abc").fails(1);
    let sum = skipper_core::Sha256::of(stub.as_bytes()).to_string();
    assert!(install(&sum).ok().starts_with("skipper 9.9.9 is installed in root/usr/local/bin\n"));
    let bin = home.path().join("root/usr/local/bin");
    assert_eq!(
        (mode(&bin.join("skipper")), fs::read_to_string(bin.join("slipd")).expect("a link")),
        (0o755, stub.to_owned())
    );
    // A slip that is there stays.
    fs::remove_file(bin.join("slip")).expect("removed");
    fs::write(bin.join("slip"), "theirs").expect("written");
    install(&sum).ok();
    assert_eq!(fs::read_to_string(bin.join("slip")).expect("read"), "theirs");
}

#[test]
fn the_shell_completes_apps() {
    let bench = bench();
    let complete = |words: &[&str]| {
        let mut command = slip(&bench, &["--"]);
        command.env("COMPLETE", "bash").env("_CLAP_IFS", "\n").args(words);
        run(command.env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())).ok()
    };
    for line in [&["slip", "deploy", "w"][..], &["slip", "apps", "show", ""], &["slip", "secrets", "list", "we"]] {
        assert_eq!(complete(line).lines().next(), Some("web"), "{line:?}");
    }
}
