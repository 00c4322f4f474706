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
    /// The Caddy in front of it, where one is configured and this server looks after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caddy: Option<CaddyView>,
}

/// The Caddy in front of the edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CaddyView {
    /// Where its admin API is.
    pub admin: String,
    /// `ok`, `unreachable`, `refuses`, or `unknown` before the first answer.
    pub health: String,
    /// Since when, in RFC 3339.
    pub since: String,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Host names that it leads to the edge.
    pub hosts: usize,
    /// Those that it does not, with why and what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<LeftHost>,
    /// How often its configuration was changed since the server started.
    pub changes: u64,
}

/// A host name that Caddy does not lead to the edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LeftHost {
    /// The name.
    pub host: String,
    /// Why not, and what to do.
    pub why: String,
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
