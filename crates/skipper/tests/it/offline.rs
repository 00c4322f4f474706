use std::{fs, io::Read as _, process::Stdio};

use crate::bench::{run, run_with_input, skipper};

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn the_name_alone_says_what_it_is_and_what_to_try_first() {
    let home = home();
    let out = run(skipper(home.path()).env("SKIPPER_URL", "http://127.0.0.1:1")).ok();
    for text in ["a release manager", "skipper demo", "skipper server", "skipper --help"] {
        assert!(out.contains(text), "{out}");
    }
}

#[test]
fn a_server_that_does_not_run_is_an_error_that_says_how_to_start_one() {
    let home = home();
    let err = run(skipper(home.path()).args(["list", "--url", "http://127.0.0.1:1"])).fails(1);
    assert!(err.starts_with("error: no server answers at http://127.0.0.1:1: connection refused\nhint:  "), "{err}");
    // The default address may be taken on this machine; the advice for it is tested through the environment.
    let err = run(skipper(home.path()).env("SKIPPER_URL", "http://127.0.0.1:1").arg("list")).fails(1);
    assert!(err.contains("the address comes from SKIPPER_URL"), "{err}");
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let home = home();
    for line in
        [&["frobnicate"][..], &["install"], &["install", "a"], &["history"], &["list", "--limit", "x"], &["scale", "x"]]
    {
        let ended = run(skipper(home.path()).args(line));
        assert_eq!(ended.code, 2, "{line:?}: {}", ended.err);
        assert!(ended.out.is_empty(), "{line:?}");
    }
    run(skipper(home.path()).args(["list", "--url", "ftp://x"])).fails(2);
}

#[test]
fn help_and_version_go_to_standard_output() {
    let home = home();
    for line in [&["--help"][..], &["install", "--help"], &["edge", "--help"], &["demo", "--help"], &["--version"]] {
        let ended = run(skipper(home.path()).args(line));
        assert!(ended.err.is_empty(), "{line:?}: {}", ended.err);
        assert!(!ended.ok().is_empty(), "{line:?}");
    }
}

#[test]
fn targets_are_named_used_and_shown_with_their_origin() {
    let home = home();
    let skipper = || skipper(home.path());
    run_with_input(
        skipper().args(["config", "add-target", "prod", "--url", "http://127.0.0.1:1", "--token-stdin"]),
        "tok-1\n",
    )
    .ok();
    run(skipper().args(["config", "add-target", "dev", "--url", "http://127.0.0.1:2"])).ok();
    let shown = run(skipper().args(["config", "show", "--json"])).json();
    assert_eq!(shown["url"]["value"], "http://127.0.0.1:1");
    assert_eq!(shown["url"]["origin"], "target prod (the current target)");
    assert!(!shown.to_string().contains("tok-1"), "{shown}");
    run(skipper().args(["config", "use", "dev"])).ok();
    let shown = run(skipper().args(["config", "show", "--json"])).json();
    assert_eq!((&shown["url"]["value"], &shown["token"]), (&"http://127.0.0.1:2".into(), &serde_json::Value::Null));
    let shown = run(skipper().env("SKIPPER_URL", "http://127.0.0.1:3").args(["config", "show", "--json"])).json();
    assert_eq!(shown["url"]["origin"], "SKIPPER_URL");
    let err = run(skipper().args(["config", "use", "nope"])).fails(4);
    assert!(err.contains("there are: dev, prod"), "{err}");
    run(skipper().args(["config", "remove-target", "prod"])).ok();
    let out = run(skipper().args(["config", "list"])).ok();
    assert!(out.contains("dev") && !out.contains("prod"), "{out}");
}

#[test]
fn the_settings_of_a_server_are_shown_with_their_origin() {
    let home = home();
    fs::create_dir(home.path().join("data")).expect("made");
    fs::write(home.path().join("data/skipper.toml"), "[log]\nlevel = \"debug\"\n").expect("written");
    let mut command = skipper(home.path());
    command.env("PORT", "7999").args(["config", "show", "--server", "--data-dir", "data", "--json"]);
    let shown = run(&mut command).json();
    let of = |key: &str| {
        let item = shown["items"].as_array().and_then(|items| items.iter().find(|item| item["key"] == key));
        let item = item.unwrap_or_else(|| panic!("{key}: {shown}"));
        (item["value"].as_str().unwrap_or_default().to_owned(), item["origin"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(of("listen").0, "127.0.0.1:7999");
    assert!(of("listen").1.contains("PORT"), "{:?}", of("listen"));
    assert!(of("log.level").1.contains("skipper.toml:2"), "{:?}", of("log.level"));
    fs::write(home.path().join("data/skipper.toml"), "[log]\nlevl = \"debug\"\n").expect("written");
    let err = run(skipper(home.path()).args(["server", "--data-dir", "data"])).fails(2);
    assert!(err.contains("skipper.toml:2") && err.contains("log.level"), "{err}");
}

#[test]
fn completion_offers_verbs_and_options_without_a_server() {
    let home = home();
    let script = run(skipper(home.path()).args(["completions", "bash"])).ok();
    assert!(script.contains("complete") && script.contains("COMPLETE"), "{script}");
    let complete = |words: &[&str]| {
        let mut command = skipper(home.path());
        command.env("COMPLETE", "bash").env("_CLAP_IFS", "\n").env("SKIPPER_URL", "http://127.0.0.1:1");
        command.env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string()).arg("--").args(words);
        run(&mut command).ok()
    };
    let verbs = complete(&["skipper", "in"]);
    let mut verbs: Vec<&str> = verbs.lines().collect();
    verbs.sort_unstable();
    assert_eq!(verbs, ["init", "install"]);
    assert!(complete(&["skipper", "install", "--dry"]).contains("--dry-run"));
    assert_eq!(complete(&["skipper", "status", ""]).lines().filter(|line| !line.starts_with('-')).count(), 0);
}

#[test]
fn manual_pages_are_written_for_every_verb() {
    let home = home();
    run(skipper(home.path()).args(["man", "pages"])).ok();
    for page in ["skipper.1", "skipper-install.1", "skipper-package-render.1"] {
        let text = fs::read_to_string(home.path().join("pages").join(page)).unwrap_or_else(|e| panic!("{page}: {e}"));
        assert!(text.contains(".SH NAME"), "{page}");
    }
    assert!(!home.path().join("pages/skipper-keeper.1").exists());
}

#[test]
fn output_that_nobody_reads_ends_the_command_quietly() {
    let home = home();
    let mut command = skipper(home.path());
    // A pipe holds 64 KiB, so it is a reader that was never there which the program meets.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut child = command.arg("markdown-help").stdout(writer).stderr(Stdio::piped()).spawn().expect("it starts");
    drop(command);
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("read");
    assert_eq!((child.wait().expect("it ends").code(), said.as_str()), (Some(0), ""));
}
