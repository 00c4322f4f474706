//! Which process is which. A pid alone names nobody: it is used again. Boot id, pid and start time together do.
//!
//! Signals go through pidfds, opened first and checked afterwards, so that no signal ever reaches a process that merely
//! bears an old number.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs, io,
    os::fd::OwnedFd,
    sync::OnceLock,
    time::Duration,
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// One process, told from every other one of this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub pid: i32,
    /// Clock ticks between boot and its start, field 22 of `/proc/<pid>/stat`.
    pub start: u64,
}

/// What `/proc/<pid>/stat` says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stat {
    pub id: ProcessId,
    pub parent: i32,
    pub dead: bool,
}

/// Tells this boot of the machine from every other.
pub(crate) fn boot_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| {
        fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
    })
}

/// Reads one process; `None` when there is none of that number.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    parse_stat(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(pid: i32, text: &str) -> Option<Stat> {
    // The second field is the program's name in parentheses and may hold anything, parentheses too.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let dead = matches!(fields.next()?, "Z" | "X" | "x");
    let parent = fields.next()?.parse().ok()?;
    let start = fields.nth(17)?.parse().ok()?;
    Some(Stat { id: ProcessId { pid, start }, parent, dead })
}

/// The calling process.
pub(crate) fn myself() -> io::Result<ProcessId> {
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    stat(pid).map(|stat| stat.id).ok_or_else(|| io::Error::other("/proc is not mounted, or hides this very process"))
}

impl ProcessId {
    /// Whether it runs: neither gone nor a zombie.
    pub(crate) fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.id == self && !stat.dead)
    }

    /// A handle of the process, if it runs. The handle never comes to mean another one.
    pub(crate) fn open(self) -> Option<OwnedFd> {
        let fd = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // Checked after opening: if the number was given to another in between, the handle is dropped unused.
        self.is_alive().then_some(fd)
    }

    /// Sends a signal if the process runs; one that is gone is fine.
    pub(crate) fn signal(self, signal: Signal) -> io::Result<()> {
        match self.open().map(|fd| pidfd_send_signal(fd, signal)) {
            None | Some(Ok(()) | Err(rustix::io::Errno::SRCH)) => Ok(()),
            Some(Err(errno)) => Err(errno.into()),
        }
    }
}

/// Every process that can be seen.
pub(crate) fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok()))
        .filter_map(stat)
        .collect()
}

/// All living descendants of `root`, without it; parents before their children, whatever their numbers.
pub(crate) fn descendants(root: ProcessId) -> Vec<ProcessId> {
    descendants_among(all(), root)
}

fn descendants_among(stats: Vec<Stat>, root: ProcessId) -> Vec<ProcessId> {
    let mut children: BTreeMap<i32, Vec<Stat>> = BTreeMap::new();
    for stat in stats {
        children.entry(stat.parent).or_default().push(stat);
    }
    let mut found = Vec::new();
    let mut open = VecDeque::from([root.pid]);
    while let Some(parent) = open.pop_front() {
        for child in children.remove(&parent).unwrap_or_default() {
            if !child.dead {
                found.push(child.id);
            }
            // The children of a zombie have another parent by now, unless the scan was between the two.
            open.push_back(child.id.pid);
        }
    }
    found
}

/// Every living process whose environment has `entry` (`NAME=value`): what was launched with it and all it left behind,
/// whatever session or parent these have now. Processes whose environment may not be read are not ours to signal either.
///
/// A process that is just being replaced by another program (`exec`) shows no environment for some microseconds: one
/// scan that finds nothing proves nothing, two with a pause between do.
pub(crate) fn with_env(entry: &str) -> BTreeSet<ProcessId> {
    all()
        .into_iter()
        .filter(|stat| !stat.dead)
        .filter(|stat| {
            fs::read(format!("/proc/{}/environ", stat.id.pid))
                .is_ok_and(|env| env.split(|byte| *byte == 0).any(|given| given == entry.as_bytes()))
        })
        // The environment may be that of a successor of the pid; reading the start time again settles it.
        .filter(|stat| stat.id.is_alive())
        .map(|stat| stat.id)
        .collect()
}

/// The environment a process was started with. Blocking: waits for a moment if the process is just executing another
/// program and shows none.
pub(crate) fn environment(process: ProcessId) -> io::Result<Vec<(String, String)>> {
    let mut raw = Vec::new();
    for _ in 0..20 {
        raw = fs::read(format!("/proc/{}/environ", process.pid))?;
        if !raw.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    if !process.is_alive() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the process has ended"));
    }
    let pairs = raw.split(|byte| *byte == 0).filter_map(|entry| {
        let (name, value) = std::str::from_utf8(entry).ok()?.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    Ok(pairs.collect())
}

/// Whether a process handle says that its process has ended, without waiting.
pub(crate) fn has_ended(pidfd: &OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// Waits until a process handle says that its process has ended; gives the handle back for reaping.
///
/// # Errors
///
/// When the runtime cannot watch the handle: it shuts down, or too many files are open.
pub(crate) async fn end_of(pidfd: OwnedFd) -> io::Result<OwnedFd> {
    #[expect(
        deprecated,
        reason = "its successor is unsafe for types that lie about their descriptor; OwnedFd does not"
    )]
    let watched = tokio::io::unix::AsyncFd::with_interest(pidfd, tokio::io::Interest::READABLE)?;
    let ready = watched.readable().await.map(drop);
    ready.map(|()| watched.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_parentheses_and_spaces_does_not_mislead() {
        let text = "42 (a) Z (b) 1) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 0 0";
        let stat = parse_stat(42, text).expect("it is well-formed");
        assert_eq!((stat.id.start, stat.parent, stat.dead), (987_654, 7, false));
    }

    #[test]
    fn a_reused_pid_is_neither_alive_nor_signalled() {
        let me = myself().expect("proc is there");
        assert!(me.is_alive());
        let before_me = ProcessId { start: me.start - 1, ..me };
        assert!(!before_me.is_alive());
        assert!(before_me.open().is_none());
        // Would end this test if it reached us.
        before_me.signal(Signal::KILL).expect("nobody to signal is fine");
    }

    #[test]
    fn parents_come_before_children_also_where_numbers_have_wrapped() {
        let stat = |pid, start, parent, dead| Stat { id: ProcessId { pid, start }, parent, dead };
        let (shell, child, grandchild, other) = (900, 7, 30, 8);
        let stats = vec![
            stat(child, 52, shell, false),
            stat(other, 53, 1, false),
            stat(grandchild, 53, child, false),
            stat(shell, 51, 500, true),
        ];
        let pids = |root| {
            let found = descendants_among(stats.clone(), ProcessId { pid: root, start: 50 });
            found.into_iter().map(|id| id.pid).collect::<Vec<_>>()
        };
        assert_eq!(pids(500), [child, grandchild]);
        assert_eq!(pids(1), [other]);
        let mut living = stats.clone();
        living[3].dead = false;
        let found = descendants_among(living, ProcessId { pid: 500, start: 50 });
        assert_eq!(found.into_iter().map(|id| id.pid).collect::<Vec<_>>(), [shell, child, grandchild]);
    }

    #[test]
    fn a_child_is_a_descendant_until_it_ends() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep is there");
        let pid = i32::try_from(child.id()).expect("pids are small");
        let me = myself().expect("proc is there");
        let id = stat(pid).expect("it runs").id;
        let handle = id.open().expect("it runs");
        assert!(descendants(me).contains(&id) && !has_ended(&handle));
        id.signal(Signal::KILL).expect("it is ours");
        child.wait().expect("it is ours");
        assert!(!descendants(me).contains(&id) && has_ended(&handle));
    }
}
