//! The table on disk: a snapshot, and behind it a journal of what was set since. A line is in the journal before the
//! change is acknowledged, so an edge that is killed comes back with exactly what it acknowledged. Neither is synced to
//! the disk line by line: a power cut ends the applications too, and the server then tells everything anew.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    thread::JoinHandle,
};

use serde::{Deserialize, Serialize};

use crate::control::wire::{RemoveBody, Service};

const SNAPSHOT: &str = "snapshot.json";
const PREFIX: &str = "journal-";
/// Version of the snapshot's form.
const FORM: u32 = 1;
/// Journal size below which no new snapshot is made. Above it one is made when the journal is as large as the snapshot, so
/// that the work stays in proportion.
const SMALL: u64 = 256 * 1024;

/// A change.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Record {
    Set(Box<Service>),
    Remove(RemoveBody),
}

#[derive(Debug, Serialize, Deserialize)]
struct Snapshot {
    form: u32,
    /// Number of the first journal that is not contained.
    journal: u64,
    services: Vec<Service>,
    tombstones: Vec<RemoveBody>,
}

/// Everything that is to be restored, in the order of changes.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) records: Vec<Record>,
}

/// Writes the state down.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: PathBuf,
    number: u64,
    file: Option<File>,
    bytes: u64,
    snapshot_bytes: u64,
    /// The last line may be incomplete.
    torn: bool,
    writer: Option<JoinHandle<io::Result<u64>>>,
}

impl Journal {
    /// Reads what is there. Nothing is written before the first change or snapshot.
    pub(crate) fn open(folder: &Path) -> io::Result<(Self, Loaded)> {
        fs::create_dir_all(folder)?;
        let (mut loaded, mut first, mut snapshot_bytes) = (Loaded::default(), 0, 0);
        match fs::read(folder.join(SNAPSHOT)) {
            Ok(bytes) => match serde_json::from_slice::<Snapshot>(&bytes) {
                Ok(snapshot) => {
                    first = snapshot.journal;
                    snapshot_bytes = bytes.len() as u64;
                    loaded.records.extend(snapshot.services.into_iter().map(|service| Record::Set(Box::new(service))));
                    loaded.records.extend(snapshot.tombstones.into_iter().map(Record::Remove));
                }
                Err(error) => {
                    tracing::error!(%error, "the snapshot cannot be read: starting without it, the server will tell anew");
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut numbers = journals(folder)?;
        numbers.sort_unstable();
        for number in numbers.iter().copied().filter(|number| *number >= first) {
            read_lines(&journal_path(folder, number), &mut loaded.records)?;
        }
        let number = numbers.last().map_or(first, |last| last + 1).max(first);
        let journal =
            Self { folder: folder.to_owned(), number, file: None, bytes: 0, snapshot_bytes, torn: false, writer: None };
        Ok((journal, loaded))
    }

    /// Appends a change.
    pub(crate) fn append(&mut self, record: &Record) -> io::Result<()> {
        let mut line = if self.torn { b"\n".to_vec() } else { Vec::new() };
        serde_json::to_writer(&mut line, record).map_err(io::Error::other)?;
        line.push(b'\n');
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let path = journal_path(&self.folder, self.number);
                none.insert(OpenOptions::new().create(true).append(true).mode(0o600).open(path)?)
            }
        };
        self.torn = true;
        file.write_all(&line)?;
        self.torn = false;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Whether enough has changed for a new snapshot. `quiet`: there is time, so any change is enough for a small one.
    pub(crate) fn is_due(&mut self, quiet: bool) -> bool {
        if let Some(writer) = self.writer.take_if(|writer| writer.is_finished()) {
            self.settle(writer);
        }
        let enough = self.bytes > SMALL.max(self.snapshot_bytes);
        self.writer.is_none() && (enough || (quiet && self.bytes > 0 && self.snapshot_bytes < 4 * SMALL))
    }

    /// Writes a snapshot of `services` on a thread of its own and begins a new journal. What is appended from now on
    /// belongs to the new one.
    pub(crate) fn snapshot(&mut self, services: impl FnOnce() -> (Vec<Service>, Vec<RemoveBody>) + Send + 'static) {
        self.finish();
        self.number += 1;
        self.file = None;
        self.bytes = 0;
        self.torn = false;
        let (folder, number) = (self.folder.clone(), self.number);
        let work = move || {
            let (services, tombstones) = services();
            write(&folder, &Snapshot { form: FORM, journal: number, services, tombstones })
        };
        match std::thread::Builder::new().name("edge-snapshot".to_owned()).spawn(work) {
            Ok(writer) => self.writer = Some(writer),
            Err(error) => tracing::error!(%error, "no thread to write the snapshot; the journal goes on"),
        }
    }

    /// Waits for a snapshot that is being written.
    pub(crate) fn finish(&mut self) {
        if let Some(writer) = self.writer.take() {
            self.settle(writer);
        }
    }

    fn settle(&mut self, writer: JoinHandle<io::Result<u64>>) {
        match writer.join() {
            Ok(Ok(bytes)) => self.snapshot_bytes = bytes,
            Ok(Err(error)) => tracing::error!(%error, folder = %self.folder.display(), "write the snapshot"),
            Err(_) => tracing::error!("the thread that writes the snapshot died"),
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.finish();
    }
}

fn journal_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{number}.jsonl"))
}

fn journals(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(".jsonl"));
        numbers.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
    }
    Ok(numbers)
}

fn read_lines(path: &Path, into: &mut Vec<Record>) -> io::Result<()> {
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        let line = line?;
        match serde_json::from_slice(&line) {
            Ok(record) => into.push(record),
            Err(_) if line.is_empty() => {}
            // The line that was being written when the edge was killed was never acknowledged.
            Err(error) => tracing::warn!(%error, journal = %path.display(), "a journal line cannot be read"),
        }
    }
    Ok(())
}

/// Writes aside, syncs, renames, and removes the journals that are contained now.
fn write(folder: &Path, snapshot: &Snapshot) -> io::Result<u64> {
    let (target, aside) = (folder.join(SNAPSHOT), folder.join("snapshot.json.new"));
    let bytes = serde_json::to_vec(snapshot).map_err(io::Error::other)?;
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&aside)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&aside, &target)?;
    for number in journals(folder)?.into_iter().filter(|number| *number < snapshot.journal) {
        fs::remove_file(journal_path(folder, number))?;
    }
    Ok(bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use skipper_core::generation::Generation;

    use super::*;

    fn remove(app: &str) -> Record {
        Record::Remove(RemoveBody { release: "r".to_owned(), app: app.to_owned(), generation: Generation::default() })
    }

    fn apps(folder: &Path) -> Vec<String> {
        let (_, loaded) = Journal::open(folder).expect("open");
        let name = |record| match record {
            Record::Remove(body) => body.app,
            Record::Set(service) => service.app,
        };
        loaded.records.into_iter().map(name).collect()
    }

    #[test]
    fn what_was_appended_is_there_after_a_kill_and_a_torn_line_is_not() {
        let folder = tempfile::tempdir().expect("folder");
        let (mut journal, _) = Journal::open(folder.path()).expect("open");
        journal.append(&remove("a")).expect("append");
        journal.append(&remove("b")).expect("append");
        let path = journal_path(folder.path(), 0);
        let mut bytes = fs::read(&path).expect("read");
        bytes.truncate(bytes.len() - 5);
        fs::write(&path, bytes).expect("write");
        assert_eq!(apps(folder.path()), ["a"]);
        // A second life writes another file, so the torn line does no harm.
        let (mut journal, _) = Journal::open(folder.path()).expect("open");
        journal.append(&remove("c")).expect("append");
        assert_eq!(apps(folder.path()), ["a", "c"]);
    }

    #[test]
    fn a_snapshot_replaces_the_journals_before_it_and_none_after_it() {
        let folder = tempfile::tempdir().expect("folder");
        let (mut journal, _) = Journal::open(folder.path()).expect("open");
        journal.append(&remove("a")).expect("append");
        let Record::Remove(body) = remove("a") else { return };
        journal.snapshot(move || (Vec::new(), vec![body]));
        journal.append(&remove("b")).expect("append");
        journal.finish();
        assert_eq!(apps(folder.path()), ["a", "b"]);
        assert_eq!(journals(folder.path()).expect("list"), [1]);
    }

    #[test]
    fn an_unreadable_snapshot_does_not_keep_the_edge_from_starting() {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join(SNAPSHOT), "{").expect("write");
        assert!(apps(folder.path()).is_empty());
    }
}
