//! Everything there is to say about a package before anybody installs it.

use serde_json::Value;
use skipper_core::{
    name::{PlatformName, ReleaseName},
    spec::Spec,
};

use crate::{
    archive::Archive,
    finding::{Finding, Findings, Severity},
    package::{self, Context, RESERVED, RenderOptions},
    values,
};

/// All findings, by file and line; an empty list is praise.
///
/// The package is rendered with its own values. A value that is declared as `null` is one that the user must give, so its
/// absence is a warning here and not an error.
#[must_use]
pub fn lint(archive: &Archive) -> Vec<Finding> {
    let mut findings = Findings::new();
    for package in archive.tree() {
        check_files(package, &mut findings);
    }
    let mut rendering = Findings::new();
    if let Some(root) = package::context(archive, &Value::Null, &mut rendering) {
        let options = RenderOptions {
            release: ReleaseName::new("lint").expect("a valid name"),
            revision: 1,
            platform: PlatformName::new("local").expect("a valid name"),
        };
        let mut applications = package::render_context(&root, &options, &mut rendering);
        applications.sort_by(|a, b| a.name.cmp(&b.name));
        if !rendering.has_errors() {
            rendering.take(package::validated(&Spec::new(applications)));
        }
        check_package(archive, &root, &mut findings);
    }
    findings.extend(rendering.into_vec().into_iter().map(soften));
    let mut all: Vec<Finding> = Vec::new();
    for finding in findings.into_vec() {
        // The schema is looked at twice: by itself, and against the values.
        if !all.contains(&finding) {
            all.push(finding);
        }
    }
    all
}

/// A missing value is for the user to give.
fn soften(finding: Finding) -> Finding {
    if finding.code == "value-missing" {
        let hint = Some("the user must set it; say so in the values file and the README".to_owned());
        return Finding { severity: Severity::Warning, ..finding }.hint(hint);
    }
    finding
}

/// What the files alone tell.
fn check_files(package: &Archive, findings: &mut Findings) {
    let file = &package.metadata_file().path;
    if package.templates().is_empty() && package.packages().is_empty() {
        let hint = "put documents into templates/*.yml".to_owned();
        findings.push(Finding::error("package-empty", "the package has no templates").in_file(file).hint(hint));
    }
    if let Ok(metadata) = package::metadata(package)
        && metadata.description.is_none()
    {
        let finding = Finding::warning("package-description", "`description` is missing; people search by it");
        findings.push(finding.in_file(file));
    }
    for other in package.others().iter().filter(|f| f.path.contains("templates/")) {
        let message = "ignored: only *.yml and *.yaml in templates/ are rendered";
        findings.push(Finding::warning("file-ignored", message).in_file(&other.path));
    }
    if let Some(schema) = package.schema_file() {
        let compiled = package::schema(schema).and_then(|value| values::compile_schema(&schema.path, &value));
        findings.take(compiled.map(drop));
    }
}

/// What values and templates tell together.
fn check_package(archive: &Archive, context: &Context<'_>, findings: &mut Findings) {
    let names = context.names();
    if let (Some(file), Value::Object(declared)) = (archive.values_file(), &context.declared) {
        for key in declared.keys().filter(|key| key.contains('.')) {
            let message = format!("templates cannot name `{key}`: a dot leads into a map");
            findings.push(Finding::warning("value-dotted", message).in_file(&file.path).path(key.as_str()));
        }
        let used = |key: &str| names.iter().any(|name| name == key || name.starts_with(&format!("{key}.")));
        let inner = |key: &str| context.packages.iter().any(|package| package.folder == Some(key));
        for key in
            declared.keys().filter(|key| !key.contains('.') && *key != "global" && !RESERVED.contains(&key.as_str()))
        {
            if !used(key) && !inner(key) {
                let message = "no template uses this value";
                findings.push(Finding::warning("value-unused", message).in_file(&file.path).path(key.as_str()));
            }
        }
    }
    for context in &context.packages {
        let inner = archive.packages().iter().find(|package| package.folder_name() == context.folder);
        if let Some(inner) = inner {
            check_package(inner, context, findings);
        }
    }
}
