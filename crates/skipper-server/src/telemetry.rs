//! The log: one line an event on standard error, as text or JSON.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::{LogConfig, LogFormat};

/// Starts logging for the whole process.
///
/// # Errors
///
/// A sentence when the level is no filter (`info`, `skipper_server=debug,info`), or something logs already.
pub fn init(config: &LogConfig) -> Result<(), String> {
    let filter = EnvFilter::try_new(&config.level)
        .map_err(|cause| format!("`log.level` = `{}` is not a level or filter: {cause}", config.level))?;
    // At `trace` it writes down whole requests, and with them the secrets of a container.
    let quiet = "bollard=info".parse().map_err(|cause| format!("quieten the engine's client: {cause}"))?;
    let filter = filter.add_directive(quiet);
    let registry = tracing_subscriber::registry().with(filter);
    let result = match config.format {
        LogFormat::Json => registry.with(fmt::layer().json().flatten_event(true).with_writer(io::stderr)).try_init(),
        LogFormat::Text => {
            let mut layer = fmt::layer().with_writer(io::stderr).with_target(false);
            if !io::stderr().is_terminal() {
                // On a terminal the layer decides, by NO_COLOR; a file or journal is never coloured.
                layer = layer.with_ansi(false);
            }
            registry.with(layer).try_init()
        }
    };
    result.map_err(|cause| format!("start logging: {cause}"))
}
