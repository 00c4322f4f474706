//! The verbs: each one authorises, applies the rules, stores, and wakes the engine. Doors translate to and from them.
//!
//! A verb that changes what runs is made in two halves. The first, a file a verb, finds out what is wanted and renders it
//! (a [`Prepared`]); the second is the same for all: [`intent::accept`] stores it, [`plan::plan`] shows what it would do.

pub mod actuator;
pub mod apply;
pub mod apps;
pub mod backup;
pub mod cancel;
pub mod catalog;
pub mod delete;
pub mod deploy;
pub mod diff;
pub mod edge;
pub mod events;
pub mod exec;
pub mod fleet;
pub mod history;
pub mod hold;
pub mod install;
pub mod intent;
pub mod list;
pub mod logs;
pub mod manifest;
pub mod nodes;
pub mod orders;
pub mod packages;
pub mod plan;
pub mod previews;
pub mod publish;
pub mod repositories;
pub mod resources;
pub mod rollback;
pub mod rollout;
pub mod scale;
pub mod secrets;
pub mod status;
pub mod take_over;
pub mod tokens;
pub mod upgrade;
pub mod versions;
pub mod wait;
pub mod why;
pub mod wrong;

mod caller;
pub(crate) mod difference;
mod find;
mod kept;
mod last_words;
mod render;

pub use caller::Caller;
pub(crate) use caller::{permit, permit_all};
pub use intent::{Options, Prepared};
pub use kept::{Kept, KeptCache, KeptText};
pub use packages::Wanted;
pub use render::raw_values;
