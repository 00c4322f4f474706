//! The container engine, the ports and the clock.

use std::{
    fs,
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use skipper_server::config::EdgePort;
use skipper_source::app::Backend;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use super::{
    Finding,
    fix::{self, Fix},
};
use crate::surroundings::Surroundings;

/// Longest that an engine may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(5);
/// Before this no clock is right: 2026-01-01.
const EPOCH: i64 = 1_767_225_600_000_000;

/// Looks for the engine of apps where the server would.
pub(super) async fn look(backend: &Backend, surroundings: &Surroundings) -> Finding {
    let docker = || {
        let host = surroundings.var("DOCKER_HOST").and_then(|host| host.strip_prefix("unix://"));
        ("Docker", "docker.service", PathBuf::from(host.unwrap_or("/var/run/docker.sock")))
    };
    let podman = || {
        let own = surroundings.runtime_dir().map(|dir| dir.join("podman/podman.sock")).filter(|path| path.exists());
        ("Podman", "podman.socket", own.unwrap_or_else(|| "/run/podman/podman.sock".into()))
    };
    if *backend == Backend::Docker && surroundings.var("DOCKER_HOST").is_some_and(|host| !host.starts_with("unix://")) {
        return Finding::ok("engine", "Docker on another machine; `platform` says whether the server reaches it");
    }
    let places = match backend {
        Backend::Docker => vec![docker()],
        Backend::Podman => vec![podman()],
        Backend::Auto => vec![docker(), podman()],
        Backend::Account(name) => {
            return Finding::ok(
                "engine",
                format!("that of the account {name}; the server tells whether it reaches it"),
            );
        }
    };
    let mut worst = None;
    for (name, unit, socket) in places {
        match ping(&socket).await {
            Ok(()) => return Finding::ok("engine", format!("{name} answers at {}", socket.display())),
            Err(error) => {
                // One that is there and refuses is nearer than one that is not there.
                let is_there = error.kind() != ErrorKind::NotFound;
                if worst.is_none() || is_there {
                    worst = Some(wrong(name, unit, &socket, &error));
                }
            }
        }
    }
    worst.unwrap_or_else(|| Finding::warning("engine", "none is named", "set `runtime.backend`"))
}

fn wrong(name: &str, unit: &'static str, socket: &Path, error: &std::io::Error) -> Finding {
    let at = socket.display();
    if error.kind() == ErrorKind::PermissionDenied {
        let group = fs::metadata(socket).map_or(0, |meta| meta.gid());
        let groups = fs::read_to_string("/etc/group").unwrap_or_default();
        let of_group = groups.lines().find(|line| line.split(':').nth(2) == Some(&group.to_string()));
        let group = of_group.and_then(|line| line.split(':').next()).unwrap_or("root");
        let advice = if group == "root" {
            "run the server as root, or an engine of its own for its user".to_owned()
        } else {
            format!(
                "add the server's user to the group {group}, which makes it as mighty as root: usermod -aG {group} USER"
            )
        };
        return Finding::broken("engine", format!("this user may not open {name}'s socket {at}"), advice);
    }
    let detail = match error.kind() {
        ErrorKind::NotFound => format!("{name} does not run: there is no socket {at}"),
        ErrorKind::ConnectionRefused => format!("{name} does not run: its socket {at} is left over"),
        ErrorKind::TimedOut => format!("{name} is stuck: it does not answer at {at}"),
        _ => format!("{name} does not answer at {at}: {error}"),
    };
    let finding = Finding::broken("engine", detail, format!("systemctl start {unit}, or install {name}"));
    let installed = ["/lib/systemd/system", "/usr/lib/systemd/system", "/etc/systemd/system"]
        .iter()
        .any(|dir| Path::new(dir).join(unit).exists());
    let down = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused);
    if down && installed && fix::has_systemd() { finding.fix(Fix::Start(unit)) } else { finding }
}

async fn ping(socket: &Path) -> std::io::Result<()> {
    let asked = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await?;
        if head.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(std::io::Error::other("it is no container engine")) }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

/// Whether somebody else has the ports that browsers try, where the edge takes them by itself, or those that it is told to take.
pub(super) fn ports((http, https): (&EdgePort, &EdgePort), open: &[SocketAddr]) -> Vec<Finding> {
    let wanted = |port: &EdgePort, usual: u16| match port {
        EdgePort::Auto => Some((SocketAddr::from(([0, 0, 0, 0], usual)), false)),
        EdgePort::At(address) => Some((*address, true)),
        EdgePort::Off => None,
    };
    [wanted(http, 80), wanted(https, 443)]
        .into_iter()
        .flatten()
        .filter(|(address, _)| !open.iter().any(|one| one.port() == address.port()))
        .filter(|(address, _)| {
            TcpListener::bind(*address).is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
        })
        .map(|(address, is_told)| {
            let port = address.port();
            let who = holder(port).map_or_else(|| "something else".to_owned(), |name| format!("`{name}`"));
            let detail = format!("{who} listens on port {port}, and so the edge cannot");
            if is_told {
                let advice = format!("stop it, or name another than {address} for `edge.http` or `edge.https`");
                return Finding::broken("ports", detail, advice);
            }
            let advice =
                "stop it; or let it stand in front: [caddy] in slip.toml for Caddy, `edge.http` and `edge.https` for others";
            Finding::warning("ports", detail, advice)
        })
        .collect()
}

/// The name of the process that listens on a port, as far as this user may see it.
fn holder(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .find_map(|table| listening_inode(&fs::read_to_string(table).ok()?, port))?;
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit())))
        .find_map(|entry| {
            let mut open = fs::read_dir(entry.path().join("fd")).ok()?.flatten();
            let is_it = open.any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.to_str() == Some(&wanted)));
            let name = fs::read_to_string(entry.path().join("comm")).ok().filter(|_| is_it)?;
            Some(name.trim().to_owned())
        })
}

/// The number of the socket that listens on a port, from the kernel's table.
fn listening_inode(table: &str, port: u16) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, local) = fields.get(1)?.rsplit_once(':')?;
        let listens = *fields.get(3)? == "0A" && u16::from_str_radix(local, 16) == Ok(port);
        if listens { fields.get(9)?.parse().ok() } else { None }
    })
}

/// Whether the clock can be right: signatures and certificates are told good or bad by it.
pub(super) fn clock(now_micros: i64) -> Option<Finding> {
    let advice = "set the clock by the network: timedatectl set-ntp true, or chrony";
    if now_micros < EPOCH {
        return Some(Finding::broken("clock", "it stands before this program was made", advice).fix(Fix::Clock));
    }
    if !fix::has_systemd() {
        let now = jiff::Timestamp::from_microsecond(now_micros).ok()?.strftime("%F %T UTC");
        return Some(Finding::ok("clock", format!("{now}; nothing here tells whether the network sets it")));
    }
    let (_, answer) = fix::run("timedatectl", &["show", "--property=NTPSynchronized", "--value"])?;
    Some(match answer.as_str() {
        "yes" => Finding::ok("clock", "set by the network"),
        _ => Finding::warning("clock", "nothing sets it by the network, so it drifts", advice).fix(Fix::Clock),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_the_edge_is_told_to_take_is_free_or_its_own() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("an address");
        let edge = (&EdgePort::At(address), &EdgePort::Off);
        let told = ports(edge, &[]);
        assert!(told.len() == 1 && told[0].state == super::super::State::Broken, "{told:?}");
        assert!(ports(edge, &[address]).is_empty(), "the edge itself listens there");
        drop(listener);
        assert!(ports(edge, &[]).is_empty());
    }

    #[test]
    fn who_listens_is_read_from_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:0050 00000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 11 1 0\n   \
                     1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0\n";
        assert_eq!((listening_inode(table, 80), listening_inode(table, 81)), (Some(4711), None));
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = listener.local_addr().expect("an address").port();
        assert!(holder(port).is_some(), "this process listens on {port}");
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_told_from_one_that_is_left_over() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let socket = dir.path().join("engine.sock");
        assert_eq!(ping(&socket).await.expect_err("nothing").kind(), ErrorKind::NotFound);
        drop(std::os::unix::net::UnixListener::bind(&socket).expect("bound"));
        let error = ping(&socket).await.expect_err("nobody");
        let finding = wrong("Docker", "docker.service", &socket, &error);
        assert!(finding.detail.contains("is left over"), "{finding:?}");
    }
}
