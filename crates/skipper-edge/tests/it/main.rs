//! The edge as a whole: real sockets, real upstreams, an edge in this process or (where one has to die) in a child.

mod support;

mod acme;
mod control;
mod early;
mod forwarding;
mod handover;
mod hostile;
mod http2;
mod modes;
mod process;
mod scale;
mod shift;
mod streaming;
mod tls;
