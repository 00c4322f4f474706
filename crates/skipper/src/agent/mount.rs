//! Whether the folder of projects is at the same path on the host as here: an agent in a container tells the host's engine
//! paths that the engine looks up on the host.

use std::path::Path;

/// Signs of a container.
const SIGNS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

/// A warning where relative paths of a project would mean another folder to the engine than they do here.
pub(super) fn differs(base: &Path) -> Option<String> {
    SIGNS.iter().any(|sign| Path::new(sign).exists()).then_some(())?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let there = other_path(&mounts, base)?;
    Some(format!(
        "{} is {there} on the host: `./folder` of a tenant's compose file is another folder there; mount it at the same path on both sides, \
         or set SKIPPY_COMPOSE_BASE_DIR to the host's",
        base.display()
    ))
}

/// Where a folder lies on the host, if that is somewhere else.
fn other_path(mounts: &str, base: &Path) -> Option<String> {
    let mount = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(3);
            Some((unescaped(fields.next()?), unescaped(fields.next()?)))
        })
        .filter(|(_, point)| base.starts_with(point))
        .max_by_key(|(_, point)| point.len());
    let (root, point) = mount?;
    // The container's own file system is nobody else's.
    if point == "/" {
        return Some("not mounted from the host, and so not there".to_owned());
    }
    // The host may have mounted a disk above it, whose root is not the host's.
    let same = Path::new(&point).ends_with(root.trim_start_matches('/'));
    (!same).then_some(root)
}

fn unescaped(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_elsewhere_on_the_host_is_noticed() {
        let mounts = "22 1 0:20 / / rw - overlay overlay rw\n\
                      30 22 8:1 /opt/skippy/tenants /opt/skipper/tenants rw - ext4 /dev/sda1 rw\n\
                      31 22 8:1 /opt/same /opt/same rw - ext4 /dev/sda1 rw\n\
                      32 22 8:2 /skipper /srv/skipper rw - ext4 /dev/sdb1 rw\n\
                      33 22 8:2 / /data rw - ext4 /dev/sdb1 rw\n";
        let elsewhere = |base: &str| other_path(mounts, Path::new(base));
        assert_eq!(elsewhere("/opt/skipper/tenants").as_deref(), Some("/opt/skippy/tenants"));
        assert_eq!(elsewhere("/opt/same"), None);
        assert_eq!(elsewhere("/srv/skipper/tenants"), None, "a disk of the host's is mounted at /srv");
        assert_eq!(elsewhere("/data/x"), None);
        assert!(elsewhere("/var/x").is_some(), "within the container alone");
    }
}
