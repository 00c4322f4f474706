use serde_json::{Value as Json, json};
use skipper_source::{
    Package, Renderer, Severity, UserValues,
    classic::{self, properties_values, yaml::Generation},
};

use crate::{
    support::options,
    zip_bytes::{entry, zip},
};

const METADATA: &str = "apiVersion: v1\nname: log\nversion: 1.0.0\n";
const TEMPLATE: &str = "kind: SpringBootApp\nmetadata:\n  name: log\nspec:\n  resource: maven://g:log:{{version}}\n  \
    applicationProperties:\n    {{#spec.applicationProperties.entrySet}}\n    {{key}}: {{value}}\n    \
    {{/spec.applicationProperties.entrySet}}\n  deploymentProperties:\n";

fn package(files: &[(&str, &str)]) -> Package {
    let mut entries = vec![entry("log-1.0.0/package.yml", METADATA)];
    entries.extend(files.iter().map(|(path, text)| entry(&format!("log-1.0.0/{path}"), text)));
    Package::from_zip(&zip(&entries)).expect("a package")
}

fn render(files: &[(&str, &str)], raw: &str, renderer: Renderer) -> Result<String, String> {
    let values = UserValues { tree: &Json::Null, raw: Some(raw) };
    package(files).manifest(values, &options(), Some(renderer)).map(|made| made.0).map_err(|faults| faults.to_string())
}

#[test]
fn the_first_generation_keeps_the_text() {
    let files = [("values.yml", "version: 1.10\n"), ("templates/b.yml", TEMPLATE), ("templates/a.yml", "# no end")];
    let made = render(&files, "spec: {applicationProperties: {z: k=v, a: 0x1F}}", Renderer::Classic1);
    let expected = "\n---\n# Source: a.yml\n# no end\n---\n# Source: b.yml\nkind: SpringBootApp\nmetadata:\n  name: log\nspec:\n  \
        resource: maven://g:log:1.1\n  applicationProperties:\n    z: k&#x3D;v\n    a: 31\n  deploymentProperties:\n";
    assert_eq!(made.as_deref(), Ok(expected));
}

#[test]
fn the_second_generation_writes_it_anew() {
    let files = [
        ("values.yml", "version: 007\n"),
        ("templates/log.yml", TEMPLATE),
        ("templates/x.yml", "a: [1, 2017-10-30]\nb: []\n"),
    ];
    let raw =
        "spec: {applicationProperties: {server.port: 8100, endpoints.sensitive: no, helloworld.greeting: 'a\\d'}}";
    let made = render(&files, raw, Renderer::Classic2).unwrap();
    let expected = r#""kind": "SpringBootApp"
"metadata":
  "name": "log"
"spec":
  "resource": "maven://g:log:7"
  "applicationProperties":
    "helloworld.greeting": "a\\\\d"
    "endpoints.sensitive": "false"
    "server.port": "8100"
  "deploymentProperties": !!null "null"
---
"a":
- "1"
- 2017-10-30T00:00:00Z
"b": [
  ]
"#;
    assert_eq!(made, expected);
}

#[test]
fn values_of_packages_within_come_from_three_places() {
    let files = [
        ("values.yml", "hello: world\nother: {a: 1}\ntime:\n  zone: GMT\n  list: [a]\n"),
        ("packages/time/package.yml", "name: time\nversion: 1.0.0\n"),
        ("packages/time/values.yml", "zone: UTC\nunit: s\nlist: [b, a]\n"),
        ("packages/time/templates/time.yml", "{{zone}} {{unit}} {{list}} {{hello}}\n"),
        ("templates/log.yml", "{{hello}} {{#other}}{{a}}{{/other}}{{^other}}dropped{{/other}}\n"),
    ];
    let made = render(&files, "hello: universe\ntime: {unit: ms, list: [c, b]}\n", Renderer::Classic1).unwrap();
    let expected = "\n---\n# Source: log.yml\nuniverse dropped\n\n---\n# Source: time.yml\nGMT ms [b, a, c] universe\n";
    assert_eq!(made, expected);
}

#[test]
fn scalars_of_the_outer_package_are_asked_last() {
    let files = [
        ("values.yml", "version: outer\nhello: world\nlist: [not, seen]\n"),
        ("packages/time/package.yml", "name: time\nversion: 1.0.0\n"),
        ("packages/time/values.yml", "version: inner\n"),
        ("packages/time/templates/time.yml", "{{version}} {{hello}}{{#list}} {{.}}{{/list}}."),
    ];
    for renderer in [Renderer::Classic1, Renderer::Classic2] {
        let made = render(&files, "", renderer).unwrap();
        assert!(made.contains("inner world."), "{made}");
    }
}

#[test]
fn further_down_the_outermost_package_gives_the_values_as_in_the_original() {
    let files = |outer: &'static str, mid: &'static str| {
        [
            ("values.yml", outer),
            ("packages/mid/package.yml", "name: mid\nversion: 1.0.0\n"),
            ("packages/mid/values.yml", mid),
            ("packages/mid/packages/leaf/package.yml", "name: leaf\nversion: 1.0.0\n"),
            ("packages/mid/packages/leaf/values.yml", "x: own\n"),
            ("packages/mid/packages/leaf/templates/l.yml", "x: {{x}}"),
        ]
    };
    for renderer in [Renderer::Classic1, Renderer::Classic2] {
        let made = |outer, mid| render(&files(outer, mid), "", renderer);
        for mid in ["", "leaf: {x: mid}\n"] {
            let refused = made("", mid).unwrap_err();
            assert!(
                refused.contains("packages/mid/packages/leaf/templates/l.yml") && refused.contains("'x'"),
                "{refused}"
            );
        }
        for (outer, mid, x) in
            [("mid: {leaf: {x: outer}}\n", "leaf: {x: mid}\n", "outer"), ("x: around\n", "", "around")]
        {
            assert!(made(outer, mid).is_ok_and(|made| made.contains(x)), "{outer:?} {mid:?} {:?}", made(outer, mid));
        }
    }
}

#[test]
fn what_is_empty_says_nothing() {
    let files = [
        ("values.yml", "hello: world\ntime:\n"),
        ("packages/time/package.yml", "name: time\nversion: 1.0.0\n"),
        ("packages/time/values.yml", "# nothing\n"),
        ("packages/time/templates/time.yml", "{{^a}}none{{/a}}"),
    ];
    for raw in ["", "# nothing\n", "---\n"] {
        assert!(render(&files, raw, Renderer::Classic1).unwrap().ends_with("none"), "{raw}");
    }
}

#[test]
fn what_cannot_be_rendered_says_what_the_original_says() {
    let missing = [("templates/log.yml", "a\n{{version}}")];
    for (files, raw, message) in [
        (missing.as_slice(), "", "templates/log.yml: No method or field with name 'version' on line 2"),
        (&missing, "version:", "No key, method or field with name 'version' on line 2"),
        (&missing, "text", "got class = class java.lang.StringoverrideValues.getRaw() = text"),
        (&[("values.yml", "- a")], "", "Config Values that are not a map are not yet supported."),
        (&[("templates/log.yml", "{{#a}}")], "", "Section missing close tag 'a' @ line 1"),
        (&[("templates/log.yml", "{{>a}}")], "", "Template loading not configured"),
    ] {
        let faults = render(files, raw, Renderer::Classic1).expect_err(message);
        assert!(faults.contains(message), "{faults}");
    }
    // Escaped for HTML and not quoted, a value begins like an anchor; it must not be lost as the name of one.
    for value in ["'<x>'", "'`x`'", "'<x: y'"] {
        let raw = format!("version: 1\nspec: {{applicationProperties: {{a: {value}}}}}");
        let lost = render(&[("templates/log.yml", TEMPLATE)], &raw, Renderer::Classic2).expect_err(value);
        assert!(lost.contains("is not the name of an anchor"), "{lost}");
    }
    let broken = render(&[("templates/log.yml", "a: b: c")], "", Renderer::Classic2).unwrap_err();
    assert!(broken.contains("not valid YAML"), "{broken}");
}

#[test]
fn a_package_becomes_applications_and_keeps_its_text() {
    let package = package(&[("templates/log.yml", TEMPLATE), ("values.yml", "version: 1.2.0")]);
    let tree = json!({"spec": {"applicationProperties": {"server.port": 8099}}});
    let rendered = package.render(UserValues::tree(&tree), &options(), None).unwrap();
    assert!(rendered.spec.verbatim);
    assert_eq!(rendered.metadata.version, "1.0.0");
    assert_eq!(rendered.values["spec"]["applicationProperties"]["server.port"], 8099);
    let app = &rendered.spec.applications[0];
    assert_eq!((app.name.as_str(), app.resource.uri.as_str()), ("log", "maven://g:log:1.2.0"));
    assert_eq!(app.deployer.as_ref().unwrap().properties["server.port"], "8099");
    assert!(rendered.manifest.contains("    server.port: 8099\n"));
}

#[test]
fn a_manifest_is_shown_even_if_nothing_can_run_it() {
    let package = package(&[("templates/log.yml", "kind: SpringBootApp\nspec: {}\n")]);
    assert!(package.render(UserValues::tree(&Json::Null), &options(), None).is_err());
    let (text, warnings) = package.manifest(UserValues::tree(&Json::Null), &options(), None).unwrap();
    assert!(text.ends_with("spec: {}\n"));
    assert!(warnings.iter().all(|finding| finding.severity == Severity::Warning) && !warnings.is_empty());
}

#[test]
fn one_format_is_not_rendered_by_the_other() {
    let refused = package(&[]).render(UserValues::tree(&Json::Null), &options(), Some(Renderer::Native)).unwrap_err();
    assert_eq!(refused.code(), "renderer-unfit");
}

#[test]
fn properties_follow_their_generation() {
    for (text, first, second) in [
        ("version=1.10", "{version: 1.1}\n", "version: '1.10'\n"),
        ("log.version=1", "{log.version: 1}\n", "log:\n  version: '1'\n"),
        (
            "a.spec.applicationProperties.x.y=1,b=c,d",
            "a:\n  spec:\n    applicationProperties: {x.y: 1}\nb: c\nd: ''\n",
            "a:\n  spec:\n    applicationProperties:\n      x.y: '1'\nb: c,d\n",
        ),
        ("l[1]=b,l[0]=a", "l: [a, b]\n", "l:\n- a\n- b\n"),
        ("a=1,a.b.c=2", "{a: 1, a.b.c: 2}\n", "a: '1'\na.b:\n  c: '2'\n"),
        ("malformed", "{malformed: ''}\n", "{}\n"),
    ] {
        assert_eq!(properties_values(text, Generation::One).as_deref(), Ok(first), "{text}");
        assert_eq!(properties_values(text, Generation::Two).as_deref(), Ok(second), "{text}");
    }
    assert!(properties_values("a=\\u12", Generation::One).is_err());
    let file = classic::file_values("f.yml", "b: 1.50 # gone\na: {x: y}\n", Generation::Two);
    assert_eq!(file.as_deref(), Ok("b: 1.5\na: {x: y}\n"));
}

#[test]
fn what_grows_without_end_is_refused() {
    let list = format!("l: [{}1]", "1, ".repeat(2000));
    let nested = [("templates/log.yml", "{{#l}}{{#l}}{{/l}}{{/l}}"), ("values.yml", &list)];
    assert!(render(&nested, "", Renderer::Classic1).unwrap_err().contains("repeat more than"));
    let text = format!("x: {}", "y".repeat(100_000));
    let output = "{{x}}".repeat(50);
    assert!(
        render(&[("templates/log.yml", &output), ("values.yml", &text)], "", Renderer::Classic1)
            .unwrap_err()
            .contains("longer than")
    );
    let deep = "{{#a}}".repeat(60) + &"{{/a}}".repeat(60);
    assert!(render(&[("templates/log.yml", &deep)], "", Renderer::Classic1).unwrap_err().contains("deeper than"));
    let laughs = "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
        d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    assert!(render(&[("values.yml", laughs)], "", Renderer::Classic1).unwrap_err().contains("aliases multiply"));
}
