//! Domain types to wire types. Nothing is decided here but words.

mod edge;
mod event;
mod log;
mod package;
mod release;
mod revision;
mod rollout;
mod why;

pub(crate) use edge::caddy;
pub(crate) use event::{event, verify};
pub(crate) use log::line;
pub(crate) use package::{detail, package, platform, report, repository};
pub(crate) use release::{host_url, listed, status};
pub(crate) use revision::{diff, history, plan, revision};
pub(crate) use rollout::{accepted, cause, of as accepted_of, rollout, summary};
pub(crate) use why::why;

use skipper_core::time::Timestamp;

/// RFC 3339 in UTC, with as many digits of the second as are needed.
pub(crate) fn time(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.as_micros()).map_or_else(|_| at.as_micros().to_string(), |at| at.to_string())
}

/// Whole milliseconds.
pub(crate) fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
