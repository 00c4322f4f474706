use std::time::Duration;

use futures::StreamExt as _;
use skipper_core::{
    port::{ErrorKind, HookJob, HookState, LogQuery, LogStreamKind, Platform as _},
    secret::SecretValues,
    spec::{Check, Hook, Volume},
    time::Millis,
};

use super::world::{Engine, on_each_engine};
use crate::world::{PATIENCE, generation, port};

fn query(it: &skipper_core::deployment::Deployment, tail: Option<usize>, follow: bool) -> LogQuery {
    LogQuery { deployment: it.id.clone(), instance: None, tail, follow, container: None }
}

fn hook(text: &str, timeout: Millis) -> Hook {
    Hook { command: ["sh", "-c", text].map(str::to_owned).to_vec(), timeout }
}

async fn outcome(engine: &Engine, id: &str) -> HookState {
    loop {
        match engine.platform.hook_state(id, PATIENCE).await.expect("it can be asked") {
            HookState::Running => {
                let _ = tokio::time::timeout(Duration::from_millis(100), engine.platform.changed()).await;
            }
            state => return state,
        }
    }
}

on_each_engine! {
    async fn lines_of_both_streams_come_in_order_and_long_ones_whole(engine: Engine) {
        let long = "x".repeat(40_000);
        let mut it = engine.script("echo out; sleep 0.2; echo err >&2; sleep 0.2; echo $LONG; exit 0").await;
        it.app.env.insert("LONG".to_owned(), long.clone());
        engine.start(&it).await;
        engine.ended(&it).await;
        let lines = engine.platform.logs(query(&it, None, false)).await.expect("there are logs");
        let lines: Vec<_> = lines.map(|line| line.expect("it can be read")).collect().await;
        let told: Vec<_> = lines.iter().map(|line| (line.stream, line.line.as_str(), line.instance)).collect();
        let (out, err) = (LogStreamKind::Stdout, LogStreamKind::Stderr);
        assert_eq!(told, [(out, "out", 0), (err, "err", 0), (out, long.as_str(), 0)]);
        assert!(lines.windows(2).all(|two| two[0].at <= two[1].at));
        let last = engine.platform.logs(query(&it, Some(1), false)).await.expect("there are logs");
        assert_eq!(last.count().await, 1);
        engine.retire(&it).await.expect("it can be removed");
        let gone = engine.platform.logs(query(&it, None, false)).await.err().expect("they went with it");
        assert_eq!(gone.kind(), ErrorKind::NotFound);
    }

    async fn following_goes_on_over_a_restart_and_ends_with_the_container(engine: Engine) {
        let it = engine.script("echo begun; sleep 1; echo over").await;
        engine.start(&it).await;
        let mut lines = engine.platform.logs(query(&it, None, true)).await.expect("there are logs");
        let mut next = async || {
            let line = tokio::time::timeout(PATIENCE, lines.next()).await.expect("in time");
            line.map(|line| line.expect("it can be read").line)
        };
        assert_eq!((next().await.as_deref(), next().await.as_deref()), (Some("begun"), Some("over")));
        engine.ended(&it).await;
        engine.start(&it).await;
        assert_eq!((next().await.as_deref(), next().await.as_deref()), (Some("begun"), Some("over")));
        engine.retire(&it).await.expect("it can be removed");
        assert_eq!(next().await, None);
    }

    async fn commands_run_within_and_are_ended_with_their_time(engine: Engine) {
        let it = engine.script("exec sleep 600").await;
        let words = |text: &str| ["sh", "-c", text].map(str::to_owned);
        let absent = engine.platform.exec(&it, 0.into(), &words("true"), PATIENCE).await.expect_err("not launched");
        assert_eq!(absent.kind(), ErrorKind::NotFound);
        engine.start(&it).await;
        let ran = engine.platform.exec(&it, 0.into(), &words("echo out; echo err >&2; exit 7"), PATIENCE).await.expect("it runs");
        assert_eq!(ran.code, Some(7));
        assert!(ran.output.contains("out\n") && ran.output.contains("err\n"));
        let none = engine.platform.exec(&it, 0.into(), &["no-such-program".to_owned()], PATIENCE).await.expect_err("it is not there");
        assert_eq!((none.code(), none.kind()), ("exec-failed", ErrorKind::Permanent), "{}", none.chain());
        let seconds = 100_000 + std::process::id() + u32::from(engine.kind == skipper_platform::container::EngineKind::Docker);
        let late = engine.platform.exec(&it, 0.into(), &words(&format!("echo begun; exec sleep {seconds}")), Duration::from_millis(700)).await;
        let late = late.expect_err("it takes too long");
        assert_eq!(late.code(), "exec-timeout");
        assert!(late.advice().is_some_and(|hint| hint.contains("begun")));
        let gone = || {
            let mut processes = std::fs::read_dir("/proc").expect("proc is there").flatten();
            let is_it = |line: Vec<u8>| line == format!("sleep\0{seconds}\0").as_bytes();
            !processes.any(|one| std::fs::read(one.path().join("cmdline")).is_ok_and(is_it))
        };
        crate::world::eventually("what took too long is ended", gone).await;
    }

    async fn a_hook_runs_once_however_often_it_is_asked_for(engine: Engine) {
        let marks = engine.dir.path().join("marks");
        let mut it = engine.script("exec sleep 600").await;
        it.app.volumes = vec![Volume {
            name: "marks".to_owned(), path: "/marks".to_owned(), env: None, source: Some(marks.display().to_string()), read_only: false,
        }];
        let id = |step: u32| format!("{}-{step}", engine.owner);
        let secrets = SecretValues::new();
        let run = async |id: &str, hook: &Hook| {
            engine.platform.run_hook(HookJob { id, deployment: &it, hook, secrets: &secrets }, PATIENCE).await
        };
        assert_eq!(outcome(&engine, &id(3)).await, HookState::Absent);
        let migrate = hook("echo x >> /marks/m; echo migrated for $SKIPPER_RELEASE; exit 4", Millis::secs(20));
        let three = id(3);
        let asked = futures::future::join_all((0..5).map(|_| run(&three, &migrate))).await;
        for one in asked {
            one.unwrap_or_else(|error| panic!("{}", error.chain()));
        }
        let ended = HookState::Ended { code: Some(4), output: "migrated for shop\n".to_owned() };
        assert_eq!(outcome(&engine, &three).await, ended);
        let other = engine.another();
        let again = other.run_hook(HookJob { id: &three, deployment: &it, hook: &migrate, secrets: &secrets }, PATIENCE).await;
        assert_eq!(again.expect("it is known"), ended);
        assert_eq!(std::fs::read_to_string(marks.join("m")).expect("it ran"), "x\n");
        let endless = hook("echo begun; exec sleep 600", Millis(500));
        run(&id(4), &endless).await.expect("it starts");
        let HookState::Ended { code, output } = outcome(&engine, &id(4)).await else { panic!("it is ended") };
        assert_eq!((code, output.as_str()), (None, "begun\n[skipper] its time was over, it was killed\n"));
        let nothing = Hook { command: vec!["no-such-program".to_owned()], timeout: Millis::secs(9) };
        run(&id(5), &nothing).await.expect("it ends");
        let HookState::Ended { code, output } = outcome(&engine, &id(5)).await else { panic!("it is ended") };
        // Each engine's init has a status and words of its own for it.
        assert!(code.is_some_and(|code| code != 0) && output.contains("exec"), "{code:?} {output}");
        engine.retire(&it).await.expect("nothing else is there");
        assert_eq!(outcome(&engine, &three).await, HookState::Absent, "forgotten with its deployment");
    }

    async fn health_is_asked_at_the_loopback_port_or_within(engine: Engine) {
        let text = "mkdir -p /www; echo hello > /www/index.html; exec httpd -f -p $PORT -h /www";
        let mut it = engine.script(text).await;
        it.app.ports = vec![port("http")];
        let instance = engine.start(&it).await;
        crate::world::eventually("it listens", || std::net::TcpStream::connect(instance.addresses["http"]).is_ok()).await;
        let name = it.app.ports[0].name.clone();
        let command = |text: &str| Check::Command { command: ["sh", "-c", text].map(str::to_owned).to_vec() };
        for (check, ok, words) in [
            (Check::Running, true, "runs"),
            (Check::Tcp { port: name.clone() }, true, ""),
            (Check::Http { port: name.clone(), path: "/".to_owned(), status: vec![(200, 299)] }, true, "200 OK"),
            (Check::Http { port: name, path: "/none".to_owned(), status: vec![(200, 299)] }, false, "404"),
            (command("true"), true, "status 0"),
            (command("echo not yet; exit 5"), false, "status 5: not yet"),
        ] {
            it.app.health.check = check;
            let attempt = engine.platform.probe(&it, &instance).await;
            assert_eq!(attempt.ok, ok, "{}", attempt.detail);
            assert!(attempt.detail.contains(words), "{}", attempt.detail);
        }
        engine.platform.retire(&it, skipper_core::rollout::plan::Instances::first(1), false, generation(9), PATIENCE).await.expect("stopped");
        let gone = engine.platform.probe(&it, &instance).await;
        assert!(!gone.ok && gone.detail.contains("not there"));
    }
}
