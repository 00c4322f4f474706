use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::PackageRef;

/// `POST /v1/releases/{name}/history`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TakeOverRequest {
    /// Its revisions, in the order of their numbers.
    pub revisions: Vec<PastRevision>,
    /// Zips of the packages that they were made of, in base64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
}

/// A revision that another server made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PastRevision {
    /// Its number, above that of the one before.
    pub number: u64,
    /// `superseded`, `failed`, `cancelled` or `deleted`.
    pub state: String,
    /// What it was made of.
    pub package: PackageRef,
    /// Where among `packages` its package is, from 0; that of the repository when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<usize>,
    /// What the user had set, as YAML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<String>,
    /// The text that was deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// The platform account it ran on; the server's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Free text that goes into the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// When it was made, as `2017-10-27T16:39:03Z`.
    pub created_at: String,
}

/// A release that was taken over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TakenOver {
    /// Its name.
    pub name: String,
    /// Its newest revision.
    pub last_revision: u64,
    /// Revisions that nobody can go back to, and why.
    #[serde(default)]
    pub warnings: Vec<String>,
}
