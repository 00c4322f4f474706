//! The files in a zip. The library parses and inflates; every decision about what is acceptable is made here.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Cursor, Read as _},
};

use zip::{CompressionMethod, ZipArchive, read::ZipReadOptions, result::ZipError};

use super::{Error, bounds, path};
use crate::yaml::shorten;

/// Type bits of a Unix mode.
const TYPE_MASK: u32 = 0o170_000;
const TYPE_FILE: u32 = 0o100_000;
const TYPE_FOLDER: u32 = 0o040_000;

/// All files, by path.
pub(super) fn files(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    if bytes.len() > bounds::ZIP_BYTES {
        return Err(Error::too_large("the archive", format!("{} MiB", bounds::ZIP_BYTES >> 20)));
    }
    // The count stands in the archive's last record; a lie about it is found when the library reads the directory.
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| unreadable(&error))?;
    if archive.len() > bounds::ENTRIES {
        return Err(Error::too_large(
            format!("the number of entries, {},", archive.len()),
            bounds::ENTRIES.to_string(),
        ));
    }
    if archive.offset() != 0 {
        return Err(Error::Lies("something stands before its first entry".to_owned()));
    }
    if archive.has_duplicate_names() {
        return Err(Error::Duplicate(duplicate_name(bytes, archive.central_directory_start())));
    }
    let mut names = path::Names::default();
    let mut files = BTreeMap::new();
    let mut left = bounds::TOTAL_BYTES;
    for index in 0..archive.len() {
        let Some((name, is_folder)) = admit(&mut archive, index)? else { continue };
        if is_folder {
            names.folder(&name);
            continue;
        }
        names.file(&name)?;
        let bytes = inflate(&mut archive, index, &name, &mut left)?;
        files.insert(name, bytes);
    }
    names.finish()?;
    archive.validate_header_consistency().map_err(|error| Error::Lies(error.to_string()))?;
    Ok(files)
}

/// Judges an entry by its headers: its path and whether it is a folder, or `None` when it is left out.
fn admit(archive: &mut ZipArchive<Cursor<&[u8]>>, index: usize) -> Result<Option<(String, bool)>, Error> {
    let entry = archive.by_index_raw(index).map_err(|error| unreadable(&error))?;
    let raw = entry.name_raw();
    let Ok(name) = std::str::from_utf8(raw) else {
        return Err(Error::BadName { path: shorten(&String::from_utf8_lossy(raw)), reason: "it is not UTF-8" });
    };
    // What the library calls it may come from an extra field; two names for one entry are one too many.
    if entry.name().map_err(|error| unreadable(&error))? != name {
        return Err(Error::Lies(format!("the entry `{}` has two names", shorten(name))));
    }
    let name = name.to_owned();
    // As bsdtar begins every name, and has an entry for the folder that it was called in.
    let plain = name.trim_start_matches("./");
    if plain.is_empty() && !name.is_empty() {
        return Ok(None);
    }
    let checked = path::check_with_top(plain)?.to_owned();
    if path::is_ignored(&checked) {
        return Ok(None);
    }
    let is_folder = name.ends_with('/');
    let type_bits = entry.unix_mode().map_or(0, |mode| mode & TYPE_MASK);
    let expected = if is_folder { TYPE_FOLDER } else { TYPE_FILE };
    if entry.is_symlink() || (type_bits != 0 && type_bits != expected) {
        return Err(Error::Special(checked));
    }
    if entry.encrypted() {
        return Err(Error::Encrypted(checked));
    }
    if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
        let method = entry.compression();
        return Err(Error::NotAZip(format!(
            "`{checked}` is packed by the method {method}; entries are stored or deflated"
        )));
    }
    if is_folder && entry.size() != 0 {
        return Err(Error::Lies(format!("the folder `{checked}` has content")));
    }
    Ok(Some((checked, is_folder)))
}

fn inflate(
    archive: &mut ZipArchive<Cursor<&[u8]>>,
    index: usize,
    name: &str,
    left: &mut u64,
) -> Result<Vec<u8>, Error> {
    let options = ZipReadOptions::new().enforce_header_consistency(true);
    let mut entry =
        archive.by_index_with_options(index, options).map_err(|error| Error::Lies(format!("`{name}`: {error}")))?;
    let (declared, packed) = (entry.size(), entry.compressed_size());
    let file_bound = bounds::FILE_BYTES.min(*left);
    if declared > file_bound {
        return Err(too_large(name, declared, *left));
    }
    if declared > bounds::RATIO_FREE_BYTES && declared / bounds::RATIO > packed {
        return Err(Error::Bomb(name.to_owned()));
    }
    // The declared size is a claim. One byte more than it is read, so that a lie shows.
    let mut bytes = Vec::with_capacity(usize::try_from(declared.min(1 << 20)).unwrap_or(0));
    entry
        .by_ref()
        .take(declared + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::Lies(format!("`{name}`: {error}")))?;
    if bytes.len() as u64 != declared {
        return Err(Error::Lies(format!("`{name}` claims {declared} bytes and has others")));
    }
    *left -= declared;
    Ok(bytes)
}

fn too_large(name: &str, declared: u64, left: u64) -> Error {
    if declared > left {
        return Error::too_large("the content of all files", format!("{} MiB", bounds::TOTAL_BYTES >> 20));
    }
    Error::too_large(format!("the file `{name}`"), format!("{} MiB", bounds::FILE_BYTES >> 20))
}

/// The first name that stands twice in the archive's directory. The library keeps one entry of each name and does not
/// tell, so the directory's records are gone through here.
fn duplicate_name(bytes: &[u8], start: u64) -> String {
    const FIXED: usize = 46;
    let mut seen = BTreeSet::new();
    let mut rest = usize::try_from(start).ok().and_then(|start| bytes.get(start..)).unwrap_or_default();
    while rest.len() >= FIXED && rest.starts_with(b"PK\x01\x02") {
        let length = |at: usize| usize::from(u16::from_le_bytes([rest[at], rest[at + 1]]));
        let (name, extra, comment) = (length(28), length(30), length(32));
        let Some(name_bytes) = rest.get(FIXED..FIXED + name) else { break };
        if !seen.insert(name_bytes) {
            return shorten(&String::from_utf8_lossy(name_bytes));
        }
        rest = rest.get(FIXED + name + extra + comment..).unwrap_or_default();
    }
    "the same path".to_owned()
}

fn unreadable(error: &ZipError) -> Error {
    match error {
        ZipError::InvalidArchive(what) if what.contains("EOCD") => Error::NotAZip(
            "its end, which lists what is inside, is missing: it is cut off, empty, or no zip".to_owned(),
        ),
        other => Error::NotAZip(other.to_string()),
    }
}
