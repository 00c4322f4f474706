//! The store: everything Skipper remembers, in SQLite or PostgreSQL. The only crate that knows SQL.
//!
//! [`Store`] implements [`skipper_core::port::RolloutStore`] for the engine and has one method a verb for the server:
//! `release_get`, `intent_create`, `events_list`. One file a table; names are resource, then verb; what needs an open
//! transaction ends in `_in_txn`.
//!
//! What is promised:
//!
//! - A write that returned is on disk (SQLite: WAL with `synchronous = FULL`; PostgreSQL: its own default).
//! - A change and the events that tell of it are one transaction. Events have no gaps, come in the order of commits, and
//!   each holds the hash of the one before.
//! - A release has at most one open rollout and one waiting; the database itself refuses a second.
//! - Whoever writes for a rollout shows its lease; a lower generation than the newest changes nothing.
//! - Every method may be dropped at any await: its transaction happens as a whole or not at all.

mod abandon;
mod agents;
mod aside;
mod backup;
mod branch;
mod bundle;
mod callback;
mod config;
mod copy;
mod create;
mod db;
mod engine;
mod error;
mod event;
mod foreign;
mod home;
mod idempotency;
mod intent;
mod json;
mod kept;
mod lease;
mod listen;
mod live;
mod meta;
mod mode;
mod needed;
mod node;
mod node_token;
mod note;
mod open;
mod package;
mod package_find;
mod package_page;
mod past;
mod port_claim;
mod refresh;
mod release;
mod release_metadata;
mod repository;
mod resolved;
mod resource;
mod restore;
mod revision;
mod rollout;
mod route_claim;
mod schema;
mod seal;
mod sealed_answer;
mod secret;
mod settle;
mod slip;
mod step;
mod store;
mod tenant;
mod token;
mod version;
mod work_order;
mod work_order_take;

pub use backup::Backup;
pub use branch::DatabaseBranch;
pub use callback::{Callback, CallbackNote, Told};
pub use config::{Location, StoreConfig};
pub use error::Error;
pub use event::{ChainBreak, ChainReport, EventFilter};
pub use foreign::read_postgres;
pub use home::Home;
pub use idempotency::{Alias, Begun, Claim, IdempotencyKey, Once, StoredAnswer};
pub use intent::{IntentAccepted, NewIntent};
pub use meta::{Counts, Meta};
pub use node::{Node, Seen};
pub use node_token::{Answered, NodeToken};
pub use package::{NewPackage, Package, PackageCursor, PackageUser, Words};
pub use package_find::PackageFilter;
pub use package_page::{PackageMatch, PackageOrder, PackagePage};
pub use past::PastRevision;
pub use refresh::{Change, Changed, IndexRow, Known, RefreshOutcome, Turn};
pub use release::{ListedRelease, Numeric, OpenRollout};
pub use release_metadata::ByMetadata;
pub use repository::{NewRepository, RefreshState, Repository, RepositoryKind};
pub use resource::{Resource, ResourceFilter};
pub use restore::{Restore, Restored};
pub use revision::{HistoryEntry, RevisionSummary};
pub use rollout::CancelOutcome;
pub use route_claim::RouteClaim;
pub use schema::SCHEMA_VERSION;
pub use seal::KeySource;
pub use secret::SecretInfo;
pub use slip::{SlipDeploy, read_slip};
pub use store::Store;
pub use token::{NewToken, Token, TokenSecret};
pub use version::{RunningVersion, StoredVersion, VersionFilter, VersionOrder};
pub use work_order::{NewOrder, Order, OrderFilter};
pub use work_order_take::Renewed;

/// Every SQL text by name, for the test that prepares them all on both databases.
#[doc(hidden)]
#[must_use]
pub fn statements() -> Vec<(&'static str, &'static str)> {
    [
        branch::STATEMENTS,
        bundle::STATEMENTS,
        callback::STATEMENTS,
        event::STATEMENTS,
        idempotency::STATEMENTS,
        intent::STATEMENTS,
        kept::STATEMENTS,
        lease::STATEMENTS,
        live::STATEMENTS,
        meta::STATEMENTS,
        package::STATEMENTS,
        past::STATEMENTS,
        package_find::STATEMENTS,
        refresh::STATEMENTS,
        package_page::STATEMENTS,
        port_claim::STATEMENTS,
        release::STATEMENTS,
        release_metadata::STATEMENTS,
        repository::STATEMENTS,
        abandon::STATEMENTS,
        home::STATEMENTS,
        mode::STATEMENTS,
        needed::STATEMENTS,
        node::STATEMENTS,
        node_token::STATEMENTS,
        resolved::STATEMENTS,
        resource::STATEMENTS,
        revision::STATEMENTS,
        rollout::STATEMENTS,
        route_claim::STATEMENTS,
        secret::STATEMENTS,
        settle::STATEMENTS,
        step::STATEMENTS,
        tenant::STATEMENTS,
        token::STATEMENTS,
        version::STATEMENTS,
        work_order::STATEMENTS,
        work_order_take::STATEMENTS,
    ]
    .concat()
}
