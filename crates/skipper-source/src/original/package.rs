//! A package made anew from what the original server kept with each release.

use serde_json::{Map, Value};

use crate::archive::{File, zip_files};

/// Deepest packages within packages, most files: what an honest package stays below.
const MAX_DEPTH: usize = 8;
const MAX_FILES: usize = 2000;

/// Keys of the metadata that are written, as the original's packages have them.
const KEYS: [&str; 13] = [
    "apiVersion",
    "kind",
    "name",
    "displayName",
    "version",
    "origin",
    "packageSourceUrl",
    "packageHomeUrl",
    "tags",
    "maintainer",
    "description",
    "sha256",
    "iconUrl",
];

/// The zip of a package that is told as JSON: `metadata`, `templates`, `configValues.raw`, `dependencies`. `None` when it has
/// no name or version, or is larger than a package may be.
#[must_use]
pub fn zip_of(package: &Map<String, Value>) -> Option<Vec<u8>> {
    let mut files = Vec::new();
    let folder = add(package, "", 0, &mut files)?;
    Some(zip_files(&files, &folder))
}

/// Adds the files of a package below `prefix` and returns its folder's name.
fn add(package: &Map<String, Value>, prefix: &str, depth: usize, files: &mut Vec<File>) -> Option<String> {
    if depth > MAX_DEPTH || files.len() > MAX_FILES {
        return None;
    }
    let metadata = package.get("metadata")?.as_object()?;
    let text = |key: &str| metadata.get(key).and_then(Value::as_str).filter(|text| is_plain(text));
    let folder = format!("{}-{}", text("name")?, text("version")?);
    let kept: Map<String, Value> = KEYS
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), metadata.get(*key)?.clone())))
        .filter(|(_, value)| !value.is_null())
        .collect();
    let mut push = |path: &str, text: String| {
        files.push(File { path: format!("{prefix}{path}"), bytes: text.into_bytes() });
    };
    push("package.yml", crate::yaml::emit(&Value::Object(kept)));
    if let Some(raw) = package.get("configValues").and_then(|values| values.get("raw")).and_then(Value::as_str) {
        push("values.yml", raw.to_owned());
    }
    for template in package.get("templates").and_then(Value::as_array).into_iter().flatten() {
        let (name, data) = (template.get("name")?.as_str()?, template.get("data")?.as_str()?);
        if !is_plain(name) {
            return None;
        }
        push(&format!("templates/{name}"), data.to_owned());
    }
    for inner in package.get("dependencies").and_then(Value::as_array).into_iter().flatten() {
        let inner = inner.as_object()?;
        let name = inner.get("metadata")?.get("name")?.as_str().filter(|name| is_plain(name))?;
        add(inner, &format!("{prefix}packages/{name}/"), depth + 1, files)?;
    }
    Some(folder)
}

/// Fit for the name of a file.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.len() <= 200 && !name.contains(['/', '\\', '\0']) && !name.starts_with('.')
}
