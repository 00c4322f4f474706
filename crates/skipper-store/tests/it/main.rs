//! The contract of the store, kept on SQLite and on PostgreSQL alike.
//!
//! PostgreSQL is started by the tests where its programs are installed, or reached by `SKIPPER_TEST_POSTGRES`; else a
//! line says that it was left out.

mod backups;
mod batches;
mod branches;
mod callbacks;
mod claims;
mod durable;
mod events;
mod figures;
mod idempotency;
mod intents;
mod leases;
mod lists;
mod openings;
mod package_pages;
mod packages;
mod past;
mod phases;
mod postgres;
mod random;
mod refreshes;
mod samples;
mod secrets;
mod statements;
mod tokens;
mod world;

/// Runs each contract on both databases.
macro_rules! contract {
    ($($name:ident)*) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let world = crate::world::World::sqlite().await;
                super::$name(&world).await;
                world.done().await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(world) = crate::world::World::postgres().await else { return };
                super::$name(&world).await;
                world.done().await;
            })*
        }
    };
}
pub(crate) use contract;
