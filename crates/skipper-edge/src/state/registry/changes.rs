//! Who may change the table, and by what.

use skipper_core::{
    generation::Generation,
    route::{Service, ServiceId},
};

use super::{Registry, checks::fault};
use crate::control::wire::Fault;

/// A change of the table.
#[derive(Debug)]
pub(crate) enum Change {
    /// One service is to be as given.
    Set(Box<Service>),
    /// A service is given up.
    Remove(ServiceId, Generation),
    /// The whole table is to be as given. A service of which a newer generation is here keeps that; one that is not given goes,
    /// unless it was set since this edge started by a right newer than all that are given: then the list was made before.
    Sync(Vec<Service>),
}

impl Registry {
    /// Makes a change.
    pub(crate) fn change(&mut self, change: Change) -> Result<(), Fault> {
        self.check_thawed()?;
        self.make(change)
    }

    /// Makes a change that the successor has made: what is still served here goes by it. Listeners and files are the successor's.
    pub(crate) fn follow(&mut self, change: Change) -> Result<(), Fault> {
        if self.frozen {
            self.make(change)
        } else {
            Err(fault("permanent", "bad-request", "this edge has no successor"))
        }
    }

    fn make(&mut self, change: Change) -> Result<(), Fault> {
        match change {
            Change::Set(service) => self.set(*service),
            Change::Remove(id, generation) => {
                self.check_generation(&id, generation)?;
                self.give_up(&id, generation);
                Ok(())
            }
            Change::Sync(services) => self.sync(services),
        }
    }
}
