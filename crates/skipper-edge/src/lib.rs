//! The way in: the proxy that owns host names and ports, its routing table and snapshot, and the client by which the
//! server controls it.
//!
//! The data plane ([`run`], [`Edge`]) is a process of its own that knows nothing of releases, stores or platforms: it is
//! told whole [`skipper_core::route::Service`]s over a unix socket, forwards requests by an atomic table, counts them,
//! and says when a deployment is idle. It outlives the server. The control side ([`EdgeRouter`], [`EdgeSupervisor`]) runs
//! in the server.
//!
//! # Threads
//!
//! One thread a core serves connections, each with a runtime of its own and upstream connections that no other thread
//! sees; one accepts and hands the connections out in turn; one answers the control socket. A request touches shared
//! memory for the table (two atomic loads) and the counters of its target, and nothing else.

mod acme;
mod config;
mod control;
mod edge;
mod error;
mod http1;
mod http2;
mod listen;
mod net;
mod proxy;
mod router;
mod run;
mod state;
mod stats;
mod supervisor;
mod table;
mod verify;

pub use acme::{AcmeConfig, ChallengeKind, ExternalAccount};
pub use config::{Certificates, ConfigError, EdgeConfig, Limits, Network, Redirect, SharedListen, control_path};
pub use control::wire::{AcmeInfo, CertificateInfo, EdgeInfo, ListenerInfo, ShutInfo, TableRow};
pub use edge::Edge;
pub use error::Error;
pub use listen::certificate_names;
pub use router::EdgeRouter;
pub use run::run;
pub use supervisor::{EdgeProcess, EdgeSupervisor, Ensured};
