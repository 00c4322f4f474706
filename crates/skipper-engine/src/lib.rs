//! WHEN things happen: rollouts carried out step by step from a durable log, and what runs kept running.
//!
//! The engine knows core's ports and nothing behind them: no SQL, no HTTP, no platform, no source format. It decides
//! little by itself; what is to be done is a plan that a pure function of core computed. What the engine adds is
//! persistence: every effect has a *started* record before it and a *done* record after it, so that after a crash the
//! same step is simply run again.
//!
//! - [`Engine::run`] takes up open rollouts, each under a lease, and supervises what runs;
//! - [`EngineHandle`] is what the rest of the server holds: it wakes the engine, asks it for a plan and for what it knows.

mod config;
mod engine;
mod failure;
mod handle;
mod lease;
mod modes;
mod place;
mod planning;
mod published;
mod retry;
mod rollout;
mod service;
mod status;
mod step;
mod supervise;

pub use config::{
    Elsewhere, EngineConfig, GarbageSettings, LeaseSettings, LeaseTooShort, Platforms, RestartSettings, Routers, Tuning,
};
pub use engine::Engine;
pub use failure::Failure;
pub use handle::EngineHandle;
pub use planning::PlanRequest;
pub use status::{Activity, InstanceHealth, InstanceState, ReleaseHealth};
