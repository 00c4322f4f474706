use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use skipper_core::{fleet::Outcome, port::ErrorKind};

use super::world::{each, free_port, idle, running};
use crate::world::PATIENCE;

#[tokio::test]
async fn what_changes_is_started_anew_and_nothing_else() {
    each("change", |world| async move {
        let port = free_port();
        let web = running(
            "echo ok > /tmp/health; httpd -f -p 8080 -h /tmp",
            &json!({"ports": [format!("{port}:8080")], "health": {"path": "/health"}, "volumes": ["data:/data", "./files:/files"]}),
        );
        let first = world.good(&json!({"web": web, "db": idle(&json!({"env": {"A": "1"}}))}), 1).await;
        assert_eq!(first.changed, ["db", "web"]);
        assert_eq!(first.services["web"].state, "running");
        let ids = world.ids().await;
        assert_eq!(first.services["web"].container.as_deref(), Some(&ids["web"][..12]));
        let mode = |name: &str| std::fs::metadata(world.folder().join(name)).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(".env"), mode(".skipper")), (0o600, 0o700));
        assert!(world.file(".env").contains("A=1\n"));

        let again = world.good(&json!({"web": web, "db": idle(&json!({"env": {"A": "1"}}))}), 2).await;
        assert_eq!((again.changed.len(), world.ids().await), (0, ids.clone()));
        assert!(again.summary.starts_with("unchanged"), "{}", again.summary);

        let changed = world.good(&json!({"web": web, "db": idle(&json!({"env": {"A": "2"}}))}), 3).await;
        assert_eq!(changed.changed, ["db"]);
        let now = world.ids().await;
        assert_eq!(now["web"], ids["web"]);
        assert_eq!(world.environment("db").await["A"], "2");

        let fewer = world.good(&json!({"web": web}), 4).await;
        assert_eq!(fewer.changed, ["db"]);
        assert_eq!(world.ids().await.keys().collect::<Vec<_>>(), ["web"], "what is left over goes");

        let seen = world.driver.look_at_all().await.expect("it answers");
        assert_eq!(seen[&world.tenant]["web"].state, "running");
        assert_eq!(world.remove(5).await.status, Outcome::Succeeded);
        assert_eq!(world.containers().await, []);
        assert_eq!((world.file("docker-compose.yml"), world.file(".env")), (String::new(), String::new()));
        assert!(world.folder().join("files").is_dir(), "what services mounted stays");
        assert_eq!(world.remove(6).await.summary, "nothing was there");
        let late = world.try_apply(world.wanted(&json!({"web": web}), &[], 5)).await.expect_err("a lower right");
        assert_eq!(late.kind(), ErrorKind::Fenced);
        assert_eq!(world.containers().await, []);
    })
    .await;
}

#[tokio::test]
async fn several_containers_of_a_service_come_and_go() {
    each("scale", |world| async move {
        world.good(&json!({"a": idle(&json!({"replicas": 2}))}), 1).await;
        let two = world.containers().await;
        assert_eq!(two.iter().map(|one| one.number).collect::<Vec<_>>(), [1, 2]);
        world.good(&json!({"a": idle(&json!({"replicas": 1}))}), 2).await;
        let one = world.containers().await;
        assert_eq!(one.iter().map(|one| &one.id).collect::<Vec<_>>(), [&two[0].id]);
    })
    .await;
}

/// What both generations of compose have trouble with.
const NASTY: &[(&str, &str)] = &[
    ("DOLLARS", "a$b ${HOME} $$ $(id) $1 ${X:-y}"),
    ("QUOTES", r#"it's "quoted" and `ticked`"#),
    ("HASH", "before #after # end"),
    ("BACKSLASHES", r"a\b \n \\ \$ \"),
    ("LINES", "-----BEGIN-----\nMII=\n-----END-----\n"),
    ("CARRIAGE", "a\r\nb\tc"),
    ("SPACES", "  both ends  "),
    ("UNICODE", "ünïcödé ☃ 😀"),
    ("EMPTY", ""),
    ("EQUALS", "a=b=c"),
    ("EXPORT", "export X=1"),
    ("ENDS", "ends with a backslash\\"),
    ("JSON", r#"{"a": "b\\c", "d": "$e"}"#),
    ("OURS", "${SKIPPER_DOLLAR}\\${SKIPPER_BACKSLASH}"),
    ("NUMBER", "007"),
    ("TRUTH", "yes"),
];

#[tokio::test]
async fn values_reach_the_container_unchanged() {
    each("nasty", |world| async move {
        let names: Vec<&str> = NASTY.iter().map(|(name, _)| *name).collect();
        let plain: serde_json::Map<_, _> =
            NASTY.iter().map(|(name, value)| (format!("P_{name}"), json!(value))).collect();
        let mut env = plain.clone();
        // What compose and its surroundings have of their own.
        for name in ["HOME", "COMPOSE_PROJECT_NAME", "DOCKER_HOST", "http_proxy", "spring.config.name"] {
            env.insert(name.to_owned(), json!(format!("mine of {name}")));
        }
        let services = json!({"a": idle(&json!({"secrets": names, "env": env}))});
        let report = world.apply(world.wanted(&services, NASTY, 1)).await;
        assert_eq!(report.status, Outcome::Succeeded, "{report:#?}");
        let seen = world.environment("a").await;
        for (name, value) in NASTY {
            assert_eq!(seen.get(*name).map(String::as_str), Some(*value), "{name} as a secret");
            assert_eq!(seen.get(&format!("P_{name}")).map(String::as_str), Some(*value), "{name} as it is");
        }
        for name in ["HOME", "COMPOSE_PROJECT_NAME", "DOCKER_HOST", "http_proxy", "spring.config.name"] {
            assert_eq!(seen.get(name), Some(&format!("mine of {name}")), "{name}");
        }
        let again = world.apply(world.wanted(&services, NASTY, 2)).await;
        assert_eq!(again.changed, [""; 0], "and the same values are the same service");
    })
    .await;
}

#[tokio::test]
async fn output_is_read_and_commands_are_run() {
    use futures::StreamExt as _;
    each("read", |world| async move {
        world.good(&json!({"a": running("echo from a; sleep 1000", &json!({})), "b": running("echo from b; sleep 1000", &json!({}))}), 1).await;
        let read = async |service: Option<&str>| -> Vec<String> {
            let lines = world.driver.logs(&world.tenant, service, None, false).await.expect("there are some");
            let mut lines: Vec<String> = lines.map(|line| line.expect("it is read").line).collect().await;
            lines.sort();
            lines
        };
        assert_eq!(read(None).await, ["from a", "from b"]);
        assert_eq!(read(Some("b")).await, ["from b"]);
        let words = ["sh", "-c", "echo out; exit 3"].map(str::to_owned);
        let ran = world.driver.exec(&world.tenant, "a", 1, &words, PATIENCE).await.expect("it runs");
        assert_eq!((ran.code, ran.output.as_str()), (Some(3), "out\n"));
        let absent = world.driver.exec(&world.tenant, "a", 2, &words, PATIENCE).await.expect_err("there is no second");
        assert_eq!(absent.kind(), ErrorKind::NotFound);
        // Which of several services is meant has to be said.
        let first = world.driver.exec_in_first(&world.tenant, Some("b"), &words, PATIENCE).await.expect("it runs");
        assert_eq!(first.code, Some(3));
        for named in [None, Some("c")] {
            let refused = world.driver.exec_in_first(&world.tenant, named, &words, PATIENCE).await.expect_err("which?");
            assert_eq!(refused.kind(), ErrorKind::NotFound);
            assert!(refused.advice().is_some_and(|hint| hint.contains("a, b")), "{refused:?}");
        }
    })
    .await;
}
