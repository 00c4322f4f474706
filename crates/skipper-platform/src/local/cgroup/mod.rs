//! Limits of memory and CPU by control groups, version 2 or 1, whichever the host has for the controller.
//!
//! What can be had is found out by doing it: a folder is made and a limit written. A host where that fails offers no
//! limits, and the planner refuses an application that asks for them.

mod v1;
mod v2;

use std::{fs, io, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use skipper_core::spec::Limits;

/// How the host limits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Offer {
    pub memory: Option<Controller>,
    pub cpu: Option<Controller>,
    /// `1`, `2`, or 0 for none.
    pub version: u8,
}

/// Where groups of one controller are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Controller {
    /// Our folder: every instance has a group below it.
    pub parent: PathBuf,
    /// The group this process is in, where the keeper returns to.
    pub home: PathBuf,
}

/// The groups of one instance: everything the keeper needs to make them and the server to remove them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Placement {
    pub groups: Vec<Group>,
    /// File and first word of the line that counts kills for want of memory.
    #[serde(default)]
    pub oom: Option<(PathBuf, String)>,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub dir: PathBuf,
    pub home: PathBuf,
    pub settings: Vec<Setting>,
}

/// One file to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Setting {
    pub file: String,
    pub value: String,
    /// Not every kernel has it.
    #[serde(default)]
    pub optional: bool,
}

impl Setting {
    fn new(file: &str, value: impl Into<String>) -> Self {
        Self { file: file.to_owned(), value: value.into(), optional: false }
    }

    fn optional(file: &str, value: impl Into<String>) -> Self {
        Self { optional: true, ..Self::new(file, value) }
    }
}

impl Offer {
    /// Finds out what this host allows. Takes a few milliseconds: it makes and removes groups.
    pub(crate) fn probe() -> Self {
        let offer = v2::probe();
        if offer.memory.is_some() || offer.cpu.is_some() {
            return offer;
        }
        v1::probe()
    }

    /// The groups that hold an instance to its limits; `None` when it has none.
    pub(crate) fn place(&self, name: &str, limits: &Limits) -> Option<Placement> {
        if limits.memory_bytes.is_none() && limits.cpu_millis.is_none() {
            return None;
        }
        Some(if self.version == 2 { v2::place(self, name, limits) } else { v1::place(self, name, limits) })
    }
}

impl Placement {
    /// Makes the groups and moves the calling process into them; children are born there.
    pub(crate) fn enter(&self) -> io::Result<()> {
        for group in &self.groups {
            fs::create_dir_all(&group.dir)?;
            for setting in &group.settings {
                let file = group.dir.join(&setting.file);
                if !setting.optional || file.exists() {
                    fs::write(&file, &setting.value)?;
                }
            }
            fs::write(group.dir.join("cgroup.procs"), "0")?;
        }
        Ok(())
    }

    /// Moves the calling process back to where it came from, so that it neither counts nor is killed for the limit.
    pub(crate) fn leave(&self) {
        for group in &self.groups {
            // A keeper that stays inside costs the application a few hundred kilobytes of its limit, no more.
            let _ = fs::write(group.home.join("cgroup.procs"), "0");
        }
    }

    /// How often the kernel has killed something in here for want of memory.
    pub(crate) fn oom_kills(&self) -> u64 {
        let Some((file, word)) = &self.oom else { return 0 };
        fs::read_to_string(file)
            .unwrap_or_default()
            .lines()
            .find_map(|line| line.strip_prefix(word.as_str())?.trim().parse().ok())
            .unwrap_or(0)
    }

    /// Removes the groups; they must be empty. The kernel may need a moment to count the last process out.
    pub(crate) fn remove(&self) -> io::Result<()> {
        for group in &self.groups {
            let mut tries = 0;
            loop {
                match fs::remove_dir(&group.dir) {
                    Ok(()) => break,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy && tries < 50 => {
                        tries += 1;
                        std::thread::sleep(Duration::from_millis(4));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// Whether a group can be made in `parent` and all settings written; nothing is left behind.
fn works(parent: &std::path::Path, settings: &[Setting]) -> bool {
    let trial = parent.join(format!("trial-{}-{:08x}", std::process::id(), rand::random::<u32>()));
    let done = fs::create_dir_all(parent)
        .and_then(|()| fs::create_dir(&trial))
        .and_then(|()| settings.iter().try_for_each(|setting| fs::write(trial.join(&setting.file), &setting.value)));
    // A group that was not made is not there to remove.
    let _ = fs::remove_dir(&trial);
    done.is_ok()
}

/// Path of the calling process in the hierarchy whose line in `/proc/self/cgroup` has `controllers` (empty for v2).
fn own_path(controller: &str) -> Option<String> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        controllers.split(',').any(|c| c == controller).then(|| path.to_owned())
    })
}

/// Mount points of a cgroup file system: path on this host and the part of the hierarchy that it shows.
fn mounts(kind: &str, option: &str) -> Vec<(PathBuf, String)> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    parse_mounts(&text, kind, option)
}

fn parse_mounts(text: &str, kind: &str, option: &str) -> Vec<(PathBuf, String)> {
    let mount = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, point) = (left.next()?, left.next()?);
        let mut right = right.split(' ');
        let fits =
            right.next()? == kind && (option.is_empty() || right.nth(1)?.split(',').any(|given| given == option));
        fits.then(|| (PathBuf::from(point), root.to_owned()))
    };
    text.lines().filter_map(mount).collect()
}

/// A hierarchy's path as it is seen below a mount point that shows only `root` of it.
fn below(point: &std::path::Path, root: &str, path: &str) -> PathBuf {
    let inside = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path);
    point.join(inside.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
33 32 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
34 32 0:29 /docker/ab /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 32 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    #[test]
    fn mounts_are_found_by_kind_and_controller() {
        let point =
            |kind, option| parse_mounts(MOUNTS, kind, option).first().map(|(point, _)| point.display().to_string());
        assert_eq!(point("cgroup", "memory").as_deref(), Some("/sys/fs/cgroup/memory"));
        assert_eq!(point("cgroup", "cpu").as_deref(), Some("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(point("cgroup2", "").as_deref(), Some("/sys/fs/cgroup/unified"));
        assert_eq!(point("cgroup", "pids"), None);
    }

    #[test]
    fn a_path_is_seen_below_what_the_mount_shows() {
        let point = std::path::Path::new("/cg");
        assert_eq!(below(point, "/", "/a/b"), PathBuf::from("/cg/a/b"));
        assert_eq!(below(point, "/docker/ab", "/docker/ab"), PathBuf::from("/cg"));
        assert_eq!(below(point, "/docker/ab", "/docker/ab/x"), PathBuf::from("/cg/x"));
    }
}
