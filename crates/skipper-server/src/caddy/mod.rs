//! Caddy in front of the edge: host names and TLS are its, traffic is shifted behind it.
//!
//! For each host name that a release has on the edge, Caddy gets a route to one address that never changes: the edge's. A deploy changes
//! nothing in Caddy; only a host name that comes or goes does. [`plan`] decides what has to change and asks nobody; [`admin`] reads and
//! replaces Caddy's configuration, each time on the condition that nobody else changed it meanwhile; [`front`] does both whenever there
//! may be a reason to.

mod admin;
mod board;
mod found;
mod front;
mod plan;
mod settings;

pub use board::{Board, CaddyHealth, CaddyState};
pub use plan::{Entry, Left};
pub use settings::{AdminAddress, Dns, Settings, Tls, parse_dial, parse_listen, parse_wildcard};

pub(crate) use front::Front;
