//! `skipper shell`, as Spring's people and their scripts use it.

use std::fs;

use crate::bench::{Bench, get, run, run_with_input, skipper};

#[test]
fn a_script_installs_upgrades_rolls_back_and_deletes_in_the_words_of_the_guide() {
    let bench = Bench::start();
    let script = "\
        // the tour\n\
        install --release-name hello --package-name helloworld --package-version 1.0.0\n\
        \n\
        upgrade --releaseName hello \\\n\
            --packageName helloworld --packageVersion=1.0.1\n\
        # and back\n\
        skipper release rollback --release-name hello --release-version 1\n\
        delete --release-name 'hello'\n";
    let out = run_with_input(&mut bench.command(&["shell"]), script).ok();
    assert_eq!(
        out,
        "Released hello. Now at version v1.\n\
         hello has been upgraded.  Now at version v2.\n\
         hello has been rolled back.  Now at version v3.\n\
         hello has been deleted.\n"
    );
}

#[test]
fn the_command_line_says_the_same_in_the_end_and_waits_for_who_writes_springs_flags() {
    let bench = Bench::start();
    let out = bench.run(&["install", "--releaseName", "hello", "--packageName=helloworld"]).ok();
    assert!(out.ends_with("\nReleased hello. Now at version v1.\n"), "{out}");
    assert_eq!(get(&bench.address_of("hello"), "/health").expect("it serves").0, 200);
    let out = bench.run(&["install", "--release-name", "other", "--package-name", "helloworld", "--no-wait"]).ok();
    assert!(out.contains("install accepted") && !out.contains("Released"), "{out}");
}

#[test]
fn a_line_that_fails_ends_a_script_with_its_number_and_exit_code() {
    let bench = Bench::start();
    let script = bench.home().join("tour.skipper");
    fs::write(&script, "list\n\nstatus --release-name nobody\nversion --client\n").expect("written");
    let ended = bench.run(&["shell", "@tour.skipper"]);
    assert!(!ended.out.contains("client"), "{}", ended.out);
    let err = ended.fails(4);
    assert!(err.contains("nobody") && err.contains("tour.skipper: line 3 failed: status"), "{err}");

    let ended = bench.run(&["shell", "--continue", "@tour.skipper"]);
    assert_eq!(ended.code, 4);
    assert!(ended.out.contains("client"), "{}", ended.out);
    // One script may run another, and an exit code may be chosen.
    let ended = run_with_input(&mut bench.command(&["shell"]), "script tour.skipper --continue\nversion\n");
    assert!(ended.fails(4).contains("standard input: line 1 failed"));
    let ended = run_with_input(&mut bench.command(&["shell"]), "exit 7\nlist\n");
    assert_eq!((ended.code, ended.out.as_str()), (7, ""));
    fs::write(&script, "script tour.skipper\n").expect("written");
    assert!(bench.run(&["shell", "@tour.skipper"]).fails(1).contains("call itself"));
}

#[test]
fn one_command_may_be_given_as_one_word_or_as_many() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let one = run(skipper(home.path()).args(["shell", "version --client"])).ok();
    let many = run(skipper(home.path()).args(["shell", "version", "--client"])).ok();
    assert_eq!(one, many);
    assert_eq!(run(skipper(home.path()).args(["shell", "nonsense"])).code, 2);
    assert_eq!(run(skipper(home.path()).args(["shell", "list --nonsense"])).code, 2);
    run(skipper(home.path()).args(["shell", "list 'x"])).fails(2);
    let help = run(skipper(home.path()).args(["shell", "help"])).ok();
    assert!(help.contains("  stacktrace ") && help.contains("  release rollback "), "{help}");
    let help = run(skipper(home.path()).args(["shell", "help package upload"])).ok();
    assert!(help.contains("--repo-name"), "{help}");
    let err = run(skipper(home.path()).args(["shell", "server"])).fails(2);
    assert!(err.contains("outside of the shell"), "{err}");
}

#[test]
fn the_last_error_can_be_looked_into() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let script = "list --url http://127.0.0.1:1\nstacktrace\n";
    let ended = run_with_input(skipper(home.path()).args(["shell", "--continue"]), script);
    assert_eq!(ended.code, 1);
    assert!(ended.out.contains("caused by: ") && ended.out.contains("list --url http://127.0.0.1:1"), "{}", ended.out);
}
