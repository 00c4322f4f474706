use std::{collections::BTreeMap, io, path::Path, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{io::AsyncReadExt as _, net::unix::pipe, process::Command, time::Instant};

use super::{Outcome, timed_out};

/// Output that is kept; the rest is read and dropped, so that the command does not block.
const OUTPUT_BYTES: usize = 1 << 20;
/// How much of the last line is told of a check.
const DETAIL_CHARS: usize = 200;

/// Whether the command ends with status 0 within `timeout`; past it, the command and what it started are killed.
pub async fn check(words: &[String], env: &BTreeMap<String, String>, dir: &Path, timeout: Duration) -> Outcome {
    let begun = Instant::now();
    match run(words, env, dir, timeout).await {
        Err(error) => Outcome::bad(format!("run `{}`: {error}", words.first().map_or("", String::as_str))),
        Ok(Ran::TimedOut { .. }) => timed_out(timeout),
        Ok(Ran::Ended { code: Some(0), .. }) => {
            Outcome::good(format!("status 0 in {} ms", begun.elapsed().as_millis()))
        }
        Ok(Ran::Ended { code, output }) => {
            let status = code.map_or_else(|| "killed by a signal".to_owned(), |code| format!("status {code}"));
            let last: String = output
                .lines()
                .rfind(|line| !line.trim().is_empty())
                .unwrap_or_default()
                .chars()
                .take(DETAIL_CHARS)
                .collect();
            Outcome::bad(if last.is_empty() { status } else { format!("{status}: {last}") })
        }
    }
}

/// What became of a command.
#[derive(Debug)]
pub(crate) enum Ran {
    Ended { code: Option<i32>, output: String },
    TimedOut { output: String },
}

/// Kills the command's group when dropped, unless it has ended.
struct Group(Option<Pid>);

impl Group {
    fn kill(&mut self) {
        if let Some(pid) = self.0.take() {
            // The leader is not reaped before this: the number is still the command's.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a command with exactly that environment. What it started and left in its group is killed when it ends.
///
/// # Cancel safety
///
/// Dropped, the command is killed.
pub(crate) async fn run(
    words: &[String],
    env: &BTreeMap<String, String>,
    dir: &Path,
    bound: Duration,
) -> io::Result<Ran> {
    let (program, args) = words.split_first().ok_or_else(|| io::Error::other("the command is empty"))?;
    let (read, write) = io::pipe()?;
    let mut child = {
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(env).current_dir(dir).process_group(0).kill_on_drop(true);
        // One pipe for both, so that lines come in the order they were written. Our ends go with `command`.
        command.stdin(Stdio::null()).stdout(write.try_clone()?).stderr(write).spawn()?
    };
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let read = std::os::fd::OwnedFd::from(read);
    rustix::io::ioctl_fionbio(&read, true)?;
    let mut read = pipe::Receiver::from_owned_fd(read)?;
    let mut output = Vec::new();
    let ended = tokio::time::timeout(bound, async {
        tokio::select! {
            // Leaves first: its end may come long after the command's, if somebody else has the pipe.
            () = drain(&mut read, &mut output) => wait_unreaped(&child).await,
            () = wait_unreaped(&child) => {}
        }
    });
    let in_time = ended.await.is_ok();
    group.kill();
    let status = child.wait().await?;
    // What was written until then is there; nobody of the group is left to write more.
    let _ = tokio::time::timeout(Duration::from_millis(100), drain(&mut read, &mut output)).await;
    let output = String::from_utf8_lossy(&output).into_owned();
    Ok(if in_time { Ran::Ended { code: status.code(), output } } else { Ran::TimedOut { output } })
}

/// Waits for the end without reaping, so that the group's number stays ours until the rest of the group is killed.
pub(crate) async fn wait_unreaped(child: &tokio::process::Child) {
    let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else { return };
    let Ok(handle) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) else { return };
    // An error would mean that the runtime shuts down.
    let _ = crate::local::end_of(handle).await;
}

async fn drain(from: &mut pipe::Receiver, into: &mut Vec<u8>) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count) = from.read(&mut buffer).await {
        if count == 0 {
            return;
        }
        let room = OUTPUT_BYTES.saturating_sub(into.len());
        into.extend_from_slice(&buffer[..count.min(room)]);
    }
}
