use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// The edge, as the server sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EdgeView {
    /// Whether it answers on its control socket.
    pub reachable: bool,
    /// Why it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it says of itself: version, process id, listeners, services. Its own document.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub status: Value,
}

/// Edge counters of a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatsView {
    /// The release.
    pub release: String,
    /// A row for every deployment that the edge counts for.
    pub apps: Vec<AppStats>,
}

/// Edge counters of one deployment since the edge first saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AppStats {
    /// The application.
    pub app: String,
    /// The deployment.
    pub deployment: String,
    /// The revision that launched it.
    pub revision: u64,
    /// Its share of new requests.
    pub weight: u8,
    /// Requests that began.
    pub requests: u64,
    /// Requests in flight.
    pub in_flight: u64,
    /// Answers of 500 to 599, and requests without an answer.
    pub errors: u64,
    /// Median time to the answer's head.
    pub p50_ms: f64,
    /// 99th percentile of the same.
    pub p99_ms: f64,
}
