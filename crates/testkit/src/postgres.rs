//! A PostgreSQL of our own, for as long as the test process lives.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

static SERVER: OnceLock<Option<Server>> = OnceLock::new();

struct Server {
    url: String,
    /// Its end of the pipe keeps the server alive.
    _keeper: Option<Child>,
}

/// URL of a server whose databases may be made and dropped: that of `SKIPPER_TEST_POSTGRES`, else one that is started now.
/// `None`, and a line, where there is none.
///
/// # Panics
///
/// When it is installed and cannot be started.
pub fn url() -> Option<&'static str> {
    SERVER.get_or_init(start).as_ref().map(|server| server.url.as_str())
}

fn start() -> Option<Server> {
    if let Ok(url) = std::env::var("SKIPPER_TEST_POSTGRES") {
        return Some(Server { url, _keeper: None });
    }
    let Some(bin) = programs() else {
        eprintln!(
            "skipped: PostgreSQL is not installed (no initdb under /usr/lib/postgresql) and SKIPPER_TEST_POSTGRES is not set"
        );
        return None;
    };
    let root = rustix::process::geteuid().is_root();
    // PostgreSQL does not run as root.
    let prefix: &[&str] = if root { &["runuser", "-u", "postgres", "--"] } else { &[] };
    let out = run(prefix, &["mktemp", "-d", "/tmp/skipper-pg-XXXXXX"]);
    let dir = PathBuf::from(out.trim());
    run(
        prefix,
        &[
            bin.join("initdb").to_str().expect("UTF-8"),
            "--pgdata",
            dir.to_str().expect("UTF-8"),
            "--auth=trust",
            "--username=postgres",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        ],
    );
    let keeper = keep(prefix, &bin, &dir);
    await_ready(&bin, &dir);
    Some(Server {
        url: format!("postgres://postgres@localhost/postgres?host={}", dir.display()),
        _keeper: Some(keeper),
    })
}

fn await_ready(bin: &Path, dir: &Path) {
    let end = Instant::now() + Duration::from_secs(30);
    let answers = || Command::new(bin.join("pg_isready")).arg("--quiet").arg("--host").arg(dir).status();
    while !answers().is_ok_and(|status| status.success()) {
        assert!(Instant::now() < end, "PostgreSQL does not answer; its log is {}/log", dir.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The server ends with this process, however it ends: then the shell's standard input is at its end.
fn keep(prefix: &[&str], bin: &Path, dir: &Path) -> Child {
    let script = format!(
        "trap '' INT TERM HUP\n\
         {postgres} -D {dir} -k {dir} -c listen_addresses='' -c fsync=off -c max_connections=300 -c shared_buffers=32MB \
         >{dir}/log 2>&1 </dev/null &\n\
         cat >/dev/null\n\
         {pg_ctl} -D {dir} -m immediate -w stop >/dev/null 2>&1\n\
         rm -rf {dir}",
        postgres = bin.join("postgres").display(),
        pg_ctl = bin.join("pg_ctl").display(),
        dir = dir.display(),
    );
    let words: Vec<&str> = prefix.iter().copied().chain(["sh", "-c", &script]).collect();
    Command::new(words[0])
        .args(&words[1..])
        .current_dir("/tmp")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("start PostgreSQL")
}

fn programs() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists() && bin.join("pg_ctl").exists())
        .collect();
    found.sort();
    found.pop()
}

fn run(prefix: &[&str], command: &[&str]) -> String {
    let words: Vec<&str> = prefix.iter().chain(command).copied().collect();
    let out = Command::new(words[0]).args(&words[1..]).current_dir("/tmp").output().expect("run a program");
    assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}
