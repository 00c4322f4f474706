//! The door of Spring Cloud Skipper's clients, `/api`: both of its generations on one server.
//!
//! `hal` has the resources that Spring Data REST would export. [`negotiate`] says in which generation's shape a path answers
//! that both of them know.

mod hal;
mod negotiate;
mod wire;

use http::Uri;

use super::table::Row;

/// The routes of this door.
pub(crate) fn rows() -> Vec<Row> {
    hal::rows()
}

/// Whether a path is one whose refusals have no body.
pub(crate) fn refuses_in_silence(uri: &Uri) -> bool {
    hal::is_resource(uri.path())
}
