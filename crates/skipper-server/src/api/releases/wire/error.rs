use serde::Serialize;

use super::When;

/// The body of every error.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::api::releases) struct ErrorBody {
    pub(in crate::api::releases) timestamp: When,
    pub(in crate::api::releases) status: u16,
    /// The reason phrase of the status.
    pub(in crate::api::releases) error: &'static str,
    /// The class of the original's exception: clients tell errors apart by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api::releases) exception: Option<&'static str>,
    pub(in crate::api::releases) message: String,
    pub(in crate::api::releases) path: String,
    /// Only for a release that is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api::releases) release_name: Option<String>,
    /// Only for a version that is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api::releases) version: Option<i64>,
}
