//! One health attempt: asks once, within its time, and says in words what came back. What the answers amount to is
//! decided in [`skipper_core::health`].

mod boot;
pub(crate) mod command;
mod http;
mod tcp;

pub use boot::check as boot;
pub use command::check as command;
pub use http::check as http;
pub use tcp::{check as tcp, check_behind as tcp_behind};

use std::{io, time::Duration};

/// What one attempt found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it was the expected answer.
    pub ok: bool,
    /// What it was, for people: `200 OK in 3 ms`, `connection refused`.
    pub detail: String,
}

impl Outcome {
    /// The expected answer.
    #[must_use]
    pub fn good(detail: impl Into<String>) -> Self {
        Self { ok: true, detail: detail.into() }
    }

    /// Any other.
    #[must_use]
    pub fn bad(detail: impl Into<String>) -> Self {
        Self { ok: false, detail: detail.into() }
    }
}

fn timed_out(after: Duration) -> Outcome {
    Outcome::bad(format!(
        "timed out after {}",
        skipper_core::time::Millis(after.as_millis().try_into().unwrap_or(u64::MAX))
    ))
}

/// In the words people search for, without the number the system gives it.
fn io_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        io::ErrorKind::UnexpectedEof => "connection closed without an answer".to_owned(),
        _ => error.to_string(),
    }
}
