//! A second keeper for a process whose first one was killed. It is not the parent, so how the process ends cannot be
//! told; everything else goes on: output is logged, the end is noticed, what is left behind is cleared away.

use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    path::Path,
    time::{Duration, Instant},
};

use rustix::{fs::OFlags, process::Signal};
use skipper_core::deployment::Exit;

use super::{
    super::process::{self, ProcessId},
    Answer, Ended, Folder, State, VERSION, detach,
    document::write_ended,
    failure, lock,
    logfile::LogFile,
    now,
    pump::Pump,
    say,
};

/// As for the first keeper's orphans.
const LEFT_BEHIND_GRACE: Duration = Duration::from_secs(1);
const LEFT_BEHIND_PAUSE: Duration = Duration::from_millis(20);
const LEFT_BEHIND_LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Keeps the process that the folder's state names.
pub(super) fn run(folder: &Folder) -> io::Result<()> {
    // Fails only for the leader of a group, which the server never makes us.
    let _ = rustix::process::setsid();
    let failed = |cause: io::Error| {
        say(&Answer::Failed(failure::of_io("take over from a keeper that was killed", &cause)));
        cause
    };
    let Some(lock) = lock(folder).map_err(failed)? else {
        say(&Answer::Busy);
        return Ok(());
    };
    let (state, app, handle) = take_over(folder).map_err(failed)?;
    let exit_file = fs::OpenOptions::new().write(true).open(folder.exit()).map_err(failed)?;
    let log = LogFile::open(folder.logs(), state.log_file_bytes, state.log_files).map_err(failed)?;
    let outputs = state.pipes.map(|inode| find_pipe(&state, app, inode));
    say(&Answer::Started(Box::new(state.clone())));
    // Should it fail, nobody waits: the server reads one line.
    let _ = detach();
    let timeout = state.ends_by.map(|by| by.since(now()));
    let pump = Pump::new(outputs, log).copying(state.output_files.as_ref(), state.log_file_bytes);
    let timed_out = pump.run(&handle, timeout, || {
        for one in family(&state, app) {
            // What cannot be signalled is waited for.
            let _ = one.signal(Signal::KILL);
        }
    });
    let at = now();
    let left_behind = clear_away(&state, app);
    // What stays is removed with the instance.
    let _ = fs::remove_dir_all(folder.secrets());
    let exit = Exit { code: None, signal: None, out_of_memory: false, at };
    let written = write_ended(&exit_file, &Ended { version: VERSION, exit, failure: None, timed_out, left_behind });
    // Held until here, so that nobody reads the record before it is there.
    drop(lock);
    written
}

fn take_over(folder: &Folder) -> io::Result<(State, ProcessId, OwnedFd)> {
    let gone = || io::Error::new(io::ErrorKind::NotFound, "nothing runs here any more");
    let mut state = folder.read_state()?.ok_or_else(gone)?;
    let app = state.running_app().ok_or_else(gone)?;
    let handle = app.open().ok_or_else(gone)?;
    state.keeper = process::myself()?;
    state.adopted = true;
    folder.write_state(&state)?;
    Ok((state, app, handle))
}

fn family(state: &State, app: ProcessId) -> std::collections::BTreeSet<ProcessId> {
    let mut family = process::with_env(&state.marker());
    family.extend(process::descendants(app));
    if app.is_alive() {
        family.insert(app);
    }
    family
}

/// A reading end of the pipe, opened anew through whoever of the process' family still has it.
fn find_pipe(state: &State, app: ProcessId, inode: u64) -> Option<OwnedFd> {
    let wanted = format!("pipe:[{inode}]");
    family(state, app).into_iter().find_map(|process| {
        let fds = fs::read_dir(format!("/proc/{}/fd", process.pid)).ok()?;
        let is_it = |path: &Path| fs::read_link(path).is_ok_and(|target| target.as_os_str() == wanted.as_str());
        let path = fds.flatten().map(|entry| entry.path()).find(|path| is_it(path))?;
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).ok()?;
        Some(fs::OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?.into())
    })
}

fn clear_away(state: &State, app: ProcessId) -> u32 {
    let begun = Instant::now();
    let mut told = std::collections::BTreeSet::new();
    let mut nobody = false;
    loop {
        let left = family(state, app);
        // Two looks: see `process::with_env`.
        if left.is_empty() && std::mem::replace(&mut nobody, true) {
            return u32::try_from(told.len()).unwrap_or(u32::MAX);
        }
        nobody = left.is_empty();
        let late = begun.elapsed() >= LEFT_BEHIND_GRACE;
        for one in left {
            if told.insert(one) || late {
                // What cannot be signalled is waited for.
                let _ = one.signal(if late { Signal::KILL } else { Signal::TERM });
            }
        }
        // What cannot be signalled may stay for long: it is not to cost anything.
        std::thread::sleep(LEFT_BEHIND_PAUSE.max(begun.elapsed() / 8).min(LEFT_BEHIND_LONGEST_PAUSE));
    }
}
