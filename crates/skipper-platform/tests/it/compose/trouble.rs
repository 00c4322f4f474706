use std::time::Duration;

use serde_json::json;
use skipper_core::{fleet::Outcome, port::ErrorKind};
use skipper_platform::compose::Driver;

use super::world::{each, free_port, idle, running};
use crate::world::PATIENCE;

#[tokio::test]
async fn whoever_is_cut_off_in_the_middle_is_taken_up() {
    each("cut", |world| async move {
        let port = free_port();
        let web = |text: &str| {
            running(
                &format!("echo {text} > /tmp/health; httpd -f -p 8080 -h /tmp"),
                &json!({"ports": [format!("127.0.0.1:{port}:8080")], "health": {"path": "/health"}}),
            )
        };
        let services =
            |text: &str| json!({"web": web(text), "a": idle(&json!({"env": {"A": text}})), "b": idle(&json!({}))});
        world.good(&services("first"), 1).await;
        let ids = world.ids().await;
        let mut counter = 1;
        // Cut off after ever longer: while it resolves, while it starts, while it waits, and afterwards.
        for (round, millis) in [(0, 100), (1, 500), (2, 1000), (3, 2000), (4, 4000)] {
            let text = format!("round-{round}");
            let (wanted, config) = (world.wanted(&services(&text), &[], counter + 1), world.config());
            let cut = std::thread::spawn(move || {
                let runtime = tokio::runtime::Runtime::new().expect("one can be made");
                let driver = Driver::new(config);
                let _ = runtime.block_on(async {
                    tokio::time::timeout(Duration::from_millis(millis), driver.apply(wanted, PATIENCE)).await
                });
                // Everything that it was at is dropped, compose is killed.
                runtime.shutdown_background();
            });
            cut.join().expect("it ends");
            counter += 2;
            world.good(&services(&text), counter).await;
            let all = world.containers().await;
            let names: Vec<&str> = all.iter().map(|one| one.service.as_str()).collect();
            assert_eq!(names, ["a", "b", "web"], "after {millis} ms nothing is doubled or lost: {all:#?}");
            assert_eq!(world.environment("a").await["A"], text);
            assert_eq!(world.ids().await["b"], ids["b"]);
        }
    })
    .await;
}

#[tokio::test]
async fn a_program_that_is_killed_leaves_nothing_doubled() {
    each("killed", |world| async move {
        let services = |text: &str| {
            let env = json!({"env": {"A": text}});
            json!({"a": idle(&env), "b": idle(&env), "c": idle(&json!({}))})
        };
        world.good(&services("first"), 1).await;
        let kept = world.ids().await["c"].clone();
        // From before it is at it until it waits for health; the compose that it started goes on by itself.
        for (round, millis) in (1..).zip([300, 700, 1100, 1600, 2400]) {
            let text = format!("round-{round}");
            let wanted = world.wanted(&services(&text), &[], 2 * round);
            let given = json!({
                "base": world.dir.path(), "host": world.host, "command": world.tool.words, "project": world.tenant,
                "files": wanted.files, "services": wanted.services, "generation": 2 * round,
                "read": super::world::yaml(&wanted.files["docker-compose.yml"]).expect("YAML"),
            });
            let mut program = tokio::process::Command::new(crate::world::FIXTURE);
            program.arg("apply").env("APPLY", given.to_string()).stdout(std::process::Stdio::null());
            if let Some(config) = &world.tool.config {
                program.env("DOCKER_CONFIG", config.path());
            }
            let mut program = program.spawn().expect("it starts");
            let _ = tokio::time::timeout(Duration::from_millis(millis), program.wait()).await;
            let _ = program.kill().await;
            let report = world.good(&services(&text), 2 * round + 1).await;
            let all = world.containers().await;
            let names: Vec<&str> = all.iter().map(|one| one.service.as_str()).collect();
            assert_eq!(names, ["a", "b", "c"], "killed after {millis} ms: {report:#?}{all:#?}");
            assert_eq!(
                (world.environment("a").await["A"].clone(), world.environment("b").await["A"].clone()),
                (text.clone(), text)
            );
            assert_eq!(world.ids().await["c"], kept);
        }
    })
    .await;
}

#[tokio::test]
async fn a_compose_that_was_left_behind_is_waited_for() {
    use std::os::unix::process::CommandExt as _;
    each("orphan", |world| async move {
        world.good(&json!({"a": idle(&json!({}))}), 1).await;
        // As if whoever started it had been killed: a process that bears the lock of the folder as its standard input.
        let lock = std::fs::File::options()
            .read(true)
            .write(true)
            .open(world.folder().join(".skipper/lock"))
            .expect("it is there");
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).expect("nobody has it");
        let mut left =
            std::process::Command::new("sleep").arg("3").stdin(lock).process_group(0).spawn().expect("it starts");
        let wanted = || world.wanted(&json!({"a": idle(&json!({}))}), &[], 2);
        let busy = world.driver.apply(wanted(), Duration::from_secs(1)).await.expect_err("somebody is at it");
        assert_eq!((busy.kind(), busy.code()), (ErrorKind::Transient, "folder-busy"));
        let report = world.apply(wanted()).await;
        assert!(left.try_wait().expect("it is ours").is_some(), "it was waited for");
        assert_eq!(report.status, Outcome::Succeeded);
    })
    .await;
}

#[tokio::test]
async fn two_at_once_come_one_after_the_other() {
    each("twice", |world| async move {
        let wanted =
            |text: &str, counter| world.wanted(&json!({"a": idle(&json!({"env": {"A": text}}))}), &[], counter);
        let other = Driver::new(world.config());
        let (one, two) = tokio::join!(world.try_apply(wanted("one", 1)), other.apply(wanted("two", 2), 4 * PATIENCE));
        let two = two.expect("it has the higher right");
        assert_eq!(two.status, Outcome::Succeeded, "{two:#?}");
        match one {
            Ok(one) => assert_eq!(one.status, Outcome::Succeeded, "{one:#?}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Fenced),
        }
        assert_eq!(world.environment("a").await["A"], "two");
    })
    .await;
}

#[tokio::test]
async fn files_of_another_hand_are_what_is_gone_back_to() {
    each("adopt", |world| async move {
        // As an agent that knew nothing of us has left them.
        let text = format!("services:\n  a:\n    image: {}\n    command: [\"sh\", \"-c\", \"trap 'exit 0' TERM; sleep 1000 & wait\"]\n", super::world::IMAGE);
        std::fs::create_dir_all(world.folder()).expect("it is ours");
        std::fs::write(world.folder().join("docker-compose.yml"), &text).expect("it is ours");
        let mut command = tokio::process::Command::new(&world.tool.words[0]);
        command.args(&world.tool.words[1..]).args(["up", "-d"]).current_dir(world.folder());
        if let Some(config) = &world.tool.config {
            command.env("DOCKER_CONFIG", config.path());
        }
        assert!(command.output().await.expect("it runs").status.success());
        let before = world.ids().await;
        let report = world.bad(&json!({"a": {"image": super::world::IMAGE, "command": ["sh", "-c", "exit 1"]}}), 1).await;
        assert!(report.went_back, "{report:#?}");
        assert_eq!(world.file("docker-compose.yml"), text);
        assert_eq!(world.ids().await.len(), before.len());
    })
    .await;
}

#[tokio::test]
async fn without_compose_or_engine_it_says_what_is_missing() {
    each("missing", |world| async move {
        let wanted = || world.wanted(&json!({"a": idle(&json!({}))}), &[], 1);
        let mut config = world.config();
        config.command = None;
        config.env.insert("PATH".to_owned(), "/nonexistent".to_owned());
        let missing = Driver::new(config).apply(wanted(), PATIENCE).await.expect_err("there is none");
        assert_eq!((missing.kind(), missing.code()), (ErrorKind::Permanent, "compose-missing"));
        assert!(missing.advice().is_some_and(|hint| hint.contains("docker-compose")), "{missing:?}");
        let mut config = world.config();
        config.host = "unix:///nonexistent/docker.sock".to_owned();
        let down = Driver::new(config).apply(wanted(), PATIENCE).await.expect_err("there is none");
        assert_eq!(down.kind(), ErrorKind::Transient, "{}", down.chain());
        assert_eq!(world.containers().await, []);
        for (folder, project) in [("../x", "a"), ("a", "A b"), ("", "a"), ("a", "-a")] {
            let odd = skipper_platform::compose::Wanted {
                folder: folder.to_owned(),
                project: project.to_owned(),
                ..wanted()
            };
            world.try_apply(odd).await.expect_err("an odd name");
        }
    })
    .await;
}
