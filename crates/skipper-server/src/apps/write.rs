//! Changes of the directory through the API: one at a time, looked over as if they were loaded, and on disk before anybody is
//! told of them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::PoisonError,
};

use serde_json::Value;
use skipper_source::{
    Faults, Findings,
    app::{self, Directory, Edited, Environment, Held},
};

use super::{LiveApps, live::Followed};
use crate::config::{DirectoryTexts, read_directory};

/// A file of an app holds keys: nobody but the server's user gets to read one that the server wrote.
const MODE: u32 = 0o600;

/// Why nothing was written.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The server was given no directory.
    NoDirectory,
    /// There is a file of that name.
    Exists,
    /// There is none.
    Unknown,
    /// What would be refused when it is loaded.
    Faulty(Faults),
    /// The directory cannot be read or written: a sentence.
    Failed(String),
}

impl From<Faults> for Refusal {
    fn from(faults: Faults) -> Self {
        Self::Faulty(faults)
    }
}

impl LiveApps {
    /// Writes the file of a new app, which is live when this returns. Blocking.
    ///
    /// # Errors
    ///
    /// Nothing was written then, unless the sentence says so.
    pub(crate) fn create(&self, body: &Value) -> Result<Edited, Refusal> {
        let (followed, dir) = self.directory()?;
        let _turn = followed.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let edited = app::new_file(body, Environment::new(&followed.env))?;
        let path = file_of(dir, edited.app.name.as_str());
        if fs::symlink_metadata(&path).is_ok() {
            return Err(Refusal::Exists);
        }
        self.put(followed, dir, &path, edited, MODE)
    }

    /// Changes the file of an app. With `merge` the body is a merge patch (RFC 7396); otherwise a table that it names is
    /// replaced. Blocking.
    ///
    /// # Errors
    ///
    /// As [`LiveApps::create`].
    pub(crate) fn change(&self, name: &str, body: &Value, merge: bool) -> Result<Edited, Refusal> {
        let (followed, dir) = self.directory()?;
        let _turn = followed.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let text = read(dir)?.apps.remove(&format!("{name}.toml")).ok_or(Refusal::Unknown)?;
        let merged = merge.then(|| app::merged(&text, name, body)).transpose()?;
        let body = merged.as_ref().unwrap_or(body);
        let edited = app::edit(&text, name, body, Environment::new(&followed.env))?;
        // A link leads to the file that people keep elsewhere, and stays one.
        let path = file_of(dir, name);
        let path = fs::canonicalize(&path).map_err(|cause| failed(&path, "cannot be found", &cause))?;
        let mode = fs::metadata(&path).map_or(MODE, |meta| meta.permissions().mode() & MODE);
        self.put(followed, dir, &path, edited, mode)
    }

    /// Removes the file of an app, which is not there any more when this returns. Says whether there was one. Blocking.
    ///
    /// # Errors
    ///
    /// The directory cannot be written.
    pub(crate) fn remove(&self, name: &str) -> Result<bool, Refusal> {
        let (followed, dir) = self.directory()?;
        let _turn = followed.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let path = file_of(dir, name);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(cause) => return Err(failed(&path, "cannot be removed", &cause)),
        }
        sync_folder_of(&path).map_err(|cause| failed(&path, "cannot be removed for good", &cause))?;
        self.reload().map_err(Refusal::Failed)?;
        Ok(true)
    }

    fn directory(&self) -> Result<(&Followed, &Path), Refusal> {
        let followed = self.0.as_deref().ok_or(Refusal::NoDirectory)?;
        Ok((followed, followed.dir.as_deref().ok_or(Refusal::NoDirectory)?))
    }

    fn put(&self, followed: &Followed, dir: &Path, path: &Path, edited: Edited, mode: u32) -> Result<Edited, Refusal> {
        look_over(&read(dir)?, &edited, Environment::new(&followed.env), &followed.held.load())?;
        replace(path, edited.text.as_bytes(), mode).map_err(|cause| failed(path, "cannot be written", &cause))?;
        let reloaded = self.reload();
        reloaded.map_err(|what| Refusal::Failed(format!("{} is written, but not read: {what}", path.display())))?;
        Ok(edited)
    }
}

fn file_of(dir: &Path, name: &str) -> PathBuf {
    dir.join("apps").join(format!("{name}.toml"))
}

fn read(dir: &Path) -> Result<DirectoryTexts, Refusal> {
    read_directory(dir).map_err(Refusal::Failed)
}

fn failed(path: &Path, what: &str, cause: &io::Error) -> Refusal {
    Refusal::Failed(format!("{} {what}: {cause}", path.display()))
}

/// Loads the directory as it would be, without writing it: the app must be well there, and no other one worse off for it.
fn look_over(texts: &DirectoryTexts, edited: &Edited, env: Environment<'_>, held: &Held) -> Result<(), Faults> {
    let name = edited.app.name.as_str();
    let before = app::load_held(&Directory { server: &texts.server, apps: &texts.apps, env }, held);
    let mut apps = texts.apps.clone();
    apps.insert(format!("{name}.toml"), edited.text.clone());
    let after = app::load_held(&Directory { server: &texts.server, apps: &apps, env }, held);
    after.server?;
    let mut findings = Findings::new();
    for (other, read) in after.apps {
        let was_well = other == name || matches!(before.apps.get(&other), Some(Ok(_)));
        if let Some(faults) = read.err().filter(|_| was_well) {
            findings.extend(faults.into_findings());
        }
    }
    findings.into_result().map(drop)
}

/// The old file or the new one, whatever happens in between.
fn replace(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = folder.join(format!(".{name}.tmp"));
    match fs::remove_file(&fresh) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&fresh)?;
        file.write_all(text)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
        return written;
    }
    sync_folder_of(path)
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}
