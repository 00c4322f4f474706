//! Why something did not work, on its way into a rollout's cause.

use std::{fmt, time::Duration};

use serde_json::{Value, json};
use skipper_core::{
    deployment::Exit,
    port::{Error as PortError, ErrorKind},
    rollout::Cause,
    time::Timestamp,
};

/// What broke, in words and with a stable code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A stable word: `unhealthy`, `exited`, `plan-changed`, or a port's own code.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// What the operator can do.
    pub hint: Option<String>,
    /// How instances ended, where that is what broke.
    pub exits: Vec<(u32, Exit)>,
}

impl Failure {
    pub(crate) fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), hint: None, exits: Vec::new() }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn exit(mut self, index: u32, exit: Exit) -> Self {
        self.exits.push((index, exit));
        self
    }

    /// A bound has passed; `last` is what was last heard.
    pub(crate) fn bound(code: impl Into<String>, what: &str, bound: Duration, last: Option<&str>) -> Self {
        let last = last.map(|last| format!("; last: {last}")).unwrap_or_default();
        Self::new(code, format!("{what} took longer than its bound of {bound:?}{last}"))
    }

    pub(crate) fn into_cause(self, step: Option<u32>, at: Timestamp) -> Cause {
        Cause { code: self.code, message: self.message, hint: self.hint, step, at }
    }

    /// What the step log keeps, so that a crash between the log and the phase loses nothing.
    pub(crate) fn to_json(&self) -> Value {
        json!({"code": self.code, "message": self.message, "hint": self.hint, "exits": self.exits})
    }

    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let text = |key: &str| value.get(key)?.as_str().map(str::to_owned);
        let exits = value.get("exits").and_then(|exits| serde_json::from_value(exits.clone()).ok()).unwrap_or_default();
        Some(Self { code: text("code")?, message: text("message")?, hint: text("hint"), exits })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<&PortError> for Failure {
    fn from(error: &PortError) -> Self {
        Self {
            code: error.code().to_owned(),
            message: error.chain(),
            hint: error.advice().map(str::to_owned),
            exits: Vec::new(),
        }
    }
}

/// Why the work on a rollout ends before the rollout does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Halt {
    /// The lease is lost: somebody else works on it. No further effect.
    Lost,
    /// The outcome of a write is not known: load again and go on from the log.
    Reload,
    /// The store cannot take it now; try the rollout again later.
    Later,
    /// What is stored of the rollout cannot be read, now or later.
    Unreadable,
}

/// Why a step ended without being done.
#[derive(Debug)]
pub(crate) enum StepError {
    /// It broke.
    Failed(Failure),
    /// The work ends here.
    Halt(Halt),
}

impl From<Failure> for StepError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Halt> for StepError {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

impl From<PortError> for StepError {
    /// An error that is not retried any more.
    fn from(error: PortError) -> Self {
        match error.kind() {
            ErrorKind::Fenced => Self::Halt(Halt::Lost),
            _ => Self::Failed(Failure::from(&error)),
        }
    }
}
