//! Pods on the real Podman.

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener},
    process::Command,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use serde_json::{Value, json};
use skipper_core::{
    deployment::{Deployment, DeploymentId, Observed},
    name::{PortName, SecretName},
    port::{Error, ErrorKind, HookJob, HookState, Launch, LogQuery, Platform as _},
    rollout::plan::Instances,
    secret::{SecretValue, SecretValues},
    spec::{Application, Check, Hook, Port, Resource, SecretUse, StopPolicy, Volume},
    time::Millis,
};
use skipper_platform::container::{EngineKind, EngineSettings};

use super::world::{Engine, IMAGE, host, load_image, on_each_engine, open};
use crate::world::{PATIENCE, deployment, eventually, generation};

/// Serves the folder that is shared, once the container that runs first has filled it.
const WEB: &str = "exec httpd -f -p 8000 -h /shared";
const WORKER: &str = "echo worker up; trap 'echo asked; exit 0' TERM; while true; do sleep 0.05; done";

async fn podman() -> Option<Engine> {
    let host = host(EngineKind::Podman)?;
    Some(Engine::open(EngineKind::Podman, &host).await)
}

fn container(name: &str, script: &str) -> Value {
    json!({
        "name": name,
        "image": format!("{IMAGE}:1"),
        "command": ["sh", "-c", script],
        "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
    })
}

fn manifest(first: &str, web: &str, worker: &str) -> Value {
    let mut web = container("web", web);
    web["ports"] = json!([{"containerPort": 8000, "hostPort": 8000}, {"containerPort": 8001}]);
    web["env"] = json!([{"name": "MODE", "value": "web"}]);
    let mut worker = container("worker", worker);
    worker["env"] = json!([{"name": "MODE", "value": "worker"}]);
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "anything", "labels": {"team": "shop", "skipper.owner": "somebody"}},
        "spec": {
            "initContainers": [container("first", first)],
            "containers": [web, worker],
            "volumes": [{"name": "shared", "emptyDir": {}}],
        },
    })
}

/// A pod of that manifest, pinned, with its container `web` at the port `http`.
async fn pod(engine: &Engine, manifest: Value) -> Deployment {
    let mut it = deployment(&[]);
    it.app.resource = Resource { uri: format!("docker:{IMAGE}:1"), sha256: None };
    it.app.platform_options.insert("pod".to_owned(), manifest.to_string().into());
    it.app.ports = vec![port("http", "web", 8000)];
    // A server that is the first process of its container does not hear of SIGTERM.
    it.app.stop.grace = Millis(300);
    pin(engine, &mut it.app).await;
    it
}

fn port(name: &str, container: &str, number: u16) -> Port {
    let name = PortName::new(name).expect("it is valid");
    Port { name, env: None, fixed: Some(number), direct: false, container: Some(container.to_owned()) }
}

async fn pin(engine: &Engine, app: &mut Application) {
    engine.platform.review(app).await.unwrap_or_else(|error| panic!("review: {}", error.chain()));
    engine.platform.pin(app, PATIENCE).await.unwrap_or_else(|error| panic!("pin: {}", error.chain()));
}

async fn served(address: SocketAddr, path: &str) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        let asked = Command::new("curl").args(["-sf", "-m", "5", &format!("http://{address}/{path}")]).output();
        let asked = asked.expect("curl is there");
        if asked.status.success() {
            return String::from_utf8_lossy(&asked.stdout).trim_end().to_owned();
        }
        assert!(Instant::now() < until, "{address} does not answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn logs(engine: &Engine, it: &Deployment, container: Option<&str>) -> Result<Vec<String>, Error> {
    let container = container.map(str::to_owned);
    let query = LogQuery { deployment: it.id.clone(), instance: None, tail: None, follow: false, container };
    let lines: Vec<_> = engine.platform.logs(query).await?.collect().await;
    Ok(lines.into_iter().map(|line| line.expect("it can be read").line).collect())
}

fn nothing(engine: &Engine) {
    assert_eq!((engine.pods(), engine.volumes()), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn its_containers_share_what_the_first_one_left_and_have_secrets_of_their_own() {
    let Some(engine) = podman().await else { return };
    let mut manifest = manifest("echo preparing; echo hello > /shared/index.html", WEB, WORKER);
    manifest["spec"]["containers"][1]["env"] = json!([
        {"name": "MODE", "value": "worker"},
        {"name": "OWN", "valueFrom": {"secretKeyRef": {"name": "app", "key": "KEY"}}},
    ]);
    manifest["spec"]["containers"][1]["resources"] =
        json!({"limits": {"memory": (64 << 20).to_string(), "cpu": "500m"}});
    let mut it = pod(&engine, manifest).await;
    it.app.platform_options.insert("labels".to_owned(), json!({"slip.app": "shop"}));
    it.app.env.insert("MODE".to_owned(), "app".to_owned());
    it.app.env.insert("EXTRA".to_owned(), "x".to_owned());
    let (key, cert) = (SecretName::new("key").expect("valid"), SecretName::new("cert").expect("valid"));
    it.app.secrets = vec![
        SecretUse::Env { secret: key.clone(), var: "KEY".to_owned() },
        SecretUse::File { secret: cert.clone(), file: "cert.pem".to_owned() },
    ];
    let value = |text: &str| SecretValue::new(text.to_owned());
    let secrets = SecretValues::from([(key, value("s3cret-key")), (cert, value("s3cret-cert"))]);
    let launch =
        Launch { deployment: &it, instances: Instances::first(1), secrets: &secrets, generation: generation(1) };
    let launched = engine.platform.launch(launch, PATIENCE).await.unwrap_or_else(|error| panic!("{}", error.chain()));
    let address = launched[0].addresses["http"];
    assert!(address.ip().is_loopback() && address.port() != 8000, "{address}");
    assert_eq!(served(address, "").await, "hello");
    assert_eq!(engine.observe(&it).await, Observed::Running(launched[0].clone()));

    // `exec` goes to the container that is reached.
    let env = engine.shell(&it, "env; cat $SKIPPER_SECRETS_DIR/cert.pem").await;
    for line in ["MODE=web", "EXTRA=x", "KEY=s3cret-key", "SKIPPER_RELEASE=shop", "SKIPPER_INSTANCE=0", "s3cret-cert"] {
        assert!(env.lines().any(|known| known == line), "{line}\n{env}");
    }
    assert!(!env.contains("PORT="), "ports of a pod are its own business\n{env}");
    let engine_says = engine.client();
    let name = format!("skipper-{}-0", it.id);
    let worker = engine_says.inspect_container(&format!("{name}-worker"), None).await.expect("by its name");
    let config = worker.config.expect("it is told");
    let env = config.env.expect("it has some");
    assert!(["MODE=worker", "OWN=s3cret-key", "KEY=s3cret-key"].iter().all(|wanted| env.iter().any(|e| e == wanted)));
    let labels = config.labels.expect("it has labels");
    let labelled = |name: &str| labels.get(name).map(String::as_str);
    let told = [labelled("team"), labelled("slip.app"), labelled("skipper.app"), labelled("skipper.owner")];
    assert_eq!(told, [Some("shop"), Some("shop"), Some("web"), Some(engine.owner.as_str())]);
    assert!(labels.values().all(|value| !value.contains("s3cret")));
    let host = worker.host_config.expect("it is told");
    assert_eq!((host.memory, host.nano_cpus), (Some(64 << 20), Some(500_000_000)));
    assert!(engine.shell(&it, "cat /proc/1/status").await.contains("NoNewPrivs:\t1"));
    let restart = host.restart_policy.and_then(|policy| policy.name);
    assert!(!format!("{restart:?}").contains("ALWAYS"), "nobody but Skipper starts it again: {restart:?}");
    // Nothing but the files of secrets themselves has a secret in it.
    for path in files(engine.dir.path()) {
        let text = std::fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        assert!(!text.contains("s3cret") || path.ends_with("cert.pem"), "{}", path.display());
    }

    assert_eq!(logs(&engine, &it, Some("first")).await.expect("it printed"), ["preparing"]);
    assert_eq!(logs(&engine, &it, Some("worker")).await.expect("it printed"), ["worker up"]);
    assert_eq!(logs(&engine, &it, None).await.expect("they printed"), ["preparing", "worker up"]);
    let none = logs(&engine, &it, Some("nobody")).await.expect_err("there is none");
    assert_eq!(none.kind(), ErrorKind::NotFound);
    assert!(none.advice().is_some_and(|hint| hint.contains("first, web, worker")), "{:?}", none.advice());
    engine.retire(&it).await.expect("it can be stopped");
    assert_eq!(engine.containers().await, Vec::<String>::new());
    nothing(&engine);
}

fn files(of: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(of).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[tokio::test]
async fn two_revisions_stand_side_by_side_and_one_goes_alone() {
    let Some(engine) = podman().await else { return };
    let mut all = Vec::new();
    for word in ["old", "new"] {
        let mut it = pod(&engine, manifest(&format!("echo {word} > /shared/index.html"), WEB, WORKER)).await;
        it.app.replicas = 2;
        let launched = engine.launch(&it, 2).await.unwrap_or_else(|error| panic!("{}", error.chain()));
        all.push((it, word, launched));
    }
    let addresses = all.iter().flat_map(|(_, _, launched)| launched.iter().map(|instance| instance.addresses["http"]));
    assert_eq!(addresses.collect::<BTreeSet<_>>().len(), 4);
    for (_, word, launched) in &all {
        for instance in launched {
            assert_eq!(&served(instance.addresses["http"], "").await, word, "volumes are of one pod alone");
        }
    }
    let listed = engine.platform.list(PATIENCE).await.expect("it can be listed");
    assert_eq!(listed.iter().map(|found| found.instances.clone()).collect::<Vec<_>>(), [[0, 1], [0, 1]]);
    engine.retire(&all[0].0).await.expect("it can be stopped");
    assert_eq!(engine.observe(&all[0].0).await, Observed::Absent);
    assert_eq!(served(all[1].2[0].addresses["http"], "").await, "new");
    engine.retire(&all[1].0).await.expect("it can be stopped");
    nothing(&engine);
}

#[tokio::test]
async fn another_server_finds_it_and_a_lower_generation_is_fenced() {
    let Some(mut engine) = podman().await else { return };
    let it = pod(&engine, manifest("echo hello > /shared/index.html", WEB, WORKER)).await;
    let other = engine.another();
    let secrets = SecretValues::new();
    let launch =
        || Launch { deployment: &it, instances: Instances::first(1), secrets: &secrets, generation: generation(7) };
    let both =
        futures::future::join(engine.platform.launch(launch(), PATIENCE), other.launch(launch(), PATIENCE)).await;
    let (first, second) = (both.0.expect("launched"), both.1.expect("launched"));
    assert_eq!((&first[0].handle, &first[0].addresses), (&second[0].handle, &second[0].addresses));
    engine.dir = tempfile::tempdir().expect("temp dirs can be made");
    engine.restart();
    assert_eq!(engine.observe(&it).await, Observed::Running(first[0].clone()));
    let again = engine.launch_as(&it, 1, generation(8)).await.expect("it runs");
    assert_eq!(again, first);
    let fenced = engine.platform.retire(&it, Instances::first(1), true, generation(6), PATIENCE).await;
    assert_eq!(fenced.expect_err("6 < 7").kind(), ErrorKind::Fenced);
    assert_eq!(engine.launch_as(&it, 1, generation(6)).await.expect_err("6 < 7").kind(), ErrorKind::Fenced);
    let found = engine.platform.list(PATIENCE).await.expect("it can be listed");
    assert_eq!((&found[0].id, &found[0].instances), (&it.id, &vec![0]));
    // Nobody knows it any more.
    engine.platform.remove_orphan(&it.id, PATIENCE).await.expect("it can be removed");
    nothing(&engine);
}

#[tokio::test]
async fn a_container_that_ends_is_told_and_started_again_alone() {
    let Some(engine) = podman().await else { return };
    let worker = "echo once; read word < /shared/go; echo $word; exit 3";
    let mut it = pod(&engine, manifest("echo hello > /shared/index.html; echo x >> /shared/first", WEB, WORKER)).await;
    let mut told = manifest("echo hello > /shared/index.html; echo x >> /shared/first", WEB, "");
    told["spec"]["containers"][1]["command"][2] =
        format!("while ! [ -e /shared/go ]; do sleep 0.05; done; {worker}").into();
    it.app.platform_options.insert("pod".to_owned(), told);
    let first = engine.start(&it).await;
    let address = first.addresses["http"];
    assert_eq!(served(address, "").await, "hello");
    tokio::time::timeout(PATIENCE, engine.platform.changed()).await.expect("it tells");
    engine.shell(&it, "echo word > /shared/go").await;
    let exit = engine.ended(&it).await;
    assert_eq!((exit.code, exit.signal), (Some(3), None));
    let attempt = engine.platform.probe(&it, &first).await;
    assert!(!attempt.ok && attempt.detail.contains("container `worker` exited with status 3"), "{attempt:?}");
    assert_eq!(served(address, "").await, "hello", "the others go on");
    engine.shell(&it, "echo > /shared/go; dd if=/dev/null of=/shared/go").await;
    let again = engine.start(&it).await;
    assert_eq!((again.restarts, &again.handle, again.addresses["http"]), (1, &first.handle, address));
    assert_eq!(served(address, "first").await, "x", "what runs first did not run again");
    assert_eq!(logs(&engine, &it, Some("worker")).await.expect("all of it")[..2], ["once", "word"]);
    engine.retire(&it).await.expect("it can be stopped");
    nothing(&engine);
}

#[tokio::test]
async fn a_pod_whose_containers_all_ended_begins_anew_also_when_its_port_is_taken() {
    let Some(engine) = podman().await else { return };
    let it = pod(&engine, manifest("echo hello > /shared/index.html; echo x >> /shared/first", WEB, WORKER)).await;
    let first = engine.start(&it).await;
    let address = first.addresses["http"];
    assert_eq!(served(address, "").await, "hello");
    let client = engine.client();
    let kill = async || {
        for part in ["web", "worker"] {
            let name = format!("skipper-{}-0-{part}", it.id);
            let options = bollard::query_parameters::KillContainerOptionsBuilder::default().signal("SIGKILL").build();
            client.kill_container(&name, Some(options)).await.expect("it runs");
        }
    };
    kill().await;
    assert_eq!(engine.ended(&it).await.signal, Some(9));
    let again = engine.start(&it).await;
    assert_eq!(again.restarts, 1);
    assert_eq!(served(again.addresses["http"], "").await, "hello");
    kill().await;
    engine.ended(&it).await;
    let mut taken = None;
    eventually("the port is free", || {
        taken = TcpListener::bind(again.addresses["http"]).ok();
        taken.is_some()
    })
    .await;
    let elsewhere = engine.start(&it).await;
    assert_ne!(elsewhere.addresses["http"], again.addresses["http"]);
    assert_eq!(served(elsewhere.addresses["http"], "").await, "hello");
    assert_eq!(elsewhere.restarts, 2);
    engine.retire(&it).await.expect("it can be stopped");
    nothing(&engine);
}

#[tokio::test]
async fn what_runs_first_and_fails_or_hangs_is_told_and_can_be_stopped() {
    let Some(engine) = podman().await else { return };
    let it = pod(&engine, manifest("echo no database; exit 4", WEB, WORKER)).await;
    let begun = Instant::now();
    let error = engine.launch(&it, 1).await.expect_err("it failed");
    assert_eq!((error.code(), error.kind()), ("init-failed", ErrorKind::Permanent), "{}", error.chain());
    assert!(error.chain().contains("init container `first` of instance 0 of web exited with status 4: no database"));
    assert!(begun.elapsed() < PATIENCE / 2);
    assert_eq!(logs(&engine, &it, None).await.expect("its output stays"), ["no database"]);
    assert_eq!(engine.observe(&it).await, Observed::Absent);
    engine.retire(&it).await.expect("it can be removed");
    nothing(&engine);

    let slow = pod(
        &engine,
        manifest(
            "echo waits; while ! [ -e /shared/go ]; do sleep 0.05; done; echo hello > /shared/index.html",
            WEB,
            WORKER,
        ),
    )
    .await;
    let secrets = SecretValues::new();
    let launch =
        || Launch { deployment: &slow, instances: Instances::first(1), secrets: &secrets, generation: generation(1) };
    let waiting = engine.platform.launch(launch(), Duration::from_millis(1500)).await.expect_err("it takes longer");
    assert_eq!(waiting.kind(), ErrorKind::Unknown);
    assert!(
        matches!(engine.observe(&slow).await, Observed::Unknown { reason } if reason.contains("`first` runs first"))
    );
    // The launch goes on, and another one goes with it.
    let joined = async {
        let words = ["sh", "-c", "echo > /shared/go"].map(str::to_owned);
        let options = bollard::exec::CreateExecOptions {
            cmd: Some(words.to_vec()),
            attach_stdout: Some(true),
            ..Default::default()
        };
        let client = engine.client();
        let made = client.create_exec(&format!("skipper-{}-0-first", slow.id), options).await.expect("it runs");
        client.start_exec(&made.id, None::<bollard::exec::StartExecOptions>).await.expect("it starts");
    };
    let (launched, ()) = futures::future::join(engine.platform.launch(launch(), PATIENCE), joined).await;
    assert_eq!(served(launched.expect("it is done")[0].addresses["http"], "").await, "hello");
    engine.retire(&slow).await.expect("it can be stopped");

    let stuck = pod(&engine, manifest("exec sleep 600", WEB, WORKER)).await;
    let launch =
        Launch { deployment: &stuck, instances: Instances::first(1), secrets: &secrets, generation: generation(1) };
    engine.platform.launch(launch, Duration::from_millis(1000)).await.expect_err("it never ends");
    engine.retire(&stuck).await.expect("nobody holds it");
    nothing(&engine);
}

#[tokio::test]
async fn every_container_is_asked_and_one_that_may_end_may() {
    let Some(engine) = podman().await else { return };
    let mut told = manifest("echo hello > /shared/index.html", WEB, "exit 0");
    told["spec"]["restartPolicy"] = "OnFailure".into();
    let mut it = pod(&engine, told).await;
    it.app.ports.push(port("side", "web", 9999));
    it.app.health.check =
        Check::Http { port: it.app.ports[0].name.clone(), path: "/index.html".to_owned(), status: vec![(200, 299)] };
    it.app
        .platform_options
        .insert("pod_health".to_owned(), json!([{"container": "web", "kind": "tcp", "port": "side"}]));
    let instance = engine.start(&it).await;
    served(instance.addresses["http"], "").await;
    let attempt = engine.platform.probe(&it, &instance).await;
    // What listens for Podman accepts; nobody behind it does.
    assert!(!attempt.ok && attempt.detail.contains("container `web`"), "{attempt:?}");
    it.app.platform_options.insert(
        "pod_health".to_owned(),
        json!([{"container": "web", "kind": "command", "command": ["sh", "-c", "test -e /shared/index.html"]}]),
    );
    let attempt = engine.platform.probe(&it, &instance).await;
    assert!(attempt.ok, "{attempt:?}");
    assert!(matches!(engine.observe(&it).await, Observed::Running(_)));
    engine.retire(&it).await.expect("it can be stopped");
    nothing(&engine);
}

#[tokio::test]
async fn a_job_of_a_pod_that_runs_reaches_it_at_localhost() {
    let Some(engine) = podman().await else { return };
    let it = pod(&engine, manifest("echo hello > /shared/index.html", WEB, WORKER)).await;
    let instance = engine.start(&it).await;
    served(instance.addresses["http"], "").await;
    let command = ["busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:8000/index.html"].map(str::to_owned).to_vec();
    let hook = Hook { command, timeout: Millis::secs(20) };
    let secrets = SecretValues::new();
    let id = format!("{}-hook", engine.owner);
    let job = HookJob { id: &id, deployment: &it, hook: &hook, secrets: &secrets };
    let mut state = engine.platform.run_hook(job, PATIENCE).await.unwrap_or_else(|error| panic!("{}", error.chain()));
    while state == HookState::Running {
        tokio::time::sleep(Duration::from_millis(50)).await;
        state = engine.platform.hook_state(&id, PATIENCE).await.expect("it can be asked");
    }
    assert_eq!(state, HookState::Ended { code: Some(0), output: "hello\n".to_owned() });
    engine.retire(&it).await.expect("it can be stopped");
    assert_eq!(engine.containers().await, Vec::<String>::new());
    nothing(&engine);
}

#[tokio::test]
async fn each_container_has_an_image_that_stays_and_volumes_that_outlive_the_pod() {
    let Some(engine) = podman().await else { return };
    let client = engine.client();
    let name = format!("{IMAGE}-{}", engine.owner);
    load_image(&client, &name, "1", &["ENV WHICH=first"]).await;
    let mut told = manifest("true", "exec sleep 600", WORKER);
    told["spec"]["containers"][1]["image"] = format!("{name}:1").into();
    let mut it = pod(&engine, told).await;
    it.app.ports.clear();
    let folder = engine.dir.path().join("made/by/skipper");
    it.app.volumes = vec![Volume {
        name: "data".to_owned(),
        path: "/data".to_owned(),
        env: None,
        source: Some(folder.display().to_string()),
        read_only: false,
    }];
    let images: Vec<_> = it.app.images.iter().map(|(part, image)| (part.as_str(), image.uri.as_str())).collect();
    let (usual, own) = (format!("docker:{IMAGE}:1"), format!("docker:{name}:1"));
    assert_eq!(images, [("first", usual.as_str()), ("web", usual.as_str()), ("worker", own.as_str())]);
    assert!(it.app.images.values().all(|image| image.sha256.is_some()));
    assert_ne!(it.app.images["web"].sha256, it.app.images["worker"].sha256);
    // The tag moves on; the revision does not.
    load_image(&client, &name, "1", &["ENV WHICH=second"]).await;
    engine.start(&it).await;
    let worker = client.inspect_container(&format!("skipper-{}-0-worker", it.id), None).await.expect("there");
    assert!(worker.config.and_then(|config| config.env).expect("some").iter().any(|line| line == "WHICH=first"));
    engine.shell(&it, "echo kept > /data/x").await;
    engine.retire(&it).await.expect("it can be stopped");
    assert_eq!(std::fs::read_to_string(folder.join("x")).expect("it stays"), "kept\n");
    nothing(&engine);
    let mut other = it.app.clone();
    other.images.clear();
    engine.platform.pin(&mut other, PATIENCE).await.expect("it is here");
    assert_ne!(other.images["worker"].sha256, it.app.images["worker"].sha256);
    for image in [&other.images["worker"], &it.app.images["worker"]] {
        let kept = format!("{}:{}", engine.kept(), image.sha256.expect("pinned"));
        let _ = client.remove_image(&kept, None::<bollard::query_parameters::RemoveImageOptions>, None).await;
    }
    let _ =
        client.remove_image(&format!("{name}:1"), None::<bollard::query_parameters::RemoveImageOptions>, None).await;
}

#[tokio::test]
async fn containers_that_do_not_stop_have_one_grace_together() {
    let Some(engine) = podman().await else { return };
    let deaf = "trap '' TERM; while true; do sleep 1; done";
    let mut it = pod(&engine, manifest("true", deaf, deaf)).await;
    it.app.ports.clear();
    it.app.stop.grace = Millis(4_000);
    it.app.replicas = 2;
    engine.launch(&it, 2).await.unwrap_or_else(|error| panic!("{}", error.chain()));
    let begun = Instant::now();
    engine.retire(&it).await.expect("it can be stopped");
    let (took, grace) = (begun.elapsed(), it.app.stop.grace.duration());
    // One after another they would take four of them.
    assert!(took >= grace && took < grace * 3, "each may use its grace, and all of them at once: {took:?}");
    nothing(&engine);
}

#[tokio::test]
async fn what_cannot_be_started_leaves_nothing_and_says_which() {
    let Some(engine) = podman().await else { return };
    let mut told = manifest("true", WEB, WORKER);
    told["spec"]["containers"][1]["command"] = json!(["no-such-program"]);
    let it = pod(&engine, told).await;
    let error = engine.launch(&it, 1).await.expect_err("there is no such program");
    assert_eq!((error.code(), error.kind()), ("program-not-found", ErrorKind::Permanent), "{}", error.chain());
    assert!(error.chain().contains("container `worker` of instance 0"), "{}", error.chain());
    nothing(&engine);
    // What Podman alone knows to be wrong.
    let mut told = manifest("true", WEB, WORKER);
    told["spec"]["containers"][0]["workingDir"] = json!({});
    let it = pod(&engine, told).await;
    let error = engine.launch(&it, 1).await.expect_err("a map is no folder");
    assert_eq!((error.code(), error.kind()), ("manifest-invalid", ErrorKind::Permanent), "{}", error.chain());
    assert!(
        error.chain().contains("wrong at spec.containers.workingDir: object where Podman wants string"),
        "{}",
        error.chain()
    );
    nothing(&engine);
}

/// No engine is asked.
fn account(kind: EngineKind) -> (tempfile::TempDir, std::sync::Arc<skipper_platform::container::ContainerPlatform>) {
    let dir = tempfile::tempdir().expect("temp dirs can be made");
    let platform = open(dir.path(), kind, "unix:///nowhere/engine.sock", "it", &EngineSettings::default());
    (dir, platform)
}

fn described(manifest: Value) -> Application {
    let mut app = deployment(&[]).app;
    app.resource = Resource { uri: format!("docker:{IMAGE}:1"), sha256: None };
    app.platform_options.insert("pod".to_owned(), manifest);
    app
}

#[tokio::test]
async fn a_pod_on_docker_is_refused_before_anything_is_done() {
    let mut app = described(manifest("true", WEB, WORKER));
    let (_dir, docker) = account(EngineKind::Docker);
    assert!(!docker.capabilities().pods);
    let error = docker.review(&mut app).await.expect_err("Docker has no pods");
    assert_eq!((error.code(), error.kind()), ("pods-unsupported", ErrorKind::Permanent));
    assert!(
        error.chain().contains("the platform `here` is Docker") && error.advice().is_some_and(|a| a.contains("podman"))
    );
    let (_dir, podman) = account(EngineKind::Podman);
    assert!(podman.capabilities().pods);
    assert_eq!(podman.review(&mut app).await.expect("Podman has"), Vec::<String>::new());
    app.limits.memory_bytes = Some(64 << 20);
    let told = podman.review(&mut app).await.expect("Podman has");
    assert_eq!(told, ["`resources` has no effect on a pod: its manifest says it for each container"]);
}

#[tokio::test]
async fn probes_become_questions_and_what_outlives_a_pod_has_one_writer() {
    let (_dir, podman) = account(EngineKind::Podman);
    let mut told = manifest("true", WEB, WORKER);
    told["spec"]["terminationGracePeriodSeconds"] = json!(7);
    told["spec"]["containers"][0]["ports"][1]["name"] = json!("admin");
    told["spec"]["containers"][0]["livenessProbe"] = json!({"tcpSocket": {"port": 8000}});
    told["spec"]["containers"][0]["readinessProbe"] = json!({"httpGet": {"path": "ready", "port": "admin"}});
    told["spec"]["containers"][1]["startupProbe"] = json!({"exec": {"command": ["test", "-e", "/up"]}});
    let mut app = described(told.clone());
    app.ports = vec![port("http", "web", 8000)];
    app.stop = StopPolicy::default();
    assert_eq!(podman.review(&mut app).await.expect("it can run"), Vec::<String>::new());
    let expected = json!([
        {"container": "web", "kind": "http", "port": "web-8001", "path": "/ready", "status": [[200, 399]]},
        {"container": "worker", "kind": "command", "command": ["test", "-e", "/up"]},
    ]);
    assert_eq!(app.platform_options["pod_health"], expected);
    assert_eq!(app.ports[1], port("web-8001", "web", 8001), "it is published, so that it can be asked");
    assert_eq!(app.stop.grace, Millis::secs(7));
    let once = app.clone();
    podman.review(&mut app).await.expect("it can run");
    assert_eq!(app, once, "a second time changes nothing");
    // Somebody says what the container is asked.
    let mut app = described(told.clone());
    app.ports = vec![port("http", "web", 8000)];
    app.health.check = Check::Tcp { port: app.ports[0].name.clone() };
    podman.review(&mut app).await.expect("it can run");
    assert_eq!(app.platform_options["pod_health"], json!([expected[1]]));
    told["spec"]["containers"][0]["readinessProbe"] = json!({"httpGet": {"port": "nowhere"}});
    let error = podman.review(&mut described(told)).await.expect_err("there is no such port");
    assert!(error.chain().contains("at spec.containers[0].readinessProbe.httpGet.port"), "{}", error.chain());

    let mut told = manifest("true", WEB, WORKER);
    told["spec"]["volumes"] = json!([
        {"name": "shared", "emptyDir": {"medium": "Memory"}},
        {"name": "db", "persistentVolumeClaim": {"claimName": "shop-db"}},
        {"name": "time", "hostPath": {"path": "/etc/localtime"}},
    ]);
    let mounts = told["spec"]["containers"][0]["volumeMounts"].as_array_mut().expect("a list");
    mounts.push(json!({"name": "time", "mountPath": "/etc/localtime", "readOnly": true}));
    let mut app = described(told.clone());
    let said = podman.review(&mut app).await.expect("it can run");
    assert_eq!(said, ["volume `shared` of the pod is on the disk: Podman has none in memory"]);
    assert_eq!(app.strategy.name(), "blue-green", "it is only read");
    let mounts = told["spec"]["containers"][1]["volumeMounts"].as_array_mut().expect("a list");
    mounts.push(json!({"name": "db", "mountPath": "/db"}));
    let mut app = described(told);
    let said = podman.review(&mut app).await.expect("it can run");
    assert!(said[1].contains("the pod writes to volume `db`, which outlives it"), "{said:?}");
    assert_eq!(app.strategy.name(), "recreate");
}

#[tokio::test]
async fn a_manifest_that_cannot_be_run_is_told_with_the_place() {
    let (_dir, podman) = account(EngineKind::Podman);
    let at = |pointer: &'static str, value: Value| {
        let mut told = manifest("true", WEB, WORKER);
        match told.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => {
                let (parent, key) = pointer.rsplit_once('/').expect("it has one");
                told.pointer_mut(parent).expect("it is there")[key] = value;
            }
        }
        told
    };
    for (told, expected) in [
        (json!("kind: Pod"), "as a text it has to be JSON: expected value at line 1 column 1"),
        (json!([]), "it has to be a map, or a text with JSON"),
        (at("/kind", json!("Deployment")), "at kind: it is `Deployment`, and only `Pod` is run"),
        (at("/spec/containers", json!([])), "at spec.containers: it has to have a container"),
        (at("/spec/containers", json!({})), "at spec.containers: it has to be a list"),
        (at("/spec/containers/1/name", json!(null)), "at spec.containers[1].name: it is missing"),
        (at("/spec/containers/1/name", json!("web")), "at spec.containers[1]: a second container is called `web`"),
        (at("/spec/containers/1/name", json!("-x")), "at spec.containers[1].name: `-x` has to be small letters"),
        (
            at("/spec/initContainers/0/image", json!("Not An Image")),
            "at spec.initContainers[0].image: `docker:Not An Image` is not an image",
        ),
        (at("/spec/containers/0/command", json!("httpd")), "at spec.containers[0].command: it has to be a list"),
        (at("/spec/containers/0/args", json!(["-p", []])), "at spec.containers[0].args[1]: it has to be a text"),
        (at("/spec/containers/0/env/0/value", json!({})), "at spec.containers[0].env[0].value: it has to be a text"),
        (
            at("/spec/containers/0/volumeMounts/0/name", json!("other")),
            "at spec.containers[0].volumeMounts[0]: there is no volume `other`",
        ),
        (at("/spec/volumes", json!("x")), "at spec.volumes: it has to be a list"),
        (at("/spec/hostNetwork", json!(true)), "at spec.hostNetwork: a pod in the host's network"),
    ] {
        let error = podman.review(&mut described(told)).await.expect_err(expected);
        assert_eq!((error.code(), error.kind()), ("manifest-invalid", ErrorKind::Permanent), "{}", error.chain());
        assert!(error.chain().contains(expected), "{expected}: {}", error.chain());
    }
    let mut app = described(manifest("true", WEB, WORKER));
    app.ports = vec![port("http", "wbe", 8000)];
    let error = podman.review(&mut app).await.expect_err("there is no such container");
    assert_eq!(error.code(), "container-unknown");
    assert!(error.advice().is_some_and(|hint| hint.contains("web, worker")));
    app.ports.clear();
    for (value, expected) in [
        (json!({}), "it has to be a list"),
        (json!([{"kind": "running"}]), "`container` is missing"),
        (json!([{"container": "web", "kind": "ping"}]), "web: unknown variant `ping`"),
    ] {
        app.platform_options.insert("pod_health".to_owned(), value);
        let error = podman.review(&mut app).await.expect_err(expected);
        assert!(error.chain().contains(expected), "{expected}: {}", error.chain());
    }
}

on_each_engine! {
    async fn files_are_read_out_of_an_image(engine: Engine) {
        let image = engine.image().await;
        let paths = ["/etc/passwd", "/slip/slip.toml"];
        let found = engine.platform.files_of(&image, &paths, PATIENCE).await.unwrap_or_else(|error| panic!("{}", error.chain()));
        assert_eq!(found.keys().collect::<Vec<_>>(), ["/etc/passwd"]);
        assert!(found["/etc/passwd"].starts_with(b"root:x:0:0") && found["/etc/passwd"].ends_with(b"/bin/sh\n"));
        let folder = engine.platform.files_of(&image, &["/etc"], PATIENCE).await.expect_err("it is a folder");
        assert_eq!(folder.code(), "image-file-invalid");
        let unpinned = Resource { sha256: None, ..image.clone() };
        assert_eq!(engine.platform.files_of(&unpinned, &paths, PATIENCE).await.expect_err("not pinned").code(), "resource-unpinned");
        let begun = Instant::now();
        while !engine.containers().await.is_empty() {
            assert!(begun.elapsed() < PATIENCE, "what it was read by goes");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let again = engine.platform.files_of(&image, &paths, PATIENCE).await.expect("an image does not change");
        assert_eq!((again, engine.containers().await), (found, Vec::<String>::new()), "nothing is made for what is known");
        let unknown = DeploymentId::from_stored("nobody");
        engine.platform.remove_orphan(&unknown, PATIENCE).await.expect("there is nothing");
    }
}
