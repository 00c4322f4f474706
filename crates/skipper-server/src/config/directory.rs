//! A directory as slip has it, read within bounds.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read as _,
    path::Path,
};

use skipper_source::Finding;

/// Far more than any file of a configuration; keeps a wrong path (a log, a device) from being swallowed.
const MAX_BYTES: u64 = 1 << 20;
/// Most files of a folder that are looked at.
const MAX_FILES: usize = 20_000;

/// The texts of a directory.
#[derive(Debug, Clone, Default)]
pub struct DirectoryTexts {
    /// Of `slip.toml`.
    pub server: String,
    /// Of `apps/`, by file name.
    pub apps: BTreeMap<String, String>,
    /// Files of `apps/` that cannot be read, each with its cause.
    pub unreadable: Vec<Finding>,
}

impl DirectoryTexts {
    /// Of all of it: whether two readings are the same.
    pub(crate) fn digest(&self) -> skipper_core::Sha256 {
        let unreadable: Vec<String> = self.unreadable.iter().map(ToString::to_string).collect();
        let all = serde_json::json!([self.server, self.apps, unreadable]);
        skipper_core::Sha256::of_json(&all)
    }
}

/// Reads `slip.toml` and `apps/*.toml`. A folder `apps` that is missing is an empty one.
///
/// # Errors
///
/// A sentence: there is no `slip.toml` that can be read, or `apps` cannot be listed.
pub fn read_directory(dir: &Path) -> Result<DirectoryTexts, String> {
    let server = read_text(&dir.join("slip.toml"))?;
    let mut texts = DirectoryTexts { server, ..DirectoryTexts::default() };
    let dir = dir.join("apps");
    let cannot = |cause: &dyn std::fmt::Display| format!("{}: cannot be read: {cause}", dir.display());
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(texts),
        Err(cause) => return Err(cannot(&cause)),
    };
    for entry in entries.take(MAX_FILES) {
        let path = entry.map_err(|cause| cannot(&cause))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        match read_text(&path) {
            Ok(text) => {
                texts.apps.insert(name, text);
            }
            Err(problem) => texts.unreadable.push(Finding::error("file-unreadable", problem)),
        }
    }
    Ok(texts)
}

/// The text of a plain file of at most 1 MiB.
///
/// # Errors
///
/// A sentence that names the file and the cause.
pub fn read_text(path: &Path) -> Result<String, String> {
    let cannot = |cause: &dyn std::fmt::Display| format!("{}: cannot be read: {cause}", path.display());
    let meta = fs::metadata(path).map_err(|cause| cannot(&cause))?;
    if !meta.is_file() {
        return Err(cannot(&"it is no plain file"));
    }
    let mut text = String::new();
    let file = File::open(path).map_err(|cause| cannot(&cause))?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|cause| cannot(&cause))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(cannot(&"it is larger than 1 MiB"));
    }
    Ok(text)
}
