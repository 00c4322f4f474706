//! A consistent copy of the database, made while the server goes on and sent as a stream.

use std::{io, path::PathBuf};

use bytes::Bytes;
use futures::Stream;
use skipper_core::{event::NewEvent, policy::Action, port::RolloutStore as _};
use tokio::fs;
use tokio_util::io::ReaderStream;

use super::Caller;
use crate::{app::App, error::Error};

/// A backup on its way out.
#[derive(Debug)]
pub struct Backup {
    /// Its length in bytes.
    pub bytes: u64,
    /// The file, already unlinked: it goes when it has been read, or when the client has gone.
    pub file: fs::File,
}

impl Backup {
    /// Its bytes.
    pub fn stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        ReaderStream::with_capacity(self.file, 64 * 1024)
    }
}

/// Makes a backup. It holds everything except the key that seals secrets.
///
/// # Errors
///
/// The disk is full, or cannot be written.
///
/// # Cancel safety
///
/// Safe to drop: what was begun is removed by the next backup.
pub async fn backup(app: &App, caller: &Caller) -> Result<Backup, Error> {
    caller.may_all(Action::Administer)?;
    let path: PathBuf = app.scratch.join(format!("backup-{}.db", app.ids.next()));
    let made = app.store.backup(&path).await?;
    let file = fs::File::open(&path).await;
    // From here on the open file is all there is of it.
    let unlinked = fs::remove_file(&path).await;
    let file = file.and_then(|file| unlinked.map(|()| file)).map_err(Error::internal)?;
    let told = NewEvent {
        kind: "backup.taken".to_owned(),
        tenant: None,
        release: None,
        revision: None,
        rollout: None,
        provenance: caller.provenance.clone(),
        data: serde_json::json!({"bytes": made.bytes}),
    };
    app.store.tell(vec![told]).await.map_err(Error::internal)?;
    Ok(Backup { bytes: made.bytes, file })
}
