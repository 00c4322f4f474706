//! Starts a keeper and waits for its answer. Blocking.

use std::{
    io::{self, Read as _, Write as _},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use tracing::warn;

use super::{
    KeeperCommand,
    keeper::{Answer, Failure, Folder, State},
    process::{self, ProcessId},
};

/// A keeper answers within milliseconds; a machine that swaps may need longer.
const ANSWER_BOUND: Duration = Duration::from_secs(20);
/// No answer is longer.
const ANSWER_BYTES: usize = 64 << 10;

/// What came of it.
pub(super) enum Spawned {
    Started(Box<State>),
    Failed(Failure),
    /// Another keeper has the instance.
    Busy,
    /// It ended without a word: it was killed.
    Silent,
    /// It is still at something. Whoever asked must look later, and reap it.
    Slow(ProcessId),
}

/// Starts a keeper with an order on its standard input.
pub(super) fn keeper(command: &KeeperCommand, verb: &str, folder: &Folder, order: &[u8]) -> io::Result<Spawned> {
    let mut child = Command::new(&command.program)
        .args(&command.args)
        .arg(verb)
        .arg(&folder.0)
        // Nothing of the server's environment, which may hold tokens, gets to where applications are started.
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|cause| io::Error::new(cause.kind(), format!("{}: {cause}", command.program.display())))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A keeper that ends before it has read all has something to say, or was killed; both are seen below.
        let _ = stdin.write_all(order);
    }
    // From here on something may have been started: no failure is certain any more.
    let answer = answer(&mut child).unwrap_or_else(|error| {
        warn!(%error, "hear a keeper");
        None
    });
    // A keeper that has not started anything ends at once; it is reaped here so that no zombie stays.
    match answer {
        Some(Answer::Started(state)) => Ok(Spawned::Started(state)),
        Some(Answer::Failed(failure)) => {
            let _ = child.wait();
            Ok(Spawned::Failed(failure))
        }
        Some(Answer::Busy) => {
            let _ = child.wait();
            Ok(Spawned::Busy)
        }
        None => {
            if child.try_wait().is_ok_and(|status| status.is_some()) {
                return Ok(Spawned::Silent);
            }
            let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
            Ok(process::stat(pid).map_or(Spawned::Silent, |stat| Spawned::Slow(stat.id)))
        }
    }
}

/// Reads one line; `None` when none comes.
fn answer(child: &mut Child) -> io::Result<Option<Answer>> {
    let Some(mut stdout) = child.stdout.take() else { return Ok(None) };
    let until = Instant::now() + ANSWER_BOUND;
    let mut line = Vec::new();
    let mut buffer = [0; 4096];
    while line.len() < ANSWER_BYTES {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let mut fds = [PollFd::new(&stdout, PollFlags::IN)];
        match poll(&mut fds, Some(&left)) {
            Ok(0) => return Ok(None),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if fds[0].revents().is_empty() {
            continue;
        }
        match stdout.read(&mut buffer)? {
            0 => {
                // The end of the pipe is the end of the keeper, a moment later.
                child.wait()?;
                return Ok(None);
            }
            count => line.extend_from_slice(&buffer[..count]),
        }
        if let Some(line) = line.strip_suffix(b"\n") {
            return serde_json::from_slice(line).map(Some).map_err(io::Error::other);
        }
    }
    Err(io::Error::other("the keeper answers too much"))
}
