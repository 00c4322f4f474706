//! One run of a command: bounded in time and output, killed with its group.

use std::{collections::BTreeMap, fs::File, io, os::fd::OwnedFd, path::Path, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{io::AsyncReadExt as _, net::unix::pipe, process::Command};

use crate::probe::command::wait_unreaped;

/// Standard output that is kept where it is wanted by itself; the rest is dropped.
const OUTPUT_BYTES: usize = 8 << 20;
/// The end of what was said that is kept.
const SAID_BYTES: usize = 64 << 10;
/// Between the polite signal and the other one.
const GRACE: Duration = Duration::from_secs(3);

/// What is run.
pub(super) struct Order<'a> {
    pub words: &'a [String],
    pub env: &'a BTreeMap<String, String>,
    pub dir: &'a Path,
    pub bound: Duration,
    /// Becomes its standard input. Nothing is read from it: the lock that it bears is held as long as the command runs, also when whoever
    /// started it was killed.
    pub held: Option<File>,
}

/// How it ended.
#[derive(Debug)]
pub(super) struct Ran {
    /// Exit status; `None` when it was killed.
    pub code: Option<i32>,
    /// Whether that was for want of time.
    pub timed_out: bool,
    /// Standard output.
    pub output: Vec<u8>,
    /// The end of both outputs, in the order in which they came.
    pub said: String,
}

/// Ends the group when dropped, unless it has ended.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.0 {
            // The leader is not reaped before this: the number is still the command's.
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Runs it. `started` is told the process's number.
///
/// # Cancel safety
///
/// Dropped, the command is killed.
pub(super) async fn run(order: Order<'_>, started: impl FnOnce(i32) + Send) -> io::Result<Ran> {
    let (program, args) = order.words.split_first().ok_or_else(|| io::Error::other("the command is empty"))?;
    let (out_read, out_write) = io::pipe()?;
    let (err_read, err_write) = io::pipe()?;
    let mut child = {
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(order.env).current_dir(order.dir).process_group(0).kill_on_drop(true);
        command.stdin(order.held.map_or_else(Stdio::null, Stdio::from)).stdout(out_write).stderr(err_write).spawn()?
    };
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    if let Some(pid) = group.0 {
        started(pid.as_raw_nonzero().get());
    }
    let mut heard = Heard {
        out: receiver(out_read.into())?,
        err: receiver(err_read.into())?,
        output: Vec::new(),
        said: Vec::new(),
    };
    let in_time = tokio::time::timeout(order.bound, heard.until_ended(&child)).await.is_ok();
    if !in_time {
        group.signal(Signal::TERM);
        let _ = tokio::time::timeout(GRACE, heard.until_ended(&child)).await;
    }
    group.signal(Signal::KILL);
    let status = child.wait().await?;
    group.0 = None;
    // What was written until then is there; nobody of the group is left to write more.
    let _ = tokio::time::timeout(Duration::from_millis(100), heard.drain()).await;
    let said = String::from_utf8_lossy(&heard.said).into_owned();
    Ok(Ran { code: status.code().filter(|_| in_time), timed_out: !in_time, output: heard.output, said })
}

fn receiver(read: OwnedFd) -> io::Result<pipe::Receiver> {
    rustix::io::ioctl_fionbio(&read, true)?;
    pipe::Receiver::from_owned_fd(read)
}

/// What a command prints.
struct Heard {
    out: pipe::Receiver,
    err: pipe::Receiver,
    output: Vec<u8>,
    said: Vec<u8>,
}

impl Heard {
    async fn until_ended(&mut self, child: &tokio::process::Child) {
        tokio::select! {
            // Leaves first: its end may come long after the command's, if somebody else has the pipe.
            () = self.drain() => wait_unreaped(child).await,
            () = wait_unreaped(child) => {}
        }
    }

    /// Until both have ended.
    async fn drain(&mut self) {
        let (mut out, mut err) = (vec![0; 16 << 10], vec![0; 16 << 10]);
        let (mut out_open, mut err_open) = (true, true);
        while out_open || err_open {
            let piece = tokio::select! {
                read = self.out.read(&mut out), if out_open => match read {
                    Ok(count @ 1..) => {
                        let room = OUTPUT_BYTES.saturating_sub(self.output.len());
                        self.output.extend_from_slice(&out[..count.min(room)]);
                        &out[..count]
                    }
                    _ => { out_open = false; continue }
                },
                read = self.err.read(&mut err), if err_open => match read {
                    Ok(count @ 1..) => &err[..count],
                    _ => { err_open = false; continue }
                },
            };
            self.said.extend_from_slice(piece);
            if self.said.len() > 2 * SAID_BYTES {
                self.said.drain(..self.said.len() - SAID_BYTES);
            }
        }
    }
}
