//! What clients send. Fields that are not known are passed over, and those that are missing are null, as the original has
//! it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::scalar::{number, properties, text, texts, truth};

/// A package to publish.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::api::releases) struct UploadRequest {
    #[serde(deserialize_with = "text")]
    pub(in crate::api::releases) name: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(in crate::api::releases) repo_name: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(in crate::api::releases) version: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(in crate::api::releases) extension: Option<String>,
    /// The zip, in base64.
    pub(in crate::api::releases) package_file_as_bytes: Option<String>,
}

/// Names a package.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::api::releases) struct PackageIdentifier {
    #[serde(deserialize_with = "text")]
    pub(in crate::api::releases) package_name: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(in crate::api::releases) package_version: Option<String>,
}

/// Values as text.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::api::releases) struct RawValues {
    #[serde(deserialize_with = "text")]
    pub(in crate::api::releases) raw: Option<String>,
}

/// What an installed package is to be called, and where it is to run.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::api::releases) struct InstallProperties {
    #[serde(deserialize_with = "text")]
    pub(in crate::api::releases) release_name: Option<String>,
    #[serde(deserialize_with = "text")]
    pub(in crate::api::releases) platform_name: Option<String>,
    pub(in crate::api::releases) config_values: Option<RawValues>,
}

/// Installs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::api::releases) struct InstallRequest {
    pub(in crate::api::releases) package_identifier: Option<PackageIdentifier>,
    pub(in crate::api::releases) install_properties: Option<InstallProperties>,
}

/// Which release, and its values.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::api::releases) struct UpgradeProperties {
    #[serde(deserialize_with = "text")]
    pub(in crate::api::releases) release_name: Option<String>,
    pub(in crate::api::releases) config_values: Option<RawValues>,
}

/// Upgrades.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::api::releases) struct UpgradeRequest {
    pub(in crate::api::releases) package_identifier: Option<PackageIdentifier>,
    pub(in crate::api::releases) upgrade_properties: Option<UpgradeProperties>,
    /// Milliseconds until the new instances must be healthy.
    #[serde(deserialize_with = "number")]
    pub(in crate::api::releases) timeout: Option<i64>,
    #[serde(deserialize_with = "truth")]
    pub(in crate::api::releases) force: Option<bool>,
    #[serde(deserialize_with = "texts")]
    pub(in crate::api::releases) app_names: Option<Vec<String>>,
}

/// Goes back.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::api::releases) struct RollbackRequest {
    #[serde(deserialize_with = "text")]
    pub(in crate::api::releases) release_name: Option<String>,
    #[serde(deserialize_with = "number")]
    pub(in crate::api::releases) version: Option<i64>,
    /// Milliseconds until the instances must be healthy.
    #[serde(deserialize_with = "number")]
    pub(in crate::api::releases) timeout: Option<i64>,
}

/// Stops what goes on.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::api::releases) struct CancelRequest {
    #[serde(deserialize_with = "text")]
    pub(in crate::api::releases) release_name: Option<String>,
}

/// Changes how many instances there are.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::api::releases) struct ScaleRequest {
    pub(in crate::api::releases) scale: Option<Vec<ScaleItem>>,
}

/// Of one application.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::api::releases) struct ScaleItem {
    #[serde(deserialize_with = "text")]
    pub(in crate::api::releases) name: Option<String>,
    #[serde(deserialize_with = "number")]
    pub(in crate::api::releases) count: Option<i64>,
    #[serde(deserialize_with = "properties")]
    pub(in crate::api::releases) properties: Option<BTreeMap<String, Option<String>>>,
}

/// A call of an application's own management.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in crate::api::releases) struct ActuatorRequest {
    #[serde(deserialize_with = "text")]
    pub(in crate::api::releases) endpoint: Option<String>,
    pub(in crate::api::releases) body: Option<serde_json::Value>,
}
