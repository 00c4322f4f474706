use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A secret without its value, which is never read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretView {
    /// Its name.
    pub name: String,
    /// Its tenant.
    pub tenant: String,
    /// Counts up with every new value.
    pub version: u64,
    /// Whether something runs with it.
    #[serde(default)]
    pub used: bool,
    /// When it was first set.
    pub created_at: String,
    /// When it was last set.
    pub updated_at: String,
}

/// A tenant's secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretList {
    /// By name.
    pub items: Vec<SecretView>,
}

/// `PUT /v1/secrets/{name}` as JSON. As `text/plain` or `application/octet-stream` the body itself is the value.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretValueRequest {
    /// The clear value.
    pub value: String,
}

impl std::fmt::Debug for SecretValueRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretValueRequest([secret])")
    }
}
