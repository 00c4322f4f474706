//! With what: the only crate that talks to platforms.
//!
//! Each platform is a module that implements [`skipper_core::port::Platform`]; [`local`], processes of this host, and
//! [`container`], containers of Docker or Podman; [`remote`] is those of another machine.
//! What several of them need stands beside: [`artifact`] brings resources here, [`probe`] makes one health attempt.
//! Nothing in here decides anything: what to launch, when to stop and what an answer means is the engine's.

pub mod artifact;
mod bounded;
pub mod compose;
pub mod container;
pub mod local;
pub mod probe;
pub mod remote;

pub use local::keeper;
