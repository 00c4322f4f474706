//! Applications that are written for Spring's deployers: a stand-in for `java` tells what it was called with; the real one
//! runs a jar where there is a JDK.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use skipper_core::{
    deployment::Deployment,
    name::{PlatformName, PortName},
    port::{Error, ErrorKind},
    spec::{Check, Deployer, Resource, StopPolicy, Target},
    time::Millis,
};
use skipper_platform::local::DeployerSettings;

use crate::{
    remote::here_and_far,
    world::{PATIENCE, World, deployment, eventually, port, write_program},
};

here_and_far! {
    a_debugger_has_a_port_and_the_next_version_the_next_that_is_free,
    a_jar_is_called_as_springs_deployer_calls_it_with_its_properties_as_json,
    a_real_jar_runs_answers_on_its_port_and_stops_when_it_is_told,
    a_startup_probe_decides_that_it_has_started_and_a_health_probe_that_it_is_well,
    an_application_may_want_arguments_a_class_another_java_and_a_folder_of_its_own,
    files_stay_and_output_is_not_copied_where_that_is_asked_for,
    ports_are_of_the_range_an_application_asks_for,
    what_cannot_run_is_refused_before_anything_is_started,
    what_is_no_jar_is_executed_and_gets_the_same,
}

const BOTH: &str = "spring.cloud.deployer.";

/// A deployment of that resource with properties and options (without what all of them begin with).
fn app(uri: &str, properties: &[(&str, &str)], options: &[(&str, &str)]) -> Deployment {
    let map = |pairs: &[(&str, &str)], prefix: &str| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| (format!("{prefix}{key}"), (*value).to_owned())).collect()
    };
    let mut it = deployment(&[]);
    it.app.resource = Resource { uri: uri.to_owned(), sha256: None };
    it.app.ports = vec![port("http")];
    it.app.deployer = Some(Deployer { properties: map(properties, ""), options: map(options, BOTH) });
    it.app.stop = StopPolicy { grace: Millis::secs(30), ..StopPolicy::default() };
    it
}

/// A `java` that writes down what it was called with and stays.
fn fake_java(dir: &Path) -> PathBuf {
    let path = dir.join("jdk/bin/java");
    fs::create_dir_all(path.parent().expect("it has a folder")).expect("it is ours");
    let script = "#!/bin/sh\necho to stdout; echo to stderr >&2\nprintf '%s\\n' \"$@\" > argv.new\nenv > env.new\n\
                  mv env.new env; mv argv.new argv; exec sleep 600\n";
    write_program(&path, script);
    path
}

/// A jar with that manifest.
fn jar(path: &Path, manifest: &str) -> String {
    let mut zip = zip::ZipWriter::new(fs::File::create(path).expect("it is ours"));
    zip.start_file("META-INF/MANIFEST.MF", zip::write::SimpleFileOptions::default()).expect("a new entry");
    zip.write_all(manifest.as_bytes()).expect("it is ours");
    zip.finish().expect("it is ours");
    format!("file:{}", path.display())
}

type Pairs<'a> = &'a [(&'a str, &'a str)];

const MAIN: &str = "Manifest-Version: 1.0\r\nMain-Class: Hello\r\n";

fn with_java(java: &Path) -> World {
    World::deploying(DeployerSettings { java_cmd: Some(java.display().to_string()), ..DeployerSettings::default() })
}

async fn reviewed(world: &World, it: &mut Deployment) -> Result<Vec<String>, Error> {
    world.platform.review(&mut it.app).await?;
    it.app.resource = world.platform.fetch(&it.app.resource, PATIENCE).await?;
    world.platform.review(&mut it.app).await
}

/// What the stand-in was called with: arguments, and environment.
async fn called(work: &Path) -> (Vec<String>, BTreeMap<String, String>) {
    let argv = work.join("argv");
    eventually("it was called", || argv.exists()).await;
    let lines = |name: &str| fs::read_to_string(work.join(name)).expect("it is written");
    let env = lines("env").lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect();
    (lines("argv").lines().map(str::to_owned).collect(), env)
}

async fn a_jar_is_called_as_springs_deployer_calls_it_with_its_properties_as_json() {
    let files = tempfile::tempdir().expect("temp dirs can be made");
    let mut world = with_java(&fake_java(files.path()));
    let settings = DeployerSettings {
        java_opts: "-Da=1 -Db".to_owned(),
        shutdown_timeout: Duration::from_secs(7),
        inherited: [("TMP".to_owned(), "/somewhere".to_owned())].into(),
        ..world.deployer.clone()
    };
    world.deployer = settings;
    world.restart();
    let uri = jar(&files.path().join("server-1.0.jar"), MAIN);
    let properties = [("server.port", "8099"), ("greeting", "say \"{port.http}\" {x}"), ("spring.cloud.x", "")];
    let mut it = app(&uri, &properties, &[("memory", "1g"), ("group", "team")]);
    it.app.replicas = 2;
    assert_eq!(reviewed(&world, &mut it).await.expect("it can run"), Vec::<String>::new());
    assert_eq!(it.app.stop.grace, Millis::secs(7), "as the account says");

    let instances = world.launch(&it, 2).await.expect("it can be launched");
    for (index, instance) in instances.iter().enumerate() {
        let index = index.to_string();
        let work = world.folder(&it, index.parse().expect("a number")).join("work");
        let (argv, env) = called(&work).await;
        let jar = world.folder(&it, index.parse().expect("a number")).join("bin/server-1.0.jar").display().to_string();
        assert_eq!(argv, ["-Xmx1024m", "-Da=1", "-Db", "-jar", &jar]);
        let own = instance.addresses["http"].port().to_string();
        let json: BTreeMap<String, String> = serde_json::from_str(&env["SPRING_APPLICATION_JSON"]).expect("JSON");
        let guid = format!("team.web-v1-{index}");
        let expected = [
            ("endpoints.jmx.unique-names", "true"),
            ("greeting", "say \"{port.http}\" {x}"),
            ("instance.index", &index),
            ("server.port", &own),
            ("spring.application.index", &index),
            ("spring.cloud.application.group", "team"),
            ("spring.cloud.application.guid", &guid),
            ("spring.cloud.stream.instanceIndex", &index),
            ("spring.cloud.x", ""),
            ("spring.jmx.default-domain", "team.web-v1"),
        ];
        assert_eq!(json, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        assert_eq!((env["INSTANCE_INDEX"].as_str(), env["SPRING_APPLICATION_INDEX"].as_str()), (&*index, &*index));
        assert_eq!(env["SPRING_CLOUD_APPLICATION_GUID"], format!("team.web-v1-{index}"));
        assert_eq!((env["SPRING_CLOUD_APPLICATION_GROUP"].as_str(), env["TMP"].as_str()), ("team", "/somewhere"));

        let told = |name: &str| instance.attributes[name].clone();
        assert_eq!((told("guid"), told("port")), (format!("team.web-v1-{index}"), own.clone()));
        assert_eq!(told("url"), format!("http://127.0.0.1:{own}"));
        assert_eq!(told("working.dir"), work.display().to_string());
        for name in ["stdout", "stderr"] {
            let path = work.join(format!("{name}_{index}.log"));
            assert_eq!(told(name), path.display().to_string());
            eventually("the output is copied", || {
                fs::read_to_string(&path).is_ok_and(|text| text == format!("to {name}\n"))
            })
            .await;
        }
    }
    world.retire(&it).await.expect("it can be stopped");
}

async fn an_application_may_want_arguments_a_class_another_java_and_a_folder_of_its_own() {
    let files = tempfile::tempdir().expect("temp dirs can be made");
    let java = fake_java(files.path());
    let world = World::deploying(DeployerSettings::default());
    let uri = jar(&files.path().join("lib.jar"), "Manifest-Version: 1.0\r\n");
    let root = files.path().join("work");
    let (home, root_text) = (files.path().join("jdk").display().to_string(), root.display().to_string());
    let options = [
        ("bootVersion", "3"),
        ("local.java-home-path.3", home.as_str()),
        ("local.javaOpts", " -Xmx99m   -Dx=y "),
        ("memory", "512m"),
        ("local.main", "org.example.Main"),
        ("local.classpath", "/a.jar:/b.jar"),
        ("local.use-spring-application-json", "false"),
        ("local.working-directories-root", &root_text),
        ("local.hostname", "box"),
        ("local.debug-port", "0"),
        ("disk", "1g"),
    ];
    let mut it = app(&uri, &[("server.port", "8099"), ("log.level", "DEBUG info")], &options);
    let error = reviewed(&world, &mut it).await.expect_err("0 is no port to debug on");
    assert_eq!(error.code(), "option-invalid", "{}", error.chain());
    let key = format!("{BOTH}local.debug-port");
    it.app.deployer.as_mut().expect("it has one").options.remove(&key);
    let warnings = reviewed(&world, &mut it).await.expect("it can run");
    assert!(warnings.len() == 1 && warnings[0].contains("deployer.disk"), "{warnings:?}");

    let instance = world.start(&it).await;
    let work = root.join(it.id.as_str()).join("0");
    let (argv, env) = called(&work).await;
    let own = format!("--server.port={}", instance.addresses["http"].port());
    let arguments = [
        "-Xmx99m",
        "-Dx=y",
        "-cp",
        "/a.jar:/b.jar",
        "org.example.Main",
        "--endpoints.jmx.unique-names=true",
        "--log.level=DEBUG info",
        own.as_str(),
        "--spring.cloud.application.group=shop",
        "--spring.jmx.default-domain=shop.web-v1",
    ];
    assert_eq!(argv, arguments);
    assert!(!env.contains_key("SPRING_APPLICATION_JSON"));
    assert_eq!(instance.attributes["working.dir"], work.display().to_string());
    assert!(instance.attributes["url"].starts_with("http://box:"), "{:?}", instance.attributes);
    assert!(java.exists() && work.join("stdout_0.log").exists());
    world.retire(&it).await.expect("it can be stopped");
    assert!(fs::read_dir(&root).expect("the root stays").next().is_none(), "what was made in it goes");
}

async fn files_stay_and_output_is_not_copied_where_that_is_asked_for() {
    let files = tempfile::tempdir().expect("temp dirs can be made");
    let world = with_java(&fake_java(files.path()));
    let uri = jar(&files.path().join("a.jar"), MAIN);
    let options = [("local.deleteFilesOnExit", "false"), ("local.inherit-logging", "true")];
    let mut it = app(&uri, &[], &options);
    let warnings = reviewed(&world, &mut it).await.expect("it can run");
    assert!(warnings.len() == 1 && warnings[0].contains("inherit-logging"), "{warnings:?}");
    let instance = world.start(&it).await;
    let work = PathBuf::from(&instance.attributes["working.dir"]);
    called(&work).await;
    assert!(!instance.attributes.contains_key("stdout") && !work.join("stdout_0.log").exists());
    world.retire(&it).await.expect("it can be stopped");
    assert!(work.join("argv").exists(), "its files stay");
    assert_eq!(world.platform.list(PATIENCE).await.expect("it can be listed"), [], "and are no deployment");
}

async fn a_debugger_has_a_port_and_the_next_version_the_next_that_is_free() {
    let files = tempfile::tempdir().expect("temp dirs can be made");
    let world = with_java(&fake_java(files.path()));
    let uri = jar(&files.path().join("a.jar"), MAIN);
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    let taken = held.local_addr().expect("it is bound").port();
    let text = taken.to_string();
    let mut it = app(&uri, &[], &[("local.debugPort", text.as_str()), ("local.debug-suspend", "n")]);
    reviewed(&world, &mut it).await.expect("it can run");
    let instance = world.start(&it).await;
    let address = instance.attributes["debug.address"].clone();
    assert!(address.parse::<u16>().is_ok_and(|port| port > taken), "{address} rather than {taken}");
    let (argv, _) = called(&world.folder(&it, 0).join("work")).await;
    assert_eq!(argv[0], format!("-agentlib:jdwp=transport=dt_socket,server=y,suspend=n,address={address}"));
}

async fn ports_are_of_the_range_an_application_asks_for() {
    let files = tempfile::tempdir().expect("temp dirs can be made");
    let world = with_java(&fake_java(files.path()));
    let uri = jar(&files.path().join("a.jar"), MAIN);
    let mut it = app(&uri, &[], &[("local.portRange.low", "19000"), ("local.portRange.high", "19050")]);
    reviewed(&world, &mut it).await.expect("it can run");
    let instance = world.start(&it).await;
    assert!((19_000..=19_050).contains(&instance.addresses["http"].port()), "{:?}", instance.addresses);
}

async fn what_cannot_run_is_refused_before_anything_is_started() {
    let files = tempfile::tempdir().expect("temp dirs can be made");
    let dir = files.path();
    let world = with_java(&fake_java(dir));
    let good = jar(&dir.join("good.jar"), MAIN);
    let library = jar(&dir.join("library.jar"), "Manifest-Version: 1.0\r\n");
    let page = dir.join("page.jar");
    fs::write(&page, "<html>log in</html>").expect("it is ours");
    let page = format!("file:{}", page.display());
    let cut = dir.join("cut.jar");
    fs::write(&cut, &fs::read(dir.join("good.jar")).expect("it is there")[..40]).expect("it is ours");
    let cut = format!("file:{}", cut.display());
    let cases: [(&str, Pairs<'_>, &str, &str); 10] = [
        (&page, &[], "not-a-jar", "is not a jar"),
        (&cut, &[], "not-a-jar", "is not a jar"),
        (&library, &[], "not-a-jar", "without a main class"),
        (&good, &[("memory", "much")], "option-invalid", "Could not parse 'much' as a byte size."),
        (&good, &[("local.main", "Main")], "option-invalid", "set together"),
        (
            &good,
            &[("local.shutdownTimeout", "soon")],
            "option-invalid",
            "a whole number that is not below 0 is expected",
        ),
        (&good, &[("local.javaCmd", "/no/such/java")], "java-missing", "/no/such/java"),
        (&good, &[("local.javaCmd", "no-such-java")], "java-missing", "in PATH"),
        ("docker:springcloud/x:1", &[], "resource-scheme", "is an image"),
        ("maven://g:a:1.0", &[], "resource-not-found", "Failed to resolve MavenResource: g:a:jar:1.0."),
    ];
    for (uri, options, code, words) in cases {
        let mut it = app(uri, &[], options);
        let error = reviewed(&world, &mut it).await.expect_err(uri);
        assert_eq!((error.code(), error.kind()), (code, ErrorKind::Permanent), "{uri}: {}", error.chain());
        assert!(error.chain().contains(words) && error.advice().is_some(), "{uri}: {error:?}");
    }
    // What is on this machine is looked at before anybody fetches it.
    for uri in [&page, &cut, &library] {
        let error = world.platform.review(&mut app(uri, &[], &[]).app).await.expect_err(uri);
        assert_eq!(error.code(), "not-a-jar", "{uri}");
    }
    world.platform.review(&mut app("file:/no/such.jar", &[], &[]).app).await.expect("that is told when it is fetched");
    let mut cloud = app(&good, &[], &[]);
    cloud.app.platform_options.insert("cloudfoundry".to_owned(), serde_json::json!({"memory": "1G"}));
    let error = reviewed(&world, &mut cloud).await.expect_err("it is for Cloud Foundry");
    assert_eq!(error.code(), "resource-kind");
    let nowhere = DeployerSettings { search: "/no/such/folder".to_owned(), ..DeployerSettings::default() };
    let without = World::deploying(nowhere);
    let mut native = deployment(&[]);
    native.app.resource.uri = good.clone();
    let error =
        without.platform.review(&mut native.app).await.expect_err("a jar needs Java, whoever wrote the package");
    assert_eq!(error.code(), "java-missing");
    let sample = "maven://org.springframework.cloud.samples:spring-cloud-skipper-samples-helloworld:1.0.1.RELEASE";
    without.platform.review(&mut app(sample, &[], &[]).app).await.expect("the sample needs none");
}

// From afar it may be given to an account of the same machine only: see `remote::misled`.
#[tokio::test]
async fn an_image_is_given_to_the_account_that_has_an_engine_with_what_this_one_would_do_differently() {
    let mut world = World::deploying(DeployerSettings {
        use_spring_application_json: false,
        health_probe: Some("/well".to_owned()),
        ..DeployerSettings::default()
    });
    world.engine = Some(Target(PlatformName::new("boxes").expect("valid")));
    world.restart();
    let mut it = app("docker:springcloud/x:1", &[], &[("local.healthProbe.path", "/own")]);
    assert_eq!(world.platform.review(&mut it.app).await.expect("somebody can run it"), Vec::<String>::new());
    assert_eq!(it.app.target.to_string(), "boxes");
    let options = it.app.deployer.expect("as before").options;
    let told: Vec<_> = options.iter().map(|(key, value)| format!("{}={value}", key.trim_start_matches(BOTH))).collect();
    assert_eq!(told, ["local.healthProbe.path=/own", "local.useSpringApplicationJson=false"]);
    let mut native = deployment(&[]);
    native.app.resource.uri = "docker:web:1".to_owned();
    world.platform.review(&mut native.app).await.expect("whoever wrote the package");
    assert_eq!(native.app.target.to_string(), "boxes");
    let mut jar = app("builtin:sample", &[], &[]);
    world.platform.review(&mut jar.app).await.expect("it runs here");
    assert_eq!(jar.app.target.to_string(), "here");
}

async fn what_is_no_jar_is_executed_and_gets_the_same() {
    let world = World::new();
    let files = tempfile::tempdir().expect("temp dirs can be made");
    let path = files.path().join("server");
    write_program(&path, "#!/bin/sh\necho \"$SPRING_APPLICATION_JSON\" > json.new; mv json.new json; exec sleep 600\n");
    let mut it = app(&format!("file:{}", path.display()), &[("a.b", "c")], &[]);
    reviewed(&world, &mut it).await.expect("it can run");
    world.start(&it).await;
    let json = world.folder(&it, 0).join("work/json");
    eventually("it runs", || json.exists()).await;
    assert!(fs::read_to_string(json).expect("it is there").contains(r#""a.b":"c""#));
}

async fn a_startup_probe_decides_that_it_has_started_and_a_health_probe_that_it_is_well() {
    let mut world = World::new();
    let mut it = app("builtin:sample", &[], &[("local.startupProbe.path", "/up"), ("local.healthProbe.path", "/well")]);
    assert!(
        world.platform.watches_health(&it.app) && !world.platform.watches_health(&app("builtin:sample", &[], &[]).app)
    );
    it.app.health.check = Check::Boot { port: PortName::new("http").expect("valid") };
    it.app.health.timeout = Millis(2000);
    reviewed(&world, &mut it).await.expect("it can run");
    let instance = world.start(&it).await;
    eventually("it listens", || std::net::TcpStream::connect(instance.addresses["http"]).is_ok()).await;
    let mut asked = Vec::new();
    for nth in 0..4 {
        if nth == 3 {
            world.restart();
        }
        let attempt = world.platform.probe(&it, &instance).await;
        assert!(attempt.ok, "{}", attempt.detail);
        asked.push(attempt.detail.split(':').next().unwrap_or_default().to_owned());
    }
    assert_eq!(asked, ["/up", "/well", "/well", "/well"], "that it has started outlasts the server");
}

/// A folder with `Hello.jar`, or `None` where there is no JDK.
fn compiled(dir: &Path, source: &str) -> Option<String> {
    fs::write(dir.join("Hello.java"), source).expect("it is ours");
    let run = |program: &str, args: &[&str]| Command::new(program).args(args).current_dir(dir).status();
    match run("javac", &["Hello.java"]) {
        Ok(status) if status.success() => {}
        other => {
            println!("skipped: there is no javac here ({other:?})");
            return None;
        }
    }
    let packed = run("jar", &["--create", "--file", "Hello.jar", "--main-class", "Hello", "Hello.class"]);
    assert!(packed.is_ok_and(|status| status.success()), "a JDK has a jar tool");
    Some(format!("file:{}", dir.join("Hello.jar").display()))
}

async fn a_real_jar_runs_answers_on_its_port_and_stops_when_it_is_told() {
    let dir = tempfile::tempdir().expect("temp dirs can be made");
    let source = r#"
        import com.sun.net.httpserver.HttpServer;
        import java.net.InetSocketAddress;
        public class Hello {
            public static void main(String[] args) throws Exception {
                String json = System.getenv("SPRING_APPLICATION_JSON");
                var port = java.util.regex.Pattern.compile("\"server.port\":\"(\\d+)\"").matcher(json);
                port.find();
                var server = HttpServer.create(new InetSocketAddress(Integer.parseInt(port.group(1))), 0);
                server.createContext("/actuator/health", exchange -> {
                    exchange.sendResponseHeaders(200, -1);
                    exchange.close();
                });
                server.start();
                System.out.println("heap " + (Runtime.getRuntime().maxMemory() >> 20));
                Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("bye")));
            }
        }"#;
    let Some(uri) = compiled(dir.path(), source) else { return };
    // As it is on this machine: the `java` of its PATH.
    let search = std::env::var("PATH").unwrap_or_default();
    let world = World::deploying(DeployerSettings { search, ..DeployerSettings::default() });
    let mut it = app(&uri, &[("server.port", "8099")], &[("memory", "64m")]);
    it.app.health.check = Check::Boot { port: PortName::new("http").expect("valid") };
    it.app.health.timeout = Millis(2000);
    reviewed(&world, &mut it).await.expect("it can run");
    let instance = world.start(&it).await;
    let by = std::time::Instant::now() + PATIENCE;
    let well = loop {
        let attempt = world.platform.probe(&it, &instance).await;
        if attempt.ok || std::time::Instant::now() > by {
            break attempt;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(well.ok && well.detail.starts_with("/actuator/health: 200"), "{}", well.detail);
    let out = PathBuf::from(&instance.attributes["stdout"]);
    eventually("it has told its memory", || fs::read_to_string(&out).is_ok_and(|text| text.contains("heap 6"))).await;
    crate::world::kill(world.app_pid(&it), "TERM");
    let exit = world.ended(&it).await;
    assert_eq!(exit.code, Some(143), "as Java ends when it is told to");
    assert!(fs::read_to_string(&out).expect("it is there").contains("bye"));
    world.retire(&it).await.expect("it can be removed");
}
