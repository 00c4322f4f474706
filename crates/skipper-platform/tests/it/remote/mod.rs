//! Platforms and edges of another machine: the contract of those that are here, kept over a wire.

mod alike;
mod asked;
mod cutting;
mod misled;
mod pipe;
mod puppet;
mod streams;
mod suite;

pub(crate) use pipe::far;
pub(crate) use suite::{Side, here_and_far};
