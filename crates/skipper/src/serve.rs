//! Gives the server what it needs of this process: clock, ids, the program itself, a runtime.

use std::sync::Arc;

use skipper_server::{
    config::{Config, Database, Loaded},
    serve::World,
    telemetry,
};
use skipper_store::{KeySource, Location, StoreConfig};

use crate::{
    failure::{Doing as _, Done, Failure, chain},
    surroundings::Surroundings,
    world::{RandomIds, SystemClock},
};

/// Where the store of that configuration is, and what seals its secrets, for work beside a server that does not run.
pub(crate) fn store_config(config: &Config) -> StoreConfig {
    let location = match &config.database {
        Database::Sqlite(path) => Location::Sqlite(path.clone()),
        Database::Postgres(url) => Location::Postgres(url.expose().to_owned()),
    };
    let key = match &config.secret_key {
        Some(key) => KeySource::text(key.expose()),
        None => KeySource::File(config.data_dir.join("keys/secret.key")),
    };
    StoreConfig::new(location, key, Arc::new(SystemClock), Arc::new(RandomIds)).exclusive()
}

/// Runs the server until it is told to stop.
///
/// # Errors
///
/// Why it could not start.
pub(crate) fn run(surroundings: &Surroundings, loaded: Loaded) -> Done {
    telemetry::init(&loaded.config.log).map_err(Failure::usage)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    for finding in loaded.config.apps.get().iter().flat_map(|apps| apps.findings()) {
        tracing::warn!("{finding}");
    }
    let world = World {
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds),
        program: std::env::current_exe().doing(|| "find the own program".to_owned())?,
        runtime_dir: surroundings.runtime_dir(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("skipper")
        .build()
        .doing(|| "start the threads".to_owned())?;
    runtime.block_on(skipper_server::serve::serve(loaded.config, world)).map_err(|error| {
        // Its errors are sentences that name their causes already.
        Failure::error(if error.to_string().contains(':') { error.to_string() } else { chain(&error) })
    })
}
