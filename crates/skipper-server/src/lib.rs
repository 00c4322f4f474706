//! For whom: the verbs with their rules, the API in front of them, who may call it, and the server's configuration.
//!
//! The way of a change: door ([`api`]) -> [`verb`] -> intent stored -> engine woken. A handler translates and delegates; it
//! decides nothing. [`serve`] puts a whole server together and runs it.

pub mod api;
pub mod app;
pub mod apps;
pub mod auth;
pub mod caddy;
pub mod callbacks;
pub mod config;
pub mod databases;
pub mod edge;
pub mod error;
pub mod fleet;
pub mod held;
pub mod metrics;
pub mod repository;
pub mod resolver;
pub mod serve;
pub mod telemetry;
pub mod verb;
pub mod webhooks;

mod standard_webhook;
pub mod tenant_platforms;
