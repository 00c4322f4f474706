use std::time::{Duration, Instant};

use crate::bench::{Bench, get, package, until};

#[test]
fn a_release_is_installed_upgraded_rolled_back_and_deleted() {
    let bench = Bench::start();
    let address = bench.install("hello", &["--package-version", "1.0.0", "--set", "greeting=one"]);
    assert_eq!(get(&address, "/greeting").expect("answers"), (200, "one".to_owned()));

    bench.run(&["upgrade", "hello", "helloworld", "--set", "greeting=two", "--wait", "--description", "second"]).ok();
    assert_eq!(bench.address_of("hello"), address, "the address stays");
    assert_eq!(get(&address, "/greeting").expect("answers").1, "two");

    bench.run(&["rollback", "hello", "--wait"]).ok();
    assert_eq!(get(&address, "/greeting").expect("answers").1, "one");

    let history = bench.run(&["history", "hello", "--json"]).json();
    let lines: Vec<_> = history["items"].as_array().expect("a list").iter().collect();
    let told: Vec<_> = lines.iter().map(|line| (line["revision"].as_u64(), line["state"].as_str())).collect();
    assert_eq!(told, [(Some(3), Some("live")), (Some(2), Some("superseded")), (Some(1), Some("superseded"))]);
    assert_eq!((&lines[1]["description"], &lines[1]["trigger"]), (&"second".into(), &"cli".into()));

    let diff = bench.run(&["diff", "hello", "1", "2"]).ok();
    assert!(
        diff.contains("-    helloworld.greeting: \"one\"") && diff.contains("+    helloworld.greeting: \"two\""),
        "{diff}"
    );
    assert_eq!(bench.run(&["diff", "hello", "1", "3"]).ok(), "", "a rollback has the same manifest");
    let manifest = bench.run(&["manifest", "hello", "2"]).ok();
    assert!(manifest.contains("helloworld.greeting: \"two\""), "{manifest}");
    assert_eq!(bench.run(&["get", "manifest", "hello", "2"]).ok(), manifest);
    assert_eq!(bench.run(&["manifest", "get", "--release-name", "hello", "2"]).code, 2);

    let list = bench.run(&["list"]).ok();
    assert!(list.starts_with("NAME\tREVISION\t") && list.contains("\nhello\t3\tlive\t"), "{list}");
    assert_eq!(bench.run(&["list", "--names"]).ok(), "hello\n");

    bench.run(&["delete", "hello", "--wait"]).ok();
    get(&address, "/greeting").expect_err("nobody listens any more");
    assert_eq!(bench.run(&["list", "--names"]).ok(), "");
    assert_eq!(bench.run(&["list", "--names", "--all"]).ok(), "hello\n");
    assert_eq!(bench.run(&["history", "hello", "--json"]).json()["items"].as_array().map(Vec::len), Some(4));
    bench.run(&["events", "verify"]).ok();
}

#[test]
fn a_routed_application_that_is_recreated_keeps_its_address_and_can_be_scaled_by_number() {
    let bench = Bench::start();
    let recreate = "  strategy: recreate\n";
    let first = package(bench.home(), "shop", "1.0.0", &[], recreate);
    let second = package(bench.home(), "shop", "2.0.0", &[], recreate);
    bench.run(&["install", "web", first.to_str().expect("UTF-8"), "--wait"]).ok();
    let address = bench.address_of("web");
    bench.run(&["upgrade", "web", second.to_str().expect("UTF-8"), "--wait"]).ok();
    let about = get(&address, "/about").expect("answers").1;
    assert!(about.contains("2.0.0"), "{about}");
    bench.run(&["scale", "web", "2", "--wait"]).ok();
    assert!(bench.run(&["list"]).ok().contains("\nweb\t3\tlive\t"));
}

#[test]
fn a_version_that_never_gets_healthy_undoes_itself_and_shows_why() {
    let bench = Bench::start();
    let good = package(bench.home(), "shop", "1.0.0", &[], "");
    let bad = package(bench.home(), "shop", "2.0.0", &[("SAMPLE_EXIT_AFTER", "0"), ("SAMPLE_EXIT_CODE", "7")], "");
    bench.run(&["install", "web", good.to_str().expect("UTF-8"), "--wait"]).ok();
    let address = bench.address_of("web");
    let err = bench.run(&["upgrade", "web", bad.to_str().expect("UTF-8"), "--wait"]).fails(5);
    for text in ["web: upgrade to revision 2 failed", "status 7", "revision 1 serves, as before", "skipper why web"] {
        assert!(err.contains(text), "no `{text}` in:\n{err}");
    }
    let about = get(&address, "/about").expect("answers").1;
    assert!(about.contains("1.0.0"), "{about}");
    // Its last words are kept, for both doors.
    let logs = bench.run(&["logs", "web", "--revision", "2"]);
    assert!(logs.err.contains("revision 2 failed and is gone") && logs.err.contains("status 7"), "{}", logs.err);
    let said = logs.ok();
    assert!(said.contains("ending at once with status 7"), "what it wrote: {said}");
    assert!(!bench.run(&["logs", "web"]).ok().contains("ending at once"), "what runs is asked where nothing else is");
    assert!(bench.run(&["logs", "web", "--revision", "9"]).fails(4).contains("no revision 9"));
    let (status, spring) = get(bench.url().trim_start_matches("http://"), "/api/release/logs/web").expect("answers");
    assert!(status == 200 && spring.contains("web.web-v2") && spring.contains("status 7"), "{spring}");
    let why = bench.run(&["why", "web"]).ok();
    assert!(why.contains("status 7"), "{why}");
    let status = bench.run(&["status", "web", "--json"]).json();
    assert_eq!((&status["revision"], &status["state"]), (&1.into(), &"live".into()));
}

#[test]
fn a_first_install_that_fails_leaves_nothing_and_can_be_repeated() {
    let bench = Bench::start();
    let bad = package(bench.home(), "shop", "1.0.0", &[("SAMPLE_EXIT_AFTER", "0")], "");
    let good = package(bench.home(), "shop", "1.0.1", &[], "");
    let ended = bench.run(&["install", "web", bad.to_str().expect("UTF-8"), "--wait", "--json"]);
    assert_eq!(ended.code, 5, "{}", ended.err);
    let view: serde_json::Value = serde_json::from_str(&ended.out).expect("the rollout");
    assert_eq!((&view["phase"], view["bundle"].is_null()), (&"failed".into(), false));
    assert_eq!(bench.run(&["status", "web", "--json"]).json()["state"], "failed");
    let logs = bench.run(&["logs", "web"]);
    assert!(logs.err.contains("revision 1 failed and is gone"), "{}", logs.err);
    let said = logs.ok();
    assert!(said.contains("ending at once with status"), "what it wrote: {said}");
    let (_, spring) = get(bench.url().trim_start_matches("http://"), "/api/release/logs/web").expect("answers");
    assert!(spring.contains("web.web-v1") && spring.contains("failed and is gone"), "{spring}");
    bench.run(&["install", "web", good.to_str().expect("UTF-8"), "--wait"]).ok();
    assert_eq!(bench.run(&["status", "web", "--json"]).json()["state"], "live");
}

#[test]
fn a_plan_is_shown_without_doing_it_and_can_be_required() {
    let bench = Bench::start();
    bench.install("hello", &[]);
    let plan = bench.run(&["plan", "upgrade", "hello", "--set", "greeting=x", "--json"]).json();
    let dry = bench.run(&["upgrade", "hello", "--set", "greeting=x", "--dry-run", "--json"]).json();
    assert_eq!(plan["hash"], dry["hash"]);
    assert_eq!(bench.run(&["status", "hello", "--json"]).json()["last_revision"], 1);
    let hash = plan["hash"].as_str().expect("a hash");
    let ended = bench.run(&["upgrade", "hello", "--set", "greeting=y", "--wait", "--require-plan", hash]);
    assert!(matches!(ended.code, 1 | 5), "{}", ended.err);
    let text = bench.run(&["plan", "delete", "hello"]).ok();
    assert!(text.contains("retire"), "{text}");
}

#[test]
fn scaling_changes_the_number_of_instances_alone() {
    let bench = Bench::start();
    let address = bench.install("hello", &["--set", "greeting=same"]);
    bench.run(&["scale", "hello", "3", "--wait"]).ok();
    let status = bench.run(&["status", "hello", "--json"]).json();
    assert_eq!((&status["apps"][0]["replicas"], &status["apps"][0]["running"]), (&3.into(), &3.into()));
    bench.run(&["scale", "hello", "helloworld=1", "--wait"]).ok();
    assert_eq!(bench.run(&["status", "hello", "--json"]).json()["apps"][0]["running"], 1);
    assert_eq!(get(&address, "/greeting").expect("answers").1, "same");
    let ended = bench.run(&["scale", "hello", "nope=1"]);
    assert!(ended.code != 0 && ended.err.contains("nope"), "{}", ended.err);
}

#[test]
fn a_rollout_is_cancelled_and_undone_while_the_old_revision_serves() {
    let bench = Bench::start();
    let first = package(bench.home(), "shop", "1.0.0", &[], "");
    let slow = package(bench.home(), "shop", "2.0.0", &[("SAMPLE_READY_AFTER", "never")], "");
    bench.run(&["install", "web", first.to_str().expect("UTF-8"), "--wait"]).ok();
    let address = bench.address_of("web");
    let accepted = bench.run(&["upgrade", "web", slow.to_str().expect("UTF-8"), "--json"]).json();
    assert_eq!(accepted["revision"], 2);
    let busy = bench.run(&["upgrade", "web", first.to_str().expect("UTF-8"), "--force"]).fails(1);
    assert!(busy.contains(accepted["rollout"]["id"].as_str().expect("an id")) || busy.contains("rollout"), "{busy}");
    let said = bench.run(&["cancel", "web", "--wait"]).ok();
    assert!(said.contains("cancelled") && said.contains("revision 1 serves"), "{said}");
    assert!(get(&address, "/about").expect("answers").1.contains("1.0.0"));
    let err = bench.run(&["cancel", "web"]).fails(1);
    assert!(err.contains("no rollout"), "{err}");
}

#[test]
fn waiting_ends_with_6_when_the_time_is_up_and_the_rollout_goes_on() {
    let bench = Bench::start();
    let slow = package(bench.home(), "shop", "1.0.0", &[("SAMPLE_READY_AFTER", "1500")], "");
    let begun = Instant::now();
    let err = bench.run(&["install", "web", slow.to_str().expect("UTF-8"), "--timeout", "200ms"]).fails(6);
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert!(err.contains("it goes on") && err.contains("skipper cancel web"), "{err}");
    until("the install ends", || bench.run(&["status", "web", "--json"]).json()["state"].clone(), |s| s == "live");
}

#[test]
fn logs_events_and_operating_verbs_reach_the_release() {
    let bench = Bench::start();
    let address = bench.install("hello", &["--set", "greeting=hi"]);
    get(&address, "/log?line=a-line-of-mine").expect("answers");
    let lines =
        until("the line is in the log", || bench.run(&["logs", "hello"]).ok(), |out| out.contains("a-line-of-mine"));
    assert!(!lines.contains(" | "), "one instance needs no label: {lines}");
    let json = bench.run(&["logs", "hello", "--json", "--tail", "1"]).ok();
    assert!(json.lines().all(|line| line.starts_with('{') && line.contains("\"app\":\"helloworld\"")), "{json}");

    let events = bench.run(&["events", "--release", "hello", "--json"]).json();
    let kinds: Vec<_> = events["items"].as_array().expect("a list").iter().filter_map(|e| e["kind"].as_str()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"rollout.accepted"), Some(&"release.installed")));
    let last = bench.run(&["events", "--limit", "2", "--json"]).json();
    assert_eq!(last["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(last["items"][1], events["items"][kinds.len() - 1]);

    bench.run(&["maintenance", "hello", "back at noon"]).ok();
    let (status, page) = get(&address, "/greeting").expect("answers");
    assert!(status == 503 && page.contains("back at noon"), "{status} {page}");
    bench.run(&["resume", "hello"]).ok();
    assert_eq!(get(&address, "/greeting").expect("answers"), (200, "hi".to_owned()));
    bench.run(&["hold", "hello", "--bound", "100ms"]).ok();
    assert_eq!(get(&address, "/greeting").expect("answers").0, 503);
    bench.run(&["resume", "hello"]).ok();

    // What is asked of a release goes with it.
    bench.run(&["maintenance", "hello", "gone for good"]).ok();
    bench.run(&["delete", "hello", "--yes", "--wait"]).ok();
    bench.run(&["install", "hello", "helloworld@1.0.0", "--wait"]).ok();
    let answer = get(&bench.address_of("hello"), "/greeting").expect("answers");
    assert_eq!(answer.0, 200, "{}", answer.1);

    bench.run(&["doctor", "--data-dir", "data"]).ok();
    for line in [&["platform", "list"][..], &["repo", "list"], &["version"]] {
        bench.run(line).ok();
    }
}

#[test]
fn what_does_not_exist_ends_with_4() {
    let bench = Bench::start();
    for line in [
        &["status", "nope"][..],
        &["history", "nope"],
        &["logs", "nope"],
        &["upgrade", "nope", "helloworld"],
        &["rollback", "nope"],
        &["delete", "nope"],
        &["install", "a", "no-such-package"],
        &["install", "a", "helloworld@9.9.9"],
        &["install", "a", "./no-such-folder"],
    ] {
        let ended = bench.run(line);
        assert_eq!(ended.code, 4, "{line:?}: {}", ended.err);
        assert!(ended.err.contains("hint:"), "{line:?}: {}", ended.err);
    }
    let ended = bench.run(&["install", "a", "helloworld", "--platform", "moon"]);
    assert!(ended.code != 0 && ended.err.contains("moon"), "{}", ended.err);
    let err = bench.run(&["install", "a b", "helloworld"]).fails(1);
    assert!(err.contains("a b"), "{err}");
}

#[test]
fn names_that_exist_complete() {
    let bench = Bench::start();
    bench.install("hello", &[]);
    let complete = |words: &[&str]| {
        let mut command = bench.command(&["--"]);
        command.env("COMPLETE", "bash").env("_CLAP_IFS", "\n");
        command.env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string()).args(words);
        crate::bench::run(&mut command).ok()
    };
    let offers = |words: &[&str], name: &str| complete(words).lines().any(|line| line == name);
    assert!(offers(&["skipper", "status", "he"], "hello"));
    assert!(offers(&["skipper", "manifest", "hello", ""], "1"));
    assert!(!offers(&["skipper", "rollback", "hello", ""], "1"), "it serves");
    assert!(offers(&["skipper", "scale", "hello", ""], "helloworld="));
    assert!(offers(&["skipper", "scale", "--release-name", "hello", ""], "helloworld="));
    assert!(!offers(&["skipper", "scale", "hello", "helloworld=2", ""], "helloworld="));
    bench.run(&["scale", "hello", "2", "--wait"]).ok();
    bench.run(&["upgrade", "hello", "helloworld", "--package-version", "1.0.0", "--wait"]).ok();
    let versions = complete(&["skipper", "rollback", "--release-name", "hello", "--release-version", ""]);
    assert_eq!(versions.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>(), ["1"], "{versions}");
    assert!(offers(&["skipper", "rollback", "hello", ""], "2") && !offers(&["skipper", "rollback", "hello", ""], "3"));
    bench.run(&["delete", "hello", "--yes", "--wait"]).ok();
    for verb in ["rollback", "history", "upgrade"] {
        assert!(offers(&["skipper", verb, "he"], "hello"), "{verb}");
    }
    assert!(!offers(&["skipper", "scale", "he"], "hello"));
    assert!(offers(&["skipper", "install", "x", "hell"], "helloworld"));
    assert!(offers(&["skipper", "install", "x", "helloworld", "--package-version", ""], "1.0.0"));
    assert!(offers(&["skipper", "install", "x", "y", "--platform", ""], "local"));
}

#[test]
fn a_port_that_was_picked_and_cannot_be_had_any_more_is_no_reason_to_fail() {
    let bench = Bench::start();
    let never = package(bench.home(), "never", "1.0.0", &[("SAMPLE_READY_AFTER", "never")], "");
    let never = never.to_str().expect("UTF-8");
    bench.run(&["install", "web", never, "--set", "startPeriod=300ms", "--wait"]).fails(5);
    // Picked for that one, and taken by somebody else since.
    let taken = std::net::TcpListener::bind(("127.0.0.1", bench.port(0))).expect("nobody serves there");
    let address = bench.install("web", &[]);
    assert_eq!(address, format!("127.0.0.1:{}", bench.port(1)));
    drop(taken);
    // What serves keeps its own.
    bench.run(&["upgrade", "web", "helloworld", "--package-version", "1.0.1", "--wait"]).ok();
    assert_eq!(bench.address_of("web"), address);
}

#[test]
fn who_deletes_what_runs_on_an_account_that_is_gone_is_told_that_it_goes_on() {
    let (with, without) = (
        "[platforms.local]\ntype = \"local\"\n[platforms.second]\ntype = \"local\"\n",
        "[platforms.local]\ntype = \"local\"\n",
    );
    let write = |home: &std::path::Path, text: &str| std::fs::write(home.join("server.toml"), text).expect("written");
    let mut bench =
        Bench::start_prepared(&["--config", "server.toml", "--edge-http", "off", "--edge-https", "off"], |home| {
            write(home, &format!("default_platform = \"local\"\n{with}"));
        });
    let address = bench.install("web", &["--platform", "second"]);
    bench.stop_server();
    write(bench.home(), &format!("default_platform = \"local\"\n{without}"));
    bench.start_server();
    let ended = bench.run(&["delete", "web", "--wait"]);
    assert!(ended.err.contains("note: platform `second` is not configured any more"), "{}", ended.err);
    ended.ok();
    let why = bench.run(&["why", "web"]).ok();
    assert!(why.contains("could not be stopped: platform `second`") && why.contains("hint:"), "{why}");
    // With the account what is left goes.
    bench.stop_server();
    write(bench.home(), &format!("default_platform = \"local\"\n{with}"));
    bench.start_server();
    until("it is gone", || bench.run(&["why", "web"]).ok(), |why| why.contains("nothing is wrong"));
    assert!(get(&address, "/about").is_err());
}
