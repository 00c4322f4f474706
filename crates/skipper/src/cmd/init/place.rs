//! The machine that is set up: everything below one folder, nothing written that is there already.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::failure::{Doing as _, Done, Failure};

/// Most that is read of a file of the machine.
const MAX_BYTES: u64 = 1 << 20;

/// What became of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// It is there now.
    Made,
    /// Something was added to it.
    Changed,
    /// It was there, and is as it was.
    Kept,
    /// It would be made.
    Planned,
    /// It could not be done here; the sentence says why.
    Skipped,
}

impl State {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Changed => "changed",
            Self::Kept => "kept",
            Self::Planned => "would make",
            Self::Skipped => "skipped",
        }
    }
}

/// One line of what was done.
#[derive(Debug, Serialize)]
pub(super) struct Deed {
    pub(super) state: State,
    pub(super) what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
}

/// Who owns what is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The machine.
#[derive(Debug)]
pub(super) struct Place {
    root: PathBuf,
    dry: bool,
    pub(super) deeds: Vec<Deed>,
}

impl Place {
    pub(super) fn new(root: PathBuf, dry: bool) -> Self {
        Self { root, dry, deeds: Vec::new() }
    }

    /// Whether it is this machine itself, and it is really done.
    pub(super) fn is_here(&self) -> bool {
        self.root == Path::new("/") && !self.dry
    }

    /// Whether nothing is done.
    pub(super) const fn is_dry(&self) -> bool {
        self.dry
    }

    /// A path of that machine, as it is reached from here.
    pub(super) fn at(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    pub(super) fn has(&self, path: &Path) -> bool {
        fs::symlink_metadata(self.at(path)).is_ok()
    }

    /// A file of that machine; `None` where there is none.
    pub(super) fn read(&self, path: &Path) -> Result<Option<String>, Failure> {
        let path = self.at(path);
        match fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Ok(meta) if meta.len() > MAX_BYTES => {
                return Err(Failure::error(format!(
                    "{} has {} bytes: that is not what is expected there",
                    path.display(),
                    meta.len()
                )));
            }
            _ => {}
        }
        fs::read_to_string(&path).map(Some).doing(|| format!("read {}", path.display()))
    }

    pub(super) fn note(&mut self, state: State, what: impl Into<String>, note: Option<String>) {
        self.deeds.push(Deed { state, what: what.into(), note });
    }

    /// A folder with its parents.
    pub(super) fn folder(&mut self, path: &Path, mode: u32, owner: Option<Owner>) -> Done {
        let there = self.at(path);
        if there.is_dir() {
            self.note(State::Kept, path.display().to_string(), None);
            return Ok(());
        }
        if self.dry {
            self.note(State::Planned, path.display().to_string(), None);
            return Ok(());
        }
        fs::create_dir_all(&there).doing(|| format!("create {}", there.display()))?;
        self.settle(&there, mode, owner)?;
        self.note(State::Made, path.display().to_string(), None);
        Ok(())
    }

    /// A file that is not there yet. One that is there is left alone, and `differs` is said of it where it is another.
    pub(super) fn file(&mut self, path: &Path, text: &str, mode: u32, owner: Option<Owner>, differs: &str) -> Done {
        if let Some(present) = self.read(path)? {
            let note = (present != text && !differs.is_empty()).then(|| differs.to_owned());
            self.note(State::Kept, path.display().to_string(), note);
            return Ok(());
        }
        self.write(path, text, mode, owner)?;
        let state = if self.dry { State::Planned } else { State::Made };
        self.note(state, path.display().to_string(), None);
        Ok(())
    }

    /// Puts a file in its place, whole or not at all, and never readable by more than `mode` says.
    pub(super) fn write(&self, path: &Path, text: &str, mode: u32, owner: Option<Owner>) -> Done {
        if self.dry {
            return Ok(());
        }
        let there = self.at(path);
        let folder = there.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder).doing(|| format!("create {}", folder.display()))?;
        let mut file = tempfile::NamedTempFile::new_in(folder).doing(|| format!("write in {}", folder.display()))?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.as_file().sync_all())
            .doing(|| format!("write {}", there.display()))?;
        self.settle(file.path(), mode, owner)?;
        file.persist(&there).map(drop).doing(|| format!("write {}", there.display()))
    }

    /// The program itself, where it is missing.
    pub(super) fn program(&mut self, from: &Path, to: &Path) -> Done {
        if self.has(to) {
            self.note(State::Kept, to.display().to_string(), None);
        } else if self.dry {
            self.note(State::Planned, to.display().to_string(), None);
        } else {
            let there = self.at(to);
            let folder = there.parent().unwrap_or(Path::new("/"));
            fs::create_dir_all(folder).doing(|| format!("create {}", folder.display()))?;
            let new = folder.join(".skipper.new");
            fs::copy(from, &new).doing(|| format!("copy {} to {}", from.display(), there.display()))?;
            self.settle(&new, 0o755, None)?;
            fs::rename(&new, &there).doing(|| format!("write {}", there.display()))?;
            self.note(State::Made, to.display().to_string(), None);
        }
        for name in ["slip", "slipd"] {
            let link = to.with_file_name(name);
            if self.has(&link) {
                self.note(State::Kept, link.display().to_string(), None);
                continue;
            }
            if !self.dry {
                symlink("skipper", self.at(&link)).doing(|| format!("link {}", link.display()))?;
            }
            let state = if self.dry { State::Planned } else { State::Made };
            self.note(state, link.display().to_string(), Some("the same program under slip's name".to_owned()));
        }
        Ok(())
    }

    fn settle(&self, path: &Path, mode: u32, owner: Option<Owner>) -> Done {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).doing(|| format!("protect {}", path.display()))?;
        match owner {
            Some(owner) => {
                chown(path, Some(owner.uid), Some(owner.gid)).doing(|| format!("give away {}", path.display()))
            }
            None => Ok(()),
        }
    }

    /// A user of the machine.
    pub(super) fn user(&self, name: &str) -> Result<Option<Owner>, Failure> {
        let text = self.read(Path::new("/etc/passwd"))?.unwrap_or_default();
        Ok(text.lines().find_map(|line| {
            let mut fields = line.split(':');
            let is_it = fields.next() == Some(name);
            let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
            is_it.then_some(Owner { uid, gid })
        }))
    }

    /// Whether the machine has such a group.
    pub(super) fn has_group(&self, name: &str) -> Result<bool, Failure> {
        let text = self.read(Path::new("/etc/group"))?.unwrap_or_default();
        Ok(text.lines().any(|line| line.split(':').next() == Some(name)))
    }
}
