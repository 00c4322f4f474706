use serde_json::{Value, json};
use skipper_source::{Archive, manifest, metadata, render, values};

use crate::support::{PACKAGE, document, file, one, options, package, try_render};

#[test]
fn metadata_is_read() {
    let text = "apiVersion: skipper/v2\nkind: Package\nname: hello\nversion: 1.2.3-rc.1\ndisplayName: Hello\ndescription: d\n\
                maintainer: me\ntags: [a, b]\nhome: https://example.org\nicon: https://example.org/i.png\norigin: o\nsourceUrl: http://x.org\n";
    let read = metadata(&package(&[("package.yml", text)])).expect("valid");
    assert_eq!((read.name.as_str(), read.version.to_string().as_str()), ("hello", "1.2.3-rc.1"));
    assert_eq!((read.tags.len(), read.home.as_deref()), (2, Some("https://example.org")));
    let text = format!("{PACKAGE}tags: a, b,\n");
    assert_eq!(metadata(&package(&[("package.yml", &text)])).expect("valid").tags, ["a", "b"]);
}

#[test]
fn every_fault_of_the_metadata_is_named() {
    let text = "apiVersion: v1\nkind: Package\nnmae: hello\nversion: 1.10\nhome: javascript:alert(1)\ntags: {}\n";
    let faults = metadata(&package(&[("package.yml", text)])).expect_err("refused");
    let shown: Vec<String> = faults.findings().iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 6, "{shown:#?}");
    for expected in [
        "package.yml:1:13: apiVersion: must be `skipper/v2`",
        "package.yml:1:1: `name` is missing",
        "package.yml:3:1: unknown key `nmae`; did you mean `name`?",
        "package.yml:4:10: version: `1.10` is not a version",
        "package.yml:5:7: home: must be an address",
        "package.yml:6:7: tags: must be a list",
    ] {
        assert!(shown.iter().any(|line| line.starts_with(expected)), "{expected} in {shown:#?}");
    }
    for text in ["", "# x\n", "[]", "- 1", "x", "a: [", "\u{0}"] {
        assert!(metadata(&package(&[("package.yml", text)])).is_err(), "{text:?}");
    }
}

#[test]
fn templates_see_merged_values_and_built_in_names() {
    let template = document(
        "resource: builtin:sample\nargs: ['{{release.name}}-{{release.revision}}', {{package.name}}, {{package.version}}, {{a.b}}, {{a.c}}]\nreplicas: {{n}}\n",
    );
    let files = [("templates/web.yml", template.as_str()), ("values.yml", "a: {b: 1, c: x}\nn: 1\n")];
    let rendered = try_render(&files, &json!({"a": {"b": "two"}, "n": 3})).expect("rendered");
    assert_eq!(rendered.values, json!({"a": {"b": "two", "c": "x"}, "n": 3}));
    assert!(rendered.warnings.is_empty(), "{:?}", rendered.warnings);
    let app = one(rendered.spec);
    assert_eq!((app.args.join(" ").as_str(), app.replicas), ("rel-7 hello 1.0.0 two x", 3));
    let taken = try_render(&files, &json!({"release": {"name": "x"}})).expect_err("reserved").to_string();
    assert!(taken.contains("`release` is given by Skipper"), "{taken}");
}

#[test]
fn a_manifest_is_canonical_and_reads_back() {
    let template = document(
        "ports: [{env: PORT, name: http, listen: 9090}]\nreplicas: 2\nresource: builtin:sample\nenv: {B: 1.10, A: \"yes\"}\nhealth: {http: /health}\nbake: 60s\n",
    );
    let rendered = try_render(&[("templates/web.yml", &template)], &Value::Null).expect("rendered");
    let expected = "\
---
apiVersion: skipper/v2
kind: Application
metadata:
  name: web
spec:
  platform: local
  resource: builtin:sample
  env:
    A: \"yes\"
    B: \"1.10\"
  ports:
    - name: http
      env: PORT
  health:
    http:
      path: /health
      port: http
  routes:
    - listen: 9090
      port: http
  strategy: blue-green
  bake: 1m
  replicas: 2
";
    assert_eq!(rendered.manifest, expected);
    assert_eq!(manifest::parse(&rendered.manifest).expect("readable"), rendered.spec);
    assert!(manifest::parse("").expect_err("empty").to_string().contains("no application"));
    assert!(
        manifest::parse(&expected.replace("  platform: local\n", ""))
            .expect_err("no platform")
            .to_string()
            .contains("`platform` is missing")
    );
}

fn nested() -> Archive {
    let template = |env: &str| {
        document(&format!("resource: builtin:sample\nenv: {{ A: {{{{a}}}}, ZONE: {{{{global.zone}}}}, {env} }}\n"))
    };
    package(&[
        ("values.yml", "a: root\nglobal: {zone: z0}\ndb: {a: from-parent}\n"),
        ("templates/web.yml", &template("P: '{{package.name}}'")),
        ("packages/db/package.yml", &PACKAGE.replace("hello", "db")),
        ("packages/db/values.yml", "a: own\nextra: e\nglobal: {zone: own-zone}\n"),
        (
            "packages/db/templates/db.yml",
            &template("P: '{{package.name}}', E: '{{extra}}'").replace("name: web", "name: db"),
        ),
        ("packages/db/packages/inner/package.yml", &PACKAGE.replace("hello", "inner")),
        ("packages/db/packages/inner/values.yml", "a: innermost\n"),
        ("packages/db/packages/inner/templates/i.yml", &template("I: i").replace("name: web", "name: inner")),
    ])
}

fn envs(user: &Value) -> Vec<String> {
    let rendered = render(&nested(), user, &options()).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(rendered.warnings.is_empty(), "{:?}", rendered.warnings);
    let text = |app: &skipper_core::spec::Application| {
        let env: Vec<String> = app.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{}: {}", app.name, env.join(" "))
    };
    rendered.spec.applications.iter().map(text).collect()
}

#[test]
fn the_parent_wins_over_the_package_and_the_user_over_both() {
    assert_eq!(
        envs(&json!({})),
        ["db: A=from-parent E=e P=db ZONE=z0", "inner: A=innermost I=i ZONE=z0", "web: A=root P=hello ZONE=z0"]
    );
    let user = json!({"a": "u", "db": {"a": "ud", "inner": {"a": "ui"}}, "global": {"zone": "uz"}});
    assert_eq!(envs(&user), ["db: A=ud E=e P=db ZONE=uz", "inner: A=ui I=i ZONE=uz", "web: A=u P=hello ZONE=uz"]);
}

#[test]
fn null_takes_away_also_from_a_package_within_a_package() {
    let faults = render(&nested(), &json!({"db": {"extra": null}}), &options()).expect_err("a value is missing");
    assert!(faults.to_string().contains("packages/db/templates/db.yml:6:"), "{faults}");
    assert!(faults.to_string().contains("`extra` has no value; set it with --set db.extra=…"), "{faults}");
    let faults = render(&nested(), &json!({"db": 5}), &options()).expect_err("not a map");
    assert!(faults.to_string().contains("the values of the package `db`"), "{faults}");
}

#[test]
fn values_nobody_knows_are_warned_of() {
    let template = document(
        "resource: builtin:sample\nargs: [{{greeting}}]\nenv: {{env}}\n{{#opt}}\nreplicas: {{opt.n}}\n{{/opt}}\n",
    );
    let files = [("templates/web.yml", template.as_str()), ("values.yml", "greeting: x\nenv: {}\nopt: null\n")];
    let user = json!({"greting": "y", "env": {"ANY": 1}, "opt": {"n": 2}, "global": {"x": 1}});
    let rendered = try_render(&files, &user).expect("rendered");
    let shown: Vec<String> = rendered.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["greting: the package does not know this value; did you mean `greeting`?"]);
    assert_eq!(one(rendered.spec).replicas, 2);
    assert_eq!(one(try_render(&files, &json!({})).expect("rendered").spec).replicas, 1);
}

#[test]
fn the_schema_is_checked_before_anything_else_is_made() {
    let files = [
        ("templates/web.yml", "a: {{b}}"),
        ("values.yml", "port: 80\n"),
        ("values.schema.yml", "properties: {port: {type: integer, maximum: 100}}\n"),
    ];
    let faults = try_render(&files, &json!({"port": 200})).expect_err("refused");
    assert!(faults.findings().iter().any(|f| f.code == "values-schema" && f.path == "port"), "{faults}");
    let broken = try_render(&[("values.schema.json", "{\n  \"a\":\n}"), ("templates/a.yml", "")], &json!({}))
        .expect_err("refused");
    assert!(broken.to_string().contains("values.schema.json:3:1: not valid JSON"), "{broken}");
}

#[test]
fn user_values_are_bounded() {
    let deep = (0..60).fold(json!(1), |inner, _| json!({"a": inner}));
    assert!(try_render(&[], &deep).expect_err("deep").to_string().contains("nested deeper"));
    assert!(try_render(&[], &json!([1])).expect_err("a list").to_string().contains("values are a map"));
    assert!(values::check_user(&json!({"a": "x".repeat(9 << 20)})).is_err());
}

#[test]
fn a_release_has_applications_of_different_names_and_routes() {
    let web = document("resource: builtin:sample\nports: [{ name: http, env: P, listen: 80 }]\n");
    let twice = try_render(&[("templates/a.yml", &web), ("templates/b.yml", &web)], &Value::Null)
        .expect_err("twice")
        .to_string();
    assert!(
        twice.contains("two applications are called `web`") && twice.contains("two routes claim :80 */"),
        "{twice}"
    );
    let empty = try_render(&[("templates/a.yml", "# nothing\n")], &Value::Null).expect_err("nothing");
    assert!(empty.to_string().contains("holds no application"));
    let mut files = vec![file("package.yml", PACKAGE), file("packages/other/package.yml", PACKAGE)];
    files.push(file("templates/web.yml", &web));
    let faults =
        render(&Archive::from_files(files).expect("a package"), &Value::Null, &options()).expect_err("a wrong name");
    assert!(faults.to_string().contains("the folder of this package is `other`"), "{faults}");
}
