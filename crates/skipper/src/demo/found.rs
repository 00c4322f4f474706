//! Which processes belong to a demo: those of this binary that know its folder.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time;

/// A process of the demo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) pid: i32,
    /// Its command line, for people.
    pub(super) command: String,
    /// The role it was started in: `server`, `edge`, `keeper`, `sample`.
    pub(super) role: String,
}

/// Every process of `program` whose command line, working folder or environment names `folder`, but not this one.
///
/// Asking for the same binary as well keeps an editor or a shell in that folder out of it.
pub(super) fn processes(program: &Path, folder: &Path) -> Vec<Found> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let own = i32::try_from(std::process::id()).ok();
    let mut found: Vec<Found> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| Some(*pid) != own)
        .filter_map(|pid| look(pid, program, folder))
        .collect();
    found.sort_by_key(|process| process.pid);
    found
}

fn look(pid: i32, program: &Path, folder: &Path) -> Option<Found> {
    let proc = Path::new("/proc").join(pid.to_string());
    // A rebuilt binary shows as "… (deleted)"; it is the same program all the same.
    let exe = fs::read_link(proc.join("exe")).ok()?;
    let exe = exe.to_string_lossy();
    if exe.trim_end_matches(" (deleted)") != program.to_string_lossy() {
        return None;
    }
    let cmdline = fs::read(proc.join("cmdline")).ok()?;
    let words: Vec<String> = cmdline
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    // A zombie has no command line, and is gone but for its parent's looking.
    let role = words.get(1)?.clone();
    let needle = folder.to_string_lossy();
    let in_folder = fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
    let named = words.iter().any(|word| word.contains(needle.as_ref()));
    let environ = fs::read(proc.join("environ")).unwrap_or_default();
    let in_environment = String::from_utf8_lossy(&environ).contains(needle.as_ref());
    // The demo's own waiting shells and other demos are not what it started.
    (role != "demo" && (in_folder || named || in_environment)).then(|| Found { pid, command: words.join(" "), role })
}

/// Sends a signal; a process that has gone meanwhile is fine.
pub(super) fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        kill_process(pid, signal).ok();
    }
}

/// Whether a process is gone, or only its parent's looking is outstanding.
pub(super) fn has_ended(pid: i32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).map_or(true, |words| words.is_empty())
}

/// Waits until no process is found for which `matters` holds; the answer is those that are still there at the end.
pub(super) async fn gone(
    program: &Path,
    folder: &Path,
    bound: Duration,
    matters: impl Fn(&Found) -> bool,
) -> Vec<Found> {
    let began = Instant::now();
    loop {
        let mut left = processes(program, folder);
        left.retain(&matters);
        if left.is_empty() || began.elapsed() > bound {
            return left;
        }
        time::sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_another_program_is_never_found() {
        assert_eq!(processes(Path::new("/nonexistent/skipper"), Path::new("/")), []);
    }
}
