//! Packages made of texts.

use serde_json::Value;
use skipper_core::{
    name::{PlatformName, ReleaseName},
    spec::{Application, Spec},
};
use skipper_source::{Archive, Faults, RenderOptions, Rendered, archive::File, render};

pub(crate) fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), bytes: text.as_bytes().to_vec() }
}

pub(crate) const PACKAGE: &str = "apiVersion: skipper/v2\nkind: Package\nname: hello\nversion: 1.0.0\n";

/// A package of the usual metadata and these files.
pub(crate) fn package(files: &[(&str, &str)]) -> Archive {
    let mut all: Vec<File> = files.iter().map(|(path, text)| file(path, text)).collect();
    if !files.iter().any(|(path, _)| *path == "package.yml") {
        all.push(file("package.yml", PACKAGE));
    }
    Archive::from_files(all).expect("a package")
}

pub(crate) fn options() -> RenderOptions {
    RenderOptions {
        release: ReleaseName::new("rel").expect("valid"),
        revision: 7,
        platform: PlatformName::new("local").expect("valid"),
    }
}

pub(crate) fn try_render(files: &[(&str, &str)], user: &Value) -> Result<Rendered, Faults> {
    render(&package(files), user, &options())
}

/// A document with this `spec`, whose lines are indented by two.
pub(crate) fn document(spec: &str) -> String {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!("apiVersion: skipper/v2\nkind: Application\nmetadata: {{ name: web }}\nspec:\n{spec}")
}

/// The application of a document with this `spec`; a resource is added.
#[track_caller]
pub(crate) fn app(spec: &str) -> Application {
    let document = document(&format!("resource: builtin:sample\n{spec}"));
    let rendered = try_render(&[("templates/web.yml", &document)], &Value::Null);
    one(rendered.unwrap_or_else(|faults| panic!("{faults}")).spec)
}

pub(crate) fn one(spec: Spec) -> Application {
    assert_eq!(spec.applications.len(), 1);
    spec.applications.into_iter().next().expect("one")
}

/// The faults of such a document, as text.
#[track_caller]
pub(crate) fn app_faults(spec: &str) -> String {
    let document = document(&format!("resource: builtin:sample\n{spec}"));
    let rendered = try_render(&[("templates/web.yml", &document)], &Value::Null);
    rendered.map(|r| r.manifest).expect_err("must be refused").to_string()
}
