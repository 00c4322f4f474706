//! The fencing number that is checked at every effect.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Orders all rights to act. A receiver that has seen a higher generation refuses a lower one.
///
/// The epoch comes first: it is raised when a store is restored from a backup, so that edges and agents accept the
/// restored server although its counter went back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Generation {
    /// Which life of the store handed it out.
    pub epoch: u64,
    /// Counts up within the epoch.
    pub counter: u64,
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.counter)
    }
}
