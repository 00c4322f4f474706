//! A project's folder: the files that compose runs, the last good ones beside them, and who may act.
//!
//! ```text
//! BASE/NAME/docker-compose.yml, .env     what runs; .env is 0600
//! BASE/NAME/.skipper/state.json          the highest right seen, and what the files are
//! BASE/NAME/.skipper/next/               files that are being looked over
//! BASE/NAME/.skipper/good/               the last ones that served
//! BASE/NAME/.skipper/lock                held by whoever acts, and by the compose that it started
//! BASE/NAME/.skipper/running             the last run of compose
//! BASE/NAME/…                            what services mount
//! ```
//!
//! Everything in here blocks.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    process::{Pid, Signal, kill_process_group},
};
use serde::{Deserialize, Serialize};
use skipper_core::{
    Sha256,
    compose::{COMPOSE_FILE, ENV_FILE, Terms},
    deployment::DeploymentId,
    generation::Generation,
    id::ReleaseId,
    port::{Error, ErrorKind},
};

use super::tool::Files;
use crate::local::process;

/// The folder of what is ours in it.
const OURS: &str = ".skipper";
/// Between two attempts at the lock.
const AGAIN: Duration = Duration::from_millis(50);
/// How long a compose that somebody left behind may go on before it is ended.
const LEFT_BEHIND: Duration = Duration::from_secs(20);
/// Longest file of ours that is read.
const MAX_STATE: u64 = 64 << 10;

/// `state.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub version: u16,
    /// The highest right seen.
    pub generation: Generation,
    /// What compose calls the project.
    pub project: String,
    pub phase: Phase,
    /// Of what is to run, or runs.
    #[serde(default)]
    pub current: About,
    /// Of the last good files, where there are any.
    #[serde(default)]
    pub good: Option<About>,
}

/// How far the project is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Phase {
    /// Nothing was ever here.
    #[default]
    New,
    /// Somebody is at it, or was cut off.
    Applying,
    /// The files in place have served.
    Good,
    /// What was wanted did not work, and nothing good was there to go back to, or going back did not work either.
    Failed,
    /// Taken away.
    Removed,
}

/// What files are for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct About {
    /// The right they came with.
    #[serde(default)]
    pub generation: Generation,
    /// Of the files' texts.
    #[serde(default)]
    pub digest: Option<Sha256>,
    /// Whose they are, where an account runs them.
    #[serde(default)]
    pub owner: Option<Owner>,
    /// How their services show that they are well.
    #[serde(default)]
    pub services: BTreeMap<String, Terms>,
}

/// The deployment of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Which server's.
    pub server: String,
    /// Which account's.
    pub account: String,
    /// Of which release.
    pub release: ReleaseId,
    /// What the engine calls it.
    pub deployment: DeploymentId,
}

/// A folder that somebody may act on, until all handles of it are dropped.
#[derive(Debug)]
pub(super) struct Place {
    dir: PathBuf,
    lock: File,
}

/// The same, and what is written down of it.
#[derive(Debug)]
pub(super) struct Held {
    place: Arc<Place>,
    dir: PathBuf,
    pub state: State,
}

/// A folder's state, whoever acts on it; `None` when nothing was ever here.
pub(super) fn state(dir: &Path) -> Option<State> {
    read_state(&dir.join(OURS)).ok().flatten()
}

fn read_state(ours: &Path) -> io::Result<Option<State>> {
    let path = ours.join("state.json");
    match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(meta) if meta.len() > MAX_STATE => return Err(io::Error::other("state.json is too long")),
        Ok(_) => {}
    }
    serde_json::from_slice(&fs::read(path)?).map(Some).map_err(io::Error::other)
}

/// Names of folders in the base that we have acted on.
pub(super) fn names(base: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(base) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.path().join(OURS).join("state.json").exists()
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The folder of a project.
pub(super) fn dir(base: &Path, name: &str) -> Result<PathBuf, Error> {
    let plain = (1..=255).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if plain {
        return Ok(base.join(name));
    }
    let name: String = name.chars().take(80).collect();
    Err(Error::new(ErrorKind::Permanent, "compose-name", format!("`{name}` cannot be the name of a folder")))
}

/// What failed with a folder.
pub(super) fn failed(dir: &Path, what: &str, cause: io::Error) -> Error {
    let kind =
        if cause.kind() == io::ErrorKind::PermissionDenied { ErrorKind::Permanent } else { ErrorKind::Transient };
    let error = Error::new(kind, "folder-failed", format!("{what} in {}", dir.display()));
    let error = if cause.kind() == io::ErrorKind::StorageFull { error.hint("make room on the disk") } else { error };
    error.because(cause)
}

/// Takes the folder, made where it is not there yet; waits for whoever has it until `until`.
pub(super) fn take(base: &Path, name: &str, until: Instant) -> Result<Held, Error> {
    let dir = dir(base, name)?;
    let ours = dir.join(OURS);
    let failed = |what: &str, cause| failed(&dir, what, cause);
    fs::DirBuilder::new().recursive(true).mode(0o755).create(&dir).map_err(|cause| failed("make the folder", cause))?;
    if fs::symlink_metadata(&dir).is_ok_and(|meta| !meta.is_dir()) {
        let message = format!("{} is no folder", dir.display());
        return Err(Error::new(ErrorKind::Permanent, "folder-failed", message).hint("move it out of the way"));
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&ours)
        .map_err(|cause| failed("make the folder", cause))?;
    let lock =
        fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(ours.join("lock"));
    let lock = lock.map_err(|cause| failed("open the lock", cause))?;
    let begun = Instant::now();
    let mut ended = false;
    while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        if begun.elapsed() >= LEFT_BEHIND && !ended {
            end_left_behind(&ours);
            ended = true;
        }
        if Instant::now() >= until {
            let message = format!("another program is at work in {}", dir.display());
            return Err(Error::new(ErrorKind::Transient, "folder-busy", message)
                .hint("wait for it, or see who has the lock in it"));
        }
        std::thread::sleep(AGAIN);
    }
    let state = read_state(&ours).map_err(|cause| failed("read the state", cause))?.unwrap_or_default();
    let place = Place { dir: dir.clone(), lock };
    Ok(Held { place: Arc::new(place), dir, state })
}

/// Ends the compose that somebody started here who was killed.
fn end_left_behind(ours: &Path) {
    let Ok(text) = fs::read_to_string(ours.join("running")) else { return };
    let mut words = text.split_ascii_whitespace();
    let (Some(pid), Some(start), Some(boot)) = (words.next(), words.next(), words.next()) else { return };
    let (Ok(pid), Ok(start)) = (pid.parse::<i32>(), start.parse::<u64>()) else { return };
    let same = boot == process::boot_id() && process::stat(pid).is_some_and(|stat| stat.id.start == start);
    if let Some(group) = Pid::from_raw(pid).filter(|_| same && pid > 1) {
        // It may have ended just now.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

impl Place {
    pub(super) fn folder(&self) -> &Path {
        &self.dir
    }

    /// A second handle of the lock: it is held until both are closed.
    pub(super) fn lock_file(&self) -> io::Result<File> {
        self.lock.try_clone()
    }

    /// Notes which run of compose has the lock as well. That this cannot be written is nothing to fail for.
    pub(super) fn running(&self, pid: i32) {
        let Some(stat) = process::stat(pid) else { return };
        let text = format!("{pid} {} {}\n", stat.id.start, process::boot_id());
        let _ = fs::write(self.dir.join(OURS).join("running"), text);
    }

    /// The files that compose runs.
    pub(super) fn files(&self) -> Files {
        files_in(&self.dir)
    }

    /// Files that are being looked over.
    pub(super) fn next(&self) -> Files {
        files_in(&self.dir.join(OURS).join("next"))
    }
}

impl Held {
    pub(super) fn place(&self) -> Arc<Place> {
        Arc::clone(&self.place)
    }

    fn failed(&self, what: &str, cause: io::Error) -> Error {
        failed(&self.dir, what, cause)
    }

    fn good(&self) -> Files {
        files_in(&self.dir.join(OURS).join("good"))
    }

    /// Lets an act with that right through, and refuses every lower one from now on.
    pub(super) fn pass(&mut self, generation: Generation) -> Result<(), Error> {
        let known = self.state.generation;
        if generation < known {
            let message =
                format!("{} was acted upon under generation {known}, {generation} is stale", self.dir.display());
            return Err(Error::new(ErrorKind::Fenced, "fenced", message));
        }
        if generation > known {
            self.state.generation = generation;
            self.keep_state()?;
        }
        Ok(())
    }

    /// Writes the state down.
    pub(super) fn keep_state(&mut self) -> Result<(), Error> {
        self.state.version = 1;
        let written = serde_json::to_vec(&self.state).map_err(io::Error::other);
        let written = written.and_then(|bytes| write(&self.dir.join(OURS).join("state.json"), &bytes, 0o600));
        written.map_err(|cause| self.failed("write the state", cause))
    }

    /// Lays the files aside to be looked over.
    pub(super) fn lay_aside(&self, files: &BTreeMap<String, String>) -> Result<(), Error> {
        let next = self.dir.join(OURS).join("next");
        let written = make_private(&next).and_then(|()| {
            files.iter().try_for_each(|(name, text)| write(&next.join(name), text.as_bytes(), mode(name)))?;
            if files.contains_key(ENV_FILE) { Ok(()) } else { write(&next.join(ENV_FILE), b"", 0o600) }
        });
        written.map_err(|cause| self.failed("write the files", cause))
    }

    /// Gives the files that were looked over their place. What is in place and was never ours is kept as what served before.
    pub(super) fn put_in_place(&mut self) -> Result<(), Error> {
        if self.state.phase == Phase::New && self.state.good.is_none() && self.place.files().compose.exists() {
            copy(&self.place.files(), &self.good())
                .map_err(|cause| self.failed("keep the files that were here", cause))?;
            self.state.good = Some(About::default());
        }
        self.state.phase = Phase::Applying;
        self.keep_state()?;
        let (next, place) = (self.place.next(), self.place.files());
        // The variables first: where it ends between the two, the old text finds all of its own, or says which is missing.
        copy(&next, &place).map_err(|cause| self.failed("put the files in place", cause))
    }

    /// The files in place have served: they are what is gone back to.
    pub(super) fn keep_as_good(&mut self) -> Result<(), Error> {
        copy(&self.place.files(), &self.good()).map_err(|cause| self.failed("keep the files", cause))?;
        self.state.phase = Phase::Good;
        self.state.good = Some(self.state.current.clone());
        self.keep_state()?;
        // Holds secrets, and nobody looks at it again.
        let _ = fs::remove_dir_all(self.dir.join(OURS).join("next"));
        Ok(())
    }

    /// Puts the last good files in place again; `false` when there are none.
    pub(super) fn put_back(&mut self) -> Result<bool, Error> {
        let Some(good) = self.state.good.clone().filter(|_| self.good().compose.exists()) else { return Ok(false) };
        copy(&self.good(), &self.place.files()).map_err(|cause| self.failed("put the last good files back", cause))?;
        self.state.current = good;
        self.keep_state()?;
        Ok(true)
    }

    /// A file without the services of the project, so that compose takes them all for left over.
    pub(super) fn stand_in(&mut self) -> Result<(), Error> {
        let text = b"services:\n  nothing:\n    image: scratch\n";
        write(&self.place.files().compose, text, 0o644).map_err(|cause| self.failed("write the files", cause))
    }

    /// Removes the files and what is kept of them; what services have mounted stays, and so does the highest right.
    pub(super) fn clear(&mut self, phase: Phase) -> Result<(), Error> {
        let gone = [self.dir.join(OURS).join("next"), self.dir.join(OURS).join("good")];
        let place = self.place.files();
        let removed = gone.iter().map(fs::remove_dir_all).chain([&place.compose, &place.env].map(fs::remove_file));
        for outcome in removed {
            match outcome {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                    return Err(self.failed("remove the files", cause));
                }
                _ => {}
            }
        }
        self.state.phase = phase;
        self.state.good = None;
        self.state.current = About::default();
        self.keep_state()
    }
}

fn files_in(dir: &Path) -> Files {
    Files { compose: dir.join(COMPOSE_FILE), env: dir.join(ENV_FILE) }
}

fn mode(name: &str) -> u32 {
    if name == ENV_FILE { 0o600 } else { 0o644 }
}

fn make_private(dir: &Path) -> io::Result<()> {
    // What an earlier one left may be other files.
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Copies the files of a folder's top, the variables first and the compose file last.
fn copy(from: &Files, to: &Files) -> io::Result<()> {
    let (from, to) = (parent(&from.compose)?, parent(&to.compose)?);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(to)?;
    let known = [ENV_FILE, COMPOSE_FILE];
    let mut names: Vec<String> = Vec::new();
    if from.ends_with("next") || from.ends_with("good") {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string()
                && entry.file_type()?.is_file()
                && !known.contains(&name.as_str())
            {
                names.push(name);
            }
        }
    }
    names.sort_unstable();
    names.splice(0..0, [ENV_FILE.to_owned()]);
    names.push(COMPOSE_FILE.to_owned());
    for name in names {
        let bytes = match fs::read(from.join(&name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && name == ENV_FILE => Vec::new(),
            bytes => bytes?,
        };
        write(&to.join(&name), &bytes, mode(&name))?;
    }
    Ok(())
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::Error::other("a file without a folder"))
}

/// Writes a file so that whoever reads it finds all of it or what was there before, also after a power loss.
fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let dir = parent(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // One at a time acts on the folder; what an earlier one left is written over.
    let aside = dir.join(format!(".skipper-new-{name}"));
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&aside, path)?;
    File::open(dir)?.sync_all()
}
