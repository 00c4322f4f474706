//! The files in a directory.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use super::{Error, File, bounds, path};

/// All files below `root`, links refused.
pub(super) fn files(root: &Path) -> Result<Vec<File>, Error> {
    let mut names = path::Names::default();
    let mut files = BTreeMap::new();
    let mut left = bounds::TOTAL_BYTES;
    let mut entries = 0;
    let mut waiting: Vec<(PathBuf, String)> = vec![(root.to_owned(), String::new())];
    while let Some((folder, prefix)) = waiting.pop() {
        for entry in fs::read_dir(&folder).map_err(|e| io_error(&folder, e))? {
            let entry = entry.map_err(|e| io_error(&folder, e))?;
            entries += 1;
            if entries > bounds::ENTRIES {
                return Err(Error::too_large("the number of files", bounds::ENTRIES.to_string()));
            }
            let Ok(name) = entry.file_name().into_string() else {
                return Err(Error::BadName { path: entry.path().display().to_string(), reason: "it is not UTF-8" });
            };
            if path::is_ignored(&name) {
                continue;
            }
            let relative = format!("{prefix}{name}");
            path::check(&relative)?;
            let kind = entry.file_type().map_err(|e| io_error(&entry.path(), e))?;
            if kind.is_dir() {
                names.folder(&relative);
                waiting.push((entry.path(), format!("{relative}/")));
            } else if kind.is_file() {
                names.file(&relative)?;
                let bytes = read_bounded(&entry.path(), bounds::FILE_BYTES.min(left))?;
                left -= bytes.len() as u64;
                files.insert(relative, bytes);
            } else {
                return Err(Error::Special(relative));
            }
        }
    }
    names.finish()?;
    Ok(files.into_iter().map(|(path, bytes)| File { path, bytes }).collect())
}

/// A file of at most `bound` bytes.
pub(super) fn read_bounded(path: &Path, bound: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|e| io_error(path, e))?;
    file.take(bound + 1).read_to_end(&mut bytes).map_err(|e| io_error(path, e))?;
    if bytes.len() as u64 > bound {
        return Err(Error::too_large(path.display().to_string(), format!("{} MiB", bound.div_ceil(1 << 20))));
    }
    Ok(bytes)
}

fn io_error(path: &Path, source: io::Error) -> Error {
    Error::Io { path: path.display().to_string(), source }
}
