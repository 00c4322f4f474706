//! What a slip has that ran on this machine: its keys go on being good, and the server's user may read what it takes over.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown},
    path::{Path, PathBuf},
};

use skipper_source::app;

use super::place::{Owner, Place, State};
use crate::failure::{Doing as _, Done};

/// Where its units are, with what is added to them.
const UNITS: [&str; 3] = ["/etc/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system"];
const NAMES: [&str; 2] = ["slipd.service", "slip.service"];
/// Where people keep its variables.
const FILES: [&str; 4] = ["/etc/slip/slip.env", "/etc/slip/.env", "/etc/default/slipd", "/etc/default/slip"];
/// What its `storage.path` is where it says nothing.
const STORAGE: &str = "/var/lib/slip";
/// Most files whose rights are changed.
const MOST: usize = 100_000;

/// The variables that it was started with, as far as its units and their files tell. What comes first counts.
pub(super) fn variables(place: &Place) -> BTreeMap<String, String> {
    let (mut found, mut files) = (BTreeMap::new(), Vec::new());
    for text in units(place) {
        for line in text.lines().map(str::trim) {
            if let Some(path) = line.strip_prefix("EnvironmentFile=") {
                files.push(PathBuf::from(path.trim_start_matches('-').trim()));
            } else if let Some(words) = line.strip_prefix("Environment=") {
                let plain = words.trim().trim_matches('"');
                let read = app::env_file(plain).unwrap_or_default();
                for (name, value) in read {
                    found.entry(name).or_insert(value);
                }
            }
        }
    }
    for file in files.into_iter().chain(FILES.map(PathBuf::from)) {
        let text = place.read(&file).ok().flatten().unwrap_or_default();
        let read = app::env_file(&text).unwrap_or_default();
        for (name, value) in read {
            found.entry(name).or_insert(value);
        }
    }
    found
}

fn units(place: &Place) -> Vec<String> {
    let mut texts = Vec::new();
    for (folder, name) in UNITS.iter().flat_map(|folder| NAMES.map(|name| (Path::new(folder), name))) {
        let more = fs::read_dir(place.at(&folder.join(format!("{name}.d")))).into_iter().flatten().flatten();
        let more = more.map(|entry| folder.join(format!("{name}.d")).join(entry.file_name()));
        for path in more.chain([folder.join(name)]) {
            texts.extend(place.read(&path).ok().flatten());
        }
    }
    texts
}

/// A value as systemd reads it from a file of variables.
pub(super) fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:@%+=,-".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Lets the server's user read what slip keeps, and write the folder of apps. slip itself is root, and may do as before.
pub(super) fn share(place: &mut Place, config_dir: &Path, owner: Owner) -> Done {
    let apps = config_dir.join("apps");
    if place.has(&apps) {
        // It makes and removes files in there.
        lchown(place.at(&apps), Some(owner.uid), Some(owner.gid)).doing(|| format!("give away {}", apps.display()))?;
        place.note(State::Changed, apps.display().to_string(), Some("the server writes the apps in there".to_owned()));
    }
    let text = place.read(&config_dir.join("slip.toml"))?.unwrap_or_default();
    let read: Option<toml::Value> = toml::from_str(&text).ok();
    let storage = read.as_ref().and_then(|read| read.get("storage")?.get("path")?.as_str()).unwrap_or(STORAGE);
    let storage = Path::new(storage);
    for path in [config_dir, storage].into_iter().filter(|path| path.is_absolute() && *path != Path::new("/")) {
        if !place.has(path) {
            continue;
        }
        open(&place.at(path), owner, &mut 0).doing(|| format!("let the server's user read {}", path.display()))?;
        let note = format!("the group {} may read it", owner.gid);
        place.note(State::Changed, path.display().to_string(), Some(note));
    }
    Ok(())
}

/// A file or folder with all that is in it becomes the group's, which may read it. Links lead elsewhere, and stay.
fn open(path: &Path, owner: Owner, seen: &mut usize) -> io::Result<()> {
    *seen += 1;
    let meta = fs::symlink_metadata(path)?;
    if meta.is_symlink() || *seen > MOST {
        return Ok(());
    }
    let mode = meta.permissions().mode();
    let (of_group, of_all) = if meta.is_dir() { (0o050, 0o005) } else { (0o040, 0o004) };
    let is_open = mode & of_all == of_all || (meta.gid() == owner.gid && mode & of_group == of_group);
    if !is_open && meta.uid() != owner.uid {
        lchown(path, None, Some(owner.gid))?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7707 | of_group))?;
    }
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            open(&entry?.path(), owner, seen)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_variables_are_found_where_its_unit_says() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            fs::write(path, text).expect("written");
        };
        write(
            "etc/systemd/system/slipd.service",
            "[Service]\nEnvironmentFile=-/srv/keys\nEnvironment=\"GHCR_TOKEN=gh t\"\nExecStart=/usr/local/bin/slipd\n",
        );
        write("etc/systemd/system/slipd.service.d/x.conf", "[Service]\nEnvironment=MORE=1\n");
        write("srv/keys", "SLIP_SECRET=old\n# more\nODD=\"a \\\"b\\\" $c\"\n");
        write("etc/slip/slip.env", "SLIP_SECRET=another\nLAST=z\n");
        let found = variables(&Place::new(dir.path().to_owned(), true));
        let get = |name: &str| found.get(name).map(String::as_str);
        assert_eq!(get("SLIP_SECRET"), Some("old"), "as it was started");
        assert_eq!((get("GHCR_TOKEN"), get("MORE"), get("LAST")), (Some("gh t"), Some("1"), Some("z")));
        let again = app::env_file(&format!("ODD={}\n", quoted(&found["ODD"]))).expect("valid");
        assert_eq!(again["ODD"], found["ODD"]);
        assert_eq!((quoted("a-B.9="), quoted("")), ("a-B.9=".to_owned(), "\"\"".to_owned()));
    }

    #[test]
    fn what_slip_keeps_can_be_read_by_the_servers_group_and_by_nobody_else() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let secret = dir.path().join("secrets/web/KEY");
        fs::create_dir_all(secret.parent().expect("it has one")).expect("made");
        fs::write(&secret, "x").expect("written");
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
        set(&secret, 0o600);
        set(&dir.path().join("secrets"), 0o700);
        let own = fs::metadata(dir.path()).expect("there");
        // Whoever runs the tests may give a file to a group of its own.
        let owner = Owner { uid: own.uid() + 1, gid: own.gid() };
        open(dir.path(), owner, &mut 0).expect("it may");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&secret), mode(&dir.path().join("secrets"))), (0o640, 0o750));
        assert_eq!(fs::metadata(&secret).expect("there").gid(), own.gid());
    }
}
