//! The doors. Each is thin: it translates a request, calls one verb, and translates the answer.

pub mod own;

pub mod deploys;
mod etag;
mod extract;
mod fleet;
mod guard;
mod idempotency;
mod observe;
mod openapi;
mod problem;
mod releases;
mod sse;
pub(crate) mod table;
mod words;

pub use idempotency::WITHOUT_KEY;
pub(crate) use releases::Through;

pub use openapi::document;
pub use table::{Access, Route, routes};
