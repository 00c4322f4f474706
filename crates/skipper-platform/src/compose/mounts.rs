//! Where this program is, when it runs in a container itself.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::Arc,
};

use skipper_core::port::Error;

use crate::container::{account::Account, fault, raw};

/// The id of the container that this runs in, if it runs in one.
fn own_container() -> Option<String> {
    // The engine mounts files of the container's own folder, which is called after it.
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    container_of(&mounts)
}

fn container_of(mountinfo: &str) -> Option<String> {
    let is_id = |part: &&str| part.len() == 64 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let fields = mountinfo.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let own = fields.filter(|fields| {
        fields.get(4).is_some_and(|at| matches!(*at, "/etc/hostname" | "/etc/resolv.conf" | "/etc/hosts"))
    });
    own.filter_map(|fields| fields.get(3)?.split('/').find(is_id).map(str::to_owned)).next()
}

/// Where the host has a folder that is `base` here; `None` when that is the same, or cannot be told.
pub(super) async fn on_host(account: &Arc<Account>, base: &Path) -> Result<Option<PathBuf>, Error> {
    let Ok(Some(id)) = crate::local::blocking(own_container).await else { return Ok(None) };
    let found = match raw::inspect(account, &id).await {
        Ok(found) => found,
        // Of another engine.
        Err(said) if fault::is_missing(&said) => return Ok(None),
        Err(said) => return Err(account.failed("look at the container that this runs in", said)),
    };
    let mounts = found.mounts.unwrap_or_default();
    let mounts =
        mounts.into_iter().filter_map(|mount| Some((PathBuf::from(mount.source?), PathBuf::from(mount.destination?))));
    Ok(seen_from_host(base, mounts).filter(|host| host != base))
}

/// The path on the host, by the innermost mount that has it.
fn seen_from_host(base: &Path, mounts: impl Iterator<Item = (PathBuf, PathBuf)>) -> Option<PathBuf> {
    let holding = mounts.filter(|(_, at)| base.starts_with(at));
    let (source, at) = holding.max_by_key(|(_, at)| at.components().count())?;
    Some(base.strip_prefix(at).map_or_else(
        |_| source.clone(),
        |rest| if rest.as_os_str().is_empty() { source.clone() } else { source.join(rest) },
    ))
}

/// The address of the host as a container of its bridge sees it: the way out.
pub(super) fn way_to_host() -> Option<IpAddr> {
    gateway(&fs::read_to_string("/proc/net/route").ok()?)
}

fn gateway(routes: &str) -> Option<IpAddr> {
    routes.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (destination, gateway) = (fields.nth(1)?, fields.next()?);
        let gateway = u32::from_str_radix(gateway, 16).ok().filter(|gateway| *gateway != 0)?;
        (destination == "00000000").then(|| IpAddr::V4(Ipv4Addr::from(gateway.to_le_bytes())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_told_by_the_files_that_the_engine_mounts() {
        let id = "ab".repeat(32);
        let text = format!(
            "1 2 0:1 / / rw - overlay o rw\n3 1 8:1 /var/lib/docker/containers/{id}/hostname /etc/hostname rw - ext4 /dev/sda rw\n"
        );
        assert_eq!(container_of(&text), Some(id));
        assert_eq!(container_of("1 2 0:1 / / rw - ext4 /dev/sda rw\n"), None);
    }

    #[test]
    fn the_innermost_mount_says_where_a_folder_is() {
        let mounts = || {
            [("/opt/skippy/tenants", "/opt/skipper/tenants"), ("/srv", "/opt"), ("/x", "/opt/skipper/tenantsx")]
                .map(|(source, at)| (PathBuf::from(source), PathBuf::from(at)))
                .into_iter()
        };
        let seen = |path: &str| seen_from_host(Path::new(path), mounts());
        assert_eq!(seen("/opt/skipper/tenants"), Some(PathBuf::from("/opt/skippy/tenants")));
        assert_eq!(seen("/opt/skipper/tenants/a"), Some(PathBuf::from("/opt/skippy/tenants/a")));
        assert_eq!(seen("/opt/other"), Some(PathBuf::from("/srv/other")));
        assert_eq!(seen("/data"), None);
    }

    #[test]
    fn the_way_out_is_where_everything_goes_that_has_no_other_one() {
        let routes = "Iface\tDestination\tGateway\nlo\t0000007F\t00000000\neth0\t00000000\t010011AC\n";
        assert_eq!(gateway(routes), Some(IpAddr::from([172, 17, 0, 1])));
        assert_eq!(gateway("Iface\n"), None);
    }
}
