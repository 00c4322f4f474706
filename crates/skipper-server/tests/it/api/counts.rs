//! How many instances there are, from one version of a package of the field to the next.

use http::Method;
use serde_json::{Value, json};
use skipper_source::{Archive, archive::File};
use testkit::Behaviour;

use crate::fixture::{Ask, Server};

const COUNT: &str = "spring.cloud.deployer.count";

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), bytes: text.as_bytes().to_vec() }
}

/// Files of a package with one application of that name.
fn single(folder: &str, name: &str, version: &str) -> Vec<File> {
    let map = |map: &str| {
        format!(
            "  {map}:\n    {{{{#spec.{map}.entrySet}}}}\n    {{{{key}}}}: '{{{{{{value}}}}}}'\n    {{{{/spec.{map}.entrySet}}}}\n"
        )
    };
    let template = format!(
        "apiVersion: skipper.spring.io/v1\nkind: SpringCloudDeployerApplication\nmetadata:\n  name: {name}\nspec:\n  \
         resource: builtin:sample\n{}{}",
        map("applicationProperties"),
        map("deploymentProperties")
    );
    vec![
        file(&format!("{folder}package.yml"), &metadata(name, version)),
        file(
            &format!("{folder}values.yml"),
            &format!(
                "spec:\n  applicationProperties:\n    server.port: 0\n    v: {version}\n  deploymentProperties:\n    memory: 1g\n"
            ),
        ),
        file(&format!("{folder}templates/{name}.yml"), &template),
    ]
}

fn metadata(name: &str, version: &str) -> String {
    format!("apiVersion: skipper.spring.io/v1\nkind: SkipperPackageMetadata\nname: {name}\nversion: {version}\n")
}

/// A server with two versions of the package `log`, and of `ticktock`, which groups `log` and `time`.
async fn stocked() -> Server {
    let server = Server::start().await;
    for version in ["1.0.0", "2.0.0"] {
        let mut grouped = vec![file("package.yml", &metadata("ticktock", version)), file("values.yml", "")];
        grouped.extend(single("packages/log/", "log", version));
        grouped.extend(single("packages/time/", "time", "1.0.0"));
        for (name, files) in [("log", single("", "log", version)), ("ticktock", grouped)] {
            let mut ask = Ask::new(Method::POST, "/v1/packages").header("content-type", "application/zip");
            ask.body = Archive::from_files(files).expect("files of a package").to_zip(&format!("{name}-{version}"));
            server.send(ask).await.ok::<Value>();
        }
    }
    server
}

impl Server {
    async fn changed(&self, path: &str, package: &str, version: &str, raw: &str) -> String {
        let values = json!({"raw": raw});
        let body = json!({
            "packageIdentifier": {"packageName": package, "packageVersion": version},
            "installProperties": {"releaseName": "r", "platformName": "default", "configValues": values},
            "upgradeProperties": {"releaseName": "r", "configValues": values},
        });
        self.post(path, &body).await.ok::<Value>();
        let sentence = if path.ends_with("install") { "Install complete" } else { "Upgrade complete" };
        self.told("r", "DEPLOYED", sentence).await;
        self.at_rest().await;
        let manifest: Value = self.get("/api/release/manifest/r").await.ok();
        manifest["data"].as_str().expect("text").to_owned()
    }

    async fn scaled(&self, name: &str, count: u32) {
        let scale = json!({"scale": [{"name": name, "count": count}]});
        let answer = self.post("/api/release/scale/r", &scale).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        self.at_rest().await;
    }

    /// Waits until what was before is cleared away.
    async fn at_rest(&self) {
        let release: Value = self.get("/v1/releases/r").await.ok();
        if let Some(rollout) = release["rollout"]["id"].as_str() {
            self.ended(rollout).await;
        }
    }

    /// Instances by application.
    async fn running(&self) -> Vec<(String, u64)> {
        let release: Value = self.get("/v1/releases/r").await.ok();
        let apps = release["apps"].as_array().expect("applications").iter();
        apps.map(|app| (app["name"].as_str().expect("a name").to_owned(), app["running"].as_u64().expect("a number")))
            .collect()
    }
}

#[tokio::test]
async fn the_number_of_instances_is_the_last_of_the_deployment_properties_unless_the_upgrade_names_one() {
    let server = stocked().await;
    let named = format!("spec:\n  deploymentProperties:\n    {COUNT}: 2\n");
    let first = server.changed("/api/package/install", "log", "1.0.0", &named).await;
    assert!(first.contains(&format!("\"{COUNT}\": \"2\"")), "{first}");
    assert_eq!(server.running().await, [("log".to_owned(), 2)]);
    server.scaled("log", 3).await;
    // The number of the install was put into the values then; what runs now is stronger.
    let other = "spec:\n  applicationProperties:\n    x: 1\n";
    let second = server.changed("/api/release/upgrade", "log", "2.0.0", other).await;
    assert!(second.contains(&format!("\"{COUNT}\": \"3\"")) && second.contains("\"memory\": \"1g\""), "{second}");
    assert_eq!(server.running().await, [("log".to_owned(), 3)]);
    let one = named.replace(": 2", ": 1");
    let third = server.changed("/api/release/upgrade", "log", "1.0.0", &one).await;
    assert!(third.contains(&format!("\"{COUNT}\": \"1\"")), "{third}");
    assert_eq!(server.running().await, [("log".to_owned(), 1)], "one that is named is meant");
}

#[tokio::test]
async fn applications_come_and_go_with_an_upgrade() {
    let server = stocked().await;
    let mut alone = vec![file("package.yml", &metadata("ticktock", "3.0.0")), file("values.yml", "")];
    alone.extend(single("packages/log/", "log", "1.0.0"));
    let mut ask = Ask::new(Method::POST, "/v1/packages").header("content-type", "application/zip");
    ask.body = Archive::from_files(alone).expect("files of a package").to_zip("ticktock-3.0.0");
    server.send(ask).await.ok::<Value>();
    server.changed("/api/package/install", "ticktock", "1.0.0", "").await;
    server.changed("/api/release/upgrade", "ticktock", "3.0.0", "").await;
    assert_eq!(server.running().await, [("log".to_owned(), 1)]);
    server.changed("/api/release/upgrade", "ticktock", "2.0.0", "").await;
    assert_eq!(server.running().await, [("log".to_owned(), 1), ("time".to_owned(), 1)]);
}

#[tokio::test]
async fn applications_of_a_grouped_package_keep_their_own_numbers_and_ids() {
    let server = stocked().await;
    server.changed("/api/package/install", "ticktock", "1.0.0", "").await;
    server.scaled("log", 3).await;
    let second = server.changed("/api/release/upgrade", "ticktock", "2.0.0", "").await;
    let counts: Vec<&str> = second.lines().filter(|line| line.contains(COUNT)).collect();
    assert_eq!(counts, [format!("    \"{COUNT}\": \"3\""), format!("    \"{COUNT}\": \"1\"")]);
    assert_eq!(server.running().await, [("log".to_owned(), 3), ("time".to_owned(), 1)]);
    let states: Value = server.get("/api/release/states?names=r").await.ok();
    assert_eq!(states["r"].as_object().expect("ids").keys().collect::<Vec<_>>(), ["r.log-v2", "r.time-v1"]);
    // One that fails has the ids of what it launched and of what it left as it was.
    server.machine.platform.behave("", Behaviour { healthy_after: None, exits_after: None });
    let body = json!({
        "packageIdentifier": {"packageName": "ticktock", "packageVersion": "1.0.0"},
        "upgradeProperties": {"releaseName": "r"},
        "timeout": 300,
    });
    server.post("/api/release/upgrade", &body).await.ok::<Value>();
    server.told("r", "FAILED", "Did not detect apps").await;
    let states: Value = server.get("/api/release/states?names=r").await.ok();
    assert_eq!(states["r"].as_object().expect("ids").keys().collect::<Vec<_>>(), ["r.log-v3", "r.time-v1"]);
    // And so has one of which nothing is left, when somebody asks for it long after.
    server.machine.platform.behave("", Behaviour::default());
    let time = "time:\n  spec:\n    applicationProperties:\n      v: later\n";
    server.changed("/api/release/upgrade", "ticktock", "1.0.0", time).await;
    let all = "log:\n  spec:\n    applicationProperties:\n      v: later\n";
    server.changed("/api/release/upgrade", "ticktock", "1.0.0", all).await;
    for (version, ids) in [
        (1, ["r.log-v1", "r.time-v1"]),
        (2, ["r.log-v2", "r.time-v1"]),
        (3, ["r.log-v3", "r.time-v1"]),
        (4, ["r.log-v4", "r.time-v4"]),
    ] {
        let info: Value = server.get(&format!("/api/status/r/{version}")).await.ok();
        let apps: Value = serde_json::from_str(info["status"]["platformStatus"].as_str().expect("text")).expect("JSON");
        let found: Vec<_> = apps.as_array().expect("a list").iter().map(|app| app["deploymentId"].clone()).collect();
        assert_eq!(found, ids, "version {version}: {info}");
    }
}
