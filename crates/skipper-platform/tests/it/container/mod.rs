//! What every platform promises, kept by containers, on each engine that is here.

mod garbage;
mod images;
mod launching;
mod pods;
mod reading;
mod registry;
mod trouble;
pub(crate) mod world;
