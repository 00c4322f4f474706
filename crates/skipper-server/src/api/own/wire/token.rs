use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /v1/tokens`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// For people: who or what uses it.
    pub name: String,
    /// `admin`, `operator` or `viewer`.
    pub role: String,
    /// The only tenant it may touch; every tenant when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// How long it is good for, as `30d` or `12h`; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
}

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its id.
    pub id: String,
    /// Who or what uses it.
    pub name: String,
    /// `admin`, `operator` or `viewer`.
    pub role: String,
    /// The only tenant it may touch.
    #[serde(default)]
    pub tenant: Option<String>,
    /// When it was made.
    pub created_at: String,
    /// When it ends.
    #[serde(default)]
    pub expires_at: Option<String>,
    /// When it was last used, to the minute.
    #[serde(default)]
    pub last_used_at: Option<String>,
}

/// A new token: the only answer that ever holds its secret.
///
/// Repeated under an idempotency key, the answer comes without it.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenCreated {
    /// What it is.
    #[serde(flatten)]
    pub token: TokenView,
    /// Send it as `Authorization: Bearer …`. It is shown this once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl std::fmt::Debug for TokenCreated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenCreated").field("token", &self.token).finish_non_exhaustive()
    }
}

/// Every token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenList {
    /// By age.
    pub items: Vec<TokenView>,
}
