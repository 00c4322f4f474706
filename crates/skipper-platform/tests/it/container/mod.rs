//! What every platform promises, kept by containers, on each engine that is here.

mod images;
mod launching;
mod pods;
mod reading;
mod trouble;
pub(crate) mod world;
