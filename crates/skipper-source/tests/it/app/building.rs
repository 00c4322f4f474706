//! From files and a deploy to applications.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use skipper_core::{
    name::{PlatformName, SecretName},
    secret::SecretValue,
    spec::{Application, Check, SecretUse, Spec, Strategy},
    time::Millis,
};
use skipper_source::{
    Faults,
    app::{self, Built, Deploy, Inputs, Kind, Manifest, PreviewRequest, Repo, Side, TlsHosts, applications, merge},
    manifest,
};

use super::{CONTAINER, POD, SERVER, WORKER, good, server, try_app, with};

/// A pod of three containers, one of which runs first and one of which has no port.
const POD_YAML: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: anything
spec:
  initContainers:
    - name: setup
      image: ghcr.io/acme/stats-api
      command: [setup]
  containers:
    - name: api
      image: ghcr.io/acme/stats-api:dev
      ports: [{ containerPort: 8000, hostPort: 8000 }, { containerPort: 9000, hostPort: 9000 }]
      env: [{ name: MODE, value: own }]
    - name: jobs-web
      image: "ghcr.io/acme/jobs:${tag}"
      ports: [{ containerPort: 3000 }]
      volumeMounts: [{ name: scratch, mountPath: /scratch }]
    - name: runner
      image: ghcr.io/acme/stats-api:pinned
  volumes: [{ name: scratch, emptyDir: {} }]
"#;

struct World {
    server: String,
    app: String,
    repo: Option<String>,
    manifest: Option<String>,
    deploy: Deploy,
    env: Vec<(&'static str, &'static str)>,
    secrets: Vec<&'static str>,
    marked: Vec<&'static str>,
    database: Option<&'static str>,
    tls: TlsHosts,
}

fn world(app: &str) -> World {
    let deploy = Deploy { tag: "v1".to_owned(), ..Deploy::default() };
    World {
        server: SERVER.to_owned(),
        app: app.to_owned(),
        repo: None,
        manifest: None,
        deploy,
        env: vec![("SLIP_SECRET", "hmac-key")],
        secrets: Vec::new(),
        marked: Vec::new(),
        database: None,
        tls: TlsHosts::default(),
    }
}

fn read_repo(text: &str) -> Repo {
    app::repo("/slip/slip.toml", text).unwrap_or_else(|faults| panic!("{faults}")).0
}

impl World {
    fn repo(mut self, text: &str) -> Self {
        self.repo = Some(text.to_owned());
        self
    }

    fn preview(mut self, id: &str) -> Self {
        self.deploy.preview = Some(PreviewRequest { id: id.to_owned(), sha: Some("abc".to_owned()) });
        self
    }

    fn build(&self) -> Result<Built, Faults> {
        let server = server(&self.server, &self.env);
        let app = try_app(&self.app, &self.env).unwrap_or_else(|faults| panic!("{faults}"));
        let repo = self.repo.as_deref().map(read_repo);
        let stored = |name: &&str| ((*name).to_owned(), SecretName::new(format!("web.{name}")).expect("valid"));
        let database = self.database.map(|address| SecretValue::new(address.to_owned()));
        let inputs = Inputs {
            app: &app,
            server: &server,
            repo: repo.as_ref(),
            manifest: self.manifest.as_deref(),
            deploy: &self.deploy,
            target: &PlatformName::new("docker").expect("valid"),
            secrets: &self.secrets.iter().map(stored).collect(),
            preview_secrets: &self.marked.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(),
            database: database.as_ref(),
            tls: &self.tls,
        };
        applications(&inputs)
    }

    #[track_caller]
    fn built(&self) -> Built {
        let built = self.build().unwrap_or_else(|faults| panic!("{faults}"));
        let spec = Spec::new(built.applications.clone());
        spec.validate().unwrap_or_else(|errors| panic!("{errors:?}"));
        assert_eq!(manifest::parse(&manifest::write(&spec)).expect("what we write is readable"), spec);
        built
    }

    #[track_caller]
    fn one(&self) -> Application {
        self.built().applications.remove(0)
    }

    #[track_caller]
    fn told(&self) -> String {
        self.build().map(|built| built.applications).expect_err("must be refused").to_string()
    }
}

fn routes(app: &Application) -> Vec<String> {
    app.routes.iter().map(|route| format!("{} -> {}", route.key(), route.port)).collect()
}

fn pod_of(app: &Application) -> Value {
    let text = app.platform_options["pod"].as_str().expect("a string");
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn a_container_becomes_an_application() {
    let app = world(CONTAINER).one();
    assert_eq!((app.name.as_str(), app.target.0.as_str()), ("shop", "docker"));
    assert_eq!(app.resource.uri, "docker:ghcr.io/acme/shop:v1");
    assert_eq!(routes(&app), ["http shop.example.com/ -> http"]);
    assert_eq!((app.ports[0].fixed, app.ports[0].env.as_deref(), app.ports[0].direct), (Some(8080), None, false));
    let Check::Http { port, path, status } = &app.health.check else { panic!("{:?}", app.health) };
    assert_eq!((port.as_str(), path.as_str(), status.as_slice()), ("http", "/health", [(200, 399)].as_slice()));
    assert_eq!((app.health.interval, app.health.timeout, app.health.retries), (Millis::secs(2), Millis::secs(5), 5));
    assert_eq!((app.health.start_period, app.health.successes), (Millis::secs(10), 1));
    assert_eq!(app.strategy, Strategy::BlueGreen { bake: Millis(0) });
    assert_eq!((app.bounds.drain, app.bounds.health), (Millis::secs(30), Millis::secs(600)));
    assert_eq!((app.limits.memory_bytes, app.limits.cpu_millis), (Some(512 << 20), Some(1000)));
    let expected = json!({
        "labels": {"slip.app": "shop", "slip.tag": "v1", "slip.managed": "true"},
        "network": "slip",
    });
    assert_eq!(json!(app.platform_options), expected);

    let mut digest = world(CONTAINER);
    digest.deploy.tag = format!("sha256:{}", "ab".repeat(32));
    assert_eq!(digest.one().resource.uri, format!("docker:ghcr.io/acme/shop@sha256:{}", "ab".repeat(32)));
}

#[test]
fn a_worker_has_no_way_in_and_is_watched_for_its_start_period() {
    let app = world(WORKER).repo("[app]\nname = \"pipeline\"\nkind = \"worker\"\n").one();
    assert!(app.ports.is_empty() && app.routes.is_empty());
    assert_eq!((&app.health.check, &app.strategy), (&Check::Running, &Strategy::Recreate { bake: Millis::secs(10) }));
    let volume = &app.volumes[0];
    assert_eq!((volume.name.as_str(), volume.path.as_str()), ("slip-pipeline-app-data", "/app/data"));
    assert_eq!(volume.source.as_deref(), Some("/var/lib/slip/volumes/pipeline/state"));
    assert!(!volume.read_only);
    assert_eq!(app.stop.grace, Millis::secs(30), "what it does, it finishes when it is asked to stop");
    let told = world(WORKER).told();
    assert!(told.contains("[routing_missing]") && told.contains("kind = \"worker\" under [app]"), "{told}");
    let own = WORKER.replace("[app]", "[app]\nkind = \"worker\"").replace("strategy = \"recreate\"", "");
    assert_eq!(world(&own).built().merged.kind, Kind::Worker);
    assert!(world(&own).built().merged.recreate, "one at a time, unless somebody says otherwise");
}

#[test]
fn both_sides_are_heard_and_the_server_wins() {
    let repo = r#"
[app]
name = "a"
[health]
path = "/repo"
interval = "7s"
timeout = "1s"
retries = 9
start_period = "0s"
[routing]
port = 3000
[defaults.resources]
memory = "64m"
cpus = "2"
[env]
A = "repo"
B = "repo"
[deploy]
strategy = "recreate"
drain_timeout = "1s"
timeout = "90s"
[[volumes]]
mount_path = "/data"
read_only = true
"#;
    let volume = "\n[[volumes]]\nhost_path = \"/srv/a\"\nmount_path = \"/data\"\n[[volumes]]\nhost_path = \"/srv/b\"\nmount_path = \"/b\"\n";
    let app = world(&with(&format!(
        "health = {{ interval = \"3s\" }}\nresources = {{ cpus = 1 }}\nenv = {{ A = \"server\" }}{volume}"
    )))
    .repo(repo)
    .one();
    assert_eq!((app.health.interval, app.health.timeout, app.health.retries), (Millis::secs(3), Millis::secs(1), 9));
    assert_eq!(app.health.start_period, Millis(0));
    assert!(matches!(&app.health.check, Check::Http { path, .. } if path == "/repo"));
    assert_eq!(app.ports[0].fixed, Some(3000), "the image knows its port");
    assert_eq!((app.limits.memory_bytes, app.limits.cpu_millis), (Some(64 << 20), Some(1000)));
    assert_eq!((app.env["A"].as_str(), app.env["B"].as_str()), ("server", "repo"));
    assert_eq!((app.bounds.drain, app.bounds.health), (Millis::secs(1), Millis::secs(90)));
    assert_eq!(app.strategy.name(), "recreate");
    assert_eq!(app.volumes.iter().map(|v| v.read_only).collect::<Vec<_>>(), [true, false], "either side may say so");

    let told = world(&with("health = {}")).repo(repo).told();
    assert!(told.contains("wants a volume at `/data`, and no host_path is given"), "{told}");
    let other = world(&with("health = {}")).repo("[app]\nname = \"b\"\n").told();
    assert!(
        other.contains("/slip/slip.toml: app.name: repo config app name `b` does not match deploy app `a`"),
        "{other}"
    );
    assert!(other.contains("see that `image` in apps/a.toml is the app's"), "{other}");
    let bare = world(&with(&format!("health = {{}}\n{volume}"))).one();
    assert_eq!(bare.volumes.len(), 2, "also without a file in the image");
}

#[test]
fn routes_are_paired_by_index_and_counted() {
    let two = "app = { name = \"a\", image = \"acme/a\" }\nhealth = {}\n[[routing.routes]]\nhostname = \"x.org\"\nport = 1\n[[routing.routes]]\nhostname = \"y.org\"\npath = \"/api\"\nport = 2\n";
    let repo = |routes: &str| format!("[app]\nname = \"a\"\n{routes}");
    let app = world(two).repo(&repo("[[routing.routes]]\nport = 11\n[[routing.routes]]\n")).one();
    assert_eq!(routes(&app), ["http x.org/ -> http", "http y.org/api -> http-2"]);
    assert_eq!(app.ports.iter().map(|p| p.fixed).collect::<Vec<_>>(), [Some(11), Some(2)]);
    let told = world(two).repo(&repo("[[routing.routes]]\nport = 11\n")).told();
    assert!(
        told.contains("route count mismatch: the server's file has 2 host name(s), the image declares 1"),
        "{told}"
    );
    let none = "health = {}\n[app]\nname = \"a\"\nimage = \"acme/a\"\n";
    let told = world(none).repo(&repo("[[routing.routes]]\nport = 11\n")).told();
    assert!(told.contains("repo declares 1 route(s) but server config has no hostnames"), "{told}");
    let told = world(&two.replace("port = 2\n", "")).told();
    assert!(told.contains("`y.org` leads to no port"), "{told}");
    assert_eq!(routes(&world(&two.replace("port = 2\n", "port = 1\n")).one())[1], "http y.org/api -> http");
}

#[test]
fn secrets_win_over_variables_and_no_value_is_in_the_spec() {
    let text = with("health = {}\n[env]\nA = \"plain\"\nB = \"plain\"\nURL = \"pg://${PW}@db\"\nOLD = \"${PW}\"\n");
    let mut world = world(&text);
    world.env.push(("PW", "hunter22"));
    world.secrets = vec!["B", "OLD", "SLIP_SECRET", "config.URL", "tls-key"];
    let built = world.built();
    let app = &built.applications[0];
    assert_eq!(app.env, BTreeMap::from([("A".to_owned(), "plain".to_owned())]));
    let used: Vec<(&str, &str)> = app
        .secrets
        .iter()
        .map(|used| match used {
            SecretUse::Env { secret, var } => (secret.as_str(), var.as_str()),
            SecretUse::File { .. } => panic!("none is a file"),
        })
        .collect();
    assert_eq!(used, [("web.B", "B"), ("web.OLD", "OLD"), ("config.URL", "URL")]);
    let sealed: Vec<(&str, &str)> = built.sealed.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(sealed, [("config.URL", "pg://hunter22@db")]);
    assert!(!format!("{built:?}").contains("hunter22"));
    assert!(!serde_json::to_string(&built.applications).expect("JSON").contains("hunter22"));
}

#[test]
fn a_deploy_is_checked() {
    for (tag, told) in [
        ("", "tag must not be empty"),
        ("a b", "`a b`: tag contains invalid characters (allowed: alphanumeric, -, _, .)"),
        ("v1/../x", "invalid characters"),
        ("-rf", "tag must not begin with - or ."),
        (".v1", "tag must not begin with - or ."),
        ("\u{e4}", "invalid characters"),
        ("sha256:12", "tag is not a digest"),
    ] {
        let mut world = world(CONTAINER);
        world.deploy.tag = tag.to_owned();
        assert!(world.told().contains(told), "{}", world.told());
    }
    let mut other = world(CONTAINER);
    other.deploy.image = Some("ghcr.io/evil/shop".to_owned());
    other.deploy.images = BTreeMap::from([("web".to_owned(), "x".to_owned())]);
    let told = other.told();
    assert!(told.contains("image mismatch: expected `ghcr.io/acme/shop`, got `ghcr.io/evil/shop`"), "{told}");
    assert!(
        told.contains("`images` names containers of a pod") && told.contains("`x` is not a whole reference"),
        "{told}"
    );
}

fn pod_world() -> World {
    let mut world = world(POD).repo("[app]\nname = \"stats\"\nkind = \"pod\"\nmanifest = \"pod.yaml\"\n");
    world.manifest = Some(POD_YAML.to_owned());
    world
}

#[test]
fn a_pod_is_rendered_and_reached_by_container() {
    let mut world = pod_world();
    world.app += "[env]\nMODE = \"server\"\nEXTRA = \"x\"\n";
    let built = world.built();
    assert_eq!(built.merged.manifest, Some(Manifest { side: Side::Image, path: "/slip/pod.yaml".to_owned() }));
    let app = &built.applications[0];
    assert_eq!(routes(app), ["http stats.example.com/ -> http", "http jobs.example.com/ -> jobs-web-3000"]);
    let ports: Vec<_> = app.ports.iter().map(|p| (p.name.as_str(), p.container.as_deref(), p.fixed)).collect();
    assert_eq!(ports, [("http", Some("api"), Some(8000)), ("jobs-web-3000", Some("jobs-web"), Some(3000))]);
    assert_eq!(app.health.container.as_deref(), Some("api"));
    assert!(matches!(&app.health.check, Check::Http { port, .. } if port.as_str() == "http"));
    assert_eq!(app.strategy.name(), "recreate", "a pod too is stopped first");
    assert_eq!(
        app.platform_options["pod_health"],
        json!([{"container": "jobs-web", "kind": "tcp", "port": "jobs-web-3000"}])
    );
    assert_eq!(app.limits.memory_bytes, None);

    let pod = pod_of(app);
    assert_eq!(pod["metadata"]["name"], "stats");
    assert_eq!(pod["metadata"]["labels"]["slip.tag"], "v1");
    let containers = pod["spec"]["containers"].as_array().expect("a list");
    let images: Vec<&str> = containers.iter().filter_map(|c| c["image"].as_str()).collect();
    assert_eq!(images, ["ghcr.io/acme/stats-api:v1", "ghcr.io/acme/jobs:v1", "ghcr.io/acme/stats-api:pinned"]);
    assert_eq!(pod["spec"]["initContainers"][0]["image"], "ghcr.io/acme/stats-api:v1");
    assert_eq!(
        containers[0]["ports"],
        json!([{"containerPort": 8000, "hostPort": 0, "hostIP": "127.0.0.1"}, {"containerPort": 9000}])
    );
    assert_eq!(containers[0]["env"], json!([{"name": "MODE", "value": "own"}, {"name": "EXTRA", "value": "x"}]));
    assert_eq!(containers[2]["env"], json!([{"name": "EXTRA", "value": "x"}, {"name": "MODE", "value": "server"}]));
    let mount = json!({"name": "slip-stats-opt-jobs-home", "mountPath": "/opt/jobs/home"});
    assert_eq!(containers[1]["volumeMounts"], json!([{"name": "scratch", "mountPath": "/scratch"}, mount.clone()]));
    assert_eq!(pod["spec"]["initContainers"][0]["volumeMounts"], json!([mount]));
    assert_eq!(
        pod["spec"]["volumes"][1],
        json!({"name": "slip-stats-opt-jobs-home", "hostPath": {"path": "/var/lib/slip/volumes/stats/jobs-home", "type": "DirectoryOrCreate"}})
    );
}

#[test]
fn a_container_with_a_probe_of_its_own_is_asked_by_that() {
    let mut world = pod_world();
    let probe = "ports: [{ containerPort: 3000 }]\n      readinessProbe: { httpGet: { path: /ready, port: 3000 } }";
    world.manifest = Some(POD_YAML.replacen("ports: [{ containerPort: 3000 }]", probe, 1));
    let app = world.one();
    assert_eq!(app.platform_options.get("pod_health"), None, "who runs the pod reads the probe");
    assert_eq!(pod_of(&app)["spec"]["containers"][1]["readinessProbe"]["httpGet"]["path"], "/ready");
}

#[test]
fn images_of_containers_are_named_by_the_deploy() {
    let mut world = pod_world();
    world.deploy.images = BTreeMap::from([("jobs-web".to_owned(), "ghcr.io/acme/jobs:j7".to_owned())]);
    let pod = pod_of(&world.one());
    assert_eq!(pod["spec"]["containers"][1]["image"], "ghcr.io/acme/jobs:j7");
    world.deploy.tag = format!("sha256:{}", "0".repeat(64));
    let pod = pod_of(&world.one());
    assert_eq!(pod["spec"]["containers"][0]["image"], format!("ghcr.io/acme/stats-api@sha256:{}", "0".repeat(64)));
    world.deploy.images.clear();
    assert!(world.told().contains("wants a tag, and the deploy names a digest"), "{}", world.told());
    world.deploy.tag = "v1".to_owned();
    world.deploy.images = BTreeMap::from([("jobsweb".to_owned(), "x:1".to_owned())]);
    assert!(world.told().contains("names the container `jobsweb`, which is not in the pod; did you mean `jobs-web`?"));
    world.deploy.images = BTreeMap::from([(String::new(), "x:1".to_owned())]);
    let told = world.told();
    assert!(
        told.contains("names the container ``, which is not in the pod; known here: setup, api, jobs-web"),
        "{told}"
    );
}

#[test]
fn manifests_that_cannot_be_used_are_told_about() {
    for (from, to, told) in [
        ("apiVersion: v1\n", "", "missing required field: apiVersion"),
        ("kind: Pod", "kind: Deployment", "invalid kind: expected `Pod`, got `Deployment`"),
        ("  name: anything", "  labels: {}", "missing required field: metadata.name"),
        ("  containers:", "  containrs:", "missing required field: spec.containers"),
        ("name: jobs-web", "name: api", "two containers are called `api`"),
        ("name: jobs-web", "name: jobs", "container `jobs-web` not found in pod manifest (referenced in a route)"),
        ("containerPort: 3000", "containerPort: 300000", "must be a whole number from 1 to 65535"),
        ("[{ containerPort: 3000 }]", "[]", "names no containerPort"),
        ("jobs:${tag}", "jobs:${other}", "is not an image"),
        ("  containers:", "  hostNetwork: true\n  containers:", "cannot have two versions side by side"),
        ("kind: Pod", "kind: [", "/slip/pod.yaml:"),
        (
            "command: [setup]",
            "command: setup",
            "/slip/pod.yaml:10:16: spec.initContainers[0].command: must be a list, and is the text `setup`",
        ),
        ("value: own", "value: [own]", "spec.containers[0].env[0].value: must be text"),
        (
            "name: scratch, mountPath",
            "name: scrath, mountPath",
            "there is no volume `scrath` under spec.volumes; did you mean `scratch`?",
        ),
        ("mountPath: /scratch", "mount: /scratch", "missing required field: mountPath"),
    ] {
        let mut world = pod_world();
        assert!(POD_YAML.contains(from), "{from}");
        world.manifest = Some(POD_YAML.replacen(from, to, 1));
        let text = world.told();
        assert!(text.contains(told), "{told}: {text}");
    }
    let mut world = pod_world();
    world.manifest = None;
    assert!(world.told().contains("pod manifest not found: /slip/pod.yaml"));
    world.repo = Some("[app]\nname = \"stats\"\nkind = \"pod\"\nmanifest = \"pod.yaml\"\n[[routing.routes]]\ncontainer = \"jobs-web\"\nport = 3001\n[[routing.routes]]\ncontainer = \"api\"\nport = 8001\n[[routing.routes]]\ncontainer = \"runner\"\nkind = \"worker\"\n".to_owned());
    world.manifest = Some(POD_YAML.to_owned());
    let app = world.one();
    assert_eq!(app.ports.iter().map(|p| p.fixed).collect::<Vec<_>>(), [Some(8001), Some(3001)], "paired by container");
    assert!(app.platform_options["pod_health"].to_string().contains(r#"{"container":"runner","kind":"running"}"#));
    assert_eq!(
        pod_of(&app)["spec"]["containers"][0]["ports"][2],
        json!({"containerPort": 8001, "hostPort": 0, "hostIP": "127.0.0.1"})
    );
}

const PREVIEW_REPO: &str = "[app]\nname = \"a\"\n[preview]\nenabled = true\nttl = \"2h\"\nmax = 9\nresources = { memory = \"1g\" }\nhooks = { migrate = \"bin/migrate 'x'\", seed = \"bin/seed\" }\n";

fn preview_world() -> World {
    let mut world = world(&with(
        "health = {}\nresources = { cpus = 2 }\nenv_file = { path = \"/etc/a.env\" }\nvolumes = [{ host_path = \"/srv/a\", mount_path = \"/data\" }, { host_path = \"/srv/r\", mount_path = \"/ro\", read_only = true }]\n[env]\nPLAIN = \"x\"\nURL = \"${SLIP_SECRET}\"\nOWN = \"${SLIP_SECRET}\"\n[preview]\nmax = 4\nsecrets = [\"API_KEY\"]\nenv = { OWN = \"preview\" }\n",
    ));
    world.server += "[preview]\ndomain = \"preview.example.com\"\nmax_per_app = 2\ndefault_ttl = \"7d\"\nmax_memory = \"256m\"\nmax_cpus = \"0.5\"\n[deploy]\npreview_timeout = \"4m\"\n";
    world.secrets = vec!["API_KEY", "DB_PASSWORD", "MARKED", "SLIP_SECRET"];
    world.marked = vec!["MARKED"];
    world.repo(PREVIEW_REPO).preview("PR_42")
}

#[test]
fn a_preview_is_a_release_of_its_own_within_bounds() {
    let built = preview_world().built();
    assert_eq!(built.release.as_str(), "a.preview.pr-42");
    let preview = built.preview.clone().expect("it is one");
    assert_eq!(
        (preview.hosts[0].as_str(), preview.ttl, preview.max),
        ("pr-42.preview.example.com", Some(Millis::secs(7200)), Some(4))
    );
    let app = &built.applications[0];
    assert_eq!(routes(app), ["http pr-42.preview.example.com/ -> http"]);
    assert_eq!((app.limits.memory_bytes, app.limits.cpu_millis), (Some(256 << 20), Some(500)));
    assert_eq!(app.bounds.health, Millis::secs(240));
    assert_eq!(app.platform_options["labels"]["slip.app"], "a-preview-PR_42");
    assert!(!app.platform_options.contains_key("env_file"));
    let hook = app.hooks.before_shift.clone().expect("both");
    assert_eq!(
        hook.command,
        ["/bin/sh", "-c", "/bin/sh -c \"$1\" && /bin/sh -c \"$2\"", "hooks", "bin/migrate 'x'", "bin/seed"]
    );
    let secrets: Vec<&str> = app.secrets.iter().map(|used| used.secret().as_str()).collect();
    assert_eq!(secrets, ["web.API_KEY", "web.MARKED"]);
    assert_eq!(app.env, BTreeMap::from([("OWN".into(), "preview".into()), ("PLAIN".into(), "x".into())]));
    assert!(built.sealed.is_empty());
    assert!(built.warnings.iter().any(|w| w.message.contains("previews do not get URL")), "{:?}", built.warnings);
    let sources: Vec<_> = app.volumes.iter().map(|volume| volume.source.as_deref()).collect();
    assert_eq!(sources, [None, Some("/srv/r")], "nothing of production is written to");
}

#[test]
fn a_preview_of_a_pod_is_bounded_by_container() {
    let mut world = pod_world().preview("pr-1");
    world.server = preview_world().server;
    let repo = "[app]\nname = \"stats\"\nkind = \"pod\"\nmanifest = \"pod.yaml\"\n[preview]\nenabled = true\n";
    world.repo = Some(repo.to_owned());
    let own = "command: [setup]\n      resources: { limits: { memory: 64Mi, cpu: 2 } }";
    world.manifest = Some(POD_YAML.replacen("command: [setup]", own, 1));
    let pod = pod_of(&world.one());
    let most = (256 << 20).to_string();
    assert_eq!(pod["spec"]["containers"][0]["resources"]["limits"], json!({"memory": most, "cpu": "500m"}));
    let first = &pod["spec"]["initContainers"][0]["resources"]["limits"];
    assert_eq!(*first, json!({"memory": "64Mi", "cpu": "500m"}));
}

#[test]
fn a_host_name_with_a_certificate_is_served_with_tls_too() {
    let mut world = world(CONTAINER);
    let host = routes(&world.one())[0].split(['/', ' ']).nth(1).expect("a host").to_owned();
    assert_eq!(world.one().routes.len(), 1);
    world.tls.filed.insert(host.clone());
    assert_eq!(routes(&world.one()), [format!("http {host}/ -> http"), format!("https {host}/ -> http")]);
    world.tls = TlsHosts { ordered: true, ..TlsHosts::default() };
    assert_eq!(world.one().routes.len(), 2);
}

#[test]
fn the_address_of_a_branch_takes_the_place_of_every_other_database() {
    let mut world = preview_world();
    world.app += "[preview.env]\nPG = \"from the file\"\n";
    world.app = world.app.replace("env = { OWN = \"preview\" }\n", "");
    world.secrets.push("PG");
    world.marked.push("PG");
    world.repo = Some(format!(
        "{PREVIEW_REPO}[preview.database]\nstrategy = \"branch\"\nprovider = \"neon\"\nvariable = \"PG\"\n[env]\nPG = \"from the image\"\n"
    ));
    world.database = Some("postgres://preview@branch/app");
    let built = world.built();
    let app = &built.applications[0];
    assert!(!app.env.contains_key("PG"), "{:?}", app.env);
    let named: Vec<_> =
        app.secrets.iter().filter(|used| matches!(used, SecretUse::Env { var, .. } if var == "PG")).collect();
    let config = SecretName::new("config.PG").expect("a name");
    assert_eq!(named, [&SecretUse::Env { secret: config.clone(), var: "PG".into() }]);
    assert_eq!(built.sealed[&config].expose(), "postgres://preview@branch/app");
    assert!(!manifest::write(&Spec::new(built.applications.clone())).contains("branch/app"));
    // It is for the preview alone.
    world.deploy.preview = None;
    assert!(!world.built().sealed.contains_key(&config));
}

#[test]
fn previews_that_cannot_be_are_told_about() {
    for id in ["", "..", "-x", "a/b", "a b", "\u{e4}", &"x".repeat(64)] {
        let told = preview_world().preview(id).told();
        assert!(told.contains("must have 1 to 63"), "{told}");
    }
    let mut world = preview_world();
    world.repo = Some("[app]\nname = \"a\"\n[preview]\nenabled = false\n".to_owned());
    assert!(world.told().contains("previews are not enabled"));
    world.repo = Some(format!("{PREVIEW_REPO}[preview.database]\nstrategy = \"ephemeral\"\n"));
    assert!(world.told().contains("the app is no pod"), "{}", world.told());
    world.server = SERVER.to_owned();
    assert!(world.told().contains("preview deployments not configured for this server"), "{}", world.told());
}

#[test]
fn a_pods_preview_has_its_own_name_and_folders() {
    let mut world = pod_world().preview("pr-7");
    world.server += "[preview]\ndomain = \"p.example.com\"\n";
    world.repo = world.repo.map(|repo| repo + "[preview]\nenabled = true\n");
    let built = world.built();
    let app = &built.applications[0];
    assert_eq!(routes(app), ["http pr-7.p.example.com/ -> http", "http pr-7-2.p.example.com/ -> jobs-web-3000"]);
    let pod = pod_of(app);
    assert_eq!(pod["metadata"]["name"], "stats-preview-pr-7");
    assert_eq!(pod["spec"]["volumes"][1], json!({"name": "slip-stats-preview-pr-7-opt-jobs-home", "emptyDir": {}}));
    assert_eq!(built.preview.map(|preview| preview.max), Some(None));
}

#[test]
fn what_is_asked_of_health_can_be_chosen() {
    for (health, expected) in [
        ("{}", "Tcp"),
        ("{ tcp = false }", "Running"),
        ("{ tcp = true }", "Tcp"),
        ("{ command = \"test -f /ok\" }", "Command { command: [\"/bin/sh\", \"-c\", \"test -f /ok\"] }"),
        ("{ command = [\"check\"] }", "Command { command: [\"check\"] }"),
        ("{ path = \"/x?y=1\", expect_status = 204 }", "status: [(204, 204)]"),
    ] {
        let app = world(&with(&format!("health = {health}"))).one();
        let shown = format!("{:?}", app.health.check);
        assert!(shown.contains(expected), "{health}: {shown}");
    }
    let merged = merge(
        &good(&with("health = { tcp = false }")),
        Some(&read_repo("[app]\nname = \"a\"\nhealth = { path = \"/x\" }")),
        &server(SERVER, &[("SLIP_SECRET", "s")]),
    );
    assert_eq!(merged.expect("fits").0.health.path, None, "the server takes the question away");
}

#[test]
fn extensions_reach_the_platform() {
    let app = world(&with("health = { successes = 3 }\nnetwork = { name = \"back\" }\ndeploy = { pull = \"missing\", bake = \"5m\", stop_timeout = \"20s\" }\nenv_file = { path = \"/etc/a.env\" }\n")).one();
    assert_eq!((&app.platform_options["pull"], &app.platform_options["network"]), (&json!("missing"), &json!("back")));
    assert_eq!(app.platform_options["env_file"], json!("/etc/a.env"));
    assert_eq!((app.strategy.bake(), app.stop.grace, app.health.successes), (Millis::secs(300), Millis::secs(20), 3));
}
