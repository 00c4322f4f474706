//! What a package says of itself, in the forms that are stored.

use serde_json::{Value, json};
use skipper_core::Sha256;
use skipper_source::{IndexEntry, Metadata, index, maven_key};
use skipper_store::{IndexRow, Package, Words};

/// Counts the forms below: rows of an index that were stored by an older one are stored anew.
const FORM: u32 = 2;

/// Where it is kept what an index has instead of a digest.
const WRONG_DIGEST: &str = "sha256_wrong";
/// Tells what an index says from what a package says itself.
const OF_INDEX: &str = "of_index";

/// Whether an index says it, which may leave out what a package has to say.
pub(crate) fn is_of_index(metadata: &Value) -> bool {
    metadata.get(OF_INDEX).is_some()
}

/// What the index has instead of a digest of this package, if that is so.
pub(super) fn wrong_digest(metadata: &Value) -> Option<&str> {
    metadata.get(WRONG_DIGEST).and_then(Value::as_str)
}

/// What a package says of itself, as JSON.
pub(crate) fn metadata_json(metadata: &Metadata) -> Value {
    json!({
        "name": metadata.name,
        "version": metadata.version,
        "display_name": metadata.display_name,
        "description": metadata.description,
        "maintainer": metadata.maintainer,
        "tags": metadata.tags,
        "home": metadata.home,
        "icon": metadata.icon,
        "origin": metadata.origin,
        "source_url": metadata.source_url,
        "api_version": metadata.api_version,
        "kind": metadata.kind,
        "tags_text": metadata.tags_text,
        "sha256": metadata.sha256,
    })
}

/// What an index says of a package, in the same form.
fn entry_json(entry: &IndexEntry) -> Value {
    json!({
        "name": entry.name,
        "version": entry.version,
        "display_name": entry.display_name,
        "description": entry.description,
        "maintainer": entry.maintainer,
        "tags": entry.tags,
        "home": entry.home,
        "icon": entry.icon,
        "origin": entry.origin,
        "source_url": entry.source_url,
        "api_version": entry.api_version,
        "kind": entry.kind,
        "tags_text": entry.tags_text,
        "sha256": entry.sha256,
        WRONG_DIGEST: entry.sha256_wrong,
        OF_INDEX: true,
    })
}

/// What a package is found by beside its name, from what is stored of it.
pub(crate) fn words(metadata: &Value) -> Words {
    let text = |key: &str| metadata.get(key).and_then(Value::as_str).map(str::to_owned);
    let texts: Vec<String> = ["display_name", "description", "maintainer"].into_iter().filter_map(text).collect();
    let tags = metadata.get("tags").and_then(Value::as_array).into_iter().flatten();
    Words { text: texts.join(" "), tags: tags.filter_map(Value::as_str).map(str::to_owned).collect() }
}

/// What a row of an older Skipper is ordered and found by.
pub(super) fn order_of(package: &Package) -> (String, Words) {
    (maven_key(&package.version), words(&package.metadata))
}

/// Changes with everything that an index says of a package.
pub(super) fn stamp(entry: &IndexEntry) -> String {
    let mut text = String::new();
    index::write(&mut text, entry);
    format!("{FORM}:{}", &Sha256::of(text.as_bytes()).to_string()[..16])
}

/// A package of an index, as it is stored.
pub(super) fn row(entry: &IndexEntry, num: Option<i64>, stamp: String) -> IndexRow {
    let metadata = entry_json(entry);
    IndexRow {
        num,
        name: entry.name.clone(),
        version: entry.version.clone(),
        version_key: maven_key(&entry.version),
        sha256: entry.sha256,
        words: words(&metadata),
        metadata,
        stamp,
    }
}

/// A stored package, as an index has it. The digest is that of the archive.
pub(crate) fn index_entry(package: &Package) -> IndexEntry {
    let text = |key: &str| package.metadata.get(key).and_then(Value::as_str).map(str::to_owned);
    let words = words(&package.metadata);
    IndexEntry {
        name: package.name.clone(),
        version: package.version.clone(),
        api_version: text("api_version").or_else(|| Some("skipper/v2".to_owned())),
        kind: text("kind").or_else(|| Some("Package".to_owned())),
        origin: text("origin"),
        display_name: text("display_name"),
        source_url: text("source_url"),
        home: text("home"),
        icon: text("icon"),
        tags_text: text("tags_text").or_else(|| (!words.tags.is_empty()).then(|| words.tags.join(", "))),
        tags: words.tags,
        maintainer: text("maintainer"),
        description: text("description"),
        sha256: package.sha256,
        sha256_wrong: None,
    }
}
