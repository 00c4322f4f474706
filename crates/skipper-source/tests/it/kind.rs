//! Documents of the field become applications.

use skipper_core::{
    name::{PlatformName, ReleaseName},
    route::Listener,
    spec::{Application, Check},
};
use skipper_source::{RenderOptions, classic};

fn options() -> RenderOptions {
    RenderOptions {
        release: ReleaseName::new("mylog").expect("valid"),
        revision: 1,
        platform: PlatformName::new("default").expect("valid"),
    }
}

fn read(manifest: &str) -> Vec<Application> {
    classic::applications(manifest, &options()).unwrap_or_else(|faults| panic!("{faults}\n{manifest}"))
}

fn refused(manifest: &str) -> String {
    classic::applications(manifest, &options()).expect_err("it is refused").to_string()
}

#[test]
fn an_application_says_what_it_is_told_and_how_it_is_run() {
    let apps = read(
        "\n---\n# Source: log.yml\napiVersion: skipper/v1\nkind: SpringBootApp\nmetadata:\n  name: log-sink\n  count: 2\nspec:\n  \
         resource: maven://org.example:log:1.2.0\n  applicationProperties:\n    log.level: DEBUG\n    build: 007\n    \
         server.port: 8099\n    nothing:\n  deploymentProperties:\n    spring.cloud.deployer.count: 3\n    \
         spring.cloud.deployer.memory: 2048m\n---\nkind: SpringBootApp\nmetadata: {name: time}\nspec: {resource: \
         'http://x/t.jar'}\n",
    );
    let [log, time] = apps.as_slice() else { panic!("two documents: {apps:?}") };
    assert_eq!((log.name.as_str(), log.target.0.as_str(), log.replicas), ("log-sink", "default", 3));
    assert_eq!(log.resource.uri, "maven://org.example:log:1.2.0");
    let told = log.deployer.as_ref().expect("it was written for a deployer");
    assert_eq!(told.properties["build"], "007", "texts stay as they were written");
    assert_eq!((told.properties["nothing"].as_str(), told.properties.len()), ("", 4));
    assert_eq!(told.options.keys().collect::<Vec<_>>(), ["spring.cloud.deployer.memory"], "the count is the replicas");
    assert_eq!(log.routes[0].listener, Listener::Port(8099), "the port is the edge's");
    assert!(log.ports[0].fixed.is_none() && matches!(log.health.check, Check::Boot { .. }));
    assert_eq!((time.replicas, &time.routes[0].listener), (1, &Listener::Auto));
}

#[test]
fn the_version_completes_the_address() {
    let of = |resource: &str, version: &str| {
        let app = read(&format!("metadata: {{name: a}}\nspec: {{resource: '{resource}', version: '{version}'}}"));
        app[0].resource.uri.clone()
    };
    assert_eq!(of("maven://g:a", "1.0"), "maven://g:a:1.0");
    assert_eq!(of("maven://g:a:1.0", "1.0"), "maven://g:a:1.0");
    assert_eq!(of("docker:org/app", "2"), "docker:org/app:2");
    assert_eq!(of("http://x/app", "1.1"), "http://x/app-1.1.jar");
    assert_eq!(of("file:/x/app.jar", ""), "file:/x/app.jar");
}

#[test]
fn ports_follow_the_server_port() {
    let app = |port: &str, more: &str| {
        let text = format!(
            "metadata: {{name: a}}\nspec:\n  resource: file:/a.jar\n  applicationProperties: {{server.port: '{port}'}}\n  \
             deploymentProperties: {{{more}}}\n"
        );
        read(&text).remove(0)
    };
    let none = app("0", "");
    assert!(none.ports.is_empty() && none.routes.is_empty() && none.health.check == Check::Running);
    assert_eq!(app("${PORT}", "").routes[0].listener, Listener::Auto, "what is no number is not ours to read");
    let direct = app("8080", "spring.cloud.deployer.local.direct: 'true'");
    assert_eq!((direct.ports[0].fixed, direct.ports[0].direct, direct.routes.len()), (Some(8080), true, 0));
    let probed = app("", "spring.cloud.deployer.local.health-probe.path: up");
    assert!(matches!(&probed.health.check, Check::Http { path, .. } if path == "/up"), "{:?}", probed.health);
}

#[test]
fn kinds_are_those_of_the_original() {
    let second = |kind: &str| {
        format!(
            "apiVersion: skipper.spring.io/v1\nkind: {kind}\nmetadata: {{name: a}}\nspec: {{resource: file:/a.jar}}\n"
        )
    };
    assert_eq!(read(&second("SpringCloudDeployerApplication")).len(), 1);
    assert!(refused(&second("SpringBootApp1")).contains("No release manager available for 'SpringBootApp1'"));
    assert_eq!(read("kind: Whatever\nmetadata: {name: a}\nspec: {resource: file:/a.jar}").len(), 1, "1.0 did not look");
    let mixed = format!("{}---\n{}", second("SpringBootApp"), second("CloudFoundryApplication"));
    assert!(refused(&mixed).contains("which no platform runs together"));
    assert!(refused("metadata: {name: a}\nspec: {}").contains("Package template must define a resource uri"));
    assert!(refused("spec: {resource: file:/a.jar}").contains("metadata.name"));
    assert!(refused("metadata: {name: 'a b'}\nspec: {resource: x}").contains("a b"));
    let counted = "metadata: {name: a}\nspec: {resource: x, deploymentProperties: {spring.cloud.deployer.count: many}}";
    for port in ["abc", "99999"] {
        let at = format!(
            "kind: SpringBootApp\nmetadata:\n  name: a\nspec:\n  resource: file:/a.jar\n  applicationProperties:\n    server.port: {port}\n"
        );
        assert!(refused(&at).contains("is not a port"), "{port}");
    }
    assert!(refused(counted).contains("`many` is not a count"));
    assert!(refused(&counted.replace("many", "1001")).contains("more than 1000 instances"));
    assert!(classic::applications(&counted.replace("many", "1000"), &options()).is_ok());
    let of = |properties: &str| format!("metadata: {{name: a}}\nspec: {{resource: x, {properties}}}");
    for (properties, said) in [
        (
            "applicationProperties: {server: {port: 80}}",
            "`applicationProperties.server` is a map, and a text is expected",
        ),
        ("applicationProperties: {a: [1, 2]}", "`applicationProperties.a` is a list, and a text is expected"),
        ("deploymentProperties: {memory: {m: 1}}", "`deploymentProperties.memory` is a map, and a text is expected"),
        ("applicationProperties: hello", "`applicationProperties` is a text, and a map is expected"),
        ("applicationProperties: [a]", "`applicationProperties` is a list, and a map is expected"),
    ] {
        let told = refused(&of(properties));
        assert!(told.contains(said), "{told}");
    }
    for nothing in ["applicationProperties:", "applicationProperties: ''", "deploymentProperties: !!null 'null'"] {
        assert!(read(&of(nothing))[0].deployer.as_ref().is_some_and(|told| told.properties.is_empty()), "{nothing}");
    }
    assert!(classic::spec_of("", &options()).is_err(), "nothing to run");
    assert!(!refused("a: [").is_empty());
}

#[test]
fn cloud_foundry_keeps_what_it_is_told() {
    let app = read(
        "apiVersion: skipper.spring.io/v1\nkind: CloudFoundryApplication\nspec:\n  resource: maven://g:a\n  version: 1.0.0\n  \
         manifest:\n    instances: '2'\n    env:\n      key1: value1\n    services:\n    - rabbit\n",
    )
    .remove(0);
    assert_eq!((app.name.as_str(), app.replicas, app.resource.uri.as_str()), ("mylog", 2, "maven://g:a:1.0.0"));
    let told = serde_json::json!({"instances": "2", "env": {"key1": "value1"}, "services": ["rabbit"]});
    assert_eq!(app.platform_options["cloudfoundry"], told);
}

#[test]
fn a_spec_keeps_the_text() {
    let text = "metadata: {name: a}\nspec: {resource: file:/a.jar}\n";
    let spec = classic::spec_of(text, &options()).expect("it is one");
    assert!(spec.verbatim);
    assert_eq!(skipper_source::manifest::of(&spec, text.to_owned()), text);
    let twice = format!("{text}---\n{text}");
    assert!(classic::spec_of(&twice, &options()).expect_err("two of a name").to_string().contains("two applications"));
    assert_eq!(classic::values_tree("a: {b: 010}"), serde_json::json!({"a": {"b": 8}}));
    assert_eq!(classic::values_tree("- a"), serde_json::json!({}));
}

#[test]
fn what_documents_say_of_themselves_is_kept_beside_the_applications() {
    let text = "metadata: {name: a, type: demo, build: 007}\nspec: {resource: file:/a.jar}\n---\nmetadata:\n  name: b\n  type: \
                other\nspec: {resource: file:/b.jar}\n";
    let spec = classic::spec_of(text, &options()).expect("it is one");
    let expected = serde_json::json!({"type": ["demo", "other"], "build": ["007"]});
    assert_eq!(serde_json::to_value(&spec.metadata).expect("texts"), expected);
}
