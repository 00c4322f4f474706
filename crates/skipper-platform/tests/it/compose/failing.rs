use serde_json::{Value, json};
use skipper_core::{fleet::Outcome, generation::Generation};
use skipper_platform::{compose::Driver, container::Pull};

use super::world::{World, each, free_port, idle, running};

/// What ran before runs on, untouched, by the files of before.
async fn serves_as_before(
    world: &World,
    before: &std::collections::BTreeMap<String, String>,
    files: &(String, String),
) {
    assert_eq!(world.ids().await, *before);
    assert_eq!((world.file("docker-compose.yml"), world.file(".env")), *files);
}

fn files(world: &World) -> (String, String) {
    (world.file("docker-compose.yml"), world.file(".env"))
}

#[tokio::test]
async fn an_image_that_cannot_be_had_changes_nothing() {
    each("image", |world| async move {
        let good = json!({"a": idle(&json!({"env": {"A": "1"}})), "b": idle(&json!({}))});
        world.good(&good, 1).await;
        let (before, kept) = (world.ids().await, files(&world));
        let bad = json!({"a": idle(&json!({"env": {"A": "2"}})), "b": {"image": "localhost:1/skipper-it/nowhere:1"}});
        let report = world.bad(&bad, 2).await;
        assert_eq!(report.code, "image-missing", "{report:#?}");
        assert!(report.summary.contains("localhost:1/skipper-it/nowhere:1 cannot be fetched"), "{}", report.summary);
        assert!(report.summary.ends_with("what ran before runs on"), "{}", report.summary);
        serves_as_before(&world, &before, &kept).await;

        let mut config = world.config();
        config.pull = Pull::Never;
        let report =
            Driver::new(config).apply(world.wanted(&bad, &[], 3), 4 * crate::world::PATIENCE).await.expect("a report");
        assert!(report.summary.starts_with("these images are not here, and none is fetched"), "{}", report.summary);
        assert_eq!(report.logs_tail.matches("pull").count(), 0, "nobody was asked");
        serves_as_before(&world, &before, &kept).await;
    })
    .await;
}

/// A web server that answers at `/health`, or does not.
fn web(port: u16, well: bool) -> Value {
    let what = if well {
        "echo ok > /tmp/health; httpd -f -p 8080 -h /tmp"
    } else {
        "echo I am the bad one; httpd -f -p 8080 -h /tmp"
    };
    running(what, &json!({"ports": [format!("127.0.0.1:{port}:8080")], "health": {"path": "/health", "within": 4}}))
}

#[tokio::test]
async fn what_does_not_get_healthy_leads_back() {
    each("back", |world| async move {
        let port = free_port();
        // Nothing was there before: nothing is left.
        let report = world.bad(&json!({"web": web(port, false)}), 1).await;
        assert_eq!((report.code, report.went_back), ("unhealthy", false), "{report:#?}");
        assert!(report.summary.contains("service web is not well after"), "{}", report.summary);
        assert!(report.summary.contains("404 Not Found"), "{}", report.summary);
        assert!(report.logs_tail.contains("web | I am the bad one"), "{}", report.logs_tail);
        assert_eq!(world.containers().await, []);
        assert_eq!(files(&world), (String::new(), String::new()));

        world.good(&json!({"web": web(port, true), "db": idle(&json!({}))}), 2).await;
        let (before, kept) = (world.ids().await, files(&world));
        let report = world.bad(&json!({"web": web(port, false), "db": idle(&json!({}))}), 3).await;
        assert_eq!((report.code, report.went_back), ("unhealthy", true), "{report:#?}");
        assert!(report.summary.ends_with("what served before serves again"), "{}", report.summary);
        assert_eq!(files(&world), kept);
        assert_eq!(world.ids().await["db"], before["db"], "what had not changed was never touched");
        assert_eq!(report.services["web"].state, "running");
        let again = world.good(&json!({"web": web(port, true), "db": idle(&json!({}))}), 4).await;
        assert_eq!(again.changed, [""; 0], "it is what serves");
    })
    .await;
}

#[tokio::test]
async fn what_ends_at_once_or_fails_its_own_check_leads_back() {
    each("ends", |world| async move {
        world.good(&json!({"a": idle(&json!({}))}), 1).await;
        let report = world
            .bad(&json!({"a": {"image": super::world::IMAGE, "command": ["sh", "-c", "echo gone; exit 7"]}}), 2)
            .await;
        assert!(report.summary.contains("service a ends again and again, with status 7"), "{}", report.summary);
        assert!(report.went_back && report.logs_tail.contains("a | gone"), "{report:#?}");
        let check = json!({"health": {"command": ["sh", "-c", "echo not me; exit 1"], "within": 3}});
        let report = world.bad(&json!({"a": idle(&check)}), 3).await;
        assert!(
            report.summary.contains("its check has not passed yet") || report.summary.contains("not me"),
            "{}",
            report.summary
        );
        assert!(report.went_back, "{report:#?}");
        world.good(&json!({"a": idle(&json!({"health": {"command": ["true"]}}))}), 4).await;
    })
    .await;
}

#[tokio::test]
async fn no_report_tells_a_secret() {
    each("tells", |world| async move {
        let secrets = [("KEY", "hunter2-$-\"x\""), ("LONG", "first line\nsecond line")];
        let services = json!({"a": {
            "image": super::world::IMAGE, "secrets": ["KEY", "LONG"],
            "command": ["sh", "-c", "echo \"key is $KEY\"; echo \"$LONG\"; exit 1"],
        }});
        let report = world.apply(world.wanted(&services, &secrets, 1)).await;
        assert_eq!(report.status, Outcome::Failed);
        assert!(report.logs_tail.contains("a | key is [secret]"), "{}", report.logs_tail);
        let shown = format!("{report:?}{}", serde_json::to_string(&report).expect("JSON"));
        for part in ["hunter2", "second line"] {
            assert!(!shown.contains(part), "{part} in {shown}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_before_anything_is_touched() {
    each("policy", |world| async move {
        world.good(&json!({"a": idle(&json!({}))}), 1).await;
        let (before, kept) = (world.ids().await, files(&world));
        let image = super::world::IMAGE;
        std::fs::create_dir_all(world.folder().join("data")).expect("it is ours");
        std::os::unix::fs::symlink("/etc", world.folder().join("data/link")).expect("it is ours");
        let folder = world.folder().display().to_string();
        for (counter, (text, expected)) in (2..).zip([
            (format!("services:\n  a:\n    image: {image}\n    privileged: true\n"), "services.a.privileged"),
            (
                format!("services:\n  a:\n    image: {image}\n    volumes: [\"/var/run/docker.sock:/s\"]\n"),
                "hands it the whole engine",
            ),
            (
                format!("services:\n  a:\n    image: {image}\n    volumes: [\"${{X:-/etc}}:/e\"]\n"),
                "is outside the project's folder",
            ),
            (format!("services:\n  a:\n    image: {image}\n    volumes: [\"./data/link:/e\"]\n"), "the mount of"),
            (
                format!("services:\n  a:\n    image: {image}\n    volumes: [\"{folder}/.env:/e\"]\n"),
                "the project itself is made of",
            ),
            (format!("services:\n  a:\n    image: {image}\n    network_mode: host\n"), "services.a.network_mode"),
            (format!("services:\n  a:\n    image: {image}\n    env_file: /etc/passwd\n"), "services.a.env_file"),
            (
                format!("services:\n  a:\n    image: {image}\nvolumes:\n  v:\n    external: true\n"),
                "volumes.v.external",
            ),
        ]) {
            let report = world.apply(world.written(&text, counter)).await;
            assert_eq!((report.status, report.code), (Outcome::Failed, "compose-refused"), "{text}{report:#?}");
            assert!(report.summary.contains(expected), "{expected} in {}", report.summary);
            serves_as_before(&world, &before, &kept).await;
        }
        let report = world.apply(world.written("services:\n  a:\n    imag: x\n", 20)).await;
        assert_eq!(report.status, Outcome::Failed);
        let report =
            world.apply(world.written(&format!("services:\n  a:\n    image: {image}\n    ports: [x]\n"), 21)).await;
        assert_eq!(report.code, "compose-invalid", "{report:#?}");
        let report = world.apply(world.written("services: {}\n", 22)).await;
        assert_eq!(report.code, "compose-empty", "{report:#?}");
        serves_as_before(&world, &before, &kept).await;
        assert_eq!(
            world.driver.seen(&world.tenant).await.expect("it is read"),
            Some(Generation { epoch: 1, counter: 22 })
        );
    })
    .await;
}
