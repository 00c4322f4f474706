//! Errors of the wire itself, and those that came over it.

use std::{error::Error as StdError, time::Duration};

use skipper_core::{
    name::NodeName,
    port::{Error, ErrorKind},
};

use super::{OLDEST, Reply, VERSION, code, message::Fault};

/// Longest part of an error that is told on.
const LONGEST: usize = 16 << 10;

/// That there is no connection to a node, and so nothing was sent: for [`super::Wire::ask`].
#[must_use]
pub fn unreachable(node: &NodeName) -> Error {
    Error::new(ErrorKind::Transient, "node-unreachable", format!("node `{node}` is not connected"))
        .hint("look whether its agent runs and reaches this server: `skipper node show`")
}

/// That the connection to a node broke, or that the node went silent, while a call was on its way: for [`super::Wire::ask`] and
/// the body of its answer.
#[must_use]
pub fn cut(node: &NodeName, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Unknown, "node-cut", format!("the connection to node `{node}` was lost in mid-call"))
        .hint("what was asked for may have been done; it is looked at when the agent is connected again")
        .because(cause)
}

/// That a node's answer is not there in time.
pub(super) fn late(node: &NodeName, path: &str, deadline: Duration) -> Error {
    let message = format!("node `{node}` did not answer `{path}` within {} ms", deadline.as_millis());
    Error::new(ErrorKind::Unknown, "deadline", message).hint("it may go on there; it is looked at again")
}

/// That a node's answer is not what it should be.
pub(super) fn nonsense(node: &NodeName, path: &str, what: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Unknown, "node-answer", format!("understand what node `{node}` answered to `{path}`"))
        .hint("let server and agent be of the same release")
        .because(what)
}

/// That the two sides have no schema in common.
pub(super) fn foreign_version(node: &NodeName, oldest: u32, newest: u32) -> Error {
    let message =
        format!("node `{node}` speaks versions {oldest} to {newest} of the link, this server {OLDEST} to {VERSION}");
    let older = if newest < OLDEST { "update the agent" } else { "update this server" };
    Error::new(ErrorKind::Permanent, "link-version", message).hint(older)
}

/// What the node said, with its name.
pub(super) fn refusal(node: &NodeName, path: &str, status: u16, body: &[u8]) -> Error {
    let Ok(fault) = serde_json::from_slice::<Fault>(body) else {
        return nonsense(node, path, format!("status {status} without a reason"));
    };
    fault.error(&format!("node `{node}`: "))
}

impl Fault {
    /// As it crosses the wire.
    pub(super) fn of(error: &Error) -> Self {
        let message = error.to_string();
        let chain = error.chain();
        let cause = chain.strip_prefix(&message).and_then(|rest| rest.strip_prefix(": "));
        let cause = cause.filter(|cause| !cause.is_empty());
        let kind = match error.kind() {
            ErrorKind::Transient => "transient",
            ErrorKind::Permanent => "permanent",
            ErrorKind::Damaged => "damaged",
            ErrorKind::Fenced => "fenced",
            ErrorKind::Unknown => "unknown",
            ErrorKind::NotFound => "not-found",
        };
        Self {
            kind: kind.to_owned(),
            code: error.code().to_owned(),
            cause: cause.map(bounded),
            message: bounded(&message),
            hint: error.advice().map(bounded),
        }
    }

    /// As whoever asked gets it. A kind that is not known counts as not known.
    pub(super) fn error(self, prefix: &str) -> Error {
        let kind = match self.kind.as_str() {
            "transient" => ErrorKind::Transient,
            "permanent" => ErrorKind::Permanent,
            "damaged" => ErrorKind::Damaged,
            "fenced" => ErrorKind::Fenced,
            "not-found" => ErrorKind::NotFound,
            _ => ErrorKind::Unknown,
        };
        let mut error = Error::new(kind, code::known(&self.code), format!("{prefix}{}", bounded(&self.message)));
        if let Some(hint) = &self.hint {
            error = error.hint(bounded(hint));
        }
        match self.cause {
            Some(cause) => error.because(bounded(&cause)),
            None => error,
        }
    }
}

/// The beginning of a text that may be long.
fn bounded(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(LONGEST)])
}

/// What a desk answers to a path that it does not know.
pub(super) fn unknown_path(path: &str, release: &str) -> Reply {
    let shown: String = path.chars().take(120).collect();
    let message = format!("the agent (release {release}) does not know `{shown}`");
    let error = Error::new(ErrorKind::Permanent, "unknown-method", message)
        .hint("the agent is older than this server: update it");
    Reply::with(Reply::UNKNOWN, &error)
}
