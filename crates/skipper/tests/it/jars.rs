//! Jars of a Maven repository under a stand-in for Java, from the configuration to the answer through the edge.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use crate::{
    bench::{Bench, get, package, until},
    java::zip,
};

/// A `java` that runs the sample, whichever jar it is told, as that jar's version.
fn stand_in(folder: &Path) -> String {
    let java = folder.join("java");
    let script = format!(
        "#!/bin/sh\nfor word; do case $word in *.jar) v=${{word##*-}};; esac; done\n\
         SAMPLE_VERSION=${{v%.jar}} exec {:?} sample\n",
        env!("CARGO_BIN_EXE_skipper")
    );
    fs::write(&java, script).expect("written");
    fs::set_permissions(&java, fs::Permissions::from_mode(0o755)).expect("set");
    java.display().to_string()
}

/// Puts a jar of that version into the repository.
fn publish(repository: &Path, version: &str) {
    let folder = repository.join("g/app").join(version);
    fs::create_dir_all(&folder).expect("made");
    let jar = zip(&[("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\nMain-Class: none\n"), ("version", version)]);
    fs::write(folder.join(format!("app-{version}.jar")), jar).expect("written");
}

/// A package of the jar of that version.
fn of_jar(bench: &Bench, version: &str) -> String {
    let dir = package(bench.home(), "app", version, &[], "");
    let template = dir.join("templates/web.yml");
    let text = fs::read_to_string(&template).expect("it was written");
    let env = format!("  env:\n    SAMPLE_VERSION: \"{version}\"\n");
    let text = text.replace("builtin:sample", &format!("maven://g:app:{version}")).replace(&env, "");
    fs::write(template, text).expect("written");
    dir.display().to_string()
}

#[test]
fn a_jar_is_installed_upgraded_and_rolled_back_to_while_its_repository_is_gone() {
    let files = tempfile::tempdir().expect("a temporary folder");
    let repository = files.path().join("maven");
    publish(&repository, "1.0.0");
    publish(&repository, "1.1.0");
    publish(&repository, "1.2.0");
    fs::write(repository.join("g/app/1.2.0/app-1.2.0.jar.sha1"), "0".repeat(40)).expect("written");
    let config = files.path().join("skipper.toml");
    let text = |java: &str| {
        format!(
            "[maven]\ninclude_default_remote_repos = false\n[maven.repositories.own]\nurl = \"file://{}\"\n\
             [platforms.local]\ntype = \"local\"\njava_cmd = {java:?}\n",
            repository.display()
        )
    };
    fs::write(&config, text(&stand_in(files.path()))).expect("written");
    let mut bench = Bench::start_with(&["--config", config.to_str().expect("UTF-8")]);

    bench.run(&["install", "shop", &of_jar(&bench, "1.0.0"), "--wait"]).ok();
    let address = bench.address_of("shop");
    let runs = |version: &str| {
        until(
            "it answers",
            || get(&address, "/about"),
            |got| {
                got.as_ref()
                    .is_ok_and(|(status, body)| *status == 200 && body.contains(&format!("\"version\":\"{version}\"")))
            },
        )
    };
    runs("1.0.0").expect("an answer");
    bench.run(&["upgrade", "shop", &of_jar(&bench, "1.1.0"), "--wait"]).ok();
    runs("1.1.0").expect("an answer");

    let lies = bench.run(&["upgrade", "shop", &of_jar(&bench, "1.2.0"), "--wait"]).fails(5);
    assert!(lies.contains("`own` publishes the sha1 000"), "{lies}");
    let missing = bench.run(&["upgrade", "shop", &of_jar(&bench, "1.3.0"), "--wait"]).fails(5);
    let words = "Failed to resolve MavenResource: g:app:jar:1.3.0. Configured remote repository: : [own]";
    assert!(missing.contains(words), "{missing}");

    fs::remove_dir_all(&repository).expect("it is ours");
    bench.run(&["rollback", "shop", "--to", "1", "--wait"]).ok();
    runs("1.0.0").expect("an answer");

    // Where there is no Java, that is said at once, and what runs goes on.
    bench.stop_server();
    fs::write(&config, text("/no/such/java")).expect("written");
    bench.start_server();
    for dry in [&["--dry-run"][..], &[]] {
        let again = of_jar(&bench, "1.1.0");
        let refused = bench.run(&[&["upgrade", "shop", &again], dry].concat()).fails(1);
        assert!(refused.contains("a jar needs Java") && refused.contains("hint:"), "{refused}");
    }
    runs("1.0.0").expect("an answer");
}
