use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// One version of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PackageView {
    /// The row's number in this installation.
    #[serde(default)]
    pub id: i64,
    /// Its repository.
    pub repository: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One line about it.
    #[serde(default)]
    pub description: Option<String>,
    /// Digest of the archive.
    pub sha256: String,
    /// Size of the archive in bytes.
    pub size: u64,
    /// When it was uploaded; absent for what is built in.
    #[serde(default)]
    pub created_at: Option<String>,
}

/// A page of packages, by name, then in the order they were published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PackagePage {
    /// The packages.
    pub items: Vec<PackageView>,
    /// Give it as `after` to get the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A package with what is inside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PackageDetail {
    /// The line of the list.
    #[serde(flatten)]
    pub package: PackageView,
    /// The package's own description of itself.
    #[schema(value_type = Object)]
    pub metadata: Value,
    /// Its own values, as YAML text.
    pub values: String,
    /// JSON Schema of its values, if it has one.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub values_schema: Option<Value>,
    /// Names of its templates.
    pub templates: Vec<String>,
    /// Its readme, if it has one.
    #[serde(default)]
    pub readme: Option<String>,
    /// Names of releases that serve a revision made of it, as far as the caller may know of them; at most 20.
    pub used_by: Vec<String>,
    /// Counts up with every change; the ETag is made of it.
    pub row_version: u64,
}

/// A repository of packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RepositoryView {
    /// Its name.
    pub name: String,
    /// Searched in this order, the highest first.
    pub order: i64,
    /// Whether packages can be uploaded to it.
    pub writable: bool,
    /// One line about it.
    pub description: String,
}

/// Every repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RepositoryList {
    /// In the order they are searched.
    pub items: Vec<RepositoryView>,
}

/// A configured platform account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlatformView {
    /// Its name.
    pub name: String,
    /// `local`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Used where an application names none.
    pub default: bool,
    /// One line that helps to recognise it.
    pub summary: String,
    /// Whether it answers.
    pub reachable: bool,
    /// Resource kinds it runs.
    pub schemes: Vec<String>,
    /// What else it can do: `replicas`, `volumes`, `memory-limits`, `cpu-limits`, `hooks`, `pods`, `own-network`,
    /// `converges`, `routes`.
    pub capabilities: Vec<String>,
}

/// Every configured platform account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlatformList {
    /// By name.
    pub items: Vec<PlatformView>,
}
