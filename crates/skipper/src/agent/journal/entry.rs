use serde::{Deserialize, Serialize};
use skipper_core::{
    fleet::{OrderKind, Outcome},
    id::OrderId,
    name::TenantName,
};

/// One line of the journal. Only what is needed to go on after a crash; never a file of the order, which may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub(in crate::agent) enum Entry {
    /// The order is this node's, or is so again under another generation.
    Taken(Facts),
    /// Its effect begins.
    Begun {
        /// Which.
        order: OrderId,
    },
    /// Its effect has ended; the result lies beside the journal.
    Done {
        /// Which.
        order: OrderId,
        /// How.
        status: Outcome,
    },
    /// The server knows, or does not want to.
    Reported {
        /// Which.
        order: OrderId,
    },
    /// It is not this node's any more, and its effect has not begun.
    Dropped {
        /// Which.
        order: OrderId,
    },
    /// Orders of that tenant under lower generations are of the past.
    Fence {
        /// Whose.
        tenant: TenantName,
        /// The highest seen.
        generation: u64,
    },
}

/// What is remembered of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::agent) struct Facts {
    /// Which.
    pub(in crate::agent) order: OrderId,
    /// What it asks for.
    pub(in crate::agent) kind: OrderKind,
    /// For whom.
    pub(in crate::agent) tenant: TenantName,
    /// Under which it was handed out last.
    pub(in crate::agent) generation: u64,
    /// Of the tenant's release.
    pub(in crate::agent) revision: u64,
    /// SHA-256 of what is to be, so that people can tell two orders apart.
    pub(in crate::agent) digest: String,
    /// Milliseconds that there were to do it when it was taken.
    pub(in crate::agent) budget_ms: u64,
    /// Of the request that asked.
    pub(in crate::agent) request_id: String,
    /// What the caller calls the larger job.
    pub(in crate::agent) correlation_id: String,
}
