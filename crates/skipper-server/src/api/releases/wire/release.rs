use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::json;
use skipper_core::{release::Source, rollout::Verb, time::Timestamp};

use super::{PackageMetadata, Place, platform_status};
use crate::{
    api::releases::{
        asked::Asked,
        hal::{
            link::{Link, Links},
            number::shown,
        },
        negotiate::Generation,
    },
    verb::{
        Kept,
        versions::{Status, Told, Version},
    },
};

/// A point in time: milliseconds in 1.0, ISO 8601 in 2.x.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(in crate::api::releases) enum When {
    Millis(i64),
    Text(String),
}

impl When {
    pub(in crate::api::releases) fn of(generation: Generation, at: Timestamp) -> Self {
        let millis = at.as_micros().div_euclid(1000);
        match generation {
            Generation::M1 => Self::Millis(millis),
            Generation::V2 => {
                let at = jiff::Timestamp::from_millisecond(millis).unwrap_or_default().to_zoned(TimeZone::UTC);
                Self::Text(at.strftime("%Y-%m-%dT%H:%M:%S.%3f+00:00").to_string())
            }
        }
    }
}

/// Values as the text they came as.
#[derive(Debug, Clone, Serialize)]
pub(in crate::api::releases) struct ConfigValues {
    pub(in crate::api::releases) raw: Option<String>,
}

/// The manifest: text in 1.0, an object in 2.x.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(in crate::api::releases) enum Manifest {
    Text(Option<String>),
    Object {
        data: Option<String>,
        #[serde(rename = "_links", skip_serializing_if = "Option::is_none")]
        links: Option<Links>,
    },
}

/// What has become of a version.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::api::releases) struct Info {
    status: StatusView,
    first_deployed: When,
    last_deployed: When,
    /// Nothing ever set it.
    deleted: Option<When>,
    description: String,
    #[serde(rename = "_links", skip_serializing_if = "Option::is_none")]
    links: Option<Links>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusView {
    status_code: &'static str,
    platform_status: Option<String>,
}

/// A package with what is inside.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::api::releases) struct Package {
    metadata: PackageMetadata,
    templates: Vec<Template>,
    dependencies: Vec<Self>,
    config_values: Option<ConfigValues>,
    file_holders: Vec<FileHolder>,
}

#[derive(Debug, Clone, Serialize)]
struct Template {
    name: String,
    data: String,
}

#[derive(Debug, Clone, Serialize)]
struct FileHolder {
    name: String,
    bytes: String,
}

/// A version of a release.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::api::releases) struct Release {
    name: String,
    version: u64,
    info: Info,
    pkg: Package,
    config_values: ConfigValues,
    manifest: Manifest,
    platform_name: String,
    #[serde(rename = "_links", skip_serializing_if = "Option::is_none")]
    pub(in crate::api::releases) links: Option<Links>,
}

/// `{"_embedded":{"releases":[…]}}`, without `_embedded` where there is none.
#[derive(Debug, Clone, Serialize)]
pub(in crate::api::releases) struct Releases {
    #[serde(rename = "_embedded", skip_serializing_if = "Option::is_none")]
    embedded: Option<Embedded>,
}

#[derive(Debug, Clone, Serialize)]
struct Embedded {
    releases: Vec<Release>,
}

impl Releases {
    pub(in crate::api::releases) fn of(releases: Vec<Release>) -> Self {
        Self { embedded: (!releases.is_empty()).then_some(Embedded { releases }) }
    }
}

impl Info {
    /// Without links.
    pub(in crate::api::releases) fn of(generation: Generation, version: &Version) -> Self {
        let at = When::of(generation, version.at());
        Self {
            status: StatusView {
                status_code: match version.status {
                    Status::Unknown => "UNKNOWN",
                    Status::Deployed => "DEPLOYED",
                    Status::Deleted => "DELETED",
                    Status::Failed => "FAILED",
                },
                platform_status: version.apps.as_ref().map(|apps| platform_status::text(generation, apps)),
            },
            first_deployed: at.clone(),
            last_deployed: at,
            deleted: None,
            description: sentence(generation, &version.told),
            links: None,
        }
    }

    /// With the link that 2.x adds.
    pub(in crate::api::releases) fn linked(asked: &Asked, version: &Version) -> Self {
        let links = Links::default().with("manifest", Link::to(asked.link("/api/release/manifest/{name}")));
        Self { links: (asked.generation == Generation::V2).then_some(links), ..Self::of(asked.generation, version) }
    }
}

impl Package {
    fn of(generation: Generation, kept: &Kept) -> Self {
        let template = |text: &crate::verb::KeptText| Template { name: text.name.clone(), data: text.data.clone() };
        let file = |text: &crate::verb::KeptText| FileHolder { name: text.name.clone(), bytes: text.data.clone() };
        Self {
            metadata: PackageMetadata::of(&kept.metadata, place(kept).as_ref(), generation),
            templates: kept.templates.iter().map(template).collect(),
            dependencies: kept.packages.iter().map(|inner| Self::of(generation, inner)).collect(),
            config_values: kept.values.clone().map(|raw| ConfigValues { raw: Some(raw) }),
            file_holders: kept.files.iter().map(file).collect(),
        }
    }

    /// Of a release whose package is not remembered.
    fn forgotten(generation: Generation, version: &Version) -> Self {
        let source = version.stored.made_of.as_ref().unwrap_or(&version.stored.source);
        let metadata = match source {
            Source::Package { name, version, .. } => json!({"name": name, "version": version}),
            _ => json!({}),
        };
        let metadata = PackageMetadata::of(&metadata, None, generation);
        Self {
            metadata,
            templates: Vec::new(),
            dependencies: Vec::new(),
            config_values: None,
            file_holders: Vec::new(),
        }
    }
}

fn place(kept: &Kept) -> Option<Place> {
    Some(Place { id: shown(kept.repository_id?), name: kept.repository.clone()? })
}

impl Release {
    /// Without links.
    pub(in crate::api::releases) fn of(generation: Generation, platform: &str, version: &Version) -> Self {
        let text = version.stored.manifest.clone();
        // 1.0 goes back by giving the manifest as the values, and shows it so.
        let raw = if generation == Generation::M1 && version.went_back() { text.clone() } else { version.raw() };
        Self {
            name: version.stored.name.to_string(),
            version: version.stored.version,
            info: Info::of(generation, version),
            pkg: version
                .package
                .as_ref()
                .map_or_else(|| Package::forgotten(generation, version), |kept| Package::of(generation, kept)),
            config_values: ConfigValues { raw },
            manifest: match generation {
                Generation::M1 => Manifest::Text(text),
                Generation::V2 => Manifest::Object { data: text, links: None },
            },
            platform_name: platform.to_owned(),
            links: None,
        }
    }

    /// With the link that the paths of 2.x add.
    pub(in crate::api::releases) fn linked(asked: &Asked, platform: &str, version: &Version) -> Self {
        let links = Links::default().with("status", Link::to(asked.link("/api/release/status/{name}")));
        Self {
            links: (asked.generation == Generation::V2).then_some(links),
            ..Self::of(asked.generation, platform, version)
        }
    }
}

/// What the original says.
fn sentence(generation: Generation, told: &Told) -> String {
    let going_back_is_upgrading = generation == Generation::M1;
    let text = match told {
        Told::Underway(Verb::Upgrade) => "Upgrade install underway",
        Told::Underway(Verb::Rollback) if !going_back_is_upgrading => "Rollback install underway",
        Told::Underway(_) => "Initial install underway",
        Told::Complete(Verb::Upgrade) => "Upgrade complete",
        Told::Complete(Verb::Rollback) if going_back_is_upgrading => "Upgrade complete",
        Told::Complete(Verb::Rollback) => "Rollback complete",
        Told::Complete(_) => "Install complete",
        Told::Deleted => "Delete complete",
        Told::InstallFailed => "Install failed",
        Told::NotDeployed => "Could not deploy app.",
        Told::NotHealthy(after) => {
            return format!("Did not detect apps in replacing release as healthy after {after} ms.");
        }
        Told::Cancelled(after) => return format!("Cancelled after {after} ms."),
        Told::Elsewhere(told) => told,
    };
    text.to_owned()
}
