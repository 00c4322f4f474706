use serde::{Deserialize, Serialize};

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::api::releases) struct Repository {
    pub(in crate::api::releases) name: String,
    pub(in crate::api::releases) url: String,
    #[serde(default)]
    pub(in crate::api::releases) source_url: Option<String>,
    #[serde(default)]
    pub(in crate::api::releases) local: bool,
    #[serde(default)]
    pub(in crate::api::releases) description: Option<String>,
    /// The highest is searched first.
    #[serde(default)]
    pub(in crate::api::releases) repo_order: Option<i64>,
}
