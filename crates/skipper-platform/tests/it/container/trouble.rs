use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use skipper_core::{
    deployment::DeploymentId,
    port::{ErrorKind, LogQuery, Platform as _},
};
use skipper_platform::container::EngineKind;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    sync::{Notify, watch},
};
use tokio_util::task::TaskTracker;

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

/// A socket that hands everything on to the engine's, but holds back what asks for one path until it is opened.
struct Gate {
    dir: tempfile::TempDir,
    waits: Arc<Notify>,
    open: watch::Sender<bool>,
}

impl Gate {
    fn before(host: &str, held: &'static str) -> Self {
        let dir = tempfile::tempdir().expect("temp dirs can be made");
        let listener = UnixListener::bind(dir.path().join("engine.sock")).expect("it is ours");
        let (waits, (open, opened)) = (Arc::new(Notify::new()), watch::channel(false));
        let (engine, waiting) = (host.trim_start_matches("unix://").to_owned(), Arc::clone(&waits));
        TaskTracker::new().spawn(async move {
            let tasks = TaskTracker::new();
            while let Ok((client, _)) = listener.accept().await {
                let (engine, mut opened, waiting) = (engine.clone(), opened.clone(), Arc::clone(&waiting));
                let more = tasks.clone();
                tasks.spawn(async move {
                    let server = UnixStream::connect(engine).await.expect("it answers");
                    let ((mut asks, mut hears), (mut answers, mut says)) = (client.into_split(), server.into_split());
                    more.spawn(async move { tokio::io::copy(&mut answers, &mut hears).await });
                    let mut piece = vec![0; 64 << 10];
                    while let Ok(read @ 1..) = asks.read(&mut piece).await {
                        if String::from_utf8_lossy(&piece[..read]).contains(held) {
                            waiting.notify_one();
                            let _ = opened.wait_for(|open| *open).await;
                        }
                        says.write_all(&piece[..read]).await.expect("it takes it");
                    }
                });
            }
        });
        Self { dir, waits, open }
    }

    fn host(&self) -> String {
        format!("unix://{}", self.dir.path().join("engine.sock").display())
    }
}

on_each_engine! {
    async fn what_was_retired_while_it_was_launched_is_not_made_any_more(engine: Engine) {
        let it = engine.script("exec sleep 600").await;
        // The network is the last thing before the container.
        let gate = Gate::before(&engine.host, "/networks/");
        let tasks = TaskTracker::new();
        let platform = engine.behind(&gate.host(), &tasks);
        let (one, secrets) = (skipper_core::rollout::plan::Instances::first(1), skipper_core::secret::SecretValues::new());
        let generation = crate::world::generation(1);
        let launch = skipper_core::port::Launch { deployment: &it, instances: one, secrets: &secrets, generation };
        let late = platform.launch(launch, Duration::from_millis(500)).await.expect_err("it is held up");
        assert_eq!(late.kind(), ErrorKind::Unknown, "{}", late.chain());
        tokio::time::timeout(PATIENCE, gate.waits.notified()).await.expect("it gets there");
        platform.retire(&it, one, true, generation, PATIENCE).await.expect("there is nothing yet");
        gate.open.send_replace(true);
        platform.close();
        tasks.close();
        tokio::time::timeout(PATIENCE, tasks.wait()).await.expect("the launch ends");
        assert_eq!(engine.containers().await, Vec::<String>::new());
        // Whoever wants it again has it.
        engine.start(&it).await;
        engine.retire(&it).await.expect("it can be removed");
    }

    async fn what_an_image_was_read_by_goes_and_what_one_is_read_by_stays(engine: Engine) {
        let image = engine.image().await;
        let gate = Gate::before(&engine.host, "/archive");
        let tasks = TaskTracker::new();
        let platform = engine.behind(&gate.host(), &tasks);
        let reading = { let (platform, image) = (Arc::clone(&platform), image.clone()); async move {
            platform.files_of(&image, &["/etc/passwd"], PATIENCE).await
        } };
        let reading = TaskTracker::new().spawn(reading);
        tokio::time::timeout(PATIENCE, gate.waits.notified()).await.expect("it gets there");
        platform.list(PATIENCE).await.expect("it can be listed");
        assert_eq!(engine.containers().await.len(), 1, "it is being read");
        // A server that has just been started, or one whose connection broke, knows nothing of it.
        engine.platform.list(PATIENCE).await.expect("it can be listed");
        assert_eq!(engine.containers().await, Vec::<String>::new());
        gate.open.send_replace(true);
        reading.await.expect("it does not panic").expect_err("it was taken away");
        let read = platform.files_of(&image, &["/etc/passwd"], PATIENCE).await.expect("it is read");
        assert!(read.contains_key("/etc/passwd"));
        platform.close();
        tasks.close();
        tokio::time::timeout(PATIENCE, tasks.wait()).await.expect("it is cleared away");
        assert_eq!(engine.containers().await, Vec::<String>::new());
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
