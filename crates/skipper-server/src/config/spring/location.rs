//! Where Spring's files are: `--spring.config.location` and its like.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Largest file; as for `skipper.toml`.
const MAX_BYTES: u64 = 1 << 20;
/// Most folders behind one `*/`.
const MAX_FOLDERS: usize = 64;

/// Endings of files that are read; a later one is stronger in the same folder.
pub(super) const ENDINGS: [&str; 3] = ["yaml", "yml", "properties"];

/// One entry of a list of locations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    /// Whether it may be missing.
    pub(super) optional: bool,
    pub(super) place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A folder, in which files of the configuration's name are looked for.
    Folder(PathBuf),
    /// A file.
    File(PathBuf),
    /// The class path of a Java program, of which there is none here.
    ClassPath(String),
    /// Something else that only Spring knows, by its prefix.
    Foreign(String),
}

/// Reads a list of locations, with commas or semicolons between them; relative ones start at `base`.
pub(super) fn parse(text: &str, base: &Path) -> Vec<Location> {
    let entries = text.split([',', ';']).map(str::trim).filter(|entry| !entry.is_empty());
    entries.flat_map(|entry| one(entry, base)).collect()
}

fn one(entry: &str, base: &Path) -> Vec<Location> {
    let (optional, rest) = match entry.strip_prefix("optional:") {
        Some(rest) => (true, rest),
        None => (false, entry),
    };
    let single = |place| vec![Location { optional, place }];
    if rest.starts_with("classpath:") || rest.starts_with("classpath*:") {
        return single(Place::ClassPath(rest.to_owned()));
    }
    let path = match rest.split_once(':') {
        Some(("file", path)) => path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path),
        Some((scheme, _)) if scheme.len() > 1 && !scheme.contains(['/', '.']) => {
            return single(Place::Foreign(format!("{scheme}:")));
        }
        _ => rest,
    };
    if let Some(parent) = path.strip_suffix("*/") {
        return folders(&base.join(parent))
            .into_iter()
            .map(|folder| Location { optional: true, place: Place::Folder(folder) })
            .collect();
    }
    let full: PathBuf = base.join(path).components().collect();
    let folder = path.ends_with('/') || path == "." || full.is_dir();
    single(if folder { Place::Folder(full) } else { Place::File(full) })
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut all: Vec<PathBuf> = entries.filter(|path| path.is_dir()).take(MAX_FOLDERS).collect();
    all.sort();
    all
}

/// The ending by which a file is read.
///
/// # Errors
///
/// That there is none.
pub(super) fn ending(path: &Path) -> Result<&'static str, String> {
    let found = path.extension().and_then(|ending| ending.to_str());
    ENDINGS
        .into_iter()
        .find(|ending| found == Some(ending))
        .ok_or_else(|| "is neither a .yml, .yaml nor .properties file, nor a folder".to_owned())
}

/// The text of a file.
///
/// # Errors
///
/// Why there is none.
pub(super) fn text(path: &Path) -> Result<String, String> {
    let meta = fs::metadata(path).map_err(|cause| format!("cannot be read: {cause}"))?;
    if !meta.is_file() || meta.len() > MAX_BYTES {
        return Err("must be a plain file of at most 1 MiB".to_owned());
    }
    let bytes = fs::read(path).map_err(|cause| format!("cannot be read: {cause}"))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned)),
        // Properties were Latin-1 for twenty years.
        Err(wrong) if path.extension().is_some_and(|ending| ending == "properties") => {
            Ok(wrong.into_bytes().into_iter().map(char::from).collect())
        }
        Err(_) => Err("is not UTF-8".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_told_apart() {
        let base = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir_all(base.path().join("conf/b")).expect("made");
        fs::create_dir_all(base.path().join("conf/a")).expect("made");
        let at = |path: &str| base.path().join(path);
        let found = parse(
            "file:x.yml, optional:file:./y/ ;classpath:/a,/abs.properties,file:///abs/,configserver:http://h,conf,conf/*/",
            base.path(),
        );
        let place = |place| Location { optional: false, place };
        let maybe = |place| Location { optional: true, place };
        let expected = [
            place(Place::File(at("x.yml"))),
            maybe(Place::Folder(at("y"))),
            place(Place::ClassPath("classpath:/a".into())),
            place(Place::File("/abs.properties".into())),
            place(Place::Folder("/abs".into())),
            place(Place::Foreign("configserver:".into())),
            place(Place::Folder(at("conf"))),
            maybe(Place::Folder(at("conf/a"))),
            maybe(Place::Folder(at("conf/b"))),
        ];
        assert_eq!(found, expected);
    }
}
