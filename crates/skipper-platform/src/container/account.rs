//! The account's memory: the connection to its engine, who is acting on which container, and the highest right seen.
//!
//! The engine is the truth about containers; nothing is remembered of them that it could not be asked. What was read out of
//! an image is remembered, since an image never changes.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, Once, PoisonError, Weak},
    time::Duration,
};

use bollard::{API_DEFAULT_VERSION, Docker, errors::Error as Said};
use skipper_core::{deployment::DeploymentId, port::Error};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    config::ContainerConfig,
    fault,
    files::{Looks, Read},
    kept::InUse,
};
use crate::local::Fences;

/// Longest the engine may take to begin an answer. Whoever asks waits by a deadline of its own; this ends what is left
/// behind.
const ANSWER_SECS: u64 = 300;
/// Longest the first question of a connection may take: an engine that is busy keeps everybody waiting for a while.
const NEGOTIATE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Account {
    pub config: ContainerConfig,
    /// Watching ends; containers go on.
    pub stop: CancellationToken,
    pub changed: Notify,
    pub fences: Fences,
    /// Starts the one watch of the engine's events.
    pub watching: Once,
    pub(super) read: Read,
    pub(super) looks: Looks,
    pub(super) in_use: InUse,
    client: Mutex<Option<Docker>>,
    /// The version of that engine, once it has told it.
    number: Mutex<Option<String>>,
    turns: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

impl Account {
    pub(crate) fn new(config: ContainerConfig) -> Self {
        Self {
            fences: Fences::new(config.root.clone()),
            config,
            stop: CancellationToken::new(),
            changed: Notify::new(),
            watching: Once::new(),
            read: Read::default(),
            looks: Looks::default(),
            in_use: InUse::default(),
            client: Mutex::new(None),
            number: Mutex::new(None),
            turns: Mutex::default(),
        }
    }

    /// The engine, by a version of its API that both sides know. An engine that comes back may be another one, so it is
    /// asked again once it was away.
    pub(crate) async fn engine(&self) -> Result<Docker, Error> {
        let known = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known {
            return Ok(known);
        }
        let what = format!("reach {}", self.config.kind);
        let failed = |said| fault::error(&self.config, &what, said);
        let fresh = connect(&self.config.host).map_err(failed)?;
        let negotiated = tokio::time::timeout(NEGOTIATE, fresh.negotiate_version()).await;
        let fresh = negotiated.unwrap_or(Err(Said::RequestTimeoutError)).map_err(failed)?;
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(fresh.clone());
        Ok(fresh)
    }

    /// The engine's version, for people. Podman takes most of a second to tell it, so it is asked once, and from then on only
    /// whether it answers.
    pub(crate) async fn number(&self) -> Result<String, Error> {
        let engine = self.engine().await?;
        let what = format!("ask {} for its version", self.config.kind);
        let known = self.number.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known {
            engine.ping().await.map_err(|said| self.failed(&what, said))?;
            return Ok(known);
        }
        let version = engine.version().await.map_err(|said| self.failed(&what, said))?;
        let number = version.version.unwrap_or_default();
        *self.number.lock().unwrap_or_else(PoisonError::into_inner) = Some(number.clone());
        Ok(number)
    }

    /// What the engine said as an error, see [`fault::error`].
    pub(crate) fn failed(&self, what: impl AsRef<str>, said: Said) -> Error {
        if fault::is_down(&said) {
            *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
            *self.number.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        fault::error(&self.config, what.as_ref(), said)
    }

    /// Held by whoever launches, stops or runs that container.
    pub(crate) fn turn(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(name).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        turns.insert(name.to_owned(), Arc::downgrade(&turn));
        turn
    }

    /// The folder of a deployment: its fence, and what its instances need beside the image.
    pub(super) fn deployment_dir(&self, id: &DeploymentId) -> PathBuf {
        self.config.root.join(id.as_str())
    }

    /// The folder of one instance.
    pub(super) fn instance_dir(&self, id: &DeploymentId, index: u32) -> PathBuf {
        self.deployment_dir(id).join(index.to_string())
    }
}

/// A client. Connects with the first question, but a socket has to be there.
fn connect(host: &str) -> Result<Docker, Said> {
    if host.starts_with("unix://") {
        return Docker::connect_with_unix(host, ANSWER_SECS, API_DEFAULT_VERSION);
    }
    Docker::connect_with_http(host, ANSWER_SECS, API_DEFAULT_VERSION)
}
