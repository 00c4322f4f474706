//! Nodes and their work orders: the rules by which an order is handed out once, taken up again when its holder is gone, and
//! reported on by whoever holds it and nobody else.
//!
//! An order is *pending* until a node takes it; then it is *active*, under a lease that the node renews. Each time it is
//! handed out its generation goes up, so that a report of an earlier holder is told from that of the present one. A lease that
//! ran out makes the order one that may be handed out again, and nothing else: where its holder reports after all, and nobody
//! else has taken it, that counts.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What an order asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderKind {
    /// The tenant's project is to be as the order says.
    DeployService,
    /// Nothing of the tenant is to run on the node any more.
    RemoveService,
}

impl OrderKind {
    /// The word in the store and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeployService => "deploy_service",
            Self::RemoveService => "remove_service",
        }
    }

    /// The kind of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::DeployService, Self::RemoveService].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// How far an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Nobody has taken it.
    Pending,
    /// A node has it.
    Active,
    /// Done.
    Succeeded,
    /// Done, and it did not work.
    Failed,
    /// Its deadline passed before it was done.
    Expired,
    /// A newer one took its place before it was taken, or nobody wants it any more.
    Superseded,
}

impl OrderStatus {
    const ALL: [Self; 6] =
        [Self::Pending, Self::Active, Self::Succeeded, Self::Failed, Self::Expired, Self::Superseded];

    /// The word in the store and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
        }
    }

    /// The status of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether nothing will happen to it any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Active)
    }

    /// The folder that shows it.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            _ => "finished",
        }
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a holder says became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is as the order says.
    Succeeded,
    /// It is not.
    Failed,
}

impl Outcome {
    /// The status it leads to.
    #[must_use]
    pub const fn status(self) -> OrderStatus {
        match self {
            Self::Succeeded => OrderStatus::Succeeded,
            Self::Failed => OrderStatus::Failed,
        }
    }
}

/// What is to be made of a report on an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the result.
    Take,
    /// It is the result that is known already.
    Repeated,
    /// Somebody else holds the order by now, or it was never handed out under that generation.
    Stale,
    /// The order has ended, and not in that way.
    Ended,
}

/// Judges a report that names `generation` (`None`: that of the order, as the first agents did not name any).
#[must_use]
pub fn judge(status: OrderStatus, held: u64, generation: Option<u64>, outcome: Outcome) -> Verdict {
    match (status, generation) {
        (_, Some(given)) if given != held => Verdict::Stale,
        // Its lease may have run out meanwhile; nobody else took it, or the generation would be another.
        (OrderStatus::Active, _) => Verdict::Take,
        (OrderStatus::Pending, _) if held > 0 => Verdict::Take,
        (OrderStatus::Pending, _) => Verdict::Stale,
        (ended, _) if ended == outcome.status() => Verdict::Repeated,
        _ => Verdict::Ended,
    }
}

/// Whether an order may be handed out: it waits, or whoever had it has let its lease run out.
#[must_use]
pub fn may_take(status: OrderStatus, lease_until: Option<Timestamp>, deadline: Timestamp, now: Timestamp) -> bool {
    now < deadline
        && match status {
            OrderStatus::Pending => true,
            OrderStatus::Active => lease_until.is_none_or(|until| until <= now),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_present_holder_is_believed() {
        use Outcome::{Failed, Succeeded};
        assert_eq!(judge(OrderStatus::Active, 3, Some(3), Succeeded), Verdict::Take);
        assert_eq!(judge(OrderStatus::Active, 3, Some(2), Succeeded), Verdict::Stale);
        assert_eq!(judge(OrderStatus::Active, 3, None, Failed), Verdict::Take);
        assert_eq!(judge(OrderStatus::Pending, 0, None, Succeeded), Verdict::Stale);
        assert_eq!(judge(OrderStatus::Succeeded, 3, Some(3), Succeeded), Verdict::Repeated);
        assert_eq!(judge(OrderStatus::Succeeded, 3, Some(3), Failed), Verdict::Ended);
        assert_eq!(judge(OrderStatus::Expired, 3, Some(3), Succeeded), Verdict::Ended);
    }

    #[test]
    fn an_order_is_taken_again_only_when_its_lease_has_run_out() {
        let at = Timestamp::from_micros;
        assert!(may_take(OrderStatus::Pending, None, at(100), at(1)));
        assert!(!may_take(OrderStatus::Active, Some(at(50)), at(100), at(49)));
        assert!(may_take(OrderStatus::Active, Some(at(50)), at(100), at(50)));
        assert!(!may_take(OrderStatus::Pending, None, at(100), at(100)));
        assert!(!may_take(OrderStatus::Succeeded, None, at(100), at(1)));
    }
}
