use serde::Serialize;

/// The deployments of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::api::releases) struct AppDeployerData {
    pub(in crate::api::releases) release_name: String,
    pub(in crate::api::releases) release_version: u64,
    /// An object in a string: applications, each with the id of its deployment.
    pub(in crate::api::releases) deployment_data: String,
}
