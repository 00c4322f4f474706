use serde_json::{Value, json};
use skipper_core::{
    compose::{self, EnvValue, Policy, Scene},
    secret::{SecretValue, SecretValues},
};
use skipper_source::{
    Faults,
    tenant::{Project, Service, Surroundings, Tenant, document, manifest, projects, service, spec, tenant},
    yaml::{Input, read_one},
};

const EXAMPLE: &str = r#"{"kind":"tenant","id":"example-tenant",
 "spec":{"node":"host-1","services":{
   "web":{"image":"localhost/hello:1","ports":["8080:8080"],"env":{"GREETING":"hi"},"secrets":["DB_PASSWORD"],
          "volumes":["data:/data"],"command":null,"health":{"path":"/health"},"routes":[{"host":"example.test","port":8080}],"replicas":1,"node":null}}},
 "status":{"revision":3,"state":"deployed","last_order":"wo_1"}}"#;

fn read(value: &Value) -> Tenant {
    tenant("t.json", value.to_string().as_bytes()).expect("a tenant").resource
}

/// The tenant `t` with these services.
fn with(services: &Value) -> Tenant {
    read(&json!({"kind": "tenant", "id": "t", "spec": {"node": "host-1", "services": services}}))
}

fn one(tenant: &Tenant) -> Project {
    let mut all = projects(tenant, &[], &Surroundings::usual()).expect("projects");
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn yaml(project: &Project) -> Value {
    let input = Input::plain("docker-compose.yml", project.text());
    read_one(input).expect("YAML").expect("a document").to_value()
}

#[test]
fn the_example_of_the_reference_becomes_a_project() {
    let read = tenant("resources/tenants/example-tenant.json", EXAMPLE.as_bytes()).expect("a tenant");
    assert_eq!(read.status["revision"], 3);
    let around = Surroundings { owner: Some("me"), ..Surroundings::usual() };
    let all = projects(&read.resource, &[], &around).expect("projects");
    assert_eq!(all.len(), 1);
    let project = &all[0];
    assert_eq!((project.name.as_str(), project.target.as_str()), ("example-tenant", "node:host-1"));
    let expected = r##"# The services of tenant example-tenant on this node, written by Skipper: the next apply overwrites what is changed here.
services:
  web:
    image: localhost/hello:1
    restart: unless-stopped
    environment:
      DB_PASSWORD: "${DB_PASSWORD?}"
      GREETING: "${GREETING?}"
    ports:
      - "8080:8080"
    volumes:
      - data:/data
    labels:
      skipper.account: node:host-1
      skipper.kind: service
      skipper.owner: me
      skipper.service: web
      skipper.tenant: example-tenant
volumes:
  data: {}
"##;
    assert_eq!(project.text(), expected);
    assert_eq!(project.content.env["GREETING"], EnvValue::Value("hi".to_owned()));
    let health = project.content.services["web"].health.clone().expect("health");
    assert_eq!((health.path.as_deref(), health.port), (Some("/health"), Some(8080)));

    let spec = spec(&all).expect("a spec");
    spec.validate().expect("valid");
    let app = &spec.applications[0];
    assert_eq!((app.name.as_str(), app.resource.uri.as_str()), ("host-1", "compose:example-tenant"));
    assert_eq!(app.images["web"].uri, "docker:localhost/hello:1");
    assert_eq!(
        serde_json::to_value(&app.secrets).expect("JSON"),
        json!([{"as": "env", "secret": "DB_PASSWORD", "var": "DB_PASSWORD"}])
    );
    assert_eq!(compose::Project::of(app).expect("a project"), project.content);
    assert!(!manifest(&all).contains("hunter2"));
    assert!(
        read_one(Input::plain("m", &manifest(&all)))
            .expect("YAML")
            .expect("one")
            .get("docker-compose.yml")
            .is_some_and(|text| text.to_value() == expected)
    );
}

#[test]
fn a_resource_is_written_as_it_is_read() {
    let read = tenant("x", EXAMPLE.as_bytes()).expect("a tenant");
    let text = document(&read.resource, &read.status).expect("JSON");
    assert_eq!(
        serde_json::from_str::<Value>(&text).expect("JSON"),
        serde_json::from_str::<Value>(EXAMPLE).expect("JSON")
    );
    assert_eq!(serde_json::from_str::<Tenant>(&text).expect("a tenant"), read.resource);
    assert_eq!(tenant("x", text.as_bytes()).expect("a tenant"), read);

    let file = r#"{"kind":"service","id":"db","spec":{"tenant":"t","image":"db:1","replicas":2},"status":{}}"#;
    let read = service("resources/services/db.json", file.as_bytes()).expect("a service");
    let text = document(&read.resource, &Value::Null).expect("JSON");
    assert_eq!(service("db.json", text.as_bytes()).expect("a service").resource, read.resource);
    assert_eq!(serde_json::from_str::<Service>(&text).expect("a service"), read.resource);
}

fn faults(text: &str) -> Vec<String> {
    let told = |faults: Faults| faults.findings().iter().map(ToString::to_string).collect();
    tenant("t.json", text.as_bytes()).map(|_| Vec::new()).unwrap_or_else(told)
}

#[test]
fn every_fault_is_told_at_once_with_line_and_nearest_key() {
    let text = r#"{
  "kind": "tenants",
  "id": "other",
  "spec": {
    "nodes": "host-1",
    "services": {
      "web": {
        "imgae": "x",
        "ports": ["8080:80", "8080:81", "nope"],
        "env": {"A B": "x", "C": null, "D": 1},
        "secrets": ["D", "E", "E"],
        "volumes": ["/data", "../x:/x"],
        "replicas": 1000,
        "health": {"pth": "/"},
        "routes": [{"host": "a b"}]
      }
    }
  },
  "staus": {}
}"#;
    let told = faults(text);
    for expected in [
        "t.json:2:11: kind: must be `tenant` in this place",
        "t.json:3:9: id: is `other`, and the file is called t.json; name the file after the id",
        "t.json:5:5: spec: unknown key `nodes`; did you mean `node`?",
        "t.json:7:14: spec.services.web: `image` is missing",
        "t.json:8:9: spec.services.web: unknown key `imgae`; did you mean `image`?",
        "t.json:9:30: spec.services.web.ports[1]: another entry has that port of the node already",
        "t.json:11:21: spec.services.web.secrets[0]: `D` is a variable under `env` as well",
        "t.json:11:31: spec.services.web.secrets[2]: `E` is listed twice",
        "t.json:14:20: spec.services.web.health: unknown key `pth`; did you mean `path`?",
        "t.json:15:20: spec.services.web.routes[0]: `port` is missing",
        "t.json:19:3: unknown key `staus`; did you mean `status`?",
    ] {
        assert!(told.iter().any(|finding| finding == expected), "{expected}\nin {told:#?}");
    }
    for part in ["ports[2]", "env.A B", "env.C", "volumes[0]", "volumes[1]", "replicas", "routes[0].host"] {
        assert!(told.iter().any(|finding| finding.contains(&format!("web.{part}: "))), "{part}\nin {told:#?}");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    for (services, code) in [
        (json!({"-a": {"image": "x"}}), "value-invalid"),
        (json!({"a": {"image": "x y"}}), "value-invalid"),
        (json!({"a": {"image": "x", "replicas": 2, "ports": ["80:80"]}}), "replicas-port"),
        (json!({"a": {"image": "x", "health": {"path": "/"}}}), "health-port"),
        (json!({"a": {"image": "x", "ports": ["1:1"], "health": {"path": "/", "command": ["x"]}}}), "health-both"),
        (json!({"a": {"image": "x", "ports": ["1:1"], "health": {"path": "x"}}}), "value-invalid"),
        (json!({"a": {"image": "x", "volumes": ["a:/x", "b:/x/"]}}), "volume-twice"),
        (json!({"a": {"image": "x", "command": []}}), "value-kind"),
        (json!({"a": {"image": "x", "env": {"A": "a\u{0}b"}}}), "value-invalid"),
        (json!({"a": {"image": "x", "routes": [{"port": 1}, {"port": 2}]}}), "route-twice"),
        (json!([]), "value-kind"),
    ] {
        let text = json!({"kind": "tenant", "id": "t", "spec": {"services": services}}).to_string();
        assert_eq!(tenant("t.json", text.as_bytes()).expect_err(&text).code(), code, "{text}");
    }
    let many: serde_json::Map<_, _> = (0..101).map(|n| (format!("s{n}"), json!({"image": "x"}))).collect();
    let text = json!({"kind": "tenant", "id": "t", "spec": {"services": many}}).to_string();
    assert_eq!(tenant("t.json", text.as_bytes()).expect_err("too many").code(), "value-invalid");
}

#[test]
fn each_node_gets_a_project_of_its_own() {
    let read = read(&json!({"kind": "tenant", "id": "t", "spec": {"node": null, "services": {
        "a": {"image": "x"}, "b": {"image": "x", "node": "host-2"}, "c": {"image": "x", "node": "host-1"},
        "d": {"image": "x", "node": "host-2"},
    }}}));
    let extra = r#"{"kind":"service","id":"e","spec":{"tenant":"t","image":"x","node":"host-1"}}"#;
    let other = r#"{"kind":"service","id":"f","spec":{"tenant":"u","image":"x"}}"#;
    let extra = [extra, other].map(|text| service("s", text.as_bytes()).expect("a service").resource);
    let all = projects(&read, &extra, &Surroundings::usual()).expect("projects");
    let shown: Vec<(&str, Vec<&str>)> = all
        .iter()
        .map(|project| (project.target.as_str(), project.content.services.keys().map(String::as_str).collect()))
        .collect();
    assert_eq!(shown, [("compose", vec!["a"]), ("node:host-1", vec!["c", "e"]), ("node:host-2", vec!["b", "d"])]);
    assert_eq!(spec(&all).expect("a spec").applications.len(), 3);

    let twice = r#"{"kind":"service","id":"a","spec":{"tenant":"t","image":"x"}}"#;
    let twice = service("s", twice.as_bytes()).expect("a service").resource;
    assert_eq!(projects(&read, &[twice], &Surroundings::usual()).expect_err("twice").code(), "service-twice");
}

#[test]
fn services_share_a_variable_only_where_it_means_the_same() {
    let tenant = with(&json!({
        "a": {"image": "x", "env": {"SAME": "1", "OTHER": "a", "PATH": "/bin", "spring.x": "y"}},
        "b": {"image": "x", "env": {"SAME": "1", "OTHER": "b"}, "secrets": ["KEY"]},
        "c": {"image": "x", "env": {"KEY": "plain"}},
    }));
    let project = one(&tenant);
    let text = yaml(&project);
    let var = |service: &str, name: &str| {
        let written = text["services"][service]["environment"][name].as_str().expect("a variable").to_owned();
        let key = written.strip_prefix("${").and_then(|rest| rest.strip_suffix("?}")).expect("a reference").to_owned();
        (project.content.env[&key].clone(), key)
    };
    assert_eq!(var("a", "SAME").1, "SAME");
    assert_eq!(var("a", "OTHER").0, EnvValue::Value("a".to_owned()));
    assert_eq!(var("b", "OTHER").0, EnvValue::Value("b".to_owned()));
    assert!(matches!(var("b", "KEY").0, EnvValue::Secret(_)));
    assert_eq!(var("c", "KEY").0, EnvValue::Value("plain".to_owned()));
    assert_ne!(var("a", "PATH").1, "PATH", "compose has one of its own");
    assert_eq!(var("a", "spring.x").0, EnvValue::Value("y".to_owned()));
}

#[test]
fn what_is_not_compose_is_not_taken_for_it() {
    let tenant = with(&json!({
        "a": {"image": "x", "command": ["sh", "-c", "echo $HOME ${X}"], "health": {"command": ["test", "$A"]}},
        "b": {"image": "x", "command": "run $X", "replicas": 3, "ports": ["80"], "routes": [{"port": 9000}]},
    }));
    let text = yaml(&one(&tenant));
    assert_eq!(text["services"]["a"]["command"][2], "echo $$HOME $${X}");
    assert_eq!(text["services"]["a"]["healthcheck"]["test"], json!(["CMD", "test", "$$A"]));
    assert_eq!(text["services"]["b"]["command"], "run $$X");
    assert_eq!(text["services"]["b"]["scale"], 3);
    assert_eq!(text["services"]["b"]["ports"], json!(["80", "127.0.0.1::9000"]), "an edge has to reach it");
}

#[test]
fn what_is_rendered_keeps_the_policy_but_for_folders_from_elsewhere() {
    let tenant = with(&json!({
        "a": {"image": "x", "ports": ["80:80"], "env": {"A": "1"}, "volumes": ["data:/d", "./conf:/c:ro"], "replicas": 0,
              "health": {"command": ["x"]}},
    }));
    let scene = Scene { project: "t", folder: "/base/t" };
    assert_eq!(compose::check(&yaml(&one(&tenant)), scene, &Policy::default()), []);
    let outside = with(&json!({"a": {"image": "x", "volumes": ["/etc:/x", "/var/run/docker.sock:/s"]}}));
    let refused = compose::check(&yaml(&one(&outside)), scene, &Policy::default());
    assert_eq!(refused.iter().map(|refusal| refusal.code).collect::<Vec<_>>(), ["bind", "docker-socket"]);
}

#[test]
fn a_secret_is_in_nothing_that_is_kept() {
    let tenant = with(&json!({"a": {"image": "x", "secrets": ["KEY"], "env": {"A": "x\ny"}}}));
    let all = vec![one(&tenant)];
    let value = SecretValue::new("hunter2 $x".to_owned());
    let secrets = SecretValues::from([("KEY".parse().expect("a name"), value)]);
    let files = all[0].content.filled(&secrets).expect("filled");
    assert!(files[".env"].contains("KEY=\"hunter2 ${SKIPPER_DOLLAR}x\"\n"), "{}", files[".env"]);
    let kept = format!("{}{}", serde_json::to_string(&spec(&all).expect("a spec")).expect("JSON"), manifest(&all));
    assert!(!kept.contains("hunter2"));
}
