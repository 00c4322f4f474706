//! Which paths are accepted, and which entries are left out.

use std::collections::{BTreeMap, BTreeSet};

use super::{Error, File, bounds};
use crate::yaml::shorten;

/// Checks a path with `/` as its only separator and returns it without a trailing one.
pub(super) fn check(path: &str) -> Result<&str, Error> {
    check_within(path, bounds::PATH_BYTES, bounds::FOLDERS)
}

/// Checks a path that may have the package's top folder in front.
pub(super) fn check_with_top(path: &str) -> Result<&str, Error> {
    check_within(path, bounds::PATH_BYTES + bounds::NAME_BYTES + 1, bounds::FOLDERS + 1)
}

fn check_within(path: &str, max_bytes: usize, max_folders: usize) -> Result<&str, Error> {
    if path.len() > max_bytes {
        return Err(Error::too_large(format!("the path `{}`", shorten(path)), format!("{max_bytes} bytes")));
    }
    let bad = |reason| Err(Error::BadName { path: shorten(path), reason });
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    let bytes = trimmed.as_bytes();
    let drive = bytes.len() >= 2 && bytes[1] == b':' && bytes[0].is_ascii_alphabetic();
    if path.starts_with('/') || path.contains('\\') || drive || trimmed.split('/').any(|part| part == "..") {
        return Err(Error::Escapes(shorten(path)));
    }
    if path.chars().any(|c| {
        c.is_control()
            || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
    }) {
        return bad("it holds a character that cannot be seen");
    }
    // One look, two spellings: `é` is one character or two. Only the first is accepted, so that names stay comparable.
    if path.contains(|c: char| matches!(c, '\u{300}'..='\u{36F}')) {
        return bad("it holds a combining accent; use the composed character");
    }
    if path.contains(['<', '>', ':', '"', '|', '?', '*']) {
        return bad("it holds one of < > : \" | ? *, which not every system can store");
    }
    let parts: Vec<&str> = trimmed.split('/').collect();
    if parts.len() > max_folders {
        return Err(Error::too_large(format!("the depth of `{}`", shorten(path)), format!("{max_folders} folders")));
    }
    for part in parts {
        match part {
            "" => return bad("a part of it is empty"),
            "." => return bad("a part of it is `.`"),
            part if part.len() > bounds::NAME_BYTES => return bad("a part of it is longer than 255 bytes"),
            part if part.ends_with([' ', '.']) || part.starts_with(' ') => {
                return bad("a part of it begins with a space or ends with a space or dot");
            }
            _ => {}
        }
    }
    Ok(trimmed)
}

/// Whether an entry is left out: hidden files and what macOS adds.
pub(super) fn is_ignored(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with('.') || part == "__MACOSX")
}

/// Refuses names that are equal but for case, and files that are folders too.
#[derive(Default)]
pub(super) struct Names {
    files: BTreeSet<String>,
    folders: BTreeSet<String>,
}

impl Names {
    /// Takes a checked path of a file.
    pub(super) fn file(&mut self, path: &str) -> Result<(), Error> {
        let folded = path.to_lowercase();
        if !self.files.insert(folded.clone()) {
            return Err(Error::Duplicate(shorten(path)));
        }
        self.parents(&folded);
        Ok(())
    }

    /// Takes a checked path of a folder. Naming one twice does no harm.
    pub(super) fn folder(&mut self, path: &str) {
        let folded = path.to_lowercase();
        self.parents(&folded);
        self.folders.insert(folded);
    }

    fn parents(&mut self, folded: &str) {
        for (slash, _) in folded.match_indices('/') {
            self.folders.insert(folded[..slash].to_owned());
        }
    }

    /// Call when all were taken.
    pub(super) fn finish(&self) -> Result<(), Error> {
        match self.files.intersection(&self.folders).next() {
            Some(both) => Err(Error::FileAndFolder(shorten(both))),
            None => Ok(()),
        }
    }
}

/// The files without the one folder that holds them all, if there is one and `package.yml` is directly in it.
pub(crate) fn without_top_folder(files: BTreeMap<String, Vec<u8>>) -> Vec<File> {
    let top = files.keys().next().and_then(|first| first.split_once('/')).map(|(top, _)| format!("{top}/"));
    let top = top.filter(|top| {
        files.keys().all(|path| path.starts_with(top.as_str()))
            && ["package.yml", "package.yaml"].iter().any(|name| files.contains_key(&format!("{top}{name}")))
    });
    let cut = top.map_or(0, |top| top.len());
    files.into_iter().map(|(path, bytes)| File { path: path[cut..].to_owned(), bytes }).collect()
}
