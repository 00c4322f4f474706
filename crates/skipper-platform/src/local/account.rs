//! The account's memory: what it has seen of each instance, who is acting on it, and the highest right seen.
//!
//! Disk and `/proc` are the truth; this is a cache of them that [`super::watch`] keeps fresh. A server that starts anew
//! begins with an empty one.

use std::{
    collections::HashMap,
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Once, OnceLock, PoisonError},
    time::Duration,
};

use skipper_core::{
    deployment::DeploymentId,
    port::{Error, ErrorKind},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    LocalConfig,
    cgroup::Offer,
    fence::Fences,
    keeper::{Ended, Folder, State},
    look::{Looked, look},
    watch,
};

/// A keeper that is starting or ending answers within milliseconds; a machine in trouble may need longer.
const BUSY_BOUND: Duration = Duration::from_secs(20);
/// From this number on, slots of nothing are swept out now and then.
const SLOTS: usize = 256;
const BUSY_PAUSE: Duration = Duration::from_millis(4);

#[derive(Debug)]
pub(super) struct Account {
    pub config: LocalConfig,
    /// Watching ends; processes go on.
    pub stop: CancellationToken,
    pub changed: Notify,
    pub fences: Fences,
    /// Starts the one look at everything.
    pub adopting: Once,
    /// Cancelled, that is: over, when everything was looked at.
    pub adopted: CancellationToken,
    offer: OnceLock<Offer>,
    slots: Mutex<HashMap<PathBuf, Arc<Slot>>>,
}

/// One instance or job.
#[derive(Debug)]
pub(super) struct Slot {
    pub folder: Folder,
    /// Held by whoever launches or retires.
    pub turn: tokio::sync::Mutex<()>,
    seen: Mutex<Seen>,
    /// The process that is known to have started, by its launch: told by an application's own startup probe.
    started: Mutex<Option<String>>,
}

/// What was last seen.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    /// Nobody has looked yet.
    NotLooked,
    Absent,
    Running(Arc<Watched>),
    Ended(Arc<(Ended, Option<State>)>),
}

/// A running process that is being watched.
#[derive(Debug)]
pub(super) struct Watched {
    pub state: State,
    pub app: OwnedFd,
    /// Set when the slot has been brought up to date after the end.
    pub gone: CancellationToken,
}

impl Slot {
    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, seen: Seen) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    /// Whether what runs is known to have started.
    pub(super) fn has_started(&self) -> bool {
        let Some(cookie) = self.cookie() else { return false };
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if started.as_ref() != Some(&cookie) && fs::read_to_string(self.folder.started()).is_ok_and(|it| it == cookie) {
            *started = Some(cookie.clone());
        }
        *started == Some(cookie)
    }

    /// Remembers that what runs has started, also for a server after this one.
    pub(super) fn set_started(&self) {
        let Some(cookie) = self.cookie() else { return };
        if let Err(error) = fs::write(self.folder.started(), &cookie) {
            warn!(%error, instance = %self.folder.0.display(), "that it has started is not remembered over a restart");
        }
        *self.started.lock().unwrap_or_else(PoisonError::into_inner) = Some(cookie);
    }

    fn cookie(&self) -> Option<String> {
        match self.seen() {
            Seen::Running(watched) => Some(watched.state.cookie.clone()),
            _ => None,
        }
    }

    /// Whether exactly that process, under that keeper, is what was seen last.
    pub(super) fn shows(&self, of: &Arc<Watched>) -> bool {
        matches!(self.seen(), Seen::Running(watched) if Arc::ptr_eq(&watched, of))
    }

    /// Replaces what was seen of exactly that process; a newer one stays.
    pub(super) fn replace(&self, of: &Arc<Watched>, seen: Seen) {
        let mut here = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(&*here, Seen::Running(watched) if Arc::ptr_eq(watched, of)) {
            *here = seen;
        }
    }
}

impl Account {
    pub(super) fn new(config: LocalConfig) -> Self {
        Self {
            fences: Fences::new(config.root.clone()),
            config,
            stop: CancellationToken::new(),
            changed: Notify::new(),
            adopting: Once::new(),
            adopted: CancellationToken::new(),
            offer: OnceLock::new(),
            slots: Mutex::new(HashMap::new()),
        }
    }

    /// What limits this host offers. Blocking for a few milliseconds, once.
    pub(super) fn offer(&self) -> &Offer {
        self.offer.get_or_init(Offer::probe)
    }

    pub(super) fn deployment_dir(&self, id: &DeploymentId) -> PathBuf {
        self.config.root.join(id.as_str())
    }

    pub(super) fn hooks_dir(&self) -> PathBuf {
        self.config.root.join(".hooks")
    }

    pub(super) fn instance(&self, id: &DeploymentId, index: u32) -> Arc<Slot> {
        self.slot(self.deployment_dir(id).join(index.to_string()))
    }

    pub(super) fn slot(&self, dir: PathBuf) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= SLOTS && slots.len().is_power_of_two() {
            // Of what is not there, and was in somebody's hands when it was removed.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || !matches!(slot.seen(), Seen::Absent));
        }
        Arc::clone(slots.entry(dir.clone()).or_insert_with(|| {
            let (turn, seen) = (tokio::sync::Mutex::new(()), Mutex::new(Seen::NotLooked));
            Arc::new(Slot { folder: Folder(dir), turn, seen, started: Mutex::new(None) })
        }))
    }

    /// Forgets a slot unless somebody waits for it.
    pub(super) fn forget(&self, slot: &Arc<Slot>) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's and the caller's.
        if Arc::strong_count(slot) <= 2 {
            slots.remove(&slot.folder.0);
        }
    }

    /// The name under which an instance's ports are noted.
    pub(super) fn owner(dir: &Path) -> String {
        dir.display().to_string()
    }

    /// What there is of an instance, from memory where that is sure.
    pub(super) async fn see(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<Seen, Error> {
        match slot.seen() {
            Seen::NotLooked => {}
            Seen::Running(watched) if super::process::has_ended(&watched.app) => {
                // Its keeper is about to say how; usually that is a matter of microseconds.
                let told = tokio::time::timeout(BUSY_BOUND, watched.gone.cancelled()).await;
                return told.map(|()| slot.seen()).map_err(|_| busy(slot));
            }
            seen => return Ok(seen),
        }
        let begun = tokio::time::Instant::now();
        loop {
            match self.look(slot).await? {
                Looked::Busy if begun.elapsed() < BUSY_BOUND => tokio::time::sleep(BUSY_PAUSE).await,
                Looked::Busy => return Err(busy(slot)),
                Looked::Absent => slot.set(Seen::Absent),
                Looked::Ended(ended, state) => {
                    self.note_ports(slot, state.as_ref());
                    slot.set(Seen::Ended(Arc::new((ended, state))));
                }
                Looked::Running(state, app) => {
                    self.note_ports(slot, Some(&state));
                    watch::begin(self, slot, state, app);
                }
                Looked::Forsaken(state, app) => {
                    // The watch finds the keeper gone and sees to another one.
                    self.note_ports(slot, Some(&state));
                    watch::begin(self, slot, state, app);
                }
            }
            match slot.seen() {
                Seen::NotLooked => {}
                seen => return Ok(seen),
            }
        }
    }

    /// Looks at the disk.
    pub(super) async fn look(&self, slot: &Arc<Slot>) -> Result<Looked, Error> {
        let (slot, now) = (Arc::clone(slot), self.config.clock.now());
        blocking(move || look(&slot.folder, now)).await?.map_err(|cause| {
            Error::new(ErrorKind::Unknown, "state-unreadable", "read what was recorded of an instance").because(cause)
        })
    }

    fn note_ports(&self, slot: &Slot, state: Option<&State>) {
        if let Some(state) = state {
            self.config.ports.note(&Self::owner(&slot.folder.0), state.ports.values().copied());
        }
    }

    /// Says that something may have changed. One waiter is not missed even if nobody waits right now.
    pub(super) fn tell_changed(&self) {
        self.changed.notify_waiters();
        self.changed.notify_one();
    }
}

fn busy(slot: &Slot) -> Error {
    let message = format!("the keeper of {} does not come to an end", slot.folder.0.display());
    Error::new(ErrorKind::Unknown, "keeper-busy", message)
        .hint("a process it must wait for may hang in the kernel: see `ps -e -o pid,stat,cmd | grep D`")
}

/// Runs blocking work on a thread for it.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|cause| {
        Error::new(ErrorKind::Unknown, "interrupted", "the server is shutting down, or a bug ended the work")
            .because(cause)
    })
}

/// An I/O error of the account's own folders.
pub(crate) fn storage(what: impl Into<String>, cause: io::Error) -> Error {
    if matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return Error::new(ErrorKind::Transient, "disk-full", what)
            .because(cause)
            .hint("make room on the file system of the data directory");
    }
    Error::new(ErrorKind::Transient, "storage", what).because(cause)
}
