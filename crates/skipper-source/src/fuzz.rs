//! Entry points for fuzzing: each takes any bytes and must neither panic nor take long, whatever they are.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use skipper_core::{
    name::{PlatformName, ReleaseName},
    spec::Spec,
};

use crate::{
    app,
    archive::Archive,
    classic::{
        self,
        yaml::{Generation, Layout},
    },
    front::{Package, Renderer, UserValues},
    index, lint, manifest,
    mustache::{self, Scope},
    package::{self, RenderOptions},
    values::{self, Typing},
    version,
    yaml::{self, Input, Slots},
};

/// Reads a zip and does everything with it that an upload and an install do.
pub fn archive(bytes: &[u8]) {
    let Ok(archive) = Archive::from_zip(bytes) else { return };
    let _ = lint::lint(&archive);
    if let Ok(built) = package::build(&archive) {
        // What we wrote ourselves, we read, and it is the same package.
        let again = Archive::from_zip(&built.bytes).expect("a built package is readable");
        assert_eq!(again, archive);
    }
    let _ = package::render(&archive, &json!({}), &options());
}

/// Reads a zip as a package of the field and renders it as both generations do.
pub fn classic_archive(bytes: &[u8]) {
    for renderer in [Renderer::Classic1, Renderer::Classic2] {
        let Ok(package) = Package::of_zip(bytes, Some(renderer)) else { return };
        let _ = package.lint();
        let _ = package.manifest(UserValues::tree(&json!({})), &options(), Some(renderer));
    }
}

/// Reads a text in every way that texts of the field are read: as values, template, properties and manifest. What is
/// written is read again.
pub fn classic_text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for generation in [Generation::One, Generation::Two] {
        let _ = classic::properties_values(text, generation);
        let _ = classic::file_values("fuzz.yml", text, generation);
        let read = |text: &str| classic::yaml::load_all("fuzz.yml", text, classic::yaml::Typing::Typed(generation));
        if let Ok(tree) = classic::mustache::parse(text) {
            let model = read("{a: [1, {b: x}], b: {c: ~}, c: yes}").expect("it is YAML").remove(0);
            let _ = classic::mustache::render(&tree, &model, Some(&model), generation);
        }
        let Ok(documents) = read(text) else { continue };
        for layout in [Layout::Auto, Layout::Block, Layout::Quoted] {
            let _ = read(&classic::yaml::dump_all(&documents, layout, generation));
        }
    }
    let _ = classic::spec_of(text, &options());
}

/// Reads YAML; what was read is written and read again, and must be the same.
pub fn yaml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(documents) = yaml::read(Input::plain("fuzz.yml", text)) else { return };
    for value in documents.iter().map(yaml::Node::to_value).filter(|value| !value.is_null()) {
        let again = yaml::read_one(Input::plain("again.yml", &yaml::emit(&value))).expect("what we write is readable");
        assert_eq!(again.map_or(Value::Null, |node| node.to_value()), value);
    }
}

/// Reads a template and renders it with a few values; also reads the bytes as `--set`.
pub fn template(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut set = json!({});
    let _ = values::parse_set(&mut set, text, Typing::Typed);
    let _ = values::parse_set(&mut set, text, Typing::Text);
    let Ok(template) = mustache::parse("fuzz.yml", text) else { return };
    let values = json!({
        "a": "x: y # z\n- \"", "b": {"c": [1, {"d": true}], "e": null}, "l": [{"x": 1}, {"y": [2, 3]}], "t": true, "f": false, "": 1,
    });
    let mut slots = Slots::new();
    let Ok(output) = mustache::render(&template, &Scope::new(&values, Some(&values)), &mut slots) else { return };
    let origin = |at| output.map.written(at);
    let _ = yaml::read(Input { file: "fuzz.yml", text: &output.text, slots: Some(&slots), origin: Some(&origin) });
}

/// Reads a manifest; what was read is written and read again, and must be the same.
pub fn manifest(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(spec) = manifest::parse(text) else { return };
    let written = manifest::write(&spec);
    assert_eq!(manifest::parse(&written).expect("what we write is readable"), spec);
}

/// Reads an index; what was read is written and read again, and must be the same.
pub fn index(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for entry in index::entries(text).flatten() {
        let mut written = String::new();
        index::write(&mut written, &entry);
        let again =
            index::entries(&written).next().expect("what we write is there").expect("what we write is readable");
        assert_eq!(again, entry);
        let _ = version::maven_key(&entry.version);
    }
}

/// Reads a text as each of slip's files, and builds what it says; what the API writes is read again and is the same.
pub fn app_toml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let vars = BTreeMap::from([("A".to_owned(), "${A}\"\n[app]".to_owned()), ("B".to_owned(), String::new())]);
    let env = app::Environment::new(&vars);
    let server = app::server("slip.toml", text, env);
    let _ = app::env_file(text);
    let _ = app::validate("slip.toml", text, true);
    let pod = app::pod("pod.yaml", text);
    let Ok((app, _)) = app::file("apps/a.toml", "a", text, env) else { return };
    let edited = app::edit(text, "a", &json!({"env": {"X": text}, "image": "b"}), env);
    if let Ok(edited) = edited {
        let (again, _) = app::file("apps/a.toml", "a", &edited.text, env).expect("what we write is readable");
        assert_eq!(again, edited.app);
    }
    let repo = app::repo("/slip/slip.toml", text).ok().map(|(repo, _)| repo);
    let plain = "[server]\n[auth]\nsecret = \"s\"\n[registry]\n[storage]\n[preview]\ndomain = \"p.example.com\"\n";
    let (server, _) = server.or_else(|_| app::server("slip.toml", plain, env)).expect("it is right");
    for preview in [None, Some(app::PreviewRequest { id: "pr-1".to_owned(), sha: None })] {
        let deploy = app::Deploy { tag: "v1".to_owned(), preview, ..app::Deploy::default() };
        let built = app::applications(&app::Inputs {
            app: &app,
            server: &server,
            repo: repo.as_ref(),
            manifest: pod.is_ok().then_some(text).or(Some(FUZZ_POD)),
            deploy: &deploy,
            target: &PlatformName::new("docker").expect("a valid name"),
            secrets: &std::collections::BTreeMap::new(),
            preview_secrets: &[],
            database: None,
            tls: &app::TlsHosts { ordered: true, ..app::TlsHosts::default() },
        });
        if let Ok(built) = built {
            let spec = Spec::new(built.applications);
            spec.validate().expect("what is built does not contradict itself");
            assert_eq!(manifest::parse(&manifest::write(&spec)).expect("what we write is readable"), spec);
        }
    }
}

/// A manifest for pods whose text is no manifest itself.
const FUZZ_POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: { name: a }\nspec: { containers: [{ name: web, image: a, ports: [{ containerPort: 80 }] }] }\n";

fn options() -> RenderOptions {
    RenderOptions {
        release: ReleaseName::new("fuzz").expect("a valid name"),
        revision: 1,
        platform: PlatformName::new("local").expect("a valid name"),
    }
}
