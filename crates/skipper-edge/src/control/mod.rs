//! The control socket: one versioned JSON schema, framed by length, spoken between a server and an edge that need not be
//! of the same release, and between an edge and the one that takes over from it.
//!
//! A frame is four bytes of length (big endian) and that many bytes of JSON. A connection carries one request at a time.
//! Fields that the receiver does not know are ignored; operations that it does not know are refused with `unknown-op`.

pub(crate) mod client;
pub(crate) mod frame;
pub(crate) mod handover;
pub(crate) mod server;
pub(crate) mod socket;
pub(crate) mod wire;
