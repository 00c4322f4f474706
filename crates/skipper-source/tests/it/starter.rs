use serde_json::json;
use skipper_core::name::PackageName;
use skipper_source::{Archive, Package, Severity, UserValues, builtin, lint::lint, render, scaffold};

use crate::support::{document, one, options, package};

#[test]
fn a_starter_package_renders_and_has_no_fault() {
    for name in ["shop", "1.10", "true", "null", "a-b_c.d", "8080", "0x1F"] {
        let archive = Archive::from_files(scaffold::files(&PackageName::new(name).expect("valid"))).expect("a package");
        let findings = lint(&archive);
        assert!(findings.is_empty(), "{name}: {findings:#?}");
        let user = json!({"port": 8080, "limits": {"memory": "64Mi"}, "replicas": 2});
        let rendered = render(&archive, &user, &options()).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(rendered.warnings.is_empty());
        let app = one(rendered.spec);
        assert_eq!((app.name.as_str(), app.replicas, app.limits.memory_bytes), (name, 2, Some(64 << 20)));
        assert_eq!(app.env["GREETING"], format!("Hello from {name}"));
        assert_eq!(app.routes[0].listener.to_string(), ":8080");
        one(render(&archive, &json!({}), &options()).unwrap_or_else(|faults| panic!("{faults}")).spec);
    }
}

#[test]
fn the_built_in_packages_are_those_of_the_guide() {
    let packages = builtin::packages();
    let ids: Vec<String> = packages.iter().map(skipper_source::Built::file_name).collect();
    let names = ["helloworld-1.0.0", "helloworld-1.0.1", "helloworld-docker-1.0.0", "helloworld-docker-1.0.1"];
    assert_eq!(ids, names.map(|name| format!("{name}.zip")));
    for built in &packages {
        let package = Package::from_zip(&built.bytes).expect("readable");
        assert!(package.lint().is_empty(), "{:#?}", package.lint());
    }
    let rendered = |at: usize, values: &str| {
        let package = Package::from_zip(&packages[at].bytes).expect("readable");
        package
            .render(UserValues { tree: &json!({}), raw: Some(values) }, &options(), None)
            .unwrap_or_else(|faults| panic!("{faults}"))
    };
    let upgrade = "spec:\n  applicationProperties:\n    server.port: 8100\n    helloworld.greeting: yo\n  \
                   deploymentProperties:\n    spring.cloud.deployer.memory: 2048m\n";
    assert_eq!(
        rendered(1, upgrade).manifest,
        "\n---\n# Source: helloworld.yml\napiVersion: skipper/v1\nkind: SpringBootApp\nmetadata:\n  name: helloworld\n  type: \
         demo\nspec:\n  resource: \
         maven://org.springframework.cloud.samples:spring-cloud-skipper-samples-helloworld:1.0.1.RELEASE\n  \
         applicationProperties:\n    server.port: 8100\n    helloworld.greeting: yo\n  deploymentProperties:\n    \
         spring.cloud.deployer.memory: 2048m\n"
    );
    let app = one(rendered(0, "greeting: Hi there\nreplicas: 2\nport: 9000\n").spec);
    let told = app.deployer.as_ref().expect("told");
    assert_eq!((told.properties["helloworld.greeting"].as_str(), app.replicas), ("Hi there", 2));
    assert_eq!(app.routes[0].listener.to_string(), ":9000");
    let docker = one(rendered(2, "").spec);
    assert_eq!(docker.resource.uri, "docker:springcloud/spring-cloud-skipper-samples-helloworld:1.0.0.RELEASE");
}

#[test]
fn lint_finds_what_people_get_wrong() {
    let template = document(
        "resource: https://example.org/x\nports: [{ name: http }]\nenv: { A: {{needed}} }\nargs: [{{used.x}}]\n",
    );
    let archive = package(&[
        ("templates/web.yml", &template),
        ("templates/NOTES.txt", "x"),
        ("values.yml", "needed: null\nused: {x: 1}\nunused: 1\na.b: 1\n"),
        ("values.schema.json", "{\"type\": \"nonsense\"}"),
    ]);
    let found: Vec<String> = lint(&archive).iter().map(|f| format!("{} {} {}", f.severity, f.file, f.code)).collect();
    for expected in [
        "warning package.yml package-description",
        "warning templates/NOTES.txt file-ignored",
        "warning templates/web.yml value-missing",
        "warning values.yml value-unused",
        "warning values.yml value-dotted",
        "error values.schema.json schema-invalid",
    ] {
        assert!(found.iter().any(|line| line == expected), "{expected} in {found:#?}");
    }
    let empty = lint(&package(&[]));
    assert!(empty.iter().any(|f| f.code == "package-empty" && f.severity == Severity::Error), "{empty:#?}");
}
