//! The tours of Spring Cloud Skipper's guide, typed into the shell as the guide has them. Only its two ports are others.

use std::fs;

use crate::bench::{Bench, get, run_with_input, until};

/// A shell's session against one server: what was typed, and what came.
struct Shell {
    bench: Bench,
    /// Where the guide reaches the first version (8099), and the second one (8100).
    ports: [String; 2],
}

impl Shell {
    fn open() -> Self {
        let bench = Bench::start();
        let ports = [bench.port(5).to_string(), bench.port(6).to_string()];
        Self { bench, ports }
    }

    /// Types these lines, which must all work, and returns what was printed.
    #[track_caller]
    fn types(&self, lines: &[&str]) -> String {
        let mut input = lines.join("\n").replace("8099", &self.ports[0]).replace("8100", &self.ports[1]);
        input.push('\n');
        run_with_input(&mut self.bench.command(&["shell"]), &input).ok()
    }

    /// `curl http://localhost:PORT/path`, with the guide's port.
    #[track_caller]
    fn curl(&self, port: &str, path: &str) -> String {
        let port = if port == "8099" { &self.ports[0] } else { &self.ports[1] };
        let address = format!("localhost:{port}");
        let answered = |got: &std::io::Result<(u16, String)>| got.as_ref().is_ok_and(|got| got.0 == 200);
        until("it answers", || get(&address, path), answered).expect("an answer").1
    }
}

/// The cells of each row of each table in the text, without frames; a row that only goes on has an empty first cell.
fn rows(text: &str) -> Vec<Vec<String>> {
    text.lines()
        .filter(|line| line.starts_with('║'))
        .map(|line| line.trim_matches('║').split('│').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// Whether a row begins with these cells, and ends with those.
#[track_caller]
fn has_row(text: &str, begins: &[&str], ends: &[&str]) {
    let found = rows(text).iter().any(|row| {
        row.len() >= begins.len() + ends.len()
            && row.iter().zip(begins).all(|(cell, wanted)| cell == wanted)
            && row.iter().rev().zip(ends.iter().rev()).all(|(cell, wanted)| cell == wanted)
    });
    assert!(found, "no row {begins:?} … {ends:?} in:\n{text}");
}

#[test]
fn the_three_second_tour_goes_as_the_guide_has_it() {
    let shell = Shell::open();
    let out = shell.types(&["repo list"]);
    assert!(out.contains("╔═") && out.contains("╠═"), "{out}");
    has_row(&out, &["Name", "URL", "Local", "Order"], &[]);
    has_row(&out, &["experimental"], &["false", "0"]);
    has_row(&out, &["local"], &["true", "1"]);
    assert!(out.find("experimental") < out.find("local"), "in the guide's order: {out}");

    let out = shell.types(&["search"]);
    for (name, version) in [("helloworld", "1.0.0"), ("helloworld", "1.0.1"), ("helloworld-docker", "1.0.1")] {
        has_row(&out, &[name, version], &[]);
    }

    let out = shell.types(&[
        "install --release-name helloworld-local --package-name helloworld --package-version 1.0.0 --properties \
         spec.applicationProperties.server.port=8099",
    ]);
    assert!(out.contains("Released helloworld-local. Now at version v1.\n"), "{out}");
    assert_eq!(shell.curl("8099", "/greeting"), "Hello World!");
    let out = shell.types(&["status --release-name helloworld-local"]);
    has_row(&out, &["Status", "DEPLOYED"], &[]);
    has_row(&out, &["Platform Status", "All applications have been successfully deployed."], &[]);
    has_row(&out, &["", "[helloworld-local.helloworld-v1], State = [helloworld-local.helloworld-v1-0=deployed]"], &[]);

    let out = shell.types(&[
        "upgrade --release-name helloworld-local --package-name helloworld --package-version 1.0.1  --properties \
         spec.applicationProperties.server.port=8100",
    ]);
    assert!(out.contains("helloworld-local has been upgraded.  Now at version v2.\n"), "{out}");
    assert_eq!(shell.curl("8100", "/greeting"), "Olá Mundo!");
    let out = shell.types(&["status --release-name helloworld-local"]);
    has_row(&out, &["", "[helloworld-local.helloworld-v2], State = [helloworld-local.helloworld-v2-0=deployed]"], &[]);
    let out = shell.types(&["delete --release-name helloworld-local"]);
    assert!(out.contains("helloworld-local has been deleted.\n"), "{out}");
}

/// What the guide calls `helloworld-upgrade-local.yml`.
const UPGRADE: &str = "spec:\n  applicationProperties:\n    server.port: 8100\n    endpoints.sensitive: false\n    \
                       helloworld.greeting: yo\n  deploymentProperties:\n    spring.cloud.deployer.memory: 2048m\n";

#[test]
fn the_three_minute_tour_goes_as_the_guide_has_it() {
    let shell = Shell::open();
    fs::write(shell.bench.home().join("helloworld-upgrade-local.yml"), UPGRADE.replace("8100", &shell.ports[1]))
        .expect("written");
    let out = shell.types(&[
        "install --release-name helloworldlocal --package-name helloworld --package-version 1.0.0 --properties \
         spec.applicationProperties.server.port=8099",
    ]);
    assert!(out.contains("Released helloworldlocal. Now at version v1.\n"), "{out}");
    assert_eq!(shell.curl("8099", "/about"), "Hello World v1.0.0.RELEASE");

    let out = shell
        .types(&["upgrade --release-name helloworldlocal --package-name helloworld --package-version 1.0.1 --file \
         helloworld-upgrade-local.yml"]);
    assert!(out.contains("helloworldlocal has been upgraded.  Now at version v2.\n"), "{out}");
    assert_eq!(shell.curl("8100", "/greeting"), "yo");
    assert_eq!(shell.curl("8100", "/about"), "Hello World v1.0.1.RELEASE");

    let out = shell.types(&["list"]);
    has_row(&out, &["helloworldlocal", "2"], &[]);
    assert_eq!(rows(&out).iter().filter(|row| row[0] == "helloworldlocal").count(), 1, "{out}");
    let out = shell.types(&["history --release-name helloworldlocal"]);
    has_row(&out, &["2"], &["DEPLOYED", "helloworld", "1.0.1", "Upgrade complete"]);
    has_row(&out, &["1"], &["DELETED", "helloworld", "1.0.0", "Delete complete"]);

    let manifest = |version: &str| {
        let line = format!("manifest get --release-name helloworldlocal --release-version {version}");
        shell.types(&[&line]).replace(&shell.ports[0], "8099").replace(&shell.ports[1], "8100")
    };
    let head = "---\n# Source: helloworld.yml\napiVersion: skipper/v1\nkind: SpringBootApp\nmetadata:\n  name: helloworld\n  \
                type: demo\nspec:\n  resource: maven://org.springframework.cloud.samples:spring-cloud-skipper-samples-helloworld:";
    let second = format!(
        "{head}1.0.1.RELEASE\n  applicationProperties:\n    server.port: 8100\n    endpoints.sensitive: false\n    \
         helloworld.greeting: yo\n  deploymentProperties:\n    spring.cloud.deployer.memory: 2048m\n"
    );
    assert!(manifest("2").contains(&second), "{}", manifest("2"));
    let first =
        format!("{head}1.0.0.RELEASE\n  applicationProperties:\n    server.port: 8099\n  deploymentProperties:\n");
    assert!(manifest("1").contains(&first), "{}", manifest("1"));

    let out = shell.types(&["rollback --release-name helloworldlocal --release-version 1"]);
    assert!(out.contains("helloworldlocal has been rolled back.  Now at version v3.\n"), "{out}");
    let out = shell.types(&["history --release-name helloworldlocal"]);
    has_row(&out, &["3"], &["DEPLOYED", "helloworld", "1.0.0", "Upgrade complete"]);
    has_row(&out, &["2"], &["DELETED", "helloworld", "1.0.1", "Delete complete"]);
    assert_eq!(shell.curl("8099", "/greeting"), "Hello World!");
    assert_eq!(shell.curl("8099", "/about"), "Hello World v1.0.0.RELEASE");
    let out = shell.types(&["history --release-name helloworldlocal --max 2"]);
    assert!(rows(&out).iter().all(|row| row[0] != "1"), "{out}");
    let out = shell.types(&["status --release-name helloworldlocal --release-version 1"]);
    has_row(&out, &["Status", "DELETED"], &[]);
    let out = shell.types(&["platform list"]);
    has_row(&out, &["Name", "Type", "Description"], &[]);
    has_row(&out, &["default", "local"], &[]);
    shell.types(&["delete --release-name helloworldlocal"]);
}

#[test]
fn the_guides_own_package_is_uploaded_and_found() {
    let shell = Shell::open();
    // As the guide's chapter on creating packages builds it.
    let package =
        "apiVersion: v1\nkind: skipper\nname: mypackage\nversion: 1.0.0\ndescription: This is a mypackage sample\n";
    let template = "apiVersion: v1\nkind: SpringBootApp\nmetadata:\n  name: mypackage\nspec:\n  resource: \
                    maven://org.mysample:mypackage:1.0.0\n";
    let zip = crate::java::zip(&[
        ("mypackage-1.0.0/package.yml", package),
        ("mypackage-1.0.0/values.yml", ""),
        ("mypackage-1.0.0/templates/template.yml", template),
    ]);
    fs::write(shell.bench.home().join("mypackage-1.0.0.zip"), &zip).expect("written");
    let out = shell.types(&["upload --path mypackage-1.0.0.zip"]);
    assert!(out.contains("Package uploaded successfully:[mypackage:1.0.0]\n"), "{out}");
    has_row(&shell.types(&["search"]), &["mypackage", "1.0.0", "This is a mypackage sample"], &[]);
    let out = shell.types(&["search --name helloworld-"]);
    let names: Vec<_> = rows(&out).into_iter().skip(1).map(|row| row[0].clone()).collect();
    assert_eq!(names, ["helloworld-docker"; 2], "{out}");
    let out = shell.types(&["search --name helloworld- --details"]);
    for row in [&["apiVersion", "v1"], &["name", "helloworld-docker"], &["version", "1.0.1"], &["iconUrl", ""]] {
        has_row(&out, row, &[]);
    }
    let digest = skipper_core::Sha256::of(&zip).to_string();
    has_row(&shell.types(&["search --name mypackage --details"]), &["sha256", &digest], &[]);
    let out = shell.types(&["repo add --name more --url http://127.0.0.1:9/repository", "repo delete --name more"]);
    assert!(out.contains("Repository 'more' added.\n") && out.contains("Repository 'more' deleted.\n"), "{out}");
}
