//! The keeper: a small process between the server and one application process.
//!
//! It starts the process, writes what it prints into bounded files, records how it ended, and clears away what it left
//! running. It outlives the server and knows nothing of it: what it has to say is in its folder. It has a session of its
//! own, is the reaper of every orphan its process leaves, runs no async runtime and holds no secret once the process has
//! been started.
//!
//! If the keeper itself is killed, the process goes on: it holds both ends of its output pipes, so writing neither fails
//! nor (for 64 KiB) blocks, and the server, which watches keepers, starts a second one that takes the pipes over. How
//! the process ends can then no longer be told, only that it did.

mod adopt;
mod copy;
mod document;
mod failure;
mod logfile;
mod pump;
mod signals;
pub(crate) mod stamp;
mod start;
mod wait;

pub(crate) use document::{
    Answer, COOKIE_VAR, Contents, Ended, Failure, Folder, Order, State, VERSION, write_atomically,
};
pub(crate) use logfile::{LINE_BYTES, segments};

use std::{ffi::OsString, fs, io, os::fd::OwnedFd, os::unix::fs::OpenOptionsExt as _, process::ExitCode};

use skipper_core::time::Timestamp;

/// Starts and keeps a new process.
pub(crate) const RUN: &str = "run";
/// Keeps a process whose keeper was killed.
pub(crate) const ADOPT: &str = "adopt";

/// The keeper's `main`: `<exe> keeper run|adopt FOLDER`, with an order on standard input and an answer on standard output.
/// `args` are those after `keeper`. Needs no runtime and should be called before anything else is set up.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().take(3).collect();
    let done = match args.as_slice() {
        [verb, dir] if verb == RUN => start::run(&Folder(dir.into())),
        [verb, dir] if verb == ADOPT => adopt::run(&Folder(dir.into())),
        _ => {
            eprintln!(
                "the keeper is started by `skipper server`, with a folder and an order; there is nothing to do by hand"
            );
            return ExitCode::from(2);
        }
    };
    // Nobody reads this process' output any more; what there is to say has been answered or recorded.
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The instance's lock, held for as long as this process lives: there are never two keepers of one instance.
fn lock(folder: &Folder) -> io::Result<Option<fs::File>> {
    let file = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(folder.lock())?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether a keeper has the instance.
pub(crate) fn is_locked(folder: &Folder) -> bool {
    let Ok(file) = fs::OpenOptions::new().write(true).open(folder.lock()) else { return false };
    matches!(
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive),
        Err(rustix::io::Errno::WOULDBLOCK)
    )
}

/// Answers the server. One that is gone cannot be told, and finds out from the folder.
fn say(answer: &Answer) {
    if let Ok(mut bytes) = serde_json::to_vec(answer) {
        bytes.push(b'\n');
        let _ = io::Write::write_all(&mut io::stdout(), &bytes);
        let _ = io::Write::flush(&mut io::stdout());
    }
}

/// Lets go of the pipes to the server, so that neither waits for the other's end.
fn detach() -> io::Result<()> {
    let null: OwnedFd = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?.into();
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    // Not to keep a file system from being unmounted.
    rustix::process::chdir("/")?;
    Ok(())
}

/// The time. The keeper is a program of its own and this is its one source.
#[expect(clippy::disallowed_methods, reason = "the keeper is a program of its own: nobody could pass it a clock")]
fn now() -> Timestamp {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}
