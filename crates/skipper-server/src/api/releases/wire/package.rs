use serde::Serialize;
use serde_json::Value;

use crate::{api::releases::negotiate::Generation, repository};

/// `apiVersion` and `kind` of packages whose metadata does not say: those of this program's own format.
const OWN_VERSION: &str = "skipper/v2";
const OWN_KIND: &str = "Package";

/// What a package says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::api::releases) struct PackageMetadata {
    /// `None` where an index says none; so is `kind`.
    pub(in crate::api::releases) api_version: Option<String>,
    pub(in crate::api::releases) origin: Option<String>,
    pub(in crate::api::releases) repository_id: Option<i64>,
    /// Of 2.x alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api::releases) repository_name: Option<Option<String>>,
    pub(in crate::api::releases) kind: Option<String>,
    pub(in crate::api::releases) name: String,
    /// Of 2.x alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api::releases) display_name: Option<Option<String>>,
    pub(in crate::api::releases) version: String,
    pub(in crate::api::releases) package_source_url: Option<String>,
    pub(in crate::api::releases) package_home_url: Option<String>,
    /// All of them in one text, as they were written.
    pub(in crate::api::releases) tags: Option<String>,
    pub(in crate::api::releases) maintainer: Option<String>,
    pub(in crate::api::releases) description: Option<String>,
    /// What the author declared; not the digest of the archive.
    pub(in crate::api::releases) sha256: Option<String>,
    pub(in crate::api::releases) icon_url: Option<String>,
}

/// The repository of a package: its id on the wire, and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::api::releases) struct Place {
    pub(in crate::api::releases) id: i64,
    pub(in crate::api::releases) name: String,
}

impl PackageMetadata {
    /// From the stored metadata; `place` is `None` for a package inside another one.
    pub(in crate::api::releases) fn of(metadata: &Value, place: Option<&Place>, generation: Generation) -> Self {
        let text = |key: &str| metadata.get(key).and_then(Value::as_str).map(str::to_owned);
        let of_v2 = |value: Option<String>| (generation == Generation::V2).then_some(value);
        let own = |usual: &str| (!repository::is_of_index(metadata)).then(|| usual.to_owned());
        Self {
            api_version: text("api_version").or_else(|| own(OWN_VERSION)),
            origin: text("origin"),
            repository_id: place.map(|place| place.id),
            repository_name: of_v2(place.map(|place| place.name.clone())),
            kind: text("kind").or_else(|| own(OWN_KIND)),
            name: text("name").unwrap_or_default(),
            display_name: of_v2(text("display_name")),
            version: text("version").unwrap_or_default(),
            package_source_url: text("source_url"),
            package_home_url: text("home"),
            tags: text("tags_text").or_else(|| joined(metadata.get("tags")?)),
            maintainer: text("maintainer"),
            description: text("description"),
            sha256: text("sha256"),
            icon_url: text("icon"),
        }
    }
}

/// Tags of a list in one text; `None` where there are none.
fn joined(tags: &Value) -> Option<String> {
    let words: Vec<&str> = tags.as_array()?.iter().filter_map(Value::as_str).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// The projection `summary`. Both generations declare its fields in an order of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub(in crate::api::releases) enum Summary {
    M1 {
        id: String,
        name: String,
        version: String,
        icon_url: Option<String>,
        description: Option<String>,
    },
    V2 {
        name: String,
        id: String,
        version: String,
        description: Option<String>,
        icon_url: Option<String>,
        repository_name: Option<String>,
    },
}

impl Summary {
    pub(in crate::api::releases) fn of(id: i64, full: PackageMetadata) -> Self {
        let PackageMetadata { name, version, description, icon_url, repository_name, .. } = full;
        let id = id.to_string();
        match repository_name {
            None => Self::M1 { id, name, version, icon_url, description },
            Some(repository_name) => Self::V2 { name, id, version, description, icon_url, repository_name },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keys(value: impl Serialize) -> Vec<String> {
        let value = serde_json::to_value(value).expect("JSON");
        value.as_object().expect("an object").keys().cloned().collect()
    }

    #[test]
    fn each_generation_has_its_own_fields_in_its_own_order() {
        let place = Place { id: 3, name: "local".to_owned() };
        let metadata = json!({"name": "log", "version": "1.0.0", "tags": ["a", "b"], "home": "http://home"});
        let first = PackageMetadata::of(&metadata, Some(&place), Generation::M1);
        assert_eq!((first.api_version.as_deref(), first.kind.as_deref()), (Some(OWN_VERSION), Some(OWN_KIND)));
        assert_eq!((first.tags.as_deref(), first.package_home_url.as_deref()), (Some("a, b"), Some("http://home")));
        let second = PackageMetadata::of(&metadata, Some(&place), Generation::V2);
        let m1 = "apiVersion origin repositoryId kind name version packageSourceUrl packageHomeUrl tags maintainer \
            description sha256 iconUrl";
        let v2 = "apiVersion origin repositoryId repositoryName kind name displayName version packageSourceUrl \
            packageHomeUrl tags maintainer description sha256 iconUrl";
        assert_eq!(keys(&first).join(" "), m1);
        assert_eq!(keys(&second).join(" "), v2);
        assert_eq!(keys(Summary::of(7, first)).join(" "), "id name version iconUrl description");
        assert_eq!(keys(Summary::of(7, second)).join(" "), "name id version description iconUrl repositoryName");
    }

    #[test]
    fn what_was_written_as_tags_stays_as_it_is() {
        let metadata = json!({"tags": ["a", "b"], "tags_text": "a,b"});
        assert_eq!(PackageMetadata::of(&metadata, None, Generation::M1).tags.as_deref(), Some("a,b"));
        assert_eq!(PackageMetadata::of(&json!({"tags": []}), None, Generation::M1).tags, None);
    }
}
