//! Puts the server together.

use std::sync::Arc;

use skipper_server::config::{Config, Database, Loaded};
use skipper_store::{KeySource, Location, StoreConfig};

use crate::{
    cmd::Context,
    failure::Done,
    surroundings::Surroundings,
    world::{RandomIds, SystemClock},
};

/// Where the store of that configuration is, and what seals its secrets.
pub(crate) fn store_config(config: &Config, surroundings: &Surroundings) -> StoreConfig {
    let location = match &config.database {
        Database::Sqlite(path) => Location::Sqlite(path.clone()),
        Database::Postgres(url) => Location::Postgres(url.expose().to_owned()),
    };
    let key = match surroundings.var("SKIPPER_SECRET_KEY") {
        Some(key) => KeySource::text(key),
        None => KeySource::File(config.data_dir.join("keys/secret.key")),
    };
    StoreConfig::new(location, key, Arc::new(SystemClock), Arc::new(RandomIds)).exclusive()
}

/// Runs the server until it is told to stop.
///
/// # Errors
///
/// Why it could not start.
pub(crate) fn run(context: &Context, loaded: Loaded) -> Done {
    drop(loaded);
    context.out.line("not yet")
}
