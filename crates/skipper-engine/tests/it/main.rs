//! The engine in a world of fakes whose time stands still unless everybody waits.

mod drawing;
mod enumeration;
mod rollouts;
mod server;
mod supervision;
mod waves;
