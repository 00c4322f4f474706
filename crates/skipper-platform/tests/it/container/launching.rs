use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _};

use serde_json::json;
use skipper_core::{
    deployment::Observed,
    name::SecretName,
    port::{ErrorKind, Launch, LogQuery, Platform as _},
    rollout::plan::Instances,
    secret::{SecretValue, SecretValues},
    spec::{Check, Deployer, SecretUse, Volume},
    time::Millis,
};

use super::world::{Engine, IMAGE, load_image, on_each_engine};
use crate::world::{PATIENCE, eventually, generation, port};

fn serving() -> &'static str {
    "echo up; mkdir -p /www; echo hello > /www/index.html; exec httpd -f -p $PORT -h /www"
}

on_each_engine! {
    async fn a_container_finds_its_environment_and_is_reached_at_a_loopback_port(engine: Engine) {
        let mut it = engine.script(serving()).await;
        it.app.ports = vec![port("http")];
        let vars = engine.dir.path().join("vars");
        fs::write(&vars, "# a remark\n\nFROM_FILE=a=b c\nGREETING=weaker\n").expect("it is ours");
        it.app.platform_options.insert("env_file".to_owned(), json!(vars));
        it.app.platform_options.insert("labels".to_owned(), json!({"team": "shop"}));
        it.app.env.insert("GREETING".to_owned(), "hello {port.http}".to_owned());
        let instance = engine.start(&it).await;
        let address = instance.addresses["http"];
        assert!(address.ip().is_loopback());
        eventually("it listens", || std::net::TcpStream::connect(address).is_ok()).await;
        let env = engine.shell(&it, "env").await;
        for line in ["PORT=8080", "GREETING=hello 8080", "FROM_FILE=a=b c", "SKIPPER_RELEASE=shop", "SKIPPER_INSTANCE=0"] {
            assert!(env.lines().any(|known| known == line), "{line}\n{env}");
        }
        let name = format!("skipper-{}-0", it.id);
        let found = engine.client().inspect_container(&name, None).await.expect("by its name");
        let labels = found.config.and_then(|config| config.labels).expect("it has labels");
        for (label, value) in [("team", "shop"), ("skipper.app", "web"), ("skipper.index", "0"), ("skipper.tenant", "default")] {
            assert_eq!(labels.get(label).map(String::as_str), Some(value));
        }
        let host = found.host_config.expect("it is told");
        assert_eq!((host.init, host.pids_limit), (Some(true), Some(4096)));
        assert!(host.security_opt.is_some_and(|all| all.iter().any(|one| one.starts_with("no-new-privileges"))));
        engine.retire(&it).await.expect("it can be stopped");
        assert_eq!(engine.containers().await, Vec::<String>::new());
    }

    async fn an_application_for_springs_deployers_is_told_what_it_is_told_as_a_process(engine: Engine) {
        let options = |more: &[(&str, &str)]| -> std::collections::BTreeMap<String, String> {
            more.iter().map(|(key, value)| (format!("spring.cloud.deployer.{key}"), (*value).to_owned())).collect()
        };
        let shared = engine.dir.path().join("shared");
        let mounts = format!("{}:/of/host:ro", shared.display());
        let asked = options(&[
            ("memory", "64m"),
            ("local.docker.volumeMounts", &mounts),
            ("local.healthProbe.path", "well"),
            ("local.javaOpts", "-Xmx1g"),
            ("local.docker.portRange.low", "1"),
        ]);
        let mut it = engine.script("echo \"$@\"; mkdir -p /www; echo hello > /www/well; exec httpd -f -p $PORT -h /www").await;
        it.app.ports = vec![port("http")];
        it.app.health.check = Check::Boot { port: it.app.ports[0].name.clone() };
        it.app.health.timeout = Millis(5000);
        let properties = std::collections::BTreeMap::from([("a.b", "c {port.none}"), ("server.port", "80")]);
        let properties = properties.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        it.app.deployer = Some(Deployer { properties, options: asked });
        for _ in 0..2 {
            let told = engine.platform.review(&mut it.app).await.expect("it can run");
            assert_eq!(told.len(), 2, "{told:?}");
            assert!(told.iter().any(|what| what.contains("javaOpts")) && told.iter().any(|what| what.contains("portRange")));
        }
        assert_eq!((it.app.limits.memory_bytes, it.app.volumes.len()), (Some(64 << 20), 1));
        assert!(engine.platform.watches_health(&it.app));
        let instance = engine.start(&it).await;
        eventually("it listens", || std::net::TcpStream::connect(instance.addresses["http"]).is_ok()).await;
        let attempt = engine.platform.probe(&it, &instance).await;
        assert!(attempt.ok, "{}", attempt.detail);
        let env = engine.shell(&it, "env; ls -d /of/host").await;
        let json = env.lines().find_map(|line| line.strip_prefix("SPRING_APPLICATION_JSON=")).expect("it is told");
        let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
        let id = it.deployer_id();
        for (key, value) in [
            ("a.b", "c {port.none}"),
            ("server.port", "8080"),
            ("spring.cloud.application.group", "shop"),
            ("spring.cloud.application.guid", &format!("{id}-0")),
        ] {
            assert_eq!(json[key], value, "{key}: {json}");
        }
        for line in ["INSTANCE_INDEX=0", "SPRING_CLOUD_APPLICATION_GROUP=shop", "/of/host"] {
            assert!(env.lines().any(|known| known == line), "{line}\n{env}");
        }
        engine.retire(&it).await.expect("it can be stopped");
        // As arguments; the first one is the shell's own name.
        let mut plain = engine.script("echo told: $0 \"$@\"").await;
        let properties = std::collections::BTreeMap::from([("a.b".to_owned(), "c".to_owned())]);
        plain.app.deployer = Some(Deployer { properties, options: options(&[("local.use-spring-application-json", "false")]) });
        engine.start(&plain).await;
        engine.ended(&plain).await;
        let query = LogQuery { deployment: plain.id.clone(), instance: None, tail: None, follow: false, container: None };
        let mut lines = engine.platform.logs(query).await.expect("there are logs");
        let line = futures::StreamExt::next(&mut lines).await.expect("a line").expect("it can be read").line;
        assert!(line.starts_with("told: --a.b=c --endpoints.jmx.unique-names=true --spring.cloud."), "{line}");
        let mut wrong = plain.clone();
        wrong.app.deployer.as_mut().expect("set").options = options(&[("local.docker.volumeMounts", "here:/there")]);
        let error = engine.platform.review(&mut wrong.app).await.expect_err("no path");
        assert_eq!(error.code(), "option-invalid");
    }

    async fn launching_again_returns_what_runs_also_by_another_server(engine: Engine) {
        let it = engine.script("exec sleep 600").await;
        let other = engine.another();
        let secrets = SecretValues::new();
        let launch = || Launch { deployment: &it, instances: Instances::first(3), secrets: &secrets, generation: generation(1) };
        let both = futures::future::join(engine.platform.launch(launch(), PATIENCE), other.launch(launch(), PATIENCE)).await;
        let handles = |all: Vec<skipper_core::deployment::Instance>| all.into_iter().map(|one| one.handle).collect::<BTreeSet<_>>();
        let (first, second) = (handles(both.0.expect("launched")), handles(both.1.expect("launched")));
        assert_eq!((first.len(), &first), (3, &second));
        assert_eq!(engine.containers().await.len(), 3);
        let again = engine.start(&it).await;
        assert_eq!(engine.observe(&it).await, Observed::Running(again));
    }

    async fn a_lower_generation_is_fenced_and_changes_nothing(engine: Engine) {
        let mut engine = engine;
        let it = engine.script("exec sleep 600").await;
        let running = engine.launch_as(&it, 1, generation(7)).await.expect("it is the first");
        for fresh in ["same", "restarted", "another folder"] {
            match fresh {
                "restarted" => engine.restart(),
                "another folder" => {
                    engine.dir = tempfile::tempdir().expect("temp dirs can be made");
                    engine.restart();
                }
                _ => {}
            }
            let launch = engine.launch_as(&it, 1, generation(6)).await.expect_err("6 < 7");
            let retire = engine.platform.retire(&it, Instances::first(1), true, generation(6), PATIENCE).await;
            assert_eq!((launch.kind(), retire.expect_err("6 < 7").kind()), (ErrorKind::Fenced, ErrorKind::Fenced), "{fresh}");
        }
        assert_eq!(engine.observe(&it).await, Observed::Running(running[0].clone()));
        engine.platform.retire(&it, Instances::first(1), true, generation(8), PATIENCE).await.expect("8 > 7");
        assert_eq!(engine.observe(&it).await, Observed::Absent);
    }

    async fn what_ended_is_told_and_started_again_as_it_was(engine: Engine) {
        let mut engine = engine;
        let it = engine.script("echo once more; exit 3").await;
        engine.start(&it).await;
        let exit = engine.ended(&it).await;
        assert_eq!((exit.code, exit.signal, exit.out_of_memory), (Some(3), None, false));
        let again = engine.start(&it).await;
        assert_eq!(again.restarts, 1);
        engine.ended(&it).await;
        engine.restart();
        assert_eq!(engine.start(&it).await.restarts, 2, "also counted over a restart of the server");
        engine.ended(&it).await;
        assert_eq!(engine.containers().await.len(), 1, "one container has the whole log");
    }

    async fn everything_of_ours_is_listed_and_orphans_go(engine: Engine) {
        let mut engine = engine;
        let it = engine.script("exec sleep 600").await;
        engine.launch(&it, 2).await.expect("it can be launched");
        let host = engine.host.clone();
        let stranger = Engine::open(engine.kind, &host).await;
        for _ in 0..2 {
            let found = engine.platform.list(PATIENCE).await.expect("it can be listed");
            assert_eq!(found.len(), 1);
            assert_eq!((&found[0].id, found[0].generation, &found[0].instances), (&it.id, generation(1), &vec![0, 1]));
            assert_eq!(stranger.platform.list(PATIENCE).await.expect("it can be listed"), [], "not another server's");
            engine.restart();
        }
        stranger.platform.remove_orphan(&it.id, PATIENCE).await.expect("there is none of its own");
        assert_eq!(engine.containers().await.len(), 2);
        engine.platform.remove_orphan(&it.id, PATIENCE).await.expect("it can be removed");
        assert_eq!(engine.containers().await, Vec::<String>::new());
    }

    async fn secrets_are_variables_or_files_of_the_user_and_in_no_label(engine: Engine) {
        load_image(&engine.client(), &format!("{IMAGE}-user"), "1", &["USER app"]).await;
        let mut it = engine.script("exec sleep 600").await;
        it.app.resource.uri = format!("docker:{IMAGE}-user:1");
        it.app.resource.sha256 = None;
        it.app.resource = engine.platform.fetch(&it.app.resource, PATIENCE).await.expect("it is here");
        let (key, cert) = (SecretName::new("key").expect("valid"), SecretName::new("cert").expect("valid"));
        it.app.secrets = vec![
            SecretUse::Env { secret: key.clone(), var: "KEY".to_owned() },
            SecretUse::File { secret: cert.clone(), file: "cert.pem".to_owned() },
        ];
        let value = |text: &str| SecretValue::new(text.to_owned());
        let secrets = SecretValues::from([(key, value("s3cret-key")), (cert, value("s3cret-cert"))]);
        let launch = Launch { deployment: &it, instances: Instances::first(1), secrets: &secrets, generation: generation(1) };
        engine.platform.launch(launch, PATIENCE).await.unwrap_or_else(|error| panic!("{}", error.chain()));
        let read = "id -u; echo $KEY; cat $SKIPPER_SECRETS_DIR/cert.pem; echo; stat -c '%a %u' $SKIPPER_SECRETS_DIR/cert.pem";
        assert_eq!(engine.shell(&it, read).await, "1234\ns3cret-key\ns3cret-cert\n400 1234");
        let folder = engine.dir.path().join("containers/here").join(it.id.as_str()).join("0/secrets");
        assert_eq!(fs::metadata(&folder).expect("it is there").permissions().mode() & 0o777, 0o700);
        let found = engine.client().inspect_container(&format!("skipper-{}-0", it.id), None).await.expect("there");
        let labels = found.config.and_then(|config| config.labels).expect("it has labels");
        assert!(labels.values().all(|value| !value.contains("s3cret")));
        engine.retire(&it).await.expect("it can be stopped");
        assert!(!folder.exists());
    }

    async fn volumes_outlive_their_container(engine: Engine) {
        let volume = |name: &str, path: &str, source: Option<String>, read_only| Volume {
            name: name.to_owned(), path: path.to_owned(), env: None, source, read_only,
        };
        let source = engine.dir.path().join("made/by/skipper");
        let managed = format!("data-{}", engine.owner);
        let mut it = engine.script("exec sleep 600").await;
        it.app.volumes = vec![
            volume(&managed, "/data", None, false),
            volume("folder", "/folder", Some(source.display().to_string()), false),
            volume("fixed", "/fixed", Some(source.display().to_string()), true),
        ];
        engine.start(&it).await;
        let wrote = "echo kept > /data/x && echo here > /folder/y && cat /fixed/y && (echo no > /fixed/z || echo refused)";
        let told = engine.shell(&it, wrote).await;
        assert!(told.contains("here") && told.contains("refused"), "{told}");
        engine.retire(&it).await.expect("it can be stopped");
        assert_eq!(fs::read_to_string(source.join("y")).expect("it stays"), "here\n");
        engine.launch_as(&it, 1, generation(9)).await.expect("anew");
        assert_eq!(engine.shell(&it, "cat /data/x").await, "kept");
        engine.retire(&it).await.expect("it can be stopped");
        let volume = format!("skipper.default.shop.{managed}");
        engine.client().remove_volume(&volume, None::<bollard::query_parameters::RemoveVolumeOptions>).await.expect("it is there until somebody removes it");
    }

    async fn it_is_stopped_by_its_signal_and_killed_after_its_grace(engine: Engine) {
        load_image(&engine.client(), &format!("{IMAGE}-signal"), "1", &["STOPSIGNAL SIGUSR1"]).await;
        let mark = engine.dir.path().join("mark");
        fs::create_dir(&mark).expect("it is ours");
        let mut it = engine.script("trap 'echo usr1 > /mark/signal; exit 0' USR1; trap '' TERM; echo up > /mark/up; while true; do sleep 0.05; done").await;
        it.app.volumes = vec![Volume {
            name: "mark".to_owned(), path: "/mark".to_owned(), env: None, source: Some(mark.display().to_string()), read_only: false,
        }];
        let mut other = it.clone();
        it.app.resource.uri = format!("docker:{IMAGE}-signal:1");
        it.app.resource.sha256 = None;
        it.app.resource = engine.platform.fetch(&it.app.resource, PATIENCE).await.expect("it is here");
        engine.start(&it).await;
        eventually("it traps", || mark.join("up").exists()).await;
        engine.retire(&it).await.expect("it can be stopped");
        assert_eq!(fs::read_to_string(mark.join("signal")).expect("it was asked"), "usr1\n");
        // The image says nothing here, and the process ignores TERM.
        fs::remove_file(mark.join("up")).expect("it is ours");
        other.id = skipper_core::deployment::DeploymentId::from_stored(format!("{}x", other.id));
        other.app.stop.grace = skipper_core::time::Millis(300);
        engine.start(&other).await;
        eventually("it traps", || mark.join("up").exists()).await;
        let begun = std::time::Instant::now();
        engine.retire(&other).await.expect("it can be killed");
        let took = begun.elapsed().as_millis();
        assert!((300..8_000).contains(&took), "{took} ms");
    }

    async fn twenty_launches_at_once_have_ports_of_their_own(engine: Engine) {
        let mut many = Vec::new();
        for _ in 0..5 {
            let mut it = engine.script(serving()).await;
            it.app.ports = vec![port("http")];
            it.app.replicas = 4;
            many.push(it);
        }
        let launched = futures::future::join_all(many.iter().map(|one| engine.launch(one, 4))).await;
        let ports: BTreeSet<_> = launched
            .into_iter()
            .flat_map(|all| all.unwrap_or_else(|error| panic!("{}", error.chain())))
            .map(|instance| instance.addresses["http"])
            .collect();
        assert_eq!(ports.len(), 20);
        for address in ports {
            eventually("it listens", || std::net::TcpStream::connect(address).is_ok()).await;
        }
        futures::future::join_all(many.iter().map(|one| engine.retire(one))).await.into_iter().for_each(|r| r.expect("stopped"));
        assert_eq!(engine.containers().await, Vec::<String>::new());
    }

    async fn what_another_program_started_is_found_by_its_labels_and_removed_and_nothing_of_ours_is(engine: Engine) {
        let mark = engine.owner.clone();
        let wanted = [("slip.managed", "true"), ("it.mark", mark.as_str())];
        let mut it = engine.script("exec sleep 600").await;
        it.app.platform_options.insert("labels".to_owned(), json!({"slip.managed": "true", "it.mark": mark}));
        engine.start(&it).await;
        let mut labels = std::collections::HashMap::from(wanted.map(|(name, value)| (name.to_owned(), value.to_owned())));
        labels.insert("slip.app".to_owned(), "shop".to_owned());
        let body = bollard::models::ContainerCreateBody {
            image: Some(format!("{IMAGE}:1")),
            cmd: Some(["sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"].map(str::to_owned).into()),
            labels: Some(labels),
            ..Default::default()
        };
        let made = engine.client().create_container(None, body).await.expect("it can be made");
        engine.client().start_container(&made.id, None).await.expect("it can be started");
        let found = engine.platform.foreign(&wanted, PATIENCE).await.expect("they are told");
        let seen: Vec<_> = found.iter().map(|one| (one.id.as_str(), one.labels["slip.app"].as_str())).collect();
        assert_eq!(seen, [(made.id.as_str(), "shop")]);
        for _ in 0..2 {
            let removed = engine.platform.remove_foreign(&made.id, PATIENCE).await;
            removed.unwrap_or_else(|error| panic!("{}", error.chain()));
        }
        assert_eq!(engine.platform.foreign(&wanted, PATIENCE).await.expect("they are told"), []);
        assert!(matches!(engine.observe(&it).await, Observed::Running(_)));
        engine.retire(&it).await.expect("it can be stopped");
    }
}
