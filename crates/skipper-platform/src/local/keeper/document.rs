//! What server and keeper tell each other: the order on standard input, the answer on standard output, and the two files
//! that say what runs and how it ended. All of them carry a version; fields are only ever added.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};
use skipper_core::{
    Sha256,
    deployment::{Deployment, Exit, Instance},
    generation::Generation,
    time::Timestamp,
};

use super::super::{cgroup::Placement, process::ProcessId};

/// The version written into new documents.
pub(crate) const VERSION: u16 = 1;
/// The variable that marks every process of one launch, whatever becomes of its session or parents.
pub(crate) const COOKIE_VAR: &str = "SKIPPER_LAUNCH";

/// What to start and how. Holds clear secrets: it goes through the keeper's standard input and nowhere else.
#[derive(Serialize, Deserialize)]
pub(crate) struct Order {
    pub version: u16,
    pub program: String,
    /// What the process sees as its own name.
    pub arg0: String,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub working_dir: PathBuf,
    /// The working folder belongs to the instance and is made.
    pub make_working_dir: bool,
    /// File secrets: plain names and contents.
    pub secret_files: Vec<(String, String)>,
    pub cookie: String,
    pub ports: BTreeMap<String, u16>,
    pub launches: u32,
    #[serde(default)]
    pub contents: Option<Contents>,
    /// What is told of the instance beside its ports and pid.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// Where its two outputs are written to beside the log.
    #[serde(default)]
    pub output_files: Option<[PathBuf; 2]>,
    /// A folder elsewhere that goes with the instance.
    #[serde(default)]
    pub remove: Option<PathBuf>,
    pub cgroup: Option<Placement>,
    pub log_file_bytes: u64,
    pub log_files: u32,
    /// After this many milliseconds the process and all it started are killed. For jobs.
    pub timeout_ms: Option<u64>,
}

/// What a launch was about, beyond its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contents {
    /// The life of the store that asked for it.
    pub epoch: u64,
    /// Digest of what decides whether a running process can stay.
    pub digest: Sha256,
}

impl Contents {
    /// Of a deployment that is launched under `generation`.
    pub(crate) fn of(deployment: &Deployment, generation: Generation) -> Self {
        let decides = serde_json::json!({"edition": deployment.app.edition(), "secrets": deployment.secrets});
        Self { epoch: generation.epoch, digest: Sha256::of_json(&decides) }
    }

    /// Whether what was launched as `before` is something else under the same id.
    ///
    /// Within one life of a store an id means one thing for ever, and a newer Skipper may compute another digest for it.
    /// A restored store gives out revision numbers again, and with them ids, that the life it lost had used.
    pub(crate) fn differs_from(&self, before: Option<&Self>) -> bool {
        before.is_some_and(|before| before.epoch != self.epoch && before.digest != self.digest)
    }
}

/// `state.json`: what runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub version: u16,
    pub boot_id: String,
    pub keeper: ProcessId,
    /// `None` while it is being started.
    pub app: Option<ProcessId>,
    pub cookie: String,
    pub ports: BTreeMap<String, u16>,
    pub started_at: Timestamp,
    pub launches: u32,
    #[serde(default)]
    pub contents: Option<Contents>,
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    #[serde(default)]
    pub output_files: Option<[PathBuf; 2]>,
    #[serde(default)]
    pub remove: Option<PathBuf>,
    /// Inodes of the pipes the process writes to, so that a second keeper finds them.
    pub pipes: [u64; 2],
    pub cgroup: Option<Placement>,
    pub log_file_bytes: u64,
    pub log_files: u32,
    /// When its time is over. For jobs.
    #[serde(default)]
    pub ends_by: Option<Timestamp>,
    /// The first keeper is gone and another one has taken its place: it is not the parent of the process.
    #[serde(default)]
    pub adopted: bool,
}

impl State {
    /// Whether this is about the running system at all: after a reboot nothing of it is true.
    pub(crate) fn is_of_this_boot(&self) -> bool {
        self.boot_id == super::super::process::boot_id()
    }

    /// The process, if it runs.
    pub(crate) fn running_app(&self) -> Option<ProcessId> {
        self.app.filter(|app| self.is_of_this_boot() && app.is_alive())
    }

    /// The keeper, if it runs.
    pub(crate) fn running_keeper(&self) -> Option<ProcessId> {
        Some(self.keeper).filter(|keeper| self.is_of_this_boot() && keeper.is_alive())
    }

    /// As the engine knows it.
    pub(crate) fn instance(&self, index: u32) -> Instance {
        let address = |port: u16| (std::net::Ipv4Addr::LOCALHOST, port).into();
        Instance {
            index,
            addresses: self.ports.iter().map(|(name, port)| (name.clone(), address(*port))).collect(),
            handle: self.app.map_or_else(String::new, |app| format!("pid {} (started at tick {})", app.pid, app.start)),
            started_at: self.started_at,
            restarts: self.launches.saturating_sub(1),
            attributes: self.attributes(),
        }
    }

    fn attributes(&self) -> BTreeMap<String, String> {
        let pid = self.app.map(|app| ("pid".to_owned(), app.pid.to_string()));
        self.attributes.clone().into_iter().chain(pid).collect()
    }

    /// The entry that all processes of this launch have in their environment.
    pub(crate) fn marker(&self) -> String {
        format!("{COOKIE_VAR}={}", self.cookie)
    }
}

/// The file `exit`: how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub version: u16,
    pub exit: Exit,
    /// It never ran: why.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// Its time was over.
    #[serde(default)]
    pub timed_out: bool,
    /// What it had started and left running was ended as well.
    #[serde(default)]
    pub left_behind: u32,
}

/// Why a process could not be started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub code: String,
    pub message: String,
    #[serde(default)]
    pub hint: Option<String>,
    /// Worth another try.
    #[serde(default)]
    pub transient: bool,
}

/// What the keeper says once.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    Started(Box<State>),
    Failed(Failure),
    /// Another keeper has this instance.
    Busy,
}

/// The files of one instance or job, as the keeper and the server know them.
#[derive(Debug, Clone)]
pub(crate) struct Folder(pub PathBuf);

impl Folder {
    pub(crate) fn state(&self) -> PathBuf {
        self.0.join("state.json")
    }
    pub(crate) fn exit(&self) -> PathBuf {
        self.0.join("exit")
    }
    /// The cookie of the launch whose startup probe was answered well.
    pub(crate) fn started(&self) -> PathBuf {
        self.0.join("started")
    }
    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("keeper.lock")
    }
    pub(crate) fn logs(&self) -> PathBuf {
        self.0.join("log")
    }
    pub(crate) fn secrets(&self) -> PathBuf {
        self.0.join("secrets")
    }
    pub(crate) fn work(&self) -> PathBuf {
        self.0.join("work")
    }
    pub(crate) fn tmp(&self) -> PathBuf {
        self.0.join("tmp")
    }

    /// What runs, as it was last recorded; `None` without a (readable) record.
    pub(crate) fn read_state(&self) -> io::Result<Option<State>> {
        match fs::read(self.state()) {
            // A torn file can only be left by a power loss, and then nothing of it runs any more.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces the record.
    pub(crate) fn write_state(&self, state: &State) -> io::Result<()> {
        write_atomically(&self.state(), &serde_json::to_vec(state)?)
    }

    /// How it ended, if it has.
    pub(crate) fn read_ended(&self) -> Option<Ended> {
        let bytes = fs::read(self.exit()).ok()?;
        serde_json::from_slice(bytes.trim_ascii()).ok()
    }

    /// Makes room for the exit record, so that it can be written on a full disk.
    pub(crate) fn reserve_ended(&self) -> io::Result<fs::File> {
        let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(self.exit())?;
        file.write_all_at(&[b' '; ENDED_BYTES], 0)?;
        Ok(file)
    }
}

/// Room for one [`Ended`]: one block of every file system, so a reader sees all of it or nothing.
const ENDED_BYTES: usize = 1024;

/// Writes the exit record into its reserved room.
pub(crate) fn write_ended(file: &fs::File, ended: &Ended) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(ended)?;
    if bytes.len() > ENDED_BYTES {
        // Only a failure's words can be that long; how it ended matters more.
        let short = Ended { failure: None, ..ended.clone() };
        bytes = serde_json::to_vec(&short)?;
    }
    bytes.resize(ENDED_BYTES, b' ');
    file.write_all_at(&bytes, 0)
}

/// Replaces a file in one step; a reader sees the old or the new one. Not synced: what it says ends with the machine.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let unique = format!("new-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let aside = path.with_extension(unique);
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    io::Write::write_all(&mut file, bytes)?;
    drop(file);
    fs::rename(aside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_record_is_blank_until_written_and_reads_back() {
        let dir = tempfile::tempdir().expect("temp dirs can be made");
        let folder = Folder(dir.path().to_owned());
        let file = folder.reserve_ended().expect("it can be written");
        assert_eq!(folder.read_ended(), None);
        let exit = Exit { code: Some(3), signal: None, out_of_memory: false, at: Timestamp::from_micros(5) };
        let mut ended = Ended { version: VERSION, exit, failure: None, timed_out: false, left_behind: 0 };
        write_ended(&file, &ended).expect("there is room");
        assert_eq!(folder.read_ended().as_ref(), Some(&ended));

        let message = "x".repeat(5000);
        ended.failure = Some(Failure { code: "x".to_owned(), message, hint: None, transient: false });
        write_ended(&file, &ended).expect("there is room");
        assert_eq!(folder.read_ended().map(|read| read.exit), Some(ended.exit));
    }
}
