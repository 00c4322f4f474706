//! The platforms against real processes, files and sockets.

mod adopting;
mod artifacts;
mod compose;
mod container;
mod deploying;
mod hooks;
mod launching;
mod limits;
mod logging;
mod maven;
mod ports;
mod probing;
mod remote;
mod secrets;
mod stopping;
mod world;
