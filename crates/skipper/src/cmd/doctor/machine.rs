//! What can be seen on the server's machine without asking the server.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use rustix::{fs::Access, process::Resource};
use skipper_edge::{EdgeRouter, control_path};
use skipper_server::config::{Config, Database, EdgePort};

use super::{Finding, engine, fix::Fix};
use crate::surroundings::Surroundings;

/// Bytes below which a disk is called nearly full, and full.
const DISK: (u64, u64) = (1 << 30, 100 << 20);

/// Open files below which a busy edge runs out of them.
const FILES: u64 = 4096;

pub(super) async fn look(config: &Config, surroundings: &Surroundings, findings: &mut Vec<Finding>) {
    let dir = &config.data_dir;
    let there = dir.is_dir();
    findings.push(data_dir(dir));
    if there {
        findings.extend(disk(dir));
        findings.extend(secret_key(&dir.join("keys/secret.key"), config));
        findings.push(lock(dir, config));
    }
    if let Database::Sqlite(path) = &config.database {
        findings.extend(database(path));
    }
    findings.extend(edge(config, surroundings).await);
    findings.extend(disk_of_engine());
    findings.extend(shared_ports(config));
    findings.extend(files());
}

fn data_dir(dir: &Path) -> Finding {
    let check = "data directory";
    let shown = dir.display();
    let Ok(meta) = fs::metadata(dir) else {
        return Finding::warning(check, format!("{shown} is not there yet"), "`skipper server` makes it");
    };
    if !meta.is_dir() {
        return Finding::broken(check, format!("{shown} is not a folder"), "name another with --data-dir");
    }
    if rustix::fs::access(dir, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let detail = format!("{shown} belongs to user {} and cannot be used by this one", meta.uid());
        return Finding::broken(check, detail, "run as the server's user, or name another with --data-dir");
    }
    if meta.permissions().mode() & 0o077 != 0 {
        let detail = format!("{shown} is open to other users (mode {:o})", meta.permissions().mode() & 0o777);
        return Finding::warning(check, detail, format!("chmod 700 {shown}")).fix(Fix::Mode(dir.to_owned(), 0o700));
    }
    Finding::ok(check, shown.to_string())
}

fn disk(dir: &Path) -> Option<Finding> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let detail = format!("{} MiB free", free >> 20);
    let advice = "make room: the server refuses changes it cannot store";
    let of_inodes = stat.f_files > 0 && stat.f_favail < 1000;
    Some(if free < DISK.1 || of_inodes {
        Finding::broken("disk", if of_inodes { "nearly no file can be made".to_owned() } else { detail }, advice)
    } else if free < DISK.0 {
        Finding::warning("disk", detail, advice)
    } else {
        Finding::ok("disk", detail)
    })
}

fn secret_key(path: &Path, config: &Config) -> Option<Finding> {
    if config.secret_key.is_some() {
        return Some(Finding::ok("secret key", "from the configuration"));
    }
    // None is made before the first secret.
    let meta = fs::metadata(path).ok()?;
    if meta.permissions().mode() & 0o077 != 0 {
        let detail = format!("{} can be read by other users", path.display());
        let finding = Finding::broken("secret key", detail, format!("chmod 600 {}", path.display()));
        return Some(finding.fix(Fix::Mode(path.to_owned(), 0o600)));
    }
    Some(Finding::ok("secret key", path.display().to_string()))
}

fn lock(dir: &Path, config: &Config) -> Finding {
    use rustix::fs::{FlockOperation, flock};
    let held = fs::File::open(dir.join("server.lock"))
        .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK));
    if held {
        let pid = fs::read_to_string(dir.join("server.lock")).unwrap_or_default();
        return Finding::ok("process", format!("a server runs on this data directory (process {})", pid.trim()));
    }
    let taken: Vec<SocketAddr> = config.listen.iter().copied().filter(|address| is_taken(*address)).collect();
    if taken.is_empty() {
        return Finding::warning("process", "no server runs on this data directory", "start one with `skipper server`");
    }
    let taken: Vec<_> = taken.iter().map(ToString::to_string).collect();
    Finding::broken(
        "process",
        format!("no server runs on this data directory, and something else listens on {}", taken.join(", ")),
        "stop that, or listen elsewhere: `skipper server --listen 127.0.0.1:7578`",
    )
}

fn is_taken(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
}

fn database(path: &Path) -> Option<Finding> {
    use std::io::Read as _;
    let mut file = fs::File::open(path).ok()?;
    let mut head = [0; 16];
    match file.read_exact(&mut head) {
        Ok(()) if head.starts_with(b"SQLite format 3\0") => {
            let size = file.metadata().map_or(0, |meta| meta.len());
            Some(Finding::ok("database", format!("{}, {} KiB", path.display(), size >> 10)))
        }
        Ok(()) => Some(Finding::broken(
            "database",
            format!("{} is not a database", path.display()),
            "move it away and bring a backup back with `skipper restore FILE`",
        )),
        // An empty file becomes a database.
        Err(_) => Some(Finding::ok("database", format!("{} is empty", path.display()))),
    }
}

async fn edge(config: &Config, surroundings: &Surroundings) -> Vec<Finding> {
    let state = config.data_dir.join("edge");
    let control =
        config.edge.socket.clone().unwrap_or_else(|| control_path(&state, surroundings.runtime_dir().as_deref()));
    match EdgeRouter::new(control.clone()).info().await {
        Ok(info) => {
            let open: Vec<SocketAddr> = info.listeners.iter().map(|open| open.address).collect();
            let listeners: Vec<_> = open.iter().map(ToString::to_string).collect();
            let where_to = if listeners.is_empty() { "no route yet".to_owned() } else { listeners.join(", ") };
            let mut found = vec![Finding::ok("edge process", format!("process {}, {where_to}", info.pid))];
            found.extend(engine::ports((&config.edge.http, &config.edge.https), &open));
            found
        }
        Err(_) if !control.exists() => {
            let mut found = vec![Finding::warning(
                "edge process",
                "none runs",
                "the server starts one by itself; `skipper server`",
            )];
            found.extend(engine::ports((&config.edge.http, &config.edge.https), &[]));
            found
        }
        Err(error) => vec![Finding::broken(
            "edge process",
            format!("none answers on {}: {}", control.display(), error.chain()),
            format!("look at {}; a running server starts a new one within a second", state.join("edge.log").display()),
        )],
    }
}

/// The disk that images lie on, where it is another one's.
fn disk_of_engine() -> Option<Finding> {
    let dirs = ["/var/lib/docker", "/var/lib/containers"].map(Path::new);
    let finding = dirs.into_iter().filter(|dir| dir.is_dir()).find_map(disk)?;
    (finding.state != super::State::Ok).then(|| Finding {
        check: "image disk",
        advice: Some("make room: `docker system df` or `podman system df` shows what takes it".to_owned()),
        ..finding
    })
}

/// Whether host names can be served on the ports that browsers try.
fn shared_ports(config: &Config) -> Option<Finding> {
    if config.edge.http != EdgePort::Auto {
        return None;
    }
    let denied = TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], 80)))
        .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
    denied.then(|| {
        Finding::warning(
            "port 80",
            "this user may not listen on it, so host names are served on 8080 and 8443",
            "setcap cap_net_bind_service=+ep on the binary, or a socket of systemd, or a proxy in front",
        )
    })
}

fn files() -> Option<Finding> {
    let limit = rustix::process::getrlimit(Resource::Nofile).maximum?;
    (limit < FILES).then(|| {
        Finding::warning(
            "open files",
            format!("at most {limit}"),
            "ulimit -n 65536, or LimitNOFILE= in the unit: each connection of a user takes two",
        )
    })
}
