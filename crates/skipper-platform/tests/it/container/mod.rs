//! What every platform promises, kept by containers, on each engine that is here.

pub(crate) mod garbage;
pub(crate) mod images;
pub(crate) mod launching;
mod pods;
pub(crate) mod reading;
mod registry;
pub(crate) mod trouble;
pub(crate) mod world;
