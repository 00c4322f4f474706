//! What is the same for every protocol version: which header fields pass, who a client is, where a request goes, and
//! the edge's own answers.

mod admission;
mod answer;
pub(crate) mod date;
mod fields;
mod forwarded;
mod host;
mod pool;
mod reply;
mod shared;

pub(crate) use self::{
    admission::{Entry, enter},
    answer::{Asked, answer},
    fields::{Field, Nominated, classify, tokens},
    forwarded::{Client, Said},
    host::normalise,
    pool::{checkout, keep, reap},
    reply::Reply,
    shared::{IDLE_LOOK, Origin, Shared, same},
};
