//! A package and values become manifest and spec.

use super::{
    Package, java, kind,
    merge::{self, names_within},
    mustache,
    value::{Map, Value},
    yaml::{self, Generation, Layout, Typing},
};
use crate::{
    finding::{Faults, Finding},
    front::{Renderer, UserValues},
    package::{RenderOptions, Rendered},
};

/// Longest text that all templates of a package may give.
const MAX_OUTPUT: usize = 8 << 20;

/// A manifest with the values it was made of.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// To the byte what the original makes of the package.
    pub text: String,
    /// The merged values.
    pub values: Value,
}

/// Renders a package with what the user set, and reads the applications out of the manifest.
pub(crate) fn render(
    package: &Package,
    user: UserValues<'_>,
    options: &RenderOptions,
    renderer: Renderer,
) -> Result<Rendered, Faults> {
    let metadata = package.metadata()?;
    let Manifest { text, values } = manifest(package, user, renderer)?;
    let spec = kind::spec_of(&text, options)?;
    Ok(Rendered { metadata, manifest: text, spec, values: values.to_json(), warnings: Vec::new() })
}

/// Renders a package with what the user set, whatever the documents are about.
///
/// # Errors
///
/// Every fault of values and templates, the first one of each; for the second generation also a text that is no YAML.
pub fn manifest(package: &Package, user: UserValues<'_>, renderer: Renderer) -> Result<Manifest, Faults> {
    let generation = match renderer {
        Renderer::Classic1 => Generation::One,
        Renderer::Classic2 | Renderer::Native => Generation::Two,
    };
    let model = merge::model(package, user, generation)?;
    let values = Value::Map(model.clone());
    let scalars = model.iter().filter(|(_, value)| !matches!(value, Value::Map(_) | Value::List(_)));
    let around: Map = scalars.map(|(key, value)| (key.clone(), value.clone())).collect();
    let (model, around) = match generation {
        Generation::One => (model, Value::Map(around)),
        Generation::Two => (stringified(model), Value::Map(stringified(around))),
    };
    let mut text = String::new();
    templates(package, &Value::Map(model), None, &around, generation, &mut text)?;
    if generation == Generation::Two {
        let documents = yaml::load_all("manifest", &text, Typing::Typed(generation))?;
        text = yaml::dump_all(&documents, Layout::Quoted, generation);
    }
    Ok(Manifest { text, values })
}

/// Fills in the templates of a package and of all within it. Those within also see the scalars that the outermost package's
/// values say beside their own: `around`.
fn templates(
    package: &Package,
    model: &Value,
    outer: Option<&Value>,
    around: &Value,
    generation: Generation,
    out: &mut String,
) -> Result<(), Faults> {
    for template in package.templates() {
        let faulty = |message: String| Finding::error("template-render", message).in_file(template.path);
        let tree = mustache::parse(template.text).map_err(faulty)?;
        let filled = mustache::render(&tree, model, outer, generation).map_err(faulty)?;
        for part in ["\n---\n# Source: ", template.name, "\n", &filled] {
            out.push_str(part);
        }
        if out.len() > MAX_OUTPUT {
            return Err(faulty(format!("the templates give more than {} MiB all together", MAX_OUTPUT >> 20)).into());
        }
    }
    let nothing = Value::Map(Map::new());
    for (name, inner) in names_within(package)? {
        let model = match model.get(&name) {
            Some(model @ Value::Map(_)) => model,
            Some(_) => {
                let message = format!("these are the values of the package `{name}`, and must be a map");
                return Err(Finding::error("values-kind", message).path(name).into());
            }
            None => &nothing,
        };
        templates(inner, model, Some(around), around, generation, out)?;
    }
    Ok(())
}

/// Every value that is no map as text, and maps in the order of a hash table.
fn stringified(model: Map) -> Map {
    let entries = model.into_iter().map(|(key, value)| match value {
        Value::Map(inner) => (key, Value::Map(stringified(inner))),
        other => (key, Value::Text(doubled_backslashes(&other.to_string()))),
    });
    java::hash_order(entries.collect())
}

/// Doubles a backslash that stands alone and begins no escape of YAML.
fn doubled_backslashes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        if c == '\\' && before != Some('\\') {
            let escape = |c: &char| {
                matches!(
                    c,
                    '\\' | '0'
                        | 'a'
                        | 'b'
                        | 't'
                        | 'n'
                        | 'v'
                        | 'f'
                        | 'r'
                        | 'e'
                        | 'N'
                        | '_'
                        | 'L'
                        | 'P'
                        | '"'
                        | ' '
                        | '\t'
                        | '\n'
                        | '\u{b}'
                        | '\u{c}'
                        | '\r'
                )
            };
            if !chars.peek().is_some_and(escape) {
                out.push('\\');
            }
        }
        before = Some(c);
    }
    out
}

/// What there is to say about a package before anybody installs it. It is not rendered: packages of the field often leave open
/// what the user must give.
pub(crate) fn lint(package: &Package) -> Vec<Finding> {
    let mut findings = crate::finding::Findings::new();
    look_at(package, &mut findings);
    findings.into_vec()
}

fn look_at(package: &Package, findings: &mut crate::finding::Findings) {
    findings.take(package.metadata());
    if let Some(file) = package.values_file() {
        findings.take(yaml::load(&file.path, package.values_text(), Typing::Text));
    }
    for template in package.templates() {
        let read = mustache::parse(template.text);
        findings.take(read.map_err(|message| Finding::error("template-syntax", message).in_file(template.path).into()));
    }
    for inner in package.packages() {
        look_at(inner, findings);
    }
}
