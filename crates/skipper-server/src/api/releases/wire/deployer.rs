use serde::Serialize;

/// A platform account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::api::releases) struct Deployer {
    pub(in crate::api::releases) name: String,
    #[serde(rename = "type")]
    pub(in crate::api::releases) kind: String,
    pub(in crate::api::releases) description: String,
    /// Of 2.x alone, and always empty: an account's options are in the documentation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api::releases) options: Option<[(); 0]>,
}
