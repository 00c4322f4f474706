//! What `--fix` does: only what takes nothing away from anybody and can be done again.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use super::{Finding, State};

/// Longest that another program may take.
const WITHIN: Duration = Duration::from_secs(30);

/// A way to mend something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fix {
    /// Nobody but the owner, or also the group, may open it.
    Mode(PathBuf, u32),
    /// The same, and the file is that group's, which may read it.
    Share(PathBuf, u32, u32),
    /// A folder that is missing.
    Folder(PathBuf),
    /// A unit of systemd that does not run.
    Start(&'static str),
    /// The clock is set by the network.
    Clock,
}

impl Fix {
    /// As a command that does the same.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Mode(path, mode) => format!("chmod {mode:o} {}", path.display()),
            Self::Share(path, mode, group) => {
                format!("chgrp {group} {0} && chmod {mode:o} {0}", path.display())
            }
            Self::Folder(path) => format!("mkdir -p {}", path.display()),
            Self::Start(unit) => format!("systemctl start {unit}"),
            Self::Clock => "timedatectl set-ntp true".to_owned(),
        }
    }

    fn apply(&self) -> Result<(), String> {
        match self {
            Self::Mode(path, mode) => chmod(path, *mode).map_err(|error| error.to_string()),
            Self::Share(path, mode, group) => {
                share(path, *group).and_then(|()| chmod(path, *mode)).map_err(|error| error.to_string())
            }
            Self::Folder(path) => fs::create_dir_all(path).map_err(|error| error.to_string()),
            Self::Start(unit) => succeeds("systemctl", &["start", unit]),
            Self::Clock => succeeds("timedatectl", &["set-ntp", "true"]),
        }
    }
}

/// Only what is a file or folder itself: a link may lead to what is somebody else's.
fn chmod(path: &Path, mode: u32) -> std::io::Result<()> {
    if fs::symlink_metadata(path)?.is_symlink() {
        return Err(std::io::Error::other("it is a link; change what it leads to"));
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// The group first: nobody who may read it is kept out for a moment.
fn share(path: &Path, group: u32) -> std::io::Result<()> {
    std::os::unix::fs::lchown(path, None, Some(group))
}

fn succeeds(program: &str, args: &[&str]) -> Result<(), String> {
    let ended = run(program, args).ok_or_else(|| format!("{program} cannot be run, or takes too long"))?;
    if ended.0 { Ok(()) } else { Err(format!("{program} failed: {}", ended.1)) }
}

/// Runs another program: whether it succeeded, and what it printed. `None` when it is not there or takes too long.
pub(super) fn run(program: &str, args: &[&str]) -> Option<(bool, String)> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let begun = std::time::Instant::now();
    while child.try_wait().ok()?.is_none() {
        if begun.elapsed() > WITHIN {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().ok()?;
    let text = if output.status.success() { output.stdout } else { output.stderr };
    Some((output.status.success(), String::from_utf8_lossy(&text).trim().chars().take(500).collect()))
}

/// Whether systemd looks after this machine.
pub(super) fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Mends what can be mended, and says so in each finding.
pub(super) fn mend(findings: &mut [Finding]) {
    for finding in findings.iter_mut().filter(|finding| finding.state != State::Ok) {
        let Some(fix) = &finding.fix else { continue };
        match fix.apply() {
            Ok(()) => {
                finding.fixed = Some(fix.text());
                finding.state = State::Fixed;
            }
            Err(why) => finding.detail.push_str(&format!("; `{}` did not work: {why}", fix.text())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mended_is_said_and_a_link_is_left_alone() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("key");
        fs::write(&file, "x").expect("written");
        std::os::unix::fs::symlink(&file, dir.path().join("link")).expect("linked");
        let finding =
            |name: &str| Finding::broken("key", "open to all", "close it").fix(Fix::Mode(dir.path().join(name), 0o600));
        let mut findings = [finding("link"), finding("key"), finding("none")];
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("set");
        mend(&mut findings[..1]);
        assert_eq!(
            (findings[0].state, fs::metadata(&file).expect("there").permissions().mode() & 0o777),
            (State::Broken, 0o644)
        );
        mend(&mut findings[1..]);
        assert_eq!(
            (findings[1].state, fs::metadata(&file).expect("there").permissions().mode() & 0o777),
            (State::Fixed, 0o600)
        );
        assert!(findings[2].state == State::Broken && findings[2].detail.contains("did not work"), "{:?}", findings[2]);
    }
}
