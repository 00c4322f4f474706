//! What a folder says runs, held against what really does.

use std::{io, os::fd::OwnedFd};

use skipper_core::{deployment::Exit, time::Timestamp};

use super::keeper::{self, Ended, Folder, State, VERSION};

/// What is found in an instance's (or job's) folder.
#[derive(Debug)]
pub(super) enum Looked {
    /// Nothing was ever started.
    Absent,
    /// A keeper is at work and the process is not there, not yet or no longer: look again in a moment.
    Busy,
    /// The process runs under its keeper.
    Running(State, OwnedFd),
    /// The process runs, its keeper does not.
    Forsaken(State, OwnedFd),
    /// It has ended. Without a state it was never started.
    Ended(Ended, Option<State>),
}

/// Looks. Blocking: reads two small files and `/proc`.
pub(super) fn look(folder: &Folder, now: Timestamp) -> io::Result<Looked> {
    // The lock first: a keeper that ends between the two looks has written its record by then.
    let locked = keeper::is_locked(folder);
    let state = folder.read_state()?;
    if let Some(ended) = folder.read_ended() {
        return Ok(Looked::Ended(ended, state));
    }
    let Some(state) = state else {
        return Ok(if locked { Looked::Busy } else { Looked::Absent });
    };
    let app = state.running_app().and_then(super::process::ProcessId::open);
    if state.running_keeper().is_some() {
        return Ok(app.map_or(Looked::Busy, |app| Looked::Running(state, app)));
    }
    if locked {
        // Not by the keeper of the record: by one that has just begun.
        return Ok(Looked::Busy);
    }
    if let Some(app) = app {
        return Ok(Looked::Forsaken(state, app));
    }
    Ok(folder.read_ended().map_or_else(
        || Looked::Ended(ended_somehow(now), Some(state.clone())),
        |ended| Looked::Ended(ended, Some(state.clone())),
    ))
}

/// The end of something whose keeper was killed with it, or that the machine went down under.
fn ended_somehow(now: Timestamp) -> Ended {
    let exit = Exit { code: None, signal: None, out_of_memory: false, at: now };
    Ended { version: VERSION, exit, failure: None, timed_out: false, left_behind: 0 }
}
