use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An error, as RFC 9457 problem details (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Where the code is explained: `docs/errors/<code>.md`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What kind of error it is, the same sentence for the same code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable word that programs compare.
    pub code: String,
    /// What happened here.
    pub detail: String,
    /// What to do next, where something is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Every fault found, where there are several: a package or a request body is checked to its end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// The rollout that is in the way, where one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// The same as `detail`, under the paths of slip, whose clients look for it here; under those of the fleet an object with
    /// `code`, `message` and `request_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub error: Option<serde_json::Value>,
    /// Names the request in the server's log.
    pub request_id: String,
}
