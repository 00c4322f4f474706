//! What `package.yml` says.

use skipper_core::name::PackageName;

use super::{
    value::Value,
    yaml::{self, METADATA_TAG, Typing},
};
use crate::{
    archive::File,
    finding::{Faults, Finding, Findings},
    nearest::nearest,
    package::{API_VERSION as OURS, MAX_DESCRIPTION, MAX_NAME, MAX_VERSION, MAX_WORDS, Metadata, split_tags},
};

/// What the `apiVersion` of a package makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiVersion {
    /// `v1` and `v2`: written for 1.0.
    One,
    /// `skipper.spring.io/v1`, metadata that Java's own writer wrote, and whatever else there is: for 2.x.
    Two,
}

/// Which generation a `package.yml` was written for; `None` when it is none of the field's: it says nothing, `skipper/v2`, or
/// what is near enough to be meant for that.
#[must_use]
pub fn api_version(text: &str) -> Option<ApiVersion> {
    let metadata = yaml::load("package.yml", text, Typing::Text).ok()?;
    match metadata.get("apiVersion") {
        Some(Value::Text(version)) if matches!(version.as_str(), "v1" | "v2") => Some(ApiVersion::One),
        Some(Value::Text(version)) if version.starts_with("skipper.spring.io/") => Some(ApiVersion::Two),
        _ if text.contains(METADATA_TAG) => Some(ApiVersion::Two),
        // The field holds it against no list.
        Some(Value::Text(version)) if !version.trim().is_empty() && !is_ours(version) => Some(ApiVersion::Two),
        _ => None,
    }
}

fn is_ours(version: &str) -> bool {
    let version = version.trim();
    version.to_ascii_lowercase().starts_with("skipper/") || nearest(version, [OURS]).is_some()
}

/// Reads the metadata of a package. Unknown keys are skipped, and an explicit null is as good as no key.
///
/// # Errors
///
/// Every fault in the file at once.
pub fn metadata(file: &File) -> Result<Metadata, Faults> {
    let text = file.text().map_err(|error| Finding::error(error.code(), error.to_string()).in_file(&file.path))?;
    let document = yaml::load(&file.path, text, Typing::Text)?;
    if document.as_map().is_none() {
        let message = "the metadata of a package is a map with `name` and `version`";
        return Err(Finding::error("package-invalid", message).in_file(&file.path).into());
    }
    let mut findings = Findings::new();
    let mut text = |key: &'static str, longest: usize| match document.get(key) {
        None | Some(Value::Null) => None,
        Some(Value::Text(text)) if text.len() <= longest => {
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        }
        Some(Value::Text(_)) => {
            let message = format!("must have at most {longest} bytes");
            findings.push(Finding::error("value-invalid", message).in_file(&file.path).path(key));
            None
        }
        Some(_) => {
            findings.push(Finding::error("value-kind", "must be text").in_file(&file.path).path(key));
            None
        }
    };
    let mut words = |key| text(key, MAX_WORDS);
    let [api_version, kind, display_name, maintainer, origin] =
        ["apiVersion", "kind", "displayName", "maintainer", "origin"].map(&mut words);
    let [home, icon, source_url, sha256, tags_text] =
        ["packageHomeUrl", "iconUrl", "packageSourceUrl", "sha256", "tags"].map(&mut words);
    let (name, version) = (text("name", MAX_NAME), text("version", MAX_VERSION));
    let description = text("description", MAX_DESCRIPTION);
    for (key, value) in [("name", &name), ("version", &version)] {
        if value.is_none() && !findings.has_errors() {
            findings.push(Finding::error("key-missing", "is missing").in_file(&file.path).path(key));
        }
    }
    let name = name.and_then(|name| {
        let named = PackageName::new(name);
        findings.take(named.map_err(|wrong| {
            Finding::error("value-invalid", wrong.to_string()).in_file(&file.path).path("name").into()
        }))
    });
    findings.into_result()?;
    let incomplete = || Finding::error("package-invalid", "the metadata has no name or no version").in_file(&file.path);
    Ok(Metadata {
        name: name.ok_or_else(incomplete)?,
        version: version.ok_or_else(incomplete)?,
        display_name,
        description,
        maintainer,
        tags: tags_text.as_deref().map(split_tags).unwrap_or_default(),
        home,
        icon,
        origin,
        source_url,
        api_version,
        kind,
        tags_text,
        sha256,
    })
}
