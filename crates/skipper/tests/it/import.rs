//! Taking over an original server: from the script of its database, and from its API (which is Skipper's own here).

use std::fs;

use serde_json::json;

use crate::bench::{Bench, Ended, get};

/// The report, also where something was left out.
fn read(ended: &Ended) -> serde_json::Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {}{}", ended.out, ended.err))
}

/// Two versions of one release, its package in the local repository, and a repository elsewhere.
fn script(manifests: [&str; 2]) -> String {
    let package = json!({
        "metadata": {"apiVersion": "v1", "kind": "skipper", "name": "greeter", "version": "1.0.0", "repositoryId": 1},
        "templates": [{"name": "greeter.yml", "data": manifests[0]}],
        "configValues": {"raw": "greeting: x\n"},
        "dependencies": [],
    });
    let quoted = |text: &str| text.replace('\'', "''");
    format!(
        "INSERT INTO REPOSITORY(ID, NAME, URL, LOCAL, REPO_ORDER) VALUES (1, 'local', 'http://here', TRUE, 1),
        (2, 'elsewhere', 'http://127.0.0.1:1/repository', FALSE, 5), (3, 'second', 'http://here', TRUE, 2);
        INSERT INTO PACKAGE_METADATA(ID, NAME, VERSION, REPOSITORY_ID) VALUES
        (1, 'greeter', '1.0.0', 1), (2, 'lost', '1.0.0', 1), (3, 'far', '1.0.0', 2), (4, 'greeter', '1.0.0', 3);
        INSERT INTO STATUS(ID, STATUS_CODE) VALUES (1, 'DELETED'), (2, 'DEPLOYED'), (3, 'FAILED');
        INSERT INTO INFO(ID, STATUS_ID, DESCRIPTION, LAST_DEPLOYED) VALUES
        (1, 1, 'Delete complete', TIMESTAMP '2017-10-27 16:39:03'), (2, 2, 'Upgrade complete', TIMESTAMP '2017-10-28 16:39:03'),
        (3, 3, 'Cancelled after 5 ms.', TIMESTAMP '2017-10-28 17:39:03');
        INSERT INTO RELEASE(ID, NAME, VERSION, INFO_ID, MANIFEST, PLATFORM_NAME, CONFIG_VALUES_STRING, PKG_JSON_STRING) VALUES
        (1, 'hello', 1, 1, '{}', 'default', 'greeting: one', '{package}'),
        (2, 'hello', 2, 2, '{}', 'default', NULL, '{package}'), (3, 'hello', 3, 3, '{}', 'default', NULL, '{package}');",
        quoted(manifests[0]),
        quoted(manifests[1]),
        quoted(manifests[1]),
        package = quoted(&package.to_string()),
    )
}

fn manifest(greeting: &str) -> String {
    format!(
        "\n---\n# Source: greeter.yml\napiVersion: skipper/v1\nkind: SpringBootApp\nmetadata:\n  name: greeter\nspec:\n  resource: \
         builtin:sample\n  applicationProperties:\n    helloworld.greeting: {greeting}\n"
    )
}

#[test]
fn a_database_is_taken_over_and_a_version_of_before_can_be_started() {
    let bench = Bench::start();
    let dump = bench.home().join("dump.sql");
    fs::write(&dump, script([&manifest("one"), &manifest("two")])).expect("written");
    let from = dump.to_str().expect("UTF-8");

    let dry = bench.run(&["import", "spring-skipper", "--from", from, "--dry-run", "--json"]);
    assert_eq!(dry.code, 1, "`lost` cannot be taken over");
    let told = read(&dry);
    assert_eq!(told["dry_run"], true);
    let lines = |told: &serde_json::Value| -> Vec<String> {
        let line = |line: &serde_json::Value| format!("{} {}: {}", line["kind"], line["name"], line["result"]);
        told["lines"].as_array().expect("lines").iter().map(line).map(|text| text.replace('"', "")).collect()
    };
    assert_eq!(
        lines(&told),
        [
            "repository local: there already",
            "repository elsewhere: would be taken over",
            "repository second: would be taken over",
            "package local/greeter-1.0.0: would be taken over",
            "package local/lost-1.0.0: left out",
            // What the release has kept is of the other repository.
            "package second/greeter-1.0.0: left out",
            "release hello: would be taken over",
        ]
    );
    assert_eq!(bench.run(&["list", "--names", "--all"]).ok(), "", "a dry run takes over nothing");

    let told = read(&bench.run(&["import", "spring-skipper", "--from", from, "--json"]));
    assert!(lines(&told).contains(&"release hello: taken over".to_owned()), "{told}");
    assert_eq!(bench.run(&["list", "--names"]).ok(), "", "nothing of it runs");
    assert!(bench.run(&["list"]).err.contains("`skipper list --all`"));
    let versions = get(bench.url().trim_start_matches("http://"), "/api/history/hello/10").expect("answers").1;
    let versions: serde_json::Value = serde_json::from_str(&versions).expect("JSON");
    let told: Vec<_> = versions.as_array().expect("a list").iter().map(|one| &one["info"]["description"]).collect();
    assert_eq!(
        told,
        ["Cancelled after 5 ms.", "Delete complete", "Delete complete"],
        "what failed is told as it was there"
    );
    let kept = &versions[0]["pkg"];
    assert_eq!(kept["metadata"]["apiVersion"], "v1", "{versions}");
    assert_eq!(kept["templates"][0]["name"], "greeter.yml");
    assert_eq!(kept["configValues"]["raw"], "greeting: x\n");
    let history = bench.run(&["history", "hello", "--json"]).json();
    let versions: Vec<_> = history["items"].as_array().expect("a list").iter().map(|line| &line["revision"]).collect();
    assert_eq!(versions, [3, 2, 1]);
    assert!(history["items"][1]["created_at"].as_str().expect("a time").starts_with("2017-10-28T16:39:03"));
    assert_eq!(bench.run(&["manifest", "hello", "1"]).ok().trim_end(), manifest("one").trim_end());
    assert!(bench.run(&["repo", "list"]).ok().contains("elsewhere"));

    bench.run(&["rollback", "hello", "1", "--wait"]).ok();
    let address = bench.address_of("hello");
    assert_eq!(get(&address, "/greeting").expect("answers").1, "one");

    let again = read(&bench.run(&["import", "spring-skipper", "--from", from, "--json"]));
    assert!(lines(&again).contains(&"release hello: there already".to_owned()), "{again}");
}

#[test]
fn an_api_is_taken_over() {
    let original = Bench::start();
    original.install("hello", &["--package-version", "1.0.0"]);
    original.run(&["upgrade", "hello", "helloworld", "--package-version", "1.0.1", "--wait"]).ok();
    let bench = Bench::start();
    let told = bench.run(&["import", "spring-skipper", "--from", original.url(), "--json"]).json();
    assert!(told["lines"].to_string().contains("\"hello\""), "{told}");
    assert_eq!(bench.run(&["list", "--names", "--all"]).ok(), "hello\n");
    let history = bench.run(&["history", "hello", "--json"]).json();
    assert_eq!(history["items"].as_array().map(Vec::len), Some(2), "{history}");
}

#[test]
fn what_cannot_be_read_is_told() {
    let bench = Bench::start();
    let import = |from: &str| bench.run(&["import", "spring-skipper", "--from", from]);
    assert!(import("nowhere.sql").fails(4).contains("nowhere.sql"));
    assert!(import("jdbc:mysql://db/skipper").fails(2).contains("does not read"));
    assert!(import("jdbc:postgresql://a,b/skipper").fails(2).contains("names several hosts"));
    if let Some(url) = testkit::postgres::url() {
        // Whatever is in it, it is not in a schema that nobody has made.
        let nothing = format!("{url}{}currentSchema=nowhere", if url.contains('?') { "&" } else { "?" });
        let told = import(&nothing).fails(1);
        assert!(told.contains("no table of Spring Cloud Skipper") && told.contains("currentSchema=NAME"), "{told}");
    }
    assert!(import("http://127.0.0.1:1").fails(1).contains("127.0.0.1:1"));
    fs::write(bench.home().join("bad.sql"), "INSERT INTO RELEASE(ID) VALUES ('open").expect("written");
    assert!(import(bench.home().join("bad.sql").to_str().expect("UTF-8")).fails(1).contains("line 1"));
    fs::write(bench.home().join("empty.sql"), "").expect("written");
    assert!(import(bench.home().join("empty.sql").to_str().expect("UTF-8")).fails(1).contains("no script of H2"));
    fs::write(bench.home().join("skipper.mv.db"), [0xff, 0xfe, 0]).expect("written");
    assert!(import(bench.home().join("skipper.mv.db").to_str().expect("UTF-8")).fails(1).contains("h2.tools.Script"));
    assert!(import("ftp://host/dump.sql").fails(2).contains("`ftp://`"));
    let damaged = "INSERT INTO REPOSITORY(ID, NAME, LOCAL) VALUES (1, 'local', TRUE);
        INSERT INTO PACKAGE_FILE(ID, PACKAGE_BYTES) VALUES (1, X'504b00');
        INSERT INTO PACKAGE_METADATA(ID, NAME, VERSION, REPOSITORY_ID, PACKAGEFILE_ID) VALUES (1, 'broken', '1.0.0', 1, 1);";
    fs::write(bench.home().join("damaged.sql"), damaged).expect("written");
    let path = bench.home().join("damaged.sql");
    let dry = bench.run(&["import", "spring-skipper", "--from", path.to_str().expect("UTF-8"), "--dry-run"]);
    assert!(dry.code == 1 && dry.out.contains("left out"), "{}{}", dry.out, dry.err);
}
