//! Who asks, and through what.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    id::{RequestId, TokenId},
    name::{NodeName, TenantName},
};

/// What an actor may do in general; [`crate::policy::decide`] says what that means for one action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Everything, in every tenant unless scoped to one.
    Admin,
    /// Everything about releases, packages and secrets; no tokens, no backup.
    Operator,
    /// Reads; no secret, no token.
    Viewer,
}

impl Role {
    /// The word used on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }

    /// The role of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Admin, Self::Operator, Self::Viewer].into_iter().find(|role| role.as_str() == word)
    }
}

/// Who acts. Stored with every revision, rollout and event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Actor {
    /// The server itself: supervision, reconciliation, schedules.
    System,
    /// A loopback peer, let in because no token is configured.
    Local,
    /// The bearer of an API token.
    Token {
        /// Which token.
        id: TokenId,
        /// Its name, for people.
        name: String,
        /// What it may do.
        role: Role,
        /// The only tenant it may touch; `None` for every tenant.
        tenant: Option<TenantName>,
    },
    /// A node of the fleet: it takes its own orders and reports on them, and nothing else.
    Node {
        /// Which.
        node: NodeName,
    },
}

impl Actor {
    /// What the actor may do in general.
    #[must_use]
    pub const fn role(&self) -> Role {
        match self {
            Self::System | Self::Local => Role::Admin,
            Self::Token { role, .. } => *role,
            Self::Node { .. } => Role::Viewer,
        }
    }

    /// The only tenant the actor may touch; `None` for every tenant.
    #[must_use]
    pub const fn tenant(&self) -> Option<&TenantName> {
        match self {
            Self::System | Self::Local | Self::Node { .. } => None,
            Self::Token { tenant, .. } => tenant.as_ref(),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::Local => f.write_str("local"),
            Self::Token { name, .. } => write!(f, "token:{name}"),
            Self::Node { node } => write!(f, "node:{node}"),
        }
    }
}

/// Where a change came from: goes into the revision, the rollout, every event and every log line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Who asked.
    pub actor: Actor,
    /// Through which door, and with what: `cli`, `api`, `webhook`, `supervision`.
    pub trigger: String,
    /// The request that asked.
    pub request: RequestId,
    /// What the caller calls the larger job this request is part of; the request id where it named none.
    pub correlation: String,
}
