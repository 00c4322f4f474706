//! The vectors' folder.

use std::path::{Path, PathBuf};

/// The folder, or `None` with a note when nobody named one.
pub(super) fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("SKIPPER_VECTORS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: SKIPPER_VECTORS names no folder");
    }
    folder
}

/// Every file below a folder that `wanted` accepts, sorted.
pub(super) fn files(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                waiting.push(path);
            } else if wanted(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
