use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Why a rollout did not reach its revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// A stable word: `unhealthy`, `exited`, `start-timeout`, `fetch-failed`, `cancelled`, …
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// What the operator can do, where something is known.
    pub hint: Option<String>,
    /// The index of the step that broke; `None` before there is a plan.
    pub step: Option<u32>,
    /// When.
    pub at: Timestamp,
}

impl Cause {
    /// The code of a rollout that somebody stopped.
    pub const CANCELLED: &'static str = "cancelled";
    /// The code of one that failed before its release was taken over; the message is what was said of it there.
    pub const ELSEWHERE: &'static str = "failed-elsewhere";
}

/// Where a rollout stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
pub enum Phase {
    /// Another rollout of the release is open; this one begins when that one ends.
    Waiting,
    /// Accepted and durable; nothing has happened yet.
    Accepted,
    /// The source is being fetched, pinned and rendered.
    Resolving {
        /// When that must be done.
        deadline: Timestamp,
    },
    /// Steps are carried out, and would be undone if one failed.
    Advancing,
    /// A step failed; what was done is being undone.
    Undoing {
        /// What broke.
        cause: Cause,
    },
    /// The new revision serves; what is left of the old one is being cleared away.
    Finishing,
    /// The revision was reached.
    Succeeded,
    /// It was not, and everything was undone.
    Failed {
        /// What broke.
        cause: Cause,
    },
    /// Somebody stopped it, and everything was undone.
    Cancelled {
        /// Who and when.
        cause: Cause,
    },
    /// A newer rollout took its place while it waited.
    Superseded,
}

/// What moves a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    /// The rollout before it has ended.
    Admitted,
    /// A newer rollout takes its place.
    Replaced,
    /// Work begins.
    Begun {
        /// When resolving must be done.
        deadline: Timestamp,
    },
    /// Manifest, spec and plan are stored.
    Resolved,
    /// The last step before the point of no return is done.
    Committed,
    /// Something broke.
    Broke(Cause),
    /// Everything was undone.
    Undone,
    /// Nothing is left to do.
    Finished,
}

/// A transition that the phase does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a rollout in phase {} cannot take {transition:?}", .phase.name())]
pub struct IllegalTransition {
    /// Where it stood.
    pub phase: Phase,
    /// What came.
    pub transition: Transition,
}

impl Phase {
    /// Every name, for stores and drawings.
    pub const NAMES: [&'static str; 10] = [
        "waiting",
        "accepted",
        "resolving",
        "advancing",
        "undoing",
        "finishing",
        "succeeded",
        "failed",
        "cancelled",
        "superseded",
    ];

    /// The word in the store and on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Accepted => "accepted",
            Self::Resolving { .. } => "resolving",
            Self::Advancing => "advancing",
            Self::Undoing { .. } => "undoing",
            Self::Finishing => "finishing",
            Self::Succeeded => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
            Self::Superseded => "superseded",
        }
    }

    /// Whether nothing can move it any more.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed { .. } | Self::Cancelled { .. } | Self::Superseded)
    }

    /// Whether somebody may still stop it.
    #[must_use]
    pub const fn can_cancel(&self) -> bool {
        matches!(self, Self::Waiting | Self::Accepted | Self::Resolving { .. } | Self::Advancing)
    }

    /// What broke, if anything did.
    #[must_use]
    pub const fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Undoing { cause } | Self::Failed { cause } | Self::Cancelled { cause } => Some(cause),
            _ => None,
        }
    }

    /// Moves.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] names both sides; the caller keeps the phase it had.
    #[expect(clippy::result_large_err, reason = "it is made only by a bug, and named in full then")]
    pub fn apply(self, transition: Transition) -> Result<Self, IllegalTransition> {
        match (self, transition) {
            (Self::Waiting, Transition::Admitted) => Ok(Self::Accepted),
            (Self::Waiting, Transition::Replaced) => Ok(Self::Superseded),
            (Self::Accepted, Transition::Begun { deadline }) => Ok(Self::Resolving { deadline }),
            (Self::Resolving { .. }, Transition::Resolved) => Ok(Self::Advancing),
            (Self::Advancing, Transition::Committed) => Ok(Self::Finishing),
            (Self::Advancing, Transition::Broke(cause)) => Ok(Self::Undoing { cause }),
            // Nothing has been launched yet, so nothing is to be undone.
            (Self::Waiting | Self::Accepted | Self::Resolving { .. }, Transition::Broke(cause))
            | (Self::Undoing { cause }, Transition::Undone) => Ok(Self::ended(cause)),
            (Self::Finishing, Transition::Finished) => Ok(Self::Succeeded),
            (phase, transition) => Err(IllegalTransition { phase, transition }),
        }
    }

    fn ended(cause: Cause) -> Self {
        if cause.code == Cause::CANCELLED { Self::Cancelled { cause } } else { Self::Failed { cause } }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cause(code: &str) -> Cause {
        Cause { code: code.into(), message: String::new(), hint: None, step: None, at: Timestamp::default() }
    }

    fn any_transition() -> impl Strategy<Value = Transition> {
        prop_oneof![
            Just(Transition::Admitted),
            Just(Transition::Replaced),
            Just(Transition::Begun { deadline: Timestamp::default() }),
            Just(Transition::Resolved),
            Just(Transition::Committed),
            Just(Transition::Broke(cause("unhealthy"))),
            Just(Transition::Broke(cause(Cause::CANCELLED))),
            Just(Transition::Undone),
            Just(Transition::Finished),
        ]
    }

    proptest! {
        #[test]
        fn a_final_phase_never_moves_and_nothing_panics(transitions in prop::collection::vec(any_transition(), 0..30)) {
            let mut phase = Phase::Waiting;
            for transition in transitions {
                let was_final = phase.is_final();
                match phase.clone().apply(transition) {
                    Ok(next) => {
                        prop_assert!(!was_final);
                        phase = next;
                    }
                    Err(refused) => prop_assert_eq!(refused.phase.name(), phase.name()),
                }
            }
        }
    }

    #[test]
    fn after_the_point_of_no_return_nothing_can_break_it() {
        assert!(Phase::Finishing.apply(Transition::Broke(cause("unhealthy"))).is_err());
        assert!(!Phase::Finishing.can_cancel());
    }
}
