//! Skipper's own door, `/v1`.

pub mod wire;
