//! Launches that are under way: what is retired meanwhile is not started any more, however many are still to come.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use skipper_core::{
    deployment::DeploymentId,
    port::{Error, ErrorKind},
    rollout::plan::Instances,
};
use tokio_util::sync::CancellationToken;

/// Those of an account.
#[derive(Debug, Default)]
pub(crate) struct Launches {
    next: AtomicU64,
    all: Mutex<HashMap<u64, (DeploymentId, Instances, CancellationToken)>>,
}

impl Launches {
    /// Notes a launch, until what is returned is dropped.
    pub(crate) fn begin(&self, id: &DeploymentId, range: Instances) -> Launching<'_> {
        let (number, stopped) = (self.next.fetch_add(1, Ordering::Relaxed), CancellationToken::new());
        let noted = (id.clone(), range, stopped.clone());
        self.all.lock().unwrap_or_else(PoisonError::into_inner).insert(number, noted);
        Launching { of: self, number, stopped }
    }

    /// Instances are to be stopped: launches of any of them start nothing from now on.
    pub(crate) fn retire(&self, id: &DeploymentId, range: Instances) {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        for (launched, of, stopped) in all.values() {
            if launched == id && of.from < range.to && range.from < of.to {
                stopped.cancel();
            }
        }
    }
}

/// A launch that is under way.
#[derive(Debug)]
pub(crate) struct Launching<'a> {
    of: &'a Launches,
    number: u64,
    stopped: CancellationToken,
}

impl Launching<'_> {
    /// To be asked with an instance's turn in hand, right before it is started.
    ///
    /// # Errors
    ///
    /// `stopped`: some of it is being retired.
    pub(crate) fn may_start(&self, index: u32) -> Result<(), Error> {
        if self.stopped.is_cancelled() {
            let what = format!("instance {index} was stopped before it was started");
            return Err(Error::new(ErrorKind::Transient, "stopped", what));
        }
        Ok(())
    }
}

impl Drop for Launching<'_> {
    fn drop(&mut self) {
        self.of.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_goes_on_unless_some_of_it_is_retired() {
        let launches = Launches::default();
        let id = |text: &str| DeploymentId::from_stored(text);
        let range = |from, to| Instances { from, to };
        let (one, other) = (launches.begin(&id("one"), range(2, 5)), launches.begin(&id("other"), range(0, 5)));
        launches.retire(&id("one"), range(0, 2));
        launches.retire(&id("one"), range(5, 9));
        assert!(one.may_start(2).is_ok(), "none of its own");
        launches.retire(&id("one"), range(4, 9));
        assert_eq!(one.may_start(2).expect_err("stopped").code(), "stopped");
        assert!(other.may_start(0).is_ok());
        drop((one, other));
        assert!(launches.begin(&id("one"), range(2, 5)).may_start(2).is_ok(), "a new one");
        assert!(launches.all.lock().expect("nobody panicked").is_empty());
    }
}
