//! What the agent remembers across crashes: a journal of orders taken, begun, done and reported, with the orders and results
//! themselves in files beside it.
//!
//! `journal` is appended to and synced before anything that depends on it: an order is begun when the line that says so is
//! on the disk, and the server is told when the result is. A line that was torn by a crash is the last one, and is as if it
//! had not been written.
//!
//! `orders/<id>.json` holds an order as it was handed out, secrets and all, mode 0600, from before it is taken until its
//! effect has ended. The alternative, to ask the server for it again after a crash, would leave a project half changed for as
//! long as the server cannot be reached, and for the rest of the lease in any case; and the same secrets lie in the project's
//! `.env` under the same mode already. `results/<id>.json` holds what became of an order.

mod entry;
mod ledger;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use skipper_core::id::OrderId;
use skipper_source::fleet::{OrderResult, WorkOrder};

use super::disk;

pub(super) use entry::{Entry, Facts};
pub(super) use ledger::{Decision, Ledger, Record, Stage};

/// Orders that are remembered after everything was done, so that one that is handed out again has no second effect.
const REMEMBERED: usize = 256;
/// The journal is written anew when it is as long as this, and twice as long as it has to be.
const LONG: u64 = 512 << 10;

/// The journal and what lies beside it.
#[derive(Debug)]
pub(super) struct Journal {
    dir: PathBuf,
    file: File,
    /// Length of what was written whole.
    length: u64,
    /// Length at which it is looked at again.
    rewrite_at: u64,
    /// Lines that a full disk has not taken yet, and that hold all the same.
    owed: Vec<u8>,
    ledger: Ledger,
}

impl Journal {
    /// Opens or makes it, and goes on behind the last whole line.
    ///
    /// # Errors
    ///
    /// The folder cannot be used.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        for folder in ["orders", "results"] {
            disk::make_dir(&dir.join(folder))?;
        }
        let path = dir.join("journal");
        let file = append_to(&path)?;
        disk::sync_dir(&path)?;
        let bytes = fs::read(&path)?;
        let (ledger, length) = read(&bytes);
        if length < bytes.len() as u64 {
            tracing::info!(
                bytes = bytes.len() as u64 - length,
                "the journal ends in the middle of a line, as a crash leaves it"
            );
            file.set_len(length)?;
        }
        let mut journal = Self { dir: dir.to_owned(), file, length, rewrite_at: LONG, owed: Vec::new(), ledger };
        journal.sweep();
        journal.shorten();
        Ok(journal)
    }

    /// What it says.
    pub(super) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Writes a line, and takes it in when it is on the disk.
    ///
    /// # Errors
    ///
    /// It is not written, and nothing has changed.
    pub(super) fn write(&mut self, entry: Entry) -> io::Result<()> {
        self.settle()?;
        let line = line(&entry);
        self.append(&line)?;
        self.ledger.apply(entry);
        self.shorten();
        Ok(())
    }

    /// Takes a line in that tells what has happened already, and writes it as soon as it can be. Whether it is written.
    pub(super) fn note(&mut self, entry: Entry) -> bool {
        let bytes = line(&entry);
        self.ledger.apply(entry);
        self.owed.extend_from_slice(&bytes);
        self.settle().inspect_err(|error| tracing::warn!("the journal cannot be written: {error}")).is_ok()
    }

    /// Writes what is owed.
    ///
    /// # Errors
    ///
    /// It is still owed.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        if self.owed.is_empty() {
            return Ok(());
        }
        let owed = std::mem::take(&mut self.owed);
        self.append(&owed).inspect_err(|_| self.owed = owed)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => {
                self.length += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Half a line would be taken for the last one that a crash left.
                self.file.set_len(self.length)?;
                Err(error)
            }
        }
    }

    /// Keeps an order until its effect has ended.
    ///
    /// # Errors
    ///
    /// It is not kept.
    pub(super) fn keep_order(&self, order: &WorkOrder) -> io::Result<()> {
        disk::write_private(&self.path_of("orders", order.id), &serde_json::to_vec(order)?)
    }

    /// An order that was kept.
    ///
    /// # Errors
    ///
    /// It is not there, or is damaged.
    pub(super) fn order(&self, id: OrderId) -> io::Result<WorkOrder> {
        Ok(serde_json::from_slice(&fs::read(self.path_of("orders", id))?)?)
    }

    /// Removes an order whose secrets nobody needs any more.
    pub(super) fn drop_order(&self, id: OrderId) {
        if let Err(error) = disk::remove(&self.path_of("orders", id)) {
            tracing::warn!(work_order = %id, "remove the order's file: {error}");
        }
    }

    /// Keeps what became of an order.
    ///
    /// # Errors
    ///
    /// It is not kept.
    pub(super) fn keep_result(&self, id: OrderId, result: &OrderResult) -> io::Result<()> {
        disk::write_private(&self.path_of("results", id), &serde_json::to_vec(result)?)
    }

    /// What became of an order.
    ///
    /// # Errors
    ///
    /// It is not there, or is damaged.
    pub(super) fn result(&self, id: OrderId) -> io::Result<OrderResult> {
        Ok(serde_json::from_slice(&fs::read(self.path_of("results", id))?)?)
    }

    fn path_of(&self, folder: &str, id: OrderId) -> PathBuf {
        self.dir.join(folder).join(format!("{id}.json"))
    }

    /// Removes files that a crash left behind.
    fn sweep(&self) {
        let open: Vec<OrderId> = self.ledger.open().iter().map(|known| known.facts.order).collect();
        for (folder, is_needed) in [
            ("orders", &(|id: OrderId| open.contains(&id)) as &dyn Fn(OrderId) -> bool),
            ("results", &|id| self.ledger.get(id).is_some()),
        ] {
            for entry in fs::read_dir(self.dir.join(folder)).into_iter().flatten().flatten() {
                let path = entry.path();
                let id = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json")?.parse().ok());
                if !id.is_some_and(is_needed) {
                    let _ = disk::remove(&path);
                }
            }
        }
    }

    /// Writes the journal anew where most of it is of the past.
    fn shorten(&mut self) {
        if self.length < self.rewrite_at || !self.owed.is_empty() {
            return;
        }
        let gone = self.ledger.forget(REMEMBERED);
        let bytes: Vec<u8> = self.ledger.entries().iter().flat_map(line).collect();
        self.rewrite_at = LONG.max(bytes.len() as u64 * 2);
        let path = self.dir.join("journal");
        match disk::write_private(&path, &bytes) {
            Ok(()) => {
                for id in gone {
                    let _ = disk::remove(&self.path_of("results", id));
                }
            }
            Err(error) => tracing::warn!("write the journal anew: {error}"),
        }
        // Whichever of the two is there now says the same, and is the one to go on with.
        match append_to(&path).and_then(|file| Ok((file.metadata()?.len(), file))) {
            Ok((length, file)) => (self.length, self.file) = (length, file),
            Err(error) => tracing::error!("open the journal again: {error}"),
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

fn line(entry: &Entry) -> Vec<u8> {
    let mut line = serde_json::to_vec(entry).expect("an entry is always representable as JSON");
    line.push(b'\n');
    line
}

/// What whole lines say, and how long they are.
fn read(bytes: &[u8]) -> (Ledger, u64) {
    let mut ledger = Ledger::default();
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    for line in bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(entry) => ledger.apply(entry),
            // A disk that lost its power, or a later version of this program.
            Err(error) => tracing::warn!("a line of the journal cannot be read and is passed over: {error}"),
        }
    }
    (ledger, whole as u64)
}

#[cfg(test)]
mod tests;
