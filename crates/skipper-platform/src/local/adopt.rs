//! Finding again what an earlier server, or a keeper that was killed, left running.

use std::{fs, path::Path, sync::Arc};

use futures::StreamExt as _;
use skipper_core::port::{Error, ErrorKind};
use tracing::{info, warn};

use super::{
    account::{Account, Slot, blocking},
    keeper,
    spawn::{self, Spawned},
};

/// How many folders are looked at side by side.
const AT_ONCE: usize = 16;

/// Looks at everything in the account's folder, once, and watches what runs.
///
/// The look is a task of its own: whoever asks first may stop polling half-way, as a stream of questions does while its
/// consumer is busy with one answer, and must not hold up everybody else.
pub(super) async fn everything(account: &Arc<Account>) {
    account.adopting.call_once(|| {
        let account = Arc::clone(account);
        account.config.tasks.clone().spawn(async move {
            look_at_all(&account).await;
            account.adopted.cancel();
        });
    });
    account.adopted.cancelled().await;
}

async fn look_at_all(account: &Arc<Account>) {
    let root = account.config.root.clone();
    let dirs = blocking(move || instance_dirs(&root)).await.unwrap_or_default();
    let found = dirs.len();
    futures::stream::iter(dirs)
        .for_each_concurrent(AT_ONCE, |dir| async {
            let slot = account.slot(dir);
            if let Err(error) = account.see(&slot).await {
                warn!(instance = %slot.folder.0.display(), error = error.chain(), "look at an instance");
            }
        })
        .await;
    if found > 0 {
        info!(platform = %account.config.account, instances = found, "looked at what is here");
    }
}

/// Folders of all instances and jobs.
fn instance_dirs(root: &Path) -> Vec<std::path::PathBuf> {
    let subfolders = |dir: &Path| -> Vec<std::path::PathBuf> {
        let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    };
    let is_instance = |path: &Path| path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.parse::<u32>().is_ok());
    let mut found = subfolders(&root.join(".hooks"));
    for deployment in subfolders(root) {
        found.extend(subfolders(&deployment).into_iter().filter(|path| is_instance(path)));
    }
    found
}

/// Starts a second keeper for a process whose first one was killed.
pub(super) async fn replace_keeper(account: &Arc<Account>, slot: &Arc<Slot>) -> Result<(), Error> {
    let (command, folder) = (account.config.keeper.clone(), slot.folder.clone());
    let spawned = blocking(move || spawn::keeper(&command, keeper::ADOPT, &folder, &[])).await?;
    let failed = |message: String| Error::new(ErrorKind::Transient, "keeper-failed", message);
    match spawned.map_err(|cause| failed("start a keeper".to_owned()).because(cause))? {
        Spawned::Started(_) | Spawned::Busy => Ok(()),
        Spawned::Failed(failure) => {
            // Usually: the process has ended meanwhile. Looking again will tell.
            info!(instance = %slot.folder.0.display(), reason = failure.message, "no keeper was needed");
            Ok(())
        }
        Spawned::Silent => Err(failed("the keeper ended without an answer".to_owned())),
        Spawned::Slow(process) => {
            account.config.tasks.spawn(async move { super::watch::ended(process).await });
            Err(failed("the keeper does not answer".to_owned()))
        }
    }
}
