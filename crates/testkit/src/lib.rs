//! Dev only: the world behind core's ports as fakes that live in memory, keep the ports' promises, and can be told to
//! break any one of them at any one call.
//!
//! A [`World`] outlives the servers that work in it: [`World::server`] gives the ports to one of them, and a fault may
//! kill that server in the middle of a call. What it did stays, what it would have done next never happens, and the
//! next server finds things as a real one would.

mod clock;
mod fault;
pub mod fixture;
mod ids;
pub mod neon;
pub mod pebble;
mod platform;
pub mod postgres;
mod resolver;
mod router;
mod store;
mod world;

pub use clock::TestClock;
pub use fault::{Call, Fault, Gate, Script};
pub use ids::SeededIds;
pub use platform::{Behaviour, FakePlatform, HookBehaviour};
pub use resolver::FakeResolver;
pub use router::FakeRouter;
pub use store::{Intent, MemoryStore, Refused};
pub use world::{Ports, World};
