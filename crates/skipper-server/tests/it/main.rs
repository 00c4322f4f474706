//! The server in one process: the real store (SQLite) and engine, with platforms and edge in memory.

mod api;
mod apps;
mod auth;
mod callbacks;
mod databases;
mod deploys;
mod fixture;
mod fleet;
mod hal;
mod health;
mod idempotency;
mod keys;
mod matrix;
mod oidc;
mod openapi;
mod packages;
mod problems;
mod remote;
mod repositories;
mod run;
mod secrets;
mod streams;
mod verbs;
mod waves;
mod webhooks;
