//! Platforms and the router of another machine, over a wire.
//!
//! The server's side is a [`RemoteNode`], which makes a [`RemotePlatform`] of each account that its agent offers and a
//! [`RemoteRouter`] of its edge; the node's side is a [`Desk`], which is given real platforms and answers for them. In between
//! is a [`Wire`]: whoever has a connection implements it. Nothing here knows what the connection is.
//!
//! A call is a path and a body, and a [`Reply`] to them:
//!
//! | path | answer |
//! |---|---|
//! | `/platforms` | a [`Greeting`]: who is there and what it can do |
//! | `/platforms/ACCOUNT/METHOD` | what the method of [`skipper_core::port::Platform`] answers; `logs`: a line of JSON for each line of output |
//! | `/router/METHOD` | what the method of [`skipper_core::port::Router`] answers |
//! | `/changes` | a line of JSON whenever something may have changed on one of the platforms, for as long as it is read |
//!
//! Bodies and answers are JSON. A body is `{"v": 1, "deadline_ms": …, "with": {…}}`: by which schema it was written, how long the
//! caller waits, and the arguments. Unknown fields are ignored and unknown paths refused by name, so that an agent and a
//! server of different releases get along; a change of meaning takes a new [`VERSION`].
//!
//! What holds on the wire:
//!
//! - **Deadlines** are kept on both sides: the node's driver is given a little less than the caller has, so that what it says in
//!   the end still arrives. A caller whose deadline has passed gets [`skipper_core::port::ErrorKind::Unknown`].
//! - **Sizes** are bounded on both sides: a request by [`MAX_REQUEST`], an answer and a line of a stream by what the method may
//!   have to say.
//! - **Secrets** are in the bodies of `launch` and `run_hook` alone. Bodies are never shown, logged or kept.
//! - **Generations** are passed on as they are: the node's drivers fence, in the node's own folders.
//! - **Streams** end on the node when they are dropped here, and wait there for whoever reads slowly here.
//! - **Addresses** of instances are addresses on the node, of its loopback device. Nothing here can reach them: traffic to them is
//!   led by the node's own edge, that is by [`RemoteRouter`], which is why [`RemotePlatform`] always has the capability `routes`.
//! - **Times** in answers are the node's clock.
//! - **An answer is believed** only as far as it goes: an application that was reviewed or pinned on a node comes back with the same
//!   name, routes, dependencies and secrets, on the same node; a digest that was demanded is the digest that is answered.

mod changes;
mod code;
mod desk;
mod fault;
mod lines;
mod message;
mod node;
mod platform;
mod router;
mod wire;

use std::time::Duration;

pub use desk::Desk;
pub use fault::{cut, unreachable};
pub use message::Greeting;
pub use node::RemoteNode;
pub use platform::RemotePlatform;
pub use router::RemoteRouter;
pub use wire::{Reply, Wire};

/// The schema spoken here.
pub const VERSION: u32 = 1;
/// The oldest schema still understood.
pub const OLDEST: u32 = 1;
/// Most bytes of a request's body. Whoever receives one reads no more than that.
pub const MAX_REQUEST: usize = 8 << 20;

/// Most bytes of an answer that has no reason to be long.
const MAX_ANSWER: usize = 8 << 20;
/// Most bytes of a refusal.
const MAX_FAULT: usize = 256 << 10;
/// Time for what is done at once, and for a stream to begin.
const PROMPT: Duration = Duration::from_secs(15);
