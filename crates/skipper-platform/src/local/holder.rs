//! Who holds a port, as far as `/proc` lets us see.

use std::fs;

/// Names whoever listens on the TCP port: `release web (instance 0, pid 42)`, `nginx (pid 42)`.
pub(super) fn of_port(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listeners(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    super::process::all().into_iter().find_map(|stat| {
        let pid = stat.id.pid;
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let holds = fds.flatten().any(|fd| {
            fs::read_link(fd.path()).is_ok_and(|to| inodes.iter().any(|inode| to.as_os_str() == inode.as_str()))
        });
        holds.then(|| name(pid))
    })
}

fn name(pid: i32) -> String {
    let env = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let var = |name: &str| {
        env.split(|byte| *byte == 0)
            .find_map(|entry| Some(String::from_utf8_lossy(entry.strip_prefix(name.as_bytes())?).into_owned()))
    };
    if let (Some(release), Some(instance)) = (var("SKIPPER_RELEASE="), var("SKIPPER_INSTANCE=")) {
        let revision = var("SKIPPER_REVISION=").unwrap_or_default();
        return format!("release {release} (revision {revision}, instance {instance}, pid {pid})");
    }
    let program = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("{} (pid {pid})", program.trim())
}

/// Inodes of the sockets that listen on the port, from `/proc/net/tcp`.
fn listeners(table: &str, port: u16) -> Vec<u64> {
    let suffix = format!(":{port:04X}");
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            // 0A is LISTEN.
            (fields.get(1)?.ends_with(&suffix) && *fields.get(3)? == "0A").then(|| fields.get(9)?.parse().ok())?
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listeners_of_that_port_are_found() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:4E20 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1234 1 0 100 0 0 10 0
   1: 0100007F:4E20 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 99 1 0 20 4 0 10 -1
   2: 0100007F:4E21 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1 0 100 0 0 10 0
";
        assert_eq!(listeners(table, 20_000), [1234]);
    }

    #[test]
    fn the_holder_of_a_port_is_named() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let port = held.local_addr().expect("it is bound").port();
        let me = format!("(pid {})", std::process::id());
        assert!(of_port(port).is_some_and(|name| name.ends_with(&me)));
    }
}
