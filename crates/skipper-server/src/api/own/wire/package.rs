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
    /// Words it can be found by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Digest of the archive. Of a remote one that was never needed it is what the index declares; absent if that is nothing.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Size of the archive in bytes; absent for a remote one that was never needed.
    #[serde(default)]
    pub size: Option<u64>,
    /// When it was uploaded, or first seen in an index; absent for what is built in.
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
    /// The row's number in this installation; below zero for the built-in one.
    #[serde(default)]
    pub id: i64,
    /// Its name.
    pub name: String,
    /// `local`, `remote` or `built-in`.
    #[serde(default)]
    pub kind: String,
    /// Where it is, without a password; absent for what this server keeps itself.
    #[serde(default)]
    pub url: Option<String>,
    /// Where its sources are.
    #[serde(default)]
    pub source_url: Option<String>,
    /// Of equal versions that of the repository with the highest order is taken.
    pub order: i64,
    /// Whether packages can be uploaded to it.
    pub writable: bool,
    /// One line about it.
    pub description: String,
    /// How many packages it has, each version counted.
    #[serde(default)]
    pub packages: u64,
    /// When the index of a remote one was last read.
    #[serde(default)]
    pub refreshed_at: Option<String>,
    /// How often it could not be read since.
    #[serde(default)]
    pub failures: u64,
    /// Why it could not be read, or what in it could not be used.
    #[serde(default)]
    pub problem: Option<String>,
}

/// A repository to add.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddRepository {
    /// Its name.
    pub name: String,
    /// Where its `index.yml` is: `https://…`, `http://…` or `file:/…`. A local one needs none.
    #[serde(default)]
    pub url: Option<String>,
    /// Where its sources are, for people.
    #[serde(default)]
    pub source_url: Option<String>,
    /// One line about it.
    #[serde(default)]
    pub description: Option<String>,
    /// Whether packages are uploaded to it, rather than listed by an index elsewhere.
    #[serde(default)]
    pub local: bool,
    /// Of equal versions that of the repository with the highest order is taken; 0 when absent.
    #[serde(default)]
    pub order: i64,
}

/// What reading the index of a repository found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefreshReport {
    /// Whether the index is the one that was read before.
    pub unchanged: bool,
    /// Packages in it, each version counted; in the repository, when it is unchanged.
    pub packages: u64,
    /// How many are new.
    pub added: u64,
    /// Of how many something is said anew.
    pub updated: u64,
    /// How many are gone.
    pub removed: u64,
    /// How many could not be used.
    pub broken: u64,
    /// Why, for at most 20 of them.
    pub faults: Vec<String>,
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
