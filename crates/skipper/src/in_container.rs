//! What a shell script would do before the program in a container, where there is no shell: fill an empty data directory, give
//! it to the user of the program, and become that user.
//!
//! A folder that Docker makes for a bind mount belongs to root, so an image that began as somebody else could not write there.
//! The image begins as root, with `SKIPPER_RUN_AS=UID:GID`, and is that user before anything is read or listened to.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, lchown},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
};

use rustix::{
    process::{Gid, Uid, getgroups},
    thread::{
        CapabilitySet, CapabilitySets, capabilities, configure_capability_in_ambient_set, set_capabilities,
        set_keep_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
    },
};

use crate::{
    failure::{Doing as _, Done, Failure},
    render::to_stderr,
    surroundings::Surroundings,
};

/// Whom to become: `UID:GID` or `UID`.
const RUN_AS: &str = "SKIPPER_RUN_AS";
/// Folder whose `resources` and `auth` are copied into a data directory that does not have them yet.
const SEED: &str = "SKIPPER_SEED_DIR";
/// Whoever is given this socket is meant to use it, whatever its group is called there.
const ENGINE: &str = "/var/run/docker.sock";
/// What belongs to applications and not to the server: their files are left to whom they belong.
const NOT_OURS: [&str; 1] = ["volumes"];
/// Deepest folder of a data directory that is looked into.
const DEPTH: usize = 12;

/// Does all of it, as far as the environment asks for it. Does not return where it begins anew as another user.
///
/// # Errors
///
/// A user that is none; files that cannot be copied or given away; a system that refuses.
pub(crate) fn prepare(surroundings: &Surroundings, is_server: bool) -> Done {
    let dir = surroundings.default_data_dir();
    if let Some(seed) = surroundings.var(SEED).filter(|_| is_server) {
        sow(&surroundings.resolve(Path::new(seed)), &dir)?;
    }
    let Some(wanted) = surroundings.var(RUN_AS).filter(|_| surroundings.is_root()) else { return Ok(()) };
    let user = User::parse(wanted)?;
    if user.uid == 0 {
        return Ok(());
    }
    skipper_server::serve::lock::prepare(&dir).doing(|| "prepare the data directory".to_owned())?;
    if let Err(error) = user.take(&dir, 0) {
        to_stderr(&format!("warning: {} cannot be given to user {}: {error}\n", dir.display(), user.uid));
    }
    match user.become_it() {
        Ok(()) => {
            let program = std::env::current_exe().doing(|| "find the own program".to_owned())?;
            Err(Command::new(program).args(std::env::args_os().skip(1)).exec()).doing(|| "start anew".to_owned())
        }
        Err(error) => Err(Failure::error(format!("become user {}: {error}", user.uid))
            .hint(format!("let the container begin as that user (`--user {wanted}`), or leave {RUN_AS} empty"))),
    }
}

/// Copies what is not there yet.
fn sow(seed: &Path, dir: &Path) -> Done {
    skipper_server::serve::lock::prepare(dir).doing(|| "prepare the data directory".to_owned())?;
    for below in ["resources", "auth"] {
        copy(&seed.join(below), &dir.join(below), 0).doing(|| format!("copy {below} out of {}", seed.display()))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, depth: usize) -> io::Result<()> {
    if depth > DEPTH || !from.exists() {
        return Ok(());
    }
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()), depth + 1)?;
        }
    } else if fs::symlink_metadata(to).is_err() {
        fs::copy(from, to)?;
    }
    Ok(())
}

/// A user by number: there are no names where nobody has an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct User {
    uid: u32,
    gid: u32,
}

impl User {
    fn parse(text: &str) -> Result<Self, Failure> {
        let (uid, gid) = text.split_once(':').unwrap_or((text, text));
        match (uid.parse(), gid.parse()) {
            (Ok(uid), Ok(gid)) if uid != u32::MAX && gid != u32::MAX => Ok(Self { uid, gid }),
            _ => Err(Failure::usage(format!("{RUN_AS} is `{text}`; it takes numbers, as 10001:10001"))),
        }
    }

    /// Makes what root owns in the data directory this user's.
    fn take(self, path: &Path, depth: usize) -> io::Result<()> {
        let meta = fs::symlink_metadata(path)?;
        if meta.uid() == 0 {
            lchown(path, Some(self.uid), Some(self.gid))?;
        }
        if !meta.is_dir() || depth > DEPTH {
            return Ok(());
        }
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let is_ours = depth > 0 || !NOT_OURS.iter().any(|name| entry.file_name() == *name);
            if is_ours {
                self.take(&entry.path(), depth + 1)?;
            }
        }
        Ok(())
    }

    /// Gives up everything of root's but listening on ports below 1024. For this thread alone: there is no other yet, and the
    /// program is started anew at once.
    fn become_it(self) -> io::Result<()> {
        let groups: BTreeSet<u32> =
            getgroups()?.into_iter().map(Gid::as_raw).chain(of_engine()).filter(|g| *g != 0).collect();
        let groups: Vec<Gid> = groups.into_iter().map(Gid::from_raw).collect();
        let ports = CapabilitySet::NET_BIND_SERVICE;
        let keeps = capabilities(None)?.permitted.contains(ports);
        set_keep_capabilities(keeps)?;
        set_thread_groups(&groups)?;
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        if keeps {
            set_capabilities(None, CapabilitySets { effective: ports, permitted: ports, inheritable: ports })?;
            configure_capability_in_ambient_set(ports, true)?;
        }
        Ok(())
    }
}

/// The group of the engine's socket, if that was given to this container.
fn of_engine() -> Option<u32> {
    let meta = fs::metadata(ENGINE).ok().filter(|meta| meta.file_type().is_socket())?;
    Some(meta.gid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_number_or_two() {
        assert_eq!(User::parse("10001:10002").expect("a user"), User { uid: 10001, gid: 10002 });
        assert_eq!(User::parse("10001").expect("a user"), User { uid: 10001, gid: 10001 });
        for wrong in ["", "skipper", "1:", ":1", "-1", "4294967295"] {
            User::parse(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn a_seed_fills_what_is_not_there_and_replaces_nothing() {
        let home = tempfile::tempdir().expect("a folder");
        let (seed, data) = (home.path().join("seed"), home.path().join("data"));
        fs::create_dir_all(seed.join("resources/nodes")).expect("made");
        fs::create_dir_all(seed.join("other")).expect("made");
        fs::write(seed.join("resources/nodes/host-1.json"), "seed").expect("written");
        fs::write(seed.join("resources/nodes/host-2.json"), "seed").expect("written");
        fs::write(seed.join("other/x"), "seed").expect("written");
        fs::create_dir_all(data.join("resources/nodes")).expect("made");
        fs::write(data.join("resources/nodes/host-1.json"), "own").expect("written");
        sow(&seed, &data).expect("it is filled");
        let read = |name: &str| fs::read_to_string(data.join("resources/nodes").join(name)).expect("there");
        assert_eq!((read("host-1.json"), read("host-2.json")), ("own".to_owned(), "seed".to_owned()));
        assert!(!data.join("other").exists());
    }
}
