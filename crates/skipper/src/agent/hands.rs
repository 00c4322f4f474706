//! What the agent does its work with. The agent knows orders; hands know compose.

use std::{collections::BTreeMap, time::Duration};

use futures::future::BoxFuture;
use skipper_core::fleet::Outcome;
use skipper_source::fleet::{ServiceState, WorkOrder};

/// States of projects, by tenant.
pub(super) type Projects = BTreeMap<String, BTreeMap<String, ServiceState>>;

/// How an effect ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finished {
    /// In one word.
    pub(super) outcome: Outcome,
    /// Of compose.
    pub(super) exit_code: Option<i32>,
    /// For people.
    pub(super) summary: String,
    /// What is there now.
    pub(super) services: BTreeMap<String, ServiceState>,
    /// The end of what compose said.
    pub(super) logs_tail: String,
}

/// One thing that the hands need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Need {
    /// What.
    pub(super) name: &'static str,
    /// What was found, or what is wrong and what to do about it.
    pub(super) found: Result<String, (String, String)>,
}

/// What carries orders out.
pub(super) trait Hands: Send + Sync {
    /// Makes the node as the order says, within a time. The same order again changes nothing, also where an earlier attempt broke off
    /// anywhere in between.
    ///
    /// # Cancel safety
    ///
    /// May be dropped: what has begun is settled when the same order, or a later one, is carried out.
    fn carry_out<'a>(&'a self, order: &'a WorkOrder, within: Duration) -> BoxFuture<'a, Finished>;

    /// Looks at all projects of this node.
    fn look(&self) -> BoxFuture<'_, Result<Projects, String>>;

    /// Looks whether it has what it needs. Changes nothing.
    fn needs(&self) -> BoxFuture<'_, Vec<Need>>;
}
