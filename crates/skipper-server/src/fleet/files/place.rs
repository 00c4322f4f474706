//! Where the files are, and how they are written: aside first, then in their place.

use std::{
    fs,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use serde_json::Value;
use skipper_core::{fleet::OrderStatus, id::OrderId};

/// Largest document that is read.
const MAX_DOCUMENT: u64 = 1 << 20;
/// Most documents of a kind.
const MAX_FILES: usize = 10_000;
/// How much of the end of a file of events is looked at for the last of them.
const TAIL: u64 = 256 << 10;
/// Files of events and logs that are kept: a month's.
const DAYS: usize = 31;

const FOLDERS: [&str; 10] = [
    "resources/tenants",
    "resources/nodes",
    "resources/services",
    "auth/nodes",
    "work-orders/pending",
    "work-orders/active",
    "work-orders/finished",
    "events",
    "logs",
    "snapshots",
];

/// Length and time of change of a file: what differs whenever somebody wrote it.
pub(super) type Stamp = (u64, i64, i64);

/// The data folder.
#[derive(Debug, Clone)]
pub(super) struct Place {
    root: PathBuf,
}

/// A document in a folder that people write.
#[derive(Debug)]
pub(super) struct Found {
    /// Its name without the ending.
    pub(super) id: String,
    /// Where it is.
    pub(super) path: PathBuf,
    /// Changes whenever the file does.
    pub(super) stamp: Stamp,
    /// It is a link to somewhere else.
    pub(super) is_link: bool,
}

impl Place {
    pub(super) const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn prepare(&self) -> io::Result<()> {
        for folder in FOLDERS {
            fs::create_dir_all(self.root.join(folder))?;
        }
        Ok(())
    }

    /// The documents of a folder; hidden files and others are passed over.
    pub(super) fn list(&self, folder: &str) -> Vec<Found> {
        let Ok(entries) = fs::read_dir(self.root.join(folder)) else { return Vec::new() };
        let found = entries.flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let id = name.strip_suffix(".json").filter(|id| !id.is_empty() && !id.starts_with('.'))?;
            self.found(folder, id)
        });
        let mut found: Vec<Found> = found.take(MAX_FILES).collect();
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found
    }

    /// A document of a folder.
    pub(super) fn found(&self, folder: &str, id: &str) -> Option<Found> {
        let path = self.path(folder, id);
        let stamp = Self::stamp(&path)?;
        let is_link = fs::symlink_metadata(&path).is_ok_and(|about| about.is_symlink());
        Some(Found { id: id.to_owned(), path, stamp, is_link })
    }

    pub(super) fn path(&self, folder: &str, id: &str) -> PathBuf {
        self.root.join(folder).join(format!("{id}.json"))
    }

    /// What changes whenever a file does.
    pub(super) fn stamp(path: &Path) -> Option<Stamp> {
        Some(stamp_of(&fs::metadata(path).ok().filter(fs::Metadata::is_file)?))
    }

    pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
        let file = fs::File::open(path)?;
        let mut bytes = Vec::new();
        file.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_DOCUMENT {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is larger than 1 MiB"));
        }
        Ok(bytes)
    }

    /// Writes a document that nobody else writes, unless it is there word for word.
    pub(super) fn write(&self, folder: &str, id: &str, document: &Value) -> io::Result<()> {
        let text = format!("{document:#}\n");
        let path = self.path(folder, id);
        if Self::read(&path).is_ok_and(|there| there == text.as_bytes()) {
            return Ok(());
        }
        let (aside, _) = self.lay_beside(folder, id, &text, false)?;
        fs::rename(aside, path)
    }

    /// Writes a document that people write as well, in the place of the one with the stamp `before` (`None`: of none), and answers
    /// its stamp. `None`: somebody else has written there meanwhile, and that is left. `private`: for its owner alone.
    pub(super) fn replace(
        &self,
        folder: &str,
        id: &str,
        document: &Value,
        before: Option<Stamp>,
        private: bool,
    ) -> io::Result<Option<Stamp>> {
        let text = format!("{document:#}\n");
        let path = self.path(folder, id);
        if before.is_some() && Self::read(&path).is_ok_and(|there| there == text.as_bytes()) {
            // What was read is at least as new as that.
            return Ok(before);
        }
        let (aside, stamp) = self.lay_beside(folder, id, &text, private)?;
        let Some(before) = before else {
            return match renameat_with(CWD, &aside, CWD, &path, RenameFlags::NOREPLACE) {
                Ok(()) => Ok(Some(stamp)),
                Err(Errno::EXIST) => fs::remove_file(&aside).map(|()| None),
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => fs::rename(&aside, &path).map(|()| Some(stamp)),
                Err(errno) => Err(errno.into()),
            };
        };
        // What was there is looked at once it cannot be written over any more.
        match renameat_with(CWD, &aside, CWD, &path, RenameFlags::EXCHANGE) {
            Ok(()) if Self::stamp(&aside) == Some(before) => fs::remove_file(&aside).map(|()| Some(stamp)),
            Ok(()) => {
                renameat_with(CWD, &aside, CWD, &path, RenameFlags::EXCHANGE)?;
                fs::remove_file(&aside).map(|()| None)
            }
            // It is gone by now, or this file system cannot.
            Err(Errno::NOENT | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                fs::rename(&aside, &path).map(|()| Some(stamp))
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Writes a document under a name that nobody reads.
    fn lay_beside(&self, folder: &str, id: &str, text: &str, private: bool) -> io::Result<(PathBuf, Stamp)> {
        let aside = self.root.join(folder).join(format!(".{id}.json.new"));
        let mode = if private { 0o600 } else { 0o644 };
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(mode).open(&aside)?;
        file.write_all(text.as_bytes())?;
        Ok((aside, stamp_of(&file.metadata()?)))
    }

    /// Renames a document to what is not read, and answers where it is.
    pub(super) fn lay_aside(&self, folder: &str, id: &str) -> io::Result<PathBuf> {
        let to = self.root.join(folder).join(format!("{id}.json.refused"));
        fs::rename(self.path(folder, id), &to)?;
        Ok(to)
    }

    pub(super) fn is_there(&self, folder: &str, id: &str) -> bool {
        self.path(folder, id).exists()
    }

    pub(super) fn remove(&self, folder: &str, id: &str) {
        let _ = fs::remove_file(self.path(folder, id));
    }

    /// Shows an order where it belongs now, and nowhere else.
    pub(super) fn order(&self, id: OrderId, status: OrderStatus, document: &Value) -> io::Result<()> {
        let id = id.to_string();
        self.write(&format!("work-orders/{}", status.folder()), &id, document)?;
        for other in ["pending", "active", "finished"].into_iter().filter(|folder| *folder != status.folder()) {
            self.remove(&format!("work-orders/{other}"), &id);
        }
        Ok(())
    }

    /// Appends lines to the day's file. Those of long ago go.
    pub(super) fn append(&self, folder: &str, day: &str, lines: &str) -> io::Result<()> {
        let path = self.root.join(folder).join(format!("{day}.jsonl"));
        let is_new = !path.exists();
        fs::OpenOptions::new().append(true).create(true).open(&path)?.write_all(lines.as_bytes())?;
        if is_new {
            let files = self.days(folder);
            for old in files.iter().rev().skip(DAYS) {
                let _ = fs::remove_file(old);
            }
        }
        Ok(())
    }

    fn days(&self, folder: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.root.join(folder)) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
        files.sort();
        files
    }

    /// The number of the last event that was told.
    pub(super) fn last_event(&self) -> Option<u64> {
        self.days("events").iter().rev().find_map(|path| {
            let mut file = fs::File::open(path).ok()?;
            let length = file.metadata().ok()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
            let mut bytes = Vec::new();
            file.take(TAIL).read_to_end(&mut bytes).ok()?;
            let text = String::from_utf8_lossy(&bytes);
            text.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok()?.get("seq")?.as_u64())
        })
    }
}

fn stamp_of(about: &fs::Metadata) -> Stamp {
    (about.len(), about.mtime(), about.mtime_nsec())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_order_lies_in_one_folder_and_events_go_on_where_they_ended() {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Place::new(dir.path().to_owned());
        place.prepare().expect("folders");
        let id = OrderId::from_uuid(uuid::Uuid::from_u128(7));
        for status in [OrderStatus::Pending, OrderStatus::Active, OrderStatus::Failed] {
            place.order(id, status, &json!({"status": status})).expect("written");
            let shown: Vec<_> = ["pending", "active", "finished"]
                .into_iter()
                .filter(|folder| place.is_there(&format!("work-orders/{folder}"), &id.to_string()))
                .collect();
            assert_eq!(shown, [status.folder()]);
        }
        assert_eq!(place.last_event(), None);
        place.append("events", "2026-01-01", "{\"seq\":1}\n{\"seq\":2}\n").expect("written");
        place.append("events", "2026-01-02", "{\"seq\":3}\n{\"se").expect("written");
        assert_eq!(place.last_event(), Some(3), "a line that was cut off counts for nothing");
    }

    #[test]
    fn what_somebody_wrote_meanwhile_is_left() {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Place::new(dir.path().to_owned());
        place.prepare().expect("folders");
        let (folder, path) = ("resources/tenants", place.path("resources/tenants", "a"));
        let write = |n: u32, before| place.replace(folder, "a", &json!({ "n": n }), before, false).expect("it works");
        let first = write(1, None);
        assert_eq!(first, Place::stamp(&path));
        assert_eq!(write(2, None), None, "there is one");
        let second = write(2, first);
        assert!(second.is_some() && second == Place::stamp(&path));
        fs::write(&path, "by hand").expect("written");
        assert_eq!(write(3, second), None);
        assert_eq!(fs::read_to_string(&path).expect("there"), "by hand");
        assert_eq!(fs::read_dir(dir.path().join(folder)).expect("a folder").count(), 1, "nothing is left beside");
    }
}
