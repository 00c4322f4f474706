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
    let ended = run_with_input(&mut bench.command(&["shell"]), script);
    assert_eq!(ended.err, "", "and nothing else is said");
    assert_eq!(
        ended.ok(),
        "Released hello. Now at version v1.\n\
         hello has been upgraded.  Now at version v2.\n\
         hello has been rolled back.  Now at version v3.\n\
         hello has been deleted.\n"
    );
}

#[test]
fn a_deleted_release_comes_back_by_an_upgrade_and_by_a_rollback_without_a_number() {
    let bench = Bench::start();
    let script = "\
        install --release-name hello --package-name helloworld --package-version 1.0.0\n\
        delete --release-name hello\n\
        upgrade --release-name hello --package-name helloworld --package-version 1.0.1\n\
        delete --release-name hello\n\
        rollback --release-name hello\n\
        manifest get --release-name hello\n";
    let out = run_with_input(&mut bench.command(&["shell"]), script).ok();
    let (said, manifest) = out.split_at(out.find("Now at version v3.\n").expect("three versions") + 19);
    assert_eq!(
        said,
        "Released hello. Now at version v1.\n\
         hello has been deleted.\n\
         hello has been upgraded.  Now at version v2.\n\
         hello has been deleted.\n\
         hello has been rolled back.  Now at version v3.\n"
    );
    assert!(
        manifest.contains("1.0.0") && !manifest.contains("1.0.1"),
        "the one before that which served last: {manifest}"
    );
    bench.run(&["delete", "hello", "--wait"]).ok();
    let out = bench.run(&["upgrade", "hello", "helloworld", "--package-version", "1.0.1", "--wait"]).ok();
    assert!(out.ends_with("hello has been upgraded.  Now at version v4.\n"), "{out}");
}

#[test]
fn versions_are_counted_in_one_way_also_after_a_scaling() {
    let bench = Bench::start();
    let script = "\
        install --release-name hello --package-name helloworld --package-version 1.0.0\n\
        scale hello helloworld=2\n\
        upgrade --release-name hello --package-name helloworld --package-version 1.0.1\n\
        manifest get --release-name hello --release-version 2\n\
        upgrade --release-name hello --package-name helloworld --package-version 1.0.0\n\
        release rollback --release-name hello --release-version 2\n\
        history --release-name hello\n";
    let out = run_with_input(&mut bench.command(&["shell"]), script).ok();
    for said in
        ["hello has been scaled.  Now at version v1.", "upgraded.  Now at version v2.", "back.  Now at version v4."]
    {
        assert!(out.contains(said), "{out}");
    }
    let (manifest, _) = out.split_once("Now at version v3").expect("two upgrades");
    assert!(manifest.contains("1.0.1"), "version 2 is the one of the first upgrade: {out}");
    let newest = out.lines().find(|line| line.contains("Rollback complete") || line.contains("Upgrade complete"));
    assert!(newest.is_some_and(|line| line.contains("1.0.1")), "{out}");
    // A scaling is nothing to go back from: the way leads to the version before, in the shell and behind the program's name.
    let script = "scale --release-name hello helloworld=1\nrollback --release-name hello\n";
    run_with_input(&mut bench.command(&["shell"]), script).ok();
    let served = || get(&bench.address_of("hello"), "/about").expect("it serves").1;
    assert!(served().contains("1.0.0"), "{}", served());
    bench.run(&["scale", "--release-name", "hello", "helloworld=3"]).ok();
    bench.run(&["rollback", "--release-name", "hello"]).ok();
    assert!(served().contains("1.0.1"), "{}", served());
}

#[test]
fn springs_options_count_versions_behind_the_programs_name_as_well() {
    let bench = Bench::start();
    let springs = |verb: &str, more: &[&str]| {
        let words: Vec<&str> = verb.split(' ').chain(["--release-name", "hello"]).chain(more.iter().copied()).collect();
        bench.run(&words).ok()
    };
    springs("install", &["--package-name", "helloworld", "--package-version", "1.0.0"]);
    let out = springs("scale", &["helloworld=2"]);
    assert!(out.ends_with("hello has been scaled.  Now at version v1.\n"), "{out}");
    let out = springs("upgrade", &["--package-name", "helloworld", "--package-version", "1.0.1"]);
    assert!(out.ends_with("hello has been upgraded.  Now at version v2.\n"), "{out}");
    // The second version is the third revision.
    let second = springs("manifest get", &["--release-version", "2"]);
    assert!(second.contains("1.0.1"), "{second}");
    assert_eq!(bench.run(&["manifest", "hello", "3"]).ok(), second);
    assert!(bench.run(&["manifest", "hello", "2"]).ok().contains("1.0.0"), "a scaling is a revision");
    let detail = springs("manifest get", &["--release-version", "2", "--json"]);
    let detail: serde_json::Value = serde_json::from_str(&detail).expect("JSON");
    assert_eq!((&detail["revision"], &detail["version"]), (&3.into(), &2.into()));
    let status = springs("status", &["--release-version", "2"]);
    assert!(
        status.contains("VERSION") && status.lines().any(|line| line.starts_with("3") && line.contains("\tv2\t")),
        "{status}"
    );
    let plan = springs("plan rollback", &["--release-version", "1"]);
    let out = springs("rollback", &["--release-version", "1"]);
    assert!(out.ends_with("hello has been rolled back.  Now at version v3.\n"), "{plan}{out}");
    assert!(get(&bench.address_of("hello"), "/about").expect("it serves").1.contains("1.0.0"));
    let out = bench.run(&["rollback", "hello", "3", "--wait"]).ok();
    assert!(out.contains("revision 5 serves") && out.ends_with("Now at version v4.\n"), "{out}");
    // In the shell a number is always that of a version.
    let detail = bench.run(&["shell", "--json", "manifest get hello 2"]).json();
    assert_eq!(detail["revision"], 3);
    let err = bench.run(&["manifest", "get", "--release-name", "hello", "--release-version", "9"]).fails(4);
    assert!(err.contains("no version 9"), "{err}");
}

#[test]
fn an_upgrade_of_2_x_adds_values_and_one_of_1_0_replaces_them() {
    let bench = Bench::start();
    let raw = || {
        let (_, body) = get(bench.url().trim_start_matches("http://"), "/api/list/hello").expect("it answers");
        let list: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        list.as_array().and_then(|all| all.last()).expect("a release")["configValues"]["raw"].clone()
    };
    let shell = |lines: &str| run_with_input(&mut bench.command(&["shell"]), lines).ok();
    let package = "--release-name hello --package-name helloworld --package-version";
    shell(&format!("install {package} 1.0.0 --properties spec.applicationProperties.a=1,x.y=1\n"));
    shell(&format!("release upgrade {package} 1.0.1 --properties spec.applicationProperties.b=2,x.z=2\n"));
    assert_eq!(
        raw(),
        "spec:\n  applicationProperties:\n    a: '1'\n    b: '2'\nx:\n  y: '1'\n  z: '2'\n",
        "as the server of 2.x does for its own shell"
    );
    // Behind the program's name too, and with values that are no text.
    bench
        .run(&[
            "release",
            "upgrade",
            "--release-name",
            "hello",
            "--package-name",
            "helloworld",
            "--set",
            "spec.applicationProperties.c=3",
        ])
        .ok();
    assert_eq!(raw(), "spec:\n  applicationProperties:\n    a: '1'\n    b: '2'\n    c: 3\nx:\n  y: '1'\n  z: '2'\n");
    shell("release upgrade hello helloworld --properties spec.applicationProperties.b=4\n");
    assert_eq!(raw(), "spec:\n  applicationProperties:\n    a: '1'\n    b: '4'\n    c: 3\nx:\n  y: '1'\n  z: '2'\n");
    shell(&format!("upgrade {package} 1.0.0 --properties x.z=4\n"));
    assert_eq!(raw(), "x:\n  z: '4'\n");
    // Nothing is carried over where nothing is given.
    shell(&format!("release upgrade {package} 1.0.1\n"));
    assert_eq!(raw(), serde_json::Value::Null);
    // Forced, everything is launched anew for Spring's people; our own word for it only rolls out.
    let launched_by = |version: u64| {
        let (_, body) = get(bench.url().trim_start_matches("http://"), "/api/status/hello").expect("it answers");
        assert!(body.contains(&format!("hello.helloworld-v{version}-0")), "{body}");
    };
    launched_by(6);
    shell(&format!("release upgrade {package} 1.0.1 --force\n"));
    launched_by(7);
    bench.run(&["upgrade", "hello", "--force", "--wait"]).ok();
    launched_by(7);
    let text = "helloworld.greeting=grüß dich";
    let out = shell(&format!(
        "upgrade {package} 1.0.1 --properties 'spec.applicationProperties.{text}'\nmanifest get hello\n"
    ));
    assert!(out.contains("grüß dich"), "{out}");
    let out =
        shell("rollback --release-name hello\nhistory --release-name hello\nrelease history --release-name hello\n");
    let (first, second) = out.split_once("╚").expect("two tables");
    assert!(first.contains("Upgrade complete") && !first.contains("Rollback complete"), "{out}");
    assert!(second.contains("Rollback complete") && !second.contains("Upgrade complete"), "{out}");
    let err = bench.run(&["shell", "release history --release-name nobody"]).fails(4);
    assert!(err.contains("Release with name 'nobody' not found"), "{err}");
}

#[test]
fn what_a_platform_will_not_do_is_told_where_it_is_asked_for() {
    let bench = Bench::start();
    let option = "spring.cloud.deployer.cpu";
    let line = format!(
        "install --release-name hello --package-name helloworld --properties spec.deploymentProperties.{option}=2"
    );
    let ended = bench.run(&["shell", &line]);
    assert!(ended.err.contains("note: application `helloworld`") && ended.err.contains(option), "{}", ended.err);
    ended.ok();
    assert!(bench.logs(option).contains("hello"));
    // Who asks through `/api` has nothing in the answer that could tell it; the log does.
    let raw = format!("spec:\n  deploymentProperties:\n    {option}: 3\n");
    let body = serde_json::json!({
        "packageIdentifier": {"packageName": "helloworld", "packageVersion": "1.0.0"},
        "installProperties": {"releaseName": "other", "platformName": "default", "configValues": {"raw": raw}},
    });
    let (address, body) = (bench.url().trim_start_matches("http://"), body.to_string());
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    let head = "Content-Type: application/json\r\nConnection: close";
    let length = body.len();
    let text = format!(
        "POST /api/package/install HTTP/1.1\r\nHost: {address}\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    std::io::Write::write_all(&mut stream, text.as_bytes()).expect("sent");
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).expect("answered");
    assert!(answer.starts_with("HTTP/1.1 201") && !answer.contains("has no effect"), "{answer}");
    let line = bench.logs(option);
    assert!(line.contains("other") && line.contains("WARN"), "{line}");
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

#[test]
fn checks_are_made_in_the_words_of_the_original() {
    let bench = Bench::start();
    bench.install("hello", &[]);
    bench.install("hello-again", &[]);
    fs::write(bench.home().join("values.yml"), "greeting: Hi\n").expect("written");
    let says = |line: &str, code: i32, text: &str| {
        let err = bench.run(&["shell", line]).fails(code);
        assert!(err.contains(text), "{line}: {err}");
    };
    says("config --uri http://x --password secret", 2, "A password may be specified only together with a username");
    says(
        "upgrade --release-name hello --package-name helloworld --app-names web",
        2,
        "App names can be used only when the stream update is forced.",
    );
    says("history --release-name hello --max 0", 2, "The maximum number of revisions should be greater than zero.");
    says(
        "history --releaseName hello --max two",
        2,
        "The maximum number of revisions is not an integer. Input string = two",
    );
    says("history --release-name hello --max -1", 2, "for '--max <NUMBER>': The maximum number of revisions should be");
    says("rollback --release-name nobody --release-version 2", 4, "there is no release `nobody`");
    says(
        "rollback --release-name hello --release-version -1",
        2,
        "Rollback version can not be less than zero.  Value = -1",
    );
    says("status --release-name hello --release-version -1", 2, "can not be less than zero.  Value = -1");
    says("history --release-name nobody", 4, "Release with name 'nobody' not found");
    says("status --release-name nobody", 4, "Release with name 'nobody' not found");
    says(
        "manifest get --release-name hello --release-version 9",
        4,
        "Release with name 'hello' and version '9' not found",
    );
    says("manifest get --release-name nobody", 4, "Release with name 'nobody' not found");
    says("upgrade --release-name hello --package-name helloworld --timeout-expression soon", 2, "not a duration");
    says(
        "upgrade --release-name hello --package-name helloworld --file nowhere.yml",
        4,
        "Could not find file nowhere.yml",
    );
    says(
        "upgrade --release-name hello --package-name helloworld --file values.yml --properties a=b",
        2,
        "cannot be used with",
    );
    says("upload --path nowhere-1.0.0.zip", 4, "File Not found: nowhere-1.0.0.zip");
    says("release cancel --release-name hello", 1, "Cancel request for release hello not accepted");
    let history = bench.run(&["shell", "release history --release-name hello"]).ok();
    assert_eq!(history.lines().filter(|line| line.starts_with("║1 ")).count(), 1, "{history}");
}

#[test]
fn what_lets_in_may_come_from_a_command_and_is_remembered() {
    let mut bench = Bench::start();
    bench.stop_server();
    let secret = bench.run(&["token", "create", "root", "--role", "admin", "--data-dir", "data", "--secret-only"]).ok();
    bench.start_server();
    fs::write(bench.home().join("credentials"), format!("  Bearer {}\n", secret.trim())).expect("written");
    let err = bench.run(&["config", "--uri", bench.url()]).fails(3);
    assert!(!err.contains("Successfully"), "{err}");
    bench.run(&["shell", "config list"]).ok();

    let uri = format!("{}/api", bench.url());
    let command = format!("cat '{}'", bench.home().join("credentials").display());
    let line = format!("config --uri {uri} --credentialsProviderCommand \"{command}\"");
    let out = run_with_input(&mut skipper_at(&bench, &["shell"]), &format!("{line}\nrelease list\n")).ok();
    assert!(out.starts_with(&format!("Successfully targeted {uri}\n╔")), "{out}");
    run(&mut skipper_at(&bench, &["list"])).ok();
    // It is asked anew each time.
    fs::write(bench.home().join("credentials"), "Bearer skp_wrong").expect("written");
    run(&mut skipper_at(&bench, &["list"])).fails(3);
    fs::remove_file(bench.home().join("credentials")).expect("removed");
    assert!(run(&mut skipper_at(&bench, &["list"])).fails(3).contains("credentials command `cat` failed"));
}

/// Without the address of the server in the environment.
fn skipper_at(bench: &Bench, args: &[&str]) -> std::process::Command {
    let mut command = skipper(bench.home());
    command.args(args);
    command
}

#[test]
fn values_are_kept_as_they_were_written() {
    let bench = Bench::start();
    let shop = crate::bench::package(bench.home(), "shop", "1.0.0", &[], "");
    let install =
        format!("install hello {} --platform-name default --properties startPeriod=19s,bake=0s", shop.display());
    bench.run(&["shell", &install]).ok();
    let raw = || {
        let (_, body) = get(bench.url().trim_start_matches("http://"), "/api/list/hello").expect("it answers");
        let list: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        list.as_array().and_then(|all| all.last()).expect("a release")["configValues"]["raw"].clone()
    };
    assert_eq!(raw(), "bake: 0s\nstartPeriod: 19s\n");
    fs::write(bench.home().join("values.yml"), "# why\nstartPeriod: 18s\n").expect("written");
    let line = "upgrade --release-name hello --package-name shop --file values.yml --timeout-expression PT1M";
    bench.run(&["shell", line]).ok();
    assert_eq!(raw(), "# why\nstartPeriod: 18s\n");
}

#[test]
fn what_is_still_being_fetched_is_being_deployed() {
    let bench = Bench::start();
    // Takes connections, and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let package = crate::bench::package(bench.home(), "slow", "1.0.0", &[], "");
    let template = package.join("templates/web.yml");
    let resource = format!("http://{}/app.jar", silent.local_addr().expect("an address"));
    let text = fs::read_to_string(&template).expect("written").replace("builtin:sample", &resource);
    fs::write(&template, text).expect("written");
    bench.run(&["install", "slow", package.to_str().expect("UTF-8"), "--no-wait"]).ok();
    let (_connection, _) = silent.accept().expect("it is asked");
    let out = bench.run(&["shell", "status slow"]).ok();
    assert!(out.contains("The applications are being deployed.") && out.contains("State = [deploying]"), "{out}");
    bench.run(&["cancel", "slow"]).ok();
}

#[test]
fn a_person_sees_the_server_completes_names_and_corrects_themselves() {
    let bench = Bench::start();
    bench.install("hello", &[]);
    let mut terminal = Terminal::open(&bench, &["shell"]);
    terminal.shows("runs version");
    terminal.prompts("skipper:>");
    // Names that exist, behind an option in camelCase.
    terminal.types("status --releaseName hel\t");
    terminal.shows("hello ");
    terminal.types("\r");
    terminal.shows("successfully deployed");
    terminal.prompts("skipper:>");
    terminal.types("help histo\t");
    terminal.shows("history ");
    terminal.types("\x03");
    terminal.prompts("skipper:>");
    terminal.types("install x hellow\t");
    terminal.shows("helloworld ");
    // Ctrl-C forgets the line.
    terminal.types("\x03");
    terminal.prompts("skipper:>");
    terminal.types("list --nonsense\r");
    terminal.shows("unexpected argument");
    terminal.prompts("skipper:>");
    terminal.types("manifest get nobody\r");
    terminal.shows("Release with name 'nobody' not found");
    terminal.prompts("skipper:>");
    // A quote that is open asks for another line.
    terminal.types("version --client 'x\r");
    terminal.types("y'\r");
    terminal.shows("unexpected argument");
    terminal.prompts("skipper:>");
    terminal.types("config --uri http://127.0.0.1:1 --password secret\r");
    terminal.shows("only together with a username");
    terminal.prompts("skipper:>");
    // A paste may hold several commands.
    terminal.types("\x1b[200~manifest get nobody\rlist --nonsense\r\x1b[201~\r");
    terminal.shows("Release with name 'nobody' not found");
    terminal.shows("unexpected argument");
    terminal.prompts("skipper:>");
    terminal.types("\x04");
    assert_eq!(terminal.ended(), 0);

    let history = bench.home().join(".local/state/skipper/shell-history");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&history).expect("kept").permissions());
    assert_eq!(mode & 0o777, 0o600);
    let history = fs::read_to_string(&history).expect("text");
    assert!(history.contains("status --releaseName hello") && !history.contains("secret"), "{history}");
}

#[test]
fn lines_that_are_typed_ahead_run_in_their_order() {
    let bench = Bench::start();
    let slow = crate::bench::package(bench.home(), "slow", "1.0.0", &[("SAMPLE_READY_AFTER", "1500")], "");
    let mut terminal = Terminal::open(&bench, &["shell"]);
    terminal.prompts("skipper:>");
    // All at once, as a program or a slow line sends them.
    terminal.types(&format!("manifest get nobody\rlist --nonsense\rinstall slow {}\r", slow.display()));
    terminal.shows("Release with name 'nobody' not found");
    terminal.shows("unexpected argument");
    terminal.shows("await healthy");
    // While a command runs; the last one is finished when the prompt is there.
    terminal.types("status nobody\rmanifest get somebody\rlist --more");
    terminal.shows("Released slow.");
    terminal.shows("'nobody'");
    terminal.shows("Release with name 'somebody' not found");
    terminal.prompts("skipper:>");
    terminal.types("-nonsense\r");
    terminal.shows("unexpected argument");
    terminal.prompts("skipper:>");
    terminal.types("exit\r");
    assert_eq!(terminal.ended(), 0);
}

#[test]
fn a_server_that_does_not_answer_is_told_and_another_one_can_be_chosen() {
    let bench = Bench::start();
    let mut terminal = Terminal::open(&bench, &["shell", "--url", "http://127.0.0.1:1"]);
    terminal.shows("no server answers");
    terminal.prompts("server-unknown:>");
    terminal.types(&format!("config --uri {}/api\r", bench.url()));
    terminal.shows("Successfully targeted http://");
    terminal.prompts("skipper:>");
    terminal.types("skipper info\r");
    terminal.prompts("skipper:>");
    terminal.types("exit 3\r");
    assert_eq!(terminal.ended(), 3);
    let plain = bench.url().replace("http://", "https://");
    let ended = run(skipper(bench.home()).args(["list", "--url", &plain]));
    assert!(ended.err.contains("speaks no TLS") && ended.err.contains("http:// instead"), "{}", ended.err);
    // It is remembered for the command line.
    run(&mut skipper_at(&bench, &["list"])).ok();
}

#[test]
fn nobody_is_asked_about_what_is_not_there_and_a_bound_below_zero_is_told() {
    let bench = Bench::start();
    for words in [&["delete", "nobody"][..], &["delete", "nobody", "--purge"]] {
        let mut terminal = Terminal::open(&bench, words);
        terminal.shows("there is no release `nobody`");
        assert_eq!(terminal.ended(), 4);
    }
    bench.install("hello", &[]);
    let mut terminal = Terminal::open(&bench, &["delete", "hello"]);
    terminal.shows("Stop hello and remove what runs of it? [y/N]");
    terminal.types("n\r");
    assert_eq!(terminal.ended(), 1);
    for words in [["upgrade", "hello"], ["rollback", "hello"]] {
        let ended = bench.run(&[&words[..], &["--timeout-expression", "-PT5M"]].concat());
        assert_eq!(ended.code, 2);
        assert!(ended.err.contains("`-PT5M` is below zero"), "{}", ended.err);
    }
    let ended = bench.run(&["keepr"]);
    assert!(ended.code == 2 && !ended.err.contains("'keeper'"), "{}", ended.err);
}

#[test]
fn a_script_is_named_by_its_file_within_the_shell_as_well() {
    let bench = Bench::start();
    fs::write(bench.home().join("tour.skipper"), "version --client\n").expect("written");
    let out = run_with_input(&mut bench.command(&["shell"]), "@tour.skipper\nhelp upgrade\n").ok();
    assert!(out.contains(env!("CARGO_PKG_VERSION")), "{out}");
    for named in ["--release-name <NAME>", "The same by name: the release", "The same by name: the package"] {
        assert!(out.contains(named), "{named}: {out}");
    }
}

#[test]
fn a_password_is_asked_for_and_not_shown() {
    let bench = Bench::start();
    let mut terminal = Terminal::open(&bench, &["config", "--uri", bench.url(), "--username", "ann"]);
    terminal.shows("Password: ");
    terminal.types("pa55\r");
    terminal.shows("****\r\n");
    terminal.ended();
    let kept = bench.home().join(".config/skipper/config.toml");
    let kept = fs::read_to_string(kept).unwrap_or_default();
    assert!(!kept.contains("pa55"), "{kept}");
}

#[test]
fn ctrl_c_ends_the_waiting_and_nothing_else() {
    let bench = Bench::start();
    let slow = crate::bench::package(bench.home(), "slow", "1.0.0", &[("SAMPLE_READY_AFTER", "never")], "");
    let mut terminal = Terminal::open(&bench, &["shell"]);
    terminal.prompts("skipper:>");
    terminal.types(&format!("install slow {}\r", slow.display()));
    terminal.shows("await healthy");
    terminal.types("\x03");
    terminal.shows("not waiting any more");
    terminal.prompts("skipper:>");
    terminal.types("exit\r");
    assert_eq!(terminal.ended(), 0);
    bench.run(&["status", "slow"]).ok();
}

/// A shell on a terminal of its own.
struct Terminal {
    child: std::process::Child,
    master: fs::File,
    shown: std::sync::mpsc::Receiver<Vec<u8>>,
    screen: String,
}

impl Terminal {
    fn open(bench: &Bench, args: &[&str]) -> Self {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("it is ours");
        unlockpt(&master).expect("it is open");
        let name = ptsname(&master, Vec::new()).expect("it has a name").into_string().expect("UTF-8");
        let size = rustix::termios::Winsize { ws_row: 50, ws_col: 160, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&master, size).expect("it has a size");
        let end = || fs::OpenOptions::new().read(true).write(true).open(&name).expect("its other end");
        // As the terminal of the session, so that Ctrl-C is a signal.
        let shell = bench.command(args);
        let mut command = std::process::Command::new("setsid");
        command.arg("--ctty").arg(shell.get_program()).args(shell.get_args()).env_clear().current_dir(bench.home());
        command.envs(shell.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().expect("the program starts");
        let master = fs::File::from(master);
        let mut reader = master.try_clone().expect("a second handle");
        let (sender, shown) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = std::io::Read::read(&mut reader, &mut bytes) {
                if sender.send(bytes[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, master, shown, screen: String::new() }
    }

    fn types(&mut self, keys: &str) {
        std::io::Write::write_all(&mut self.master, keys.as_bytes()).expect("it is typed");
    }

    /// Waits until that text appears behind what was waited for before.
    #[track_caller]
    fn shows(&mut self, text: &str) {
        let until = std::time::Instant::now() + crate::bench::LONG;
        loop {
            if let Some(at) = self.screen.find(text) {
                self.screen.drain(..at + text.len());
                return;
            }
            let left = until.saturating_duration_since(std::time::Instant::now());
            let Ok(more) = self.shown.recv_timeout(left) else {
                let shown: String = self.screen.chars().rev().take(2000).collect();
                panic!("no `{text}` in: … {:?}", shown.chars().rev().collect::<String>());
            };
            self.screen.push_str(&String::from_utf8_lossy(&more));
        }
    }

    /// Waits for a new prompt; the one that is there is drawn again while a line is typed.
    #[track_caller]
    fn prompts(&mut self, text: &str) {
        self.shows("\x1b[?2004h");
        self.shows(text);
    }

    #[track_caller]
    fn ended(&mut self) -> i32 {
        crate::bench::until("it ends", || self.child.try_wait().expect("it can be waited for"), Option::is_some)
            .and_then(|status| status.code())
            .unwrap_or(-1)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
