//! Projects on the real Docker, by each compose that is here.

mod applying;
mod failing;
mod platform;
mod trouble;
mod world;
