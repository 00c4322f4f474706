use std::time::{Duration, Instant};

use futures::StreamExt as _;
use skipper_core::{
    deployment::DeploymentId,
    port::{ErrorKind, LogQuery, Platform as _},
};
use skipper_platform::container::EngineKind;

use super::world::{Engine, on_each_engine, open};
use crate::world::{PATIENCE, deployment};

on_each_engine! {
    async fn changed_resolves_when_a_container_ends(engine: Engine) {
        let it = engine.script("exec sleep 600").await;
        engine.start(&it).await;
        // The stream is open when it has told of itself.
        tokio::time::timeout(PATIENCE, engine.platform.changed()).await.expect("it tells");
        let changed = engine.platform.changed();
        let kill = engine.client();
        let name = format!("skipper-{}-0", it.id);
        kill.kill_container(&name, None::<bollard::query_parameters::KillContainerOptions>).await.expect("it runs");
        tokio::time::timeout(PATIENCE, changed).await.expect("it tells");
        let exit = engine.ended(&it).await;
        assert_eq!((exit.code, exit.signal), (None, Some(9)));
    }

    async fn more_memory_than_the_limit_is_told_as_such(engine: Engine) {
        let mut it = engine.script("exec dd if=/dev/zero of=/dev/null bs=200M count=1").await;
        it.app.limits.memory_bytes = Some(16 << 20);
        it.app.limits.cpu_millis = Some(500);
        engine.start(&it).await;
        let exit = engine.ended(&it).await;
        assert_eq!(exit.signal, Some(9));
        // Podman hears of it by a file that not every kernel's control groups have.
        assert!(exit.out_of_memory || engine.kind == EngineKind::Podman, "{exit:?}");
    }

    async fn what_cannot_be_started_says_why(engine: Engine) {
        let mut it = engine.script("").await;
        for (word, codes) in
            [("no-such-program", "program-not-found"), ("/etc/passwd", "program-not-executable")]
        {
            it.app.command = vec![word.to_owned()];
            match engine.launch(&it, 1).await {
                Err(error) => {
                    assert_eq!((error.code(), error.kind()), (codes, ErrorKind::Permanent), "{}", error.chain());
                    assert!(error.advice().is_some());
                    assert_eq!(engine.containers().await, Vec::<String>::new(), "nothing is left of it");
                }
                // The init starts, and says in the log that the program does not.
                Ok(_) => {
                    let exit = engine.ended(&it).await;
                    assert!(exit.code.is_some_and(|code| code != 0), "{exit:?}");
                    let query = LogQuery { deployment: it.id.clone(), instance: None, tail: None, follow: false, container: None };
                    let lines: Vec<_> = engine.platform.logs(query).await.expect("there are logs").collect().await;
                    assert!(format!("{lines:?}").contains("exec"), "{lines:?}");
                    engine.retire(&it).await.expect("it can be removed");
                    it.id = DeploymentId::from_stored(format!("{}x", it.id));
                }
            }
        }
    }
}

/// A platform whose engine is at that socket.
fn at(
    dir: &std::path::Path,
    socket: &std::path::Path,
) -> std::sync::Arc<skipper_platform::container::ContainerPlatform> {
    let host = format!("unix://{}", socket.display());
    open(dir, EngineKind::Docker, &host, "nobody", &Default::default())
}

#[tokio::test]
async fn an_engine_that_is_down_is_an_error_that_says_what_to_do() {
    let dir = tempfile::tempdir().expect("temp dirs can be made");
    let socket = dir.path().join("engine.sock");
    let platform = at(dir.path(), &socket);
    let told = platform.describe().await;
    assert!(!told.reachable && told.summary.contains("there is no such socket"), "{}", told.summary);
    let error = platform.list(PATIENCE).await.expect_err("nobody is there");
    assert_eq!((error.code(), error.kind()), ("engine-down", ErrorKind::Transient), "{}", error.chain());
    assert!(error.advice().is_some_and(|hint| hint.contains("systemctl start docker")));
    // A socket that a dead engine left.
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("it is ours"));
    let error = platform.list(PATIENCE).await.expect_err("nobody listens");
    assert!(error.code() == "engine-down" && error.chain().contains("nobody listens there"), "{}", error.chain());
    let changed = tokio::time::timeout(Duration::from_millis(300), platform.changed()).await;
    assert!(changed.is_err(), "nothing has changed");
}

#[tokio::test]
async fn an_engine_that_stalls_costs_no_more_than_the_deadline() {
    let dir = tempfile::tempdir().expect("temp dirs can be made");
    let socket = dir.path().join("engine.sock");
    // Accepts by its queue, and never answers.
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("it is ours");
    let platform = at(dir.path(), &socket);
    let (it, short) = (deployment(&["x"]), Duration::from_millis(200));
    let begun = Instant::now();
    let one = skipper_core::rollout::plan::Instances::first(1);
    let generation = crate::world::generation(1);
    let secrets = skipper_core::secret::SecretValues::new();
    let launch = skipper_core::port::Launch { deployment: &it, instances: one, secrets: &secrets, generation };
    let errors = [
        platform.launch(launch, short).await.map(drop).expect_err("no answer"),
        platform.list(short).await.map(drop).expect_err("no answer"),
        platform.observe(&it, one, short).await.map(drop).expect_err("no answer"),
        platform.retire(&it, one, true, generation, short).await.expect_err("no answer"),
    ];
    assert!(errors.iter().all(|error| error.kind() == ErrorKind::Unknown), "{errors:?}");
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert!(!platform.describe().await.reachable);
}
