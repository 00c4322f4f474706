//! Hears of changes in folders, so that looking costs nothing where nothing has changed.

use std::{
    collections::BTreeSet,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

/// File systems of this machine, whose changes the kernel tells; of others it does not know what somebody else does to them:
/// ext, XFS, Btrfs, tmpfs, overlay, ZFS, F2FS.
const OWN: [u64; 7] = [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630, 0x2FC1_2FC1, 0xF2F5_2010];

/// What may have changed since it was asked last.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Anything.
    pub(super) everything: bool,
    /// The folder's number and the name of the document.
    pub(super) documents: BTreeSet<(usize, String)>,
}

/// Watches folders for documents that appear or change.
#[derive(Debug)]
pub(super) struct Watch {
    folders: Vec<PathBuf>,
    fd: Option<OwnedFd>,
    /// The folders as they were when they were last watched: number of the watch, device and inode.
    watched: Vec<Option<(i32, u64, u64)>>,
    /// A document is a link: what it leads to is not watched.
    has_links: bool,
    news: News,
}

impl Watch {
    /// Watches from now on, as far as that can be done.
    pub(super) fn new(folders: Vec<PathBuf>) -> Self {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok();
        let watched = vec![None; folders.len()];
        let mut watch = Self { folders, fd, watched, has_links: false, news: News::default() };
        watch.renew();
        watch.news.everything = true;
        watch
    }

    /// Watches the folders that are there now.
    fn renew(&mut self) {
        let Some(fd) = &self.fd else { return };
        let flags = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        for (folder, watched) in self.folders.iter().zip(&mut self.watched) {
            let number = is_own(folder).then(|| inotify::add_watch(fd, folder, flags).ok()).flatten();
            *watched = number.and_then(|number| identity(folder).map(|(device, inode)| (number, device, inode)));
        }
    }

    /// A document is a link, or none is any more.
    pub(super) fn links(&mut self, has_links: bool) {
        self.has_links = has_links;
    }

    /// Whether everything that happens is heard of.
    pub(super) fn is_trusted(&self) -> bool {
        let same = |(folder, watched): (&PathBuf, &Option<(i32, u64, u64)>)| {
            watched.is_some_and(|(_, device, inode)| identity(folder) == Some((device, inode)))
        };
        !self.has_links && self.folders.iter().zip(&self.watched).all(same)
    }

    /// What was heard of and not yet taken; `wanted` says which of it is worth anything.
    pub(super) fn heard(&mut self, wanted: impl Fn(usize, &str) -> bool) -> &News {
        if let Some(fd) = &self.fd {
            let mut space = [MaybeUninit::<u8>::uninit(); 4096];
            let mut reader = inotify::Reader::new(fd, &mut space);
            while let Ok(event) = reader.next() {
                let lost = ReadFlags::QUEUE_OVERFLOW
                    | ReadFlags::IGNORED
                    | ReadFlags::DELETE_SELF
                    | ReadFlags::MOVE_SELF
                    | ReadFlags::UNMOUNT;
                if event.events().intersects(lost) {
                    self.news.everything = true;
                    continue;
                }
                let folder =
                    self.watched.iter().position(|watched| watched.is_some_and(|(number, ..)| number == event.wd()));
                let name = event.file_name().and_then(|name| name.to_str().ok());
                let id = name.and_then(|name| name.strip_suffix(".json")).filter(|id| !id.starts_with('.'));
                if let (Some(folder), Some(id)) = (folder, id) {
                    self.news.documents.insert((folder, id.to_owned()));
                }
            }
        }
        self.news.documents.retain(|(folder, id)| wanted(*folder, id));
        &self.news
    }

    /// Takes what was heard of. Where not everything is heard, that is anything.
    pub(super) fn take(&mut self) -> News {
        let mut news = std::mem::take(&mut self.news);
        if !self.is_trusted() || news.everything {
            self.renew();
            news.everything = true;
        }
        news
    }
}

fn identity(folder: &Path) -> Option<(u64, u64)> {
    let about = std::fs::metadata(folder).ok()?;
    Some((about.dev(), about.ino()))
}

fn is_own(folder: &Path) -> bool {
    rustix::fs::statfs(folder).is_ok_and(|system| u64::try_from(system.f_type).is_ok_and(|kind| OWN.contains(&kind)))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn heard(watch: &mut Watch) -> Vec<String> {
        watch.heard(|_, _| true);
        watch.take().documents.into_iter().map(|(_, id)| id).collect()
    }

    #[test]
    fn documents_that_are_written_moved_or_appended_to_are_heard_of() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut watch = Watch::new(vec![dir.path().to_owned()]);
        assert!(watch.is_trusted(), "temporary folders are on a file system of this machine");
        assert!(watch.take().everything, "nothing was looked at yet");
        assert_eq!(heard(&mut watch), [""; 0]);
        fs::write(dir.path().join("a.json"), "{}").expect("written");
        fs::write(dir.path().join(".b.json"), "{}").expect("written");
        fs::write(dir.path().join("c.txt"), "{}").expect("written");
        assert_eq!(heard(&mut watch), ["a"]);
        fs::rename(dir.path().join(".b.json"), dir.path().join("b.json")).expect("moved");
        let mut open = fs::OpenOptions::new().append(true).open(dir.path().join("a.json")).expect("opened");
        std::io::Write::write_all(&mut open, b" ").expect("written");
        assert_eq!(heard(&mut watch), ["a", "b"], "also while it is open");
        drop(open);
        heard(&mut watch);
        assert_eq!(heard(&mut watch), [""; 0]);
    }

    #[test]
    fn a_folder_that_was_replaced_or_holds_links_is_looked_at_as_a_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("tenants");
        fs::create_dir(&folder).expect("made");
        let mut watch = Watch::new(vec![folder.clone()]);
        watch.take();
        fs::rename(&folder, dir.path().join("before")).expect("moved");
        fs::create_dir(&folder).expect("made");
        fs::write(folder.join("a.json"), "{}").expect("written");
        assert!(!watch.is_trusted());
        watch.heard(|_, _| true);
        assert!(watch.take().everything);
        watch.heard(|_, _| true);
        assert!(watch.is_trusted() && !watch.take().everything, "it is watched where it is now");
        symlink("/nowhere", folder.join("b.json")).expect("linked");
        watch.links(true);
        assert!(!watch.is_trusted() && watch.take().everything);
    }
}
