use std::fs;

use crate::bench::{Bench, package, run, run_with_input, skipper};

#[test]
fn a_starter_package_is_sound_and_renders() {
    let home = tempfile::tempdir().expect("a temporary folder");
    run(skipper(home.path()).args(["package", "create", "shop"])).ok();
    run(skipper(home.path()).args(["package", "lint", "shop"])).ok();
    let err = run(skipper(home.path()).args(["package", "create", "shop"])).fails(1);
    assert!(err.contains("not empty"), "{err}");
    let ended = run(skipper(home.path()).args(["package", "render", "shop", "--set", "greeting=Hi"]));
    assert!(ended.err.is_empty(), "{}", ended.err);
    let manifest = ended.ok();
    assert!(manifest.starts_with("---\n") || manifest.starts_with("apiVersion:"), "{manifest}");
    assert!(manifest.contains("GREETING: Hi"), "{manifest}");
}

#[test]
fn rendering_prints_the_manifest_alone_and_faults_elsewhere() {
    let home = tempfile::tempdir().expect("a temporary folder");
    run(skipper(home.path()).args(["package", "create", "shop"])).ok();
    let values = "greeting: from a file\nreplicas: 2\n";
    let mut command = skipper(home.path());
    let out =
        run_with_input(command.args(["package", "render", "shop", "--file", "-", "--set", "replicas=3"]), values).ok();
    assert!(out.contains("GREETING: from a file") && out.contains("replicas: 3"), "{out}");

    let ended = run(skipper(home.path()).args(["package", "render", "shop", "--set", "greting=Hi"]));
    if ended.code == 0 {
        // A value that no template uses may be allowed; what is printed is the manifest all the same.
        assert!(!ended.out.contains("warning"), "{}", ended.out);
    } else {
        assert!(ended.out.is_empty() && ended.err.contains("greting"), "{}", ended.err);
    }
    fs::write(home.path().join("shop/templates/app.yml"), "kind: {{nobody}}\n").expect("written");
    let ended = run(skipper(home.path()).args(["package", "render", "shop"]));
    assert!(ended.out.is_empty(), "{}", ended.out);
    let err = ended.fails(1);
    assert!(err.contains("app.yml") && err.contains("nobody"), "{err}");
    assert_eq!(run(skipper(home.path()).args(["package", "lint", "shop"])).code, 1);
}

#[test]
fn building_twice_gives_the_same_bytes() {
    let home = tempfile::tempdir().expect("a temporary folder");
    run(skipper(home.path()).args(["package", "create", "shop"])).ok();
    let first = run(skipper(home.path()).args(["package", "build", "shop", "-o", "a.zip", "--json"])).json();
    let second = run(skipper(home.path()).args(["package", "build", "shop", "-o", "b.zip", "--json"])).json();
    assert_eq!(first["sha256"], second["sha256"]);
    let again = run(skipper(home.path()).args(["package", "build", "a.zip", "-o", "c.zip", "--json"])).json();
    assert_eq!(first["sha256"], again["sha256"]);
    assert_eq!(
        fs::read(home.path().join("a.zip")).expect("there"),
        fs::read(home.path().join("b.zip")).expect("there")
    );
}

#[test]
fn what_is_no_package_is_refused_with_a_reason() {
    let home = tempfile::tempdir().expect("a temporary folder");
    fs::write(home.path().join("junk.zip"), b"PK\x03\x04 not really").expect("written");
    fs::create_dir(home.path().join("empty")).expect("made");
    run(skipper(home.path()).args(["package", "lint", "nowhere"])).fails(4);
    for path in ["junk.zip", "empty"] {
        let err = run(skipper(home.path()).args(["package", "build", path])).fails(1);
        assert!(err.contains(path), "{err}");
    }
}

#[test]
fn a_package_is_uploaded_found_downloaded_and_removed() {
    let bench = Bench::start();
    let dir = package(bench.home(), "shop", "1.0.0", &[], "");
    let path = dir.to_str().expect("UTF-8");
    let uploaded = bench.run(&["upload", path, "--json"]).json();
    assert_eq!((&uploaded["name"], &uploaded["version"]), (&"shop".into(), &"1.0.0".into()));
    let again = bench.run(&["upload", path]).ok();
    assert!(again.starts_with("already there"), "{again}");
    fs::write(dir.join("values.yml"), "startPeriod: 30s\nbake: 0s\n").expect("written");
    let err = bench.run(&["upload", path]).fails(1);
    assert!(err.contains("raise `version`"), "{err}");
    let found = bench.run(&["search", "shop", "--json"]).json();
    assert_eq!(found["items"][0]["sha256"], uploaded["sha256"]);
    bench.run(&["package", "download", "shop", "--output", "got.zip"]).ok();
    let got = bench.run(&["package", "build", "got.zip", "-o", "rebuilt.zip", "--json"]).json();
    assert_eq!(got["sha256"], uploaded["sha256"]);
    let shown = bench.run(&["package", "show", "local/shop@1.0.0", "--values"]).ok();
    assert!(shown.contains("startPeriod: 20s"), "{shown}");
    bench.run(&["package", "remove", "shop"]).fails(2);
    bench.run(&["package", "remove", "shop", "1.0.0"]).ok();
    bench.run(&["package", "show", "shop"]).fails(4);
}

#[test]
fn a_zip_that_is_named_otherwise_than_its_package_is_refused() {
    let bench = Bench::start();
    package(bench.home(), "my-shop", "1.0.0-rc.1", &[], "");
    bench.run(&["package", "build", "my-shop-1.0.0-rc.1", "-o", "my-shop-1.0.0-rc.1.zip"]).ok();
    bench.run(&["package", "build", "my-shop-1.0.0-rc.1", "-o", "other-2.0.0.zip"]).ok();
    let err = bench.run(&["upload", "--path", "other-2.0.0.zip"]).fails(1);
    assert!(err.contains("[other:2.0.0] differs") && err.contains("my-shop-1.0.0-rc.1.zip"), "{err}");
    let uploaded = bench.run(&["upload", "--path", "my-shop-1.0.0-rc.1.zip"]);
    assert!(uploaded.err.is_empty(), "{}", uploaded.err);
    uploaded.ok();
    let err = bench.run(&["upload", "--path", "my-shop-1.0.0-rc.1.zip"]).fails(1);
    let exists = "Package [my-shop:1.0.0-rc.1] in Repository [local] already exists.";
    assert!(err.contains(exists), "{err}");
    let again = bench.run(&["upload", "my-shop-1.0.0-rc.1.zip"]).ok();
    assert!(again.starts_with("already there") && !again.contains("successfully"), "{again}");
    fs::copy(bench.home().join("my-shop-1.0.0-rc.1.zip"), bench.home().join("my-shop-1.0.0-rc.1.tar")).expect("copied");
    let err = bench.run(&["upload", "--path", "my-shop-1.0.0-rc.1.tar"]).fails(1);
    assert!(err.contains("Extension must be 'zip', not tar"), "{err}");
    let err = bench.run(&["upload", "other-2.0.0.zip"]).fails(1);
    assert!(err.contains("[my-shop:1.0.0-rc.1]"), "{err}");
    fs::write(bench.home().join("nothing.zip"), b"").expect("written");
    let err = bench.run(&["upload", "nothing.zip"]).fails(1);
    assert!(err.contains("cut off, empty, or no zip"), "{err}");
}

#[test]
fn a_package_whose_zip_is_not_there_hides_no_other_in_the_details() {
    let bench = Bench::start();
    let place = bench.home().join("place");
    fs::create_dir_all(place.join("shop")).expect("made");
    let entry = |name: &str| {
        format!("apiVersion: skipper/v2\nkind: Package\nname: {name}\nversion: 1.0.0\ndescription: of {name}\n")
    };
    fs::write(place.join("index.yml"), format!("{}---\n{}", entry("gone"), entry("shop"))).expect("written");
    package(bench.home(), "shop", "1.0.0", &[], "");
    bench.run(&["package", "build", "shop-1.0.0", "-o", "place/shop/shop-1.0.0.zip"]).ok();
    bench.run(&["repo", "add", "place", &format!("file:{}", place.display())]).ok();
    let shown = bench.run(&["search", "--repository", "place", "--details"]).ok();
    let (gone, shop) = shown.split_once("\n\n").expect("two packages");
    assert!(gone.contains("of gone") && gone.contains("cannot read") && gone.contains("gone-1.0.0.zip"), "{shown}");
    assert!(shop.contains("web.yml") && shop.contains("startPeriod: 20s"), "{shown}");
}

#[test]
fn the_package_that_is_shown_is_the_one_that_is_installed() {
    let bench = Bench::start();
    for (name, order, grace) in [("low", "1", "1s"), ("high", "7", "7s"), ("middle", "3", "3s")] {
        bench.run(&["repo", "add", name, "--local", "--order", order]).ok();
        let dir = package(bench.home(), "shop", "1.0.0", &[], "");
        fs::write(dir.join("values.yml"), format!("startPeriod: {grace}\nbake: 0s\n")).expect("written");
        bench.run(&["upload", dir.to_str().expect("UTF-8"), "--repository", name]).ok();
    }
    let shown = bench.run(&["package", "show", "shop", "1.0.0", "--values"]).ok();
    assert!(shown.contains("startPeriod: 7s"), "{shown}");
    let shown = bench.run(&["package", "show", "low/shop", "--values"]).ok();
    assert!(shown.contains("startPeriod: 1s"), "{shown}");
}

#[test]
fn a_package_in_use_is_not_removed() {
    let bench = Bench::start();
    let dir = package(bench.home(), "shop", "1.0.0", &[], "");
    bench.run(&["install", "web", dir.to_str().expect("UTF-8"), "--wait"]).ok();
    let err = bench.run(&["package", "remove", "shop", "1.0.0"]).fails(1);
    assert!(err.contains("web"), "{err}");
    bench.run(&["delete", "web", "--purge", "--yes", "--wait"]).ok();
    bench.run(&["package", "remove", "shop", "1.0.0"]).ok();
}

#[test]
fn the_packages_of_another_server_are_installed_from_its_repository() {
    let (one, other) = (Bench::start(), Bench::start());
    let dir = package(one.home(), "shop", "1.0.0", &[], "");
    one.run(&["upload", dir.to_str().expect("UTF-8")]).ok();
    let url = format!("{}/v1/repositories/local", one.url());
    let added = other.run(&["repo", "add", "--name", "one", "--url", &url, "--source-url", "https://example.org/"]);
    assert!(added.err.contains("one: 1 package"), "{}", added.err);
    assert_eq!(added.ok(), "Repository 'one' added.\n");
    let list = other.run(&["repo", "list", "--json"]).json();
    let found = list["items"].as_array().expect("a list").iter().find(|item| item["name"] == "one").expect("listed");
    assert_eq!((&found["url"], &found["packages"]), (&url.into(), &1.into()));
    assert!(other.run(&["repo", "list"]).ok().contains("/v1/repositories/local"));
    other.run(&["install", "web", "shop", "--wait"]).ok();
    assert_eq!(other.run(&["repo", "refresh", "one"]).ok(), "one: 1 package, nothing new\n");
    assert_eq!(other.run(&["search", "shop", "--json"]).json()["items"][0]["repository"], "one");
    assert!(other.run(&["search", "--tag", "nothing-has-this"]).err.contains("no package matches"));
    let err = other.run(&["repo", "delete", "one"]).fails(1);
    assert!(err.contains("default/web"), "{err}");
    other.run(&["delete", "web", "--yes", "--wait"]).ok();
    assert_eq!(other.run(&["repo", "delete", "--name", "one"]).ok(), "Repository 'one' deleted.\n");
    let err = other.run(&["repo", "add", "java", "classpath:/repositories"]).fails(1);
    assert!(err.contains("inside a Java program"), "{err}");
    other.run(&["repo", "add", "nowhere"]).fails(2);
    let late = other.run(&["repo", "add", "late", "http://127.0.0.1:1/"]);
    assert!(late.err.contains("not read yet"), "{}", late.err);
    late.ok();
}
