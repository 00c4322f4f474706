//! Commands in an instance's environment and folder: of `skipper exec` and of health checks.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc, time::Duration};

use skipper_core::port::{Error, ErrorKind, ExecOutput};

use super::{
    account::{Account, Seen, Slot, blocking},
    process,
};
use crate::probe::command::{self, Ran};

/// Environment and folder of a running instance.
pub(super) struct Surroundings {
    pub env: BTreeMap<String, String>,
    pub dir: PathBuf,
}

/// Takes them from the running process itself, so that what is in no file (secrets) is there as well.
pub(super) async fn surroundings(account: &Arc<Account>, slot: &Arc<Slot>) -> Result<Surroundings, Error> {
    let not_running = || {
        Error::new(ErrorKind::NotFound, "not-running", format!("{} does not run", slot.folder.0.display()))
            .hint("`skipper status` tells what does")
    };
    let Seen::Running(watched) = account.see(slot).await? else { return Err(not_running()) };
    let app = watched.state.app.ok_or_else(not_running)?;
    let read = blocking(move || {
        let dir = std::fs::read_link(format!("/proc/{}/cwd", app.pid))?;
        Ok::<_, std::io::Error>((process::environment(app)?, dir))
    });
    let (env, dir) = read.await?.map_err(|cause| not_running().because(cause))?;
    Ok(Surroundings { env: env.into_iter().collect(), dir })
}

/// Runs a command to its end.
pub(super) async fn run(
    account: Arc<Account>,
    slot: Arc<Slot>,
    words: &[String],
    deadline: Duration,
) -> Result<ExecOutput, Error> {
    let around = surroundings(&account, &slot).await?;
    match command::run(words, &around.env, &around.dir, deadline).await {
        Ok(Ran::Ended { code, output }) => Ok(ExecOutput { code, output }),
        Ok(Ran::TimedOut { output }) => {
            let last = output.lines().last().unwrap_or_default().to_owned();
            let message = format!("the command was killed after {} s", deadline.as_secs());
            Err(Error::new(ErrorKind::Permanent, "exec-timeout", message).hint(format!("its last words were: {last}")))
        }
        Err(cause) => {
            let program = words.first().map(String::as_str).unwrap_or_default();
            let found = around.dir.join(program);
            let not_executable = found.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o111 == 0);
            let hint = if not_executable {
                "set its executable bit (chmod +x)"
            } else {
                "see that the program is in the instance's PATH"
            };
            Err(Error::new(ErrorKind::Permanent, "exec-failed", format!("run `{program}`")).because(cause).hint(hint))
        }
    }
}
