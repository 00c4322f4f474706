//! What Skipper is about: releases, revisions, rollouts, plans, routes, events, and the ports through which the
//! engine reaches the world.
//!
//! Nothing here performs I/O, reads a clock, makes an id or knows another program's file format, so every decision in
//! this crate can be tested by the thousand. The only serialised forms that live here are those of Skipper's own
//! documents (spec, plan, events), which carry a version, and those in which the ports' answers come from a node.

pub mod actor;
pub mod compose;
pub mod deployment;
pub mod event;
pub mod fleet;
pub mod generation;
pub mod health;
pub mod id;
pub mod name;
pub mod policy;
pub mod port;
pub mod release;
pub mod rollout;
pub mod route;
pub mod secret;
pub mod spec;
pub mod time;

mod digest;

pub use digest::{Sha256, Sha256ParseError, canonical_json};

use std::pin::Pin;

/// The future of an object-safe port method.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// The stream of an object-safe port method.
pub type BoxStream<'a, T> = Pin<Box<dyn futures::Stream<Item = T> + Send + 'a>>;
