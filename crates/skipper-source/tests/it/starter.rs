use serde_json::json;
use skipper_core::name::PackageName;
use skipper_source::{Archive, Severity, builtin, lint::lint, render, scaffold};

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
fn the_built_in_packages_render_and_differ_in_their_greeting() {
    let packages = builtin::packages();
    let ids: Vec<String> = packages.iter().map(skipper_source::Built::file_name).collect();
    assert_eq!(ids, ["helloworld-1.0.0.zip", "helloworld-1.0.1.zip"]);
    let greetings: Vec<String> = packages
        .iter()
        .map(|built| {
            let archive = Archive::from_zip(&built.bytes).expect("readable");
            let findings = lint(&archive);
            assert!(findings.is_empty(), "{findings:#?}");
            let app = one(render(&archive, &json!({}), &options()).expect("rendered").spec);
            assert_eq!(app.resource.uri, "builtin:sample");
            assert_eq!(app.env["SAMPLE_VERSION"], built.metadata.version.to_string());
            app.env["HELLOWORLD_GREETING"].clone()
        })
        .collect();
    assert_ne!(greetings[0], greetings[1]);
    let archive = Archive::from_zip(&packages[0].bytes).expect("readable");
    for greeting in [json!("a: b # c\n'\""), json!(1.5), json!(true)] {
        let app = one(render(&archive, &json!({"greeting": greeting}), &options()).expect("rendered").spec);
        assert_eq!(
            app.env["HELLOWORLD_GREETING"],
            greeting.as_str().map_or_else(|| greeting.to_string(), str::to_owned)
        );
    }
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
