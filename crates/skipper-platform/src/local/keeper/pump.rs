//! Moves what the process prints into its log, and watches its time.

use std::{
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    process::Signal,
};
use skipper_core::port::LogStreamKind;

use super::{
    super::process,
    copy::Copy,
    logfile::{LINE_BYTES, LogFile},
    now,
};

/// Bytes read at once: what a pipe holds.
const READ_BYTES: usize = 64 << 10;
/// Reads from each stream before the end and the time are looked at again: somebody may print without pause.
const ROUNDS: usize = 4;
/// The same once the process has ended: enough for all that the largest pipe holds.
const LAST_ROUNDS: usize = 32;
/// The default of 2 MiB would be address space only, but a keeper should look as small as it is.
const STACK_BYTES: usize = 256 << 10;
/// Pause between two rounds of SIGKILL when the time is over and something is still there.
const KILL_PAUSE: Duration = Duration::from_millis(50);

/// The reading ends of a process' outputs, and where the lines go.
pub(super) struct Pump {
    streams: [Stream; 2],
    log: LogFile,
    buffer: Vec<u8>,
}

struct Stream {
    kind: LogStreamKind,
    fd: Option<OwnedFd>,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    copy: Option<Copy>,
}

/// A pump that runs in a thread of its own.
pub(super) struct Logging {
    thread: JoinHandle<bool>,
    told: OwnedFd,
}

impl Logging {
    /// Reads what is left, ends the thread, and says whether the time was over.
    pub(super) fn finish(self) -> bool {
        // The counter cannot be full: this is the only one that adds to it.
        let _ = rustix::io::write(&self.told, &1_u64.to_ne_bytes());
        self.thread.join().unwrap_or(false)
    }
}

impl Pump {
    pub(super) fn new([out, err]: [Option<OwnedFd>; 2], log: LogFile) -> Self {
        let stream = |kind, fd| Stream { kind, fd, partial: Vec::new(), copy: None };
        let streams = [stream(LogStreamKind::Stdout, out), stream(LogStreamKind::Stderr, err)];
        Self { streams, log, buffer: Vec::new() }
    }

    /// Writes both outputs into files as well, each of at most `bytes`.
    pub(super) fn copying(mut self, files: Option<&[PathBuf; 2]>, bytes: u64) -> Self {
        for (stream, path) in self.streams.iter_mut().zip(files.into_iter().flatten()) {
            stream.copy = Some(Copy::new(path.clone(), bytes));
        }
        self
    }

    /// Runs in a thread until told to finish; kills all descendants of this process when `timeout` passes before.
    pub(super) fn start(self, timeout: Option<Duration>) -> io::Result<Logging> {
        let told = eventfd(0, EventfdFlags::CLOEXEC)?;
        let theirs = told.try_clone()?;
        let work = move || {
            self.run(&theirs, timeout, || {
                for one in process::myself().map(process::descendants).unwrap_or_default() {
                    // What cannot be signalled is waited for.
                    let _ = one.signal(Signal::KILL);
                }
            })
        };
        let thread = thread::Builder::new().name("log".to_owned()).stack_size(STACK_BYTES).spawn(work)?;
        Ok(Logging { thread, told })
    }

    /// Reads until `end` becomes readable, then what is left. Calls `kill`, again and again, once `timeout` has passed;
    /// returns whether it had to.
    pub(super) fn run(mut self, end: &OwnedFd, timeout: Option<Duration>, mut kill: impl FnMut()) -> bool {
        self.buffer = vec![0; READ_BYTES];
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let mut late = false;
        loop {
            let wait =
                if late { Some(KILL_PAUSE) } else { deadline.map(|d| d.saturating_duration_since(Instant::now())) };
            let ended = self.wait(end, wait);
            self.read(if ended { LAST_ROUNDS } else { ROUNDS });
            if ended {
                break;
            }
            late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if late {
                kill();
            }
        }
        let at = now();
        for stream in &mut self.streams {
            if !stream.partial.is_empty() {
                self.log.line(at, stream.kind, &stream.partial);
            }
        }
        self.log.flush(at);
        late
    }

    /// Waits for output, the end, or time; says whether it is the end.
    fn wait(&self, end: &OwnedFd, timeout: Option<Duration>) -> bool {
        let mut fds = vec![PollFd::new(end, PollFlags::IN)];
        fds.extend(self.streams.iter().filter_map(|s| s.fd.as_ref()).map(|fd| PollFd::new(fd, PollFlags::IN)));
        let timeout = timeout.map(|t| Timespec { tv_sec: t.as_secs().cast_signed(), tv_nsec: t.subsec_nanos().into() });
        // An interrupted wait is one that found nothing.
        let _ = poll(&mut fds, timeout.as_ref());
        !fds[0].revents().is_empty()
    }

    fn read(&mut self, rounds: usize) {
        for _ in 0..rounds {
            let mut any = false;
            for stream in &mut self.streams {
                let Some(fd) = &stream.fd else { continue };
                match rustix::io::read(fd, &mut self.buffer) {
                    // Nobody has the writing end any more.
                    Ok(0) => stream.fd = None,
                    Ok(count) => {
                        any = true;
                        if let Some(copy) = &mut stream.copy {
                            copy.write(&self.buffer[..count]);
                        }
                        stream.take(&self.buffer[..count], &mut self.log);
                    }
                    Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                    Err(_) => stream.fd = None,
                }
            }
            self.log.flush(now());
            if !any {
                return;
            }
        }
    }
}

impl Stream {
    fn take(&mut self, mut bytes: &[u8], log: &mut LogFile) {
        let at = now();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.grow(&bytes[..end], log, at);
            log.line(at, self.kind, &self.partial);
            self.partial.clear();
            bytes = &bytes[end + 1..];
        }
        self.grow(bytes, log, at);
        if self.partial.is_empty() {
            // A single long line must not be paid for all day.
            self.partial = Vec::new();
        }
    }

    /// Adds to the unfinished line, cutting it where it is too long.
    fn grow(&mut self, mut bytes: &[u8], log: &mut LogFile, at: skipper_core::time::Timestamp) {
        while self.partial.len() + bytes.len() > LINE_BYTES {
            let (head, tail) = bytes.split_at(LINE_BYTES - self.partial.len());
            self.partial.extend_from_slice(head);
            log.line(at, self.kind, &self.partial);
            self.partial.clear();
            bytes = tail;
        }
        self.partial.extend_from_slice(bytes);
    }
}
