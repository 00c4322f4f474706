//! A package and values become manifest and spec.

use serde_json::{Map, Value, json};
use skipper_core::{
    name::{PlatformName, ReleaseName},
    spec::{Application, Spec},
};

use super::{Metadata, metadata};
use crate::{
    application,
    archive::{Archive, File},
    finding::{Faults, Finding, Findings},
    manifest,
    mustache::{self, Scope, Template},
    values,
    yaml::{self, Input, Node, Slots},
};

/// Names that the values of a package cannot have: they are given.
pub(crate) const RESERVED: [&str; 2] = ["release", "package"];

/// Longest text that all templates of a package may give.
const MAX_OUTPUT: usize = 8 << 20;

/// What a package is rendered for.
#[derive(Debug, Clone)]
pub struct RenderOptions {
    /// Name of the release: `{{release.name}}`.
    pub release: ReleaseName,
    /// Number of the revision: `{{release.revision}}`.
    pub revision: u64,
    /// Platform account of applications that name none.
    pub platform: PlatformName,
}

/// What comes of a package and values.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// What the package says of itself.
    pub metadata: Metadata,
    /// As people read it: canonical YAML documents, applications by name.
    pub manifest: String,
    /// As the engine runs it; validated.
    pub spec: Spec,
    /// The merged values it was rendered with, without the built-in names.
    pub values: Value,
    /// What is odd, but no fault: values nobody uses, ports the process is not told.
    pub warnings: Vec<Finding>,
}

/// Renders the package with what the user set.
///
/// Templates see the merged values and the built-in names `release.name`, `release.revision`, `package.name` and
/// `package.version`. The names `release` and `package` belong to the built-in ones: values that use them are an error,
/// so that nobody wonders which one was taken. In a package within a package, `package` is the inner one.
///
/// # Errors
///
/// Every fault of metadata, values, schema, templates and documents, as far as one does not hide another.
pub fn render(archive: &Archive, user_values: &Value, options: &RenderOptions) -> Result<Rendered, Faults> {
    let mut findings = Findings::new();
    let root = context(archive, user_values, &mut findings);
    let Some(root) = root else {
        return Err(failed(findings));
    };
    let applications = render_context(&root, options, &mut findings);
    if !findings.has_errors() {
        findings.extend(values::unknown_values(user_values, &root.all_own(), &root.names()));
    }
    let warnings = findings.into_result()?;
    let mut spec = Spec::new(applications);
    spec.applications.sort_by(|a, b| a.name.cmp(&b.name));
    validated(&spec)?;
    Ok(Rendered { metadata: root.metadata, manifest: manifest::write(&spec), spec, values: root.values, warnings })
}

/// The spec's own check, as findings.
pub(crate) fn validated(spec: &Spec) -> Result<(), Faults> {
    let mut findings = Findings::new();
    if let Err(errors) = spec.validate() {
        findings.extend(errors.into_iter().map(|error| Finding::error("manifest-invalid", error.to_string())));
    }
    findings.into_result().map(drop)
}

fn failed(findings: Findings) -> Faults {
    let unknown = || Finding::error("package-invalid", "the package cannot be rendered").into();
    findings.into_result().err().unwrap_or_else(unknown)
}

/// A package with its values and templates, ready to be rendered.
pub(crate) struct Context<'a> {
    pub(crate) metadata: Metadata,
    /// Merged, without nulls.
    pub(crate) values: Value,
    /// Merged, with nulls: every name that is known.
    pub(crate) declared: Value,
    /// What packages alone say, without the user.
    own: Value,
    pub(crate) templates: Vec<Template>,
    pub(crate) folder: Option<&'a str>,
    pub(crate) packages: Vec<Context<'a>>,
}

impl Context<'_> {
    /// Every name in the templates; those of packages within it with their folder in front.
    pub(crate) fn names(&self) -> Vec<String> {
        let own = self.templates.iter().flat_map(Template::names).map(str::to_owned);
        let inner = self.packages.iter().flat_map(|package| {
            let folder = package.folder.unwrap_or_default();
            package.names().into_iter().map(move |name| format!("{folder}.{name}"))
        });
        own.chain(inner).collect()
    }

    /// Every name that the packages know, those of packages within it below their folder.
    fn all_own(&self) -> Value {
        let mut own = self.own.clone();
        if let Value::Object(map) = &mut own {
            for package in &self.packages {
                map.insert(package.folder.unwrap_or_default().to_owned(), package.all_own());
            }
        }
        own
    }
}

/// Reads a package and all within it, and merges their values.
pub(crate) fn context<'a>(archive: &'a Archive, user: &Value, findings: &mut Findings) -> Option<Context<'a>> {
    findings.take(values::check_user(user))?;
    let none = Value::Object(Map::new());
    let user = if user.is_null() { &none } else { user };
    reserved_names(user, "", findings);
    inner_context(archive, user, &none, findings)
}

/// `over` is what the user and the packages around this one set in it, `around` what the latter alone do.
fn inner_context<'a>(
    archive: &'a Archive,
    over: &Value,
    around: &Value,
    findings: &mut Findings,
) -> Option<Context<'a>> {
    let metadata = findings.take(metadata(archive));
    let own = match archive.values_file() {
        Some(file) => findings.take(text(file).and_then(|text| values::parse_file(&file.path, text))),
        None => Some(Value::Object(Map::new())),
    };
    let templates: Vec<Template> = archive
        .templates()
        .iter()
        .filter_map(|file| findings.take(text(file).and_then(|text| mustache::parse(&file.path, text))))
        .collect();
    let own = own?;
    let declared = values::combine(&own, over);
    let own = values::combine(&own, around);
    if let Some(file) = archive.values_file() {
        reserved_names(&declared, &file.path, findings);
    }
    let values = values::without_nulls(&declared);
    if let Some(file) = archive.schema_file() {
        findings.take(schema(file).and_then(|schema| values::check_schema(&file.path, &schema, &values)));
    }
    let packages = archive
        .packages()
        .iter()
        .filter_map(|inner| {
            let name = inner.folder_name().unwrap_or_default();
            if RESERVED.contains(&name) || name == "global" {
                let message =
                    format!("a package within a package cannot be called `{name}`; the name has a meaning in values");
                findings.push(Finding::error("package-name", message).in_file(&inner.metadata_file().path));
                return None;
            }
            if declared.get(name).is_some_and(|over| !over.is_object() && !over.is_null()) {
                let message = format!("these are the values of the package `{name}`, and must be a map");
                findings.push(Finding::error("values-kind", message).path(name));
                return None;
            }
            let [over, around] = [&declared, &own].map(|outer| values::for_sub_package(outer, name));
            inner_context(inner, &over, &around, findings)
        })
        .collect();
    Some(Context { metadata: metadata?, values, declared, own, templates, folder: archive.folder_name(), packages })
}

fn reserved_names(values: &Value, file: &str, findings: &mut Findings) {
    for name in RESERVED.iter().filter(|name| values.get(**name).is_some()) {
        let message = format!("`{name}` is given by Skipper (`{name}.name`) and cannot be set");
        findings.push(
            Finding::error("value-reserved", message).in_file(file).path(*name).hint("use another name".to_owned()),
        );
    }
}

/// Reads the values schema, JSON or YAML.
pub(crate) fn schema(file: &File) -> Result<Value, Faults> {
    let text = text(file)?;
    if file.path.ends_with(".json") {
        return serde_json::from_str(text).map_err(|error| {
            let at = crate::finding::Position {
                line: u32::try_from(error.line()).unwrap_or(u32::MAX),
                column: u32::try_from(error.column()).unwrap_or(u32::MAX),
            };
            Finding::error("json-syntax", format!("not valid JSON: {error}")).in_file(&file.path).at(at).into()
        });
    }
    Ok(yaml::read_one(Input::plain(&file.path, text))?.map_or(Value::Bool(true), |node| node.to_value()))
}

fn text(file: &File) -> Result<&str, Faults> {
    file.text().map_err(|error| Finding::error(error.code(), error.to_string()).in_file(&file.path).into())
}

/// Renders the templates of a package and of all within it.
pub(crate) fn render_context(
    context: &Context<'_>,
    options: &RenderOptions,
    findings: &mut Findings,
) -> Vec<Application> {
    render_below(context, "", options, &mut { MAX_OUTPUT }, findings)
}

/// `prefix` is where the user sets the package's values: `db.`.
fn render_below(
    context: &Context<'_>,
    prefix: &str,
    options: &RenderOptions,
    left: &mut usize,
    findings: &mut Findings,
) -> Vec<Application> {
    let mut values = context.values.clone();
    if let Value::Object(map) = &mut values {
        map.insert("release".to_owned(), json!({"name": options.release, "revision": options.revision}));
        let version = context.metadata.version.to_string();
        map.insert("package".to_owned(), json!({"name": context.metadata.name, "version": version}));
    }
    let scope = Scope::new(&values, Some(&context.declared)).below(prefix);
    let mut applications = Vec::new();
    for template in &context.templates {
        let Some(documents) = findings.take(documents(template, &scope, left)) else { continue };
        for document in &documents {
            let read = application::read(&template.file, document, Some(&options.platform));
            applications.extend(findings.take(read).map(|(application, warnings)| {
                findings.extend(warnings);
                application
            }));
        }
    }
    for inner in &context.packages {
        let prefix = format!("{prefix}{}.", inner.folder.unwrap_or_default());
        applications.extend(render_below(inner, &prefix, options, left, findings));
    }
    applications
}

/// The documents of a rendered template.
fn documents(template: &Template, scope: &Scope<'_>, left: &mut usize) -> Result<Vec<Node>, Faults> {
    let mut slots = Slots::new();
    let output = mustache::render(template, scope, &mut slots)?;
    *left = left.checked_sub(output.text.len()).ok_or_else(|| {
        let message = format!("the templates give more than {} MiB all together", MAX_OUTPUT >> 20);
        Finding::error("template-size", message).in_file(&template.file)
    })?;
    let origin = |at| output.map.written(at);
    yaml::read(Input { file: &template.file, text: &output.text, slots: Some(&slots), origin: Some(&origin) })
}
