use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /`: where to go from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Index {
    /// `skipper`.
    pub name: String,
    /// The server's version.
    pub version: String,
    /// What there is: a word and its path.
    pub links: BTreeMap<String, String>,
}

/// `GET /healthz`: the process answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// The server's version.
    pub version: String,
}

/// `GET /readyz`: whether everything it needs answers as well (503 when not).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ready {
    /// Whether every part is `ok`, or the engine `standby`: another server on the same database tends what runs.
    pub ready: bool,
    /// `ok`, or what is wrong, by part: `store`, `edge`, `engine`, `server`; and `caddy` where one is in front, whose troubles do not
    /// make the server unready.
    pub parts: BTreeMap<String, String>,
}
