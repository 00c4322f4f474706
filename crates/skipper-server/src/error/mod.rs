//! The one error of the verbs: a stable code, a sentence for whoever asked, and a cause for the log.
//!
//! Doors decide how it looks (the own door: problem details); [`Code`] is the table that gives each code its status and
//! title. Nothing below this crate knows of HTTP.

mod code;
mod from;

pub use code::Code;
pub(crate) use from::{package_faults, plan_failure};

use std::{error::Error as StdError, fmt};

use skipper_core::id::RolloutId;

/// Why a verb was refused or failed.
#[derive(Debug)]
pub struct Error {
    code: Code,
    detail: String,
    hint: Option<String>,
    faults: Vec<String>,
    rollout: Option<RolloutId>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error with its sentence.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), hint: None, faults: Vec::new(), rollout: None, source: None }
    }

    /// Something that should not have happened: the cause goes to the log, whoever asked gets the request id.
    #[must_use]
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Code::Internal, "something went wrong inside the server; its log has more under the request id")
            .because(cause)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds every fault that was found.
    #[must_use]
    pub fn faults(mut self, faults: impl IntoIterator<Item = String>) -> Self {
        self.faults.extend(faults);
        self
    }

    /// Adds the rollout that is in the way.
    #[must_use]
    pub const fn rollout(mut self, rollout: RolloutId) -> Self {
        self.rollout = Some(rollout);
        self
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(cause.into());
        self
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The sentence.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What to do next, where something is known.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Every fault found.
    #[must_use]
    pub fn all_faults(&self) -> &[String] {
        &self.faults
    }

    /// The rollout that is in the way.
    #[must_use]
    pub const fn blocking_rollout(&self) -> Option<RolloutId> {
        self.rollout
    }

    /// The sentence and all causes, for the log.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.detail.clone();
        let mut next = self.source();
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|cause| &**cause as &(dyn StdError + 'static))
    }
}
