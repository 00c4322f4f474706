//! From the order to a running process.

use std::{
    fs, io,
    io::Read as _,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{
            fs::{DirBuilderExt as _, OpenOptionsExt as _},
            process::CommandExt as _,
        },
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::{
    fs::{Mode, OFlags, fcntl_setfl, fstat},
    pipe::{PipeFlags, pipe_with},
    process::umask,
};
use skipper_core::deployment::Exit;

use super::{
    super::process,
    Answer, COOKIE_VAR, Ended, Failure, Folder, Order, State, VERSION, detach,
    document::write_ended,
    failure, lock,
    logfile::LogFile,
    now,
    pump::{Logging, Pump},
    say, signals,
    wait::{self, Outcome},
};

/// Largest order that is read: an environment of that size could not be given to a process anyway.
const ORDER_BYTES: u64 = 16 << 20;
/// How often a program that somebody still has open for writing is tried again, and the pause between: a copy made by
/// another thread of the server can be inherited, for a moment, by a process that is just being started.
const BUSY_TRIES: u32 = 40;
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// The kernel kills other processes first when memory is short.
const OOM_SCORE: &str = "-500";

/// Starts what is ordered and keeps it until everything it started has ended.
pub(super) fn run(folder: &Folder) -> io::Result<()> {
    // Fails only for the leader of a group, which the server never makes us.
    let _ = rustix::process::setsid();
    let failed = |what: &str, cause: &io::Error| {
        say(&Answer::Failed(failure::of_io(what, cause)));
        io::Error::new(cause.kind(), cause.to_string())
    };
    let order: Order = serde_json::from_reader(io::stdin().take(ORDER_BYTES))
        .map_err(|cause| failed("read the order", &cause.into()))?;
    let Some(lock) = lock(folder).map_err(|cause| failed("lock the instance's folder", &cause))? else {
        say(&Answer::Busy);
        return Ok(());
    };
    let exit_file = folder.reserve_ended().map_err(|cause| failed("write the instance's folder", &cause))?;
    let started = start(folder, &order);
    // The secrets in it have reached the process.
    drop(order);
    match started {
        Ok(running) => {
            say(&Answer::Started(Box::new(running.state.clone())));
            // Should it fail, nobody waits: the server reads one line.
            let _ = detach();
            let ended = keep(folder, running);
            let written = write_ended(&exit_file, &ended);
            // Held until here, so that nobody reads the record before it is there.
            drop(lock);
            written
        }
        Err(failure) => {
            let exit = Exit { code: None, signal: None, out_of_memory: false, at: now() };
            let failure = Some(failure);
            let ended = Ended { version: VERSION, exit, failure, timed_out: false, left_behind: 0 };
            // For a server that has died meanwhile; the answer says the same.
            let written = write_ended(&exit_file, &ended);
            say(&Answer::Failed(ended.failure.unwrap_or_default()));
            drop(lock);
            written
        }
    }
}

struct Running {
    state: State,
    child: Child,
    logging: Logging,
    oom_before: u64,
}

fn start(folder: &Folder, order: &Order) -> Result<Running, Failure> {
    let did = |what: &str, cause: io::Error| failure::of_io(what, &cause);
    let me = process::myself().map_err(|cause| did("find out who we are", cause))?;
    // From here on every orphan of the process becomes our child, and none is lost.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|cause| did("become the reaper of orphans", cause.into()))?;
    if !order.make_working_dir && !order.working_dir.is_dir() {
        return Err(failure::no_working_dir(&order.working_dir));
    }
    let working_dir = prepare_folders(folder, order).map_err(|cause| did("prepare the instance's folder", cause))?;
    let log = LogFile::open(folder.logs(), order.log_file_bytes, order.log_files)
        .map_err(|cause| did("open the log", cause))?;
    let (out, out_read, out_inode) = output_pipe().map_err(|cause| did("make a pipe", cause))?;
    let (err, err_read, err_inode) = output_pipe().map_err(|cause| did("make a pipe", cause))?;
    let timeout = order.timeout_ms.map(Duration::from_millis);
    let started_at = now();
    let mut state = State {
        version: VERSION,
        boot_id: process::boot_id().to_owned(),
        keeper: me,
        app: None,
        cookie: order.cookie.clone(),
        ports: order.ports.clone(),
        started_at,
        launches: order.launches,
        contents: order.contents.clone(),
        attributes: order.attributes.clone(),
        output_files: order.output_files.clone(),
        remove: order.remove.clone(),
        pipes: [out_inode, err_inode],
        cgroup: order.cgroup.clone(),
        log_file_bytes: order.log_file_bytes,
        log_files: order.log_files,
        ends_by: timeout.map(|timeout| started_at + timeout),
        adopted: false,
    };
    let logging = Pump::new([Some(out_read), Some(err_read)], log)
        .copying(order.output_files.as_ref(), order.log_file_bytes)
        .start(timeout)
        .map_err(|cause| did("start the log's thread", cause))?;
    // Before the process: whoever finds the folder after a crash knows the cookie of what may be running.
    folder.write_state(&state).map_err(|cause| did("record what is started", cause))?;
    let placement = order.cgroup.clone().unwrap_or_default();
    placement.enter().map_err(|cause| Failure {
        code: "limits-failed".to_owned(),
        message: format!("set the limits of memory and CPU: {cause}"),
        hint: Some("see whether the server may write below /sys/fs/cgroup (in a unit: Delegate=yes)".to_owned()),
        transient: false,
    })?;
    let oom_before = placement.oom_kills();
    umask(Mode::from_raw_mode(0o022));
    // A server that is protected from the kernel's choice must not pass that on.
    if fs::read_to_string("/proc/self/oom_score_adj").is_ok_and(|score| score.starts_with('-')) {
        let _ = fs::write("/proc/self/oom_score_adj", "0");
    }
    signals::hand_on_defaults().map_err(|cause| did("reset the signals that are ignored", cause))?;
    let spawned = spawn(order, &working_dir, out, err);
    placement.leave();
    let mut child = spawned.map_err(|cause| failure::of_exec(&order.program, &working_dir, &cause))?;
    state.app = i32::try_from(child.id()).ok().and_then(process::stat).map(|stat| stat.id);
    if let Err(cause) = folder.write_state(&state) {
        // What nobody can find must not run.
        let _ = child.kill();
        return Err(did("record what was started", cause));
    }
    // Needs privileges; without them we are as likely a victim as anybody.
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    Ok(Running { state, child, logging, oom_before })
}

/// Makes the folders and files the process finds; returns where it starts.
fn prepare_folders(folder: &Folder, order: &Order) -> io::Result<std::path::PathBuf> {
    let make = |path: &Path| fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    make(&folder.logs())?;
    make(&folder.tmp())?;
    if order.make_working_dir {
        make(&order.working_dir)?;
    }
    remove_secrets(folder)?;
    if !order.secret_files.is_empty() {
        make(&folder.secrets())?;
        for (name, value) in &order.secret_files {
            let path = folder.secrets().join(name);
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(path)?;
            io::Write::write_all(&mut file, value.as_bytes())?;
        }
    }
    fs::canonicalize(&order.working_dir)
}

fn remove_secrets(folder: &Folder) -> io::Result<()> {
    match fs::remove_dir_all(folder.secrets()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A pipe of which the process gets both ends and we a reading one. Because the process can read it too, it is not
/// killed by SIGPIPE should we die.
fn output_pipe() -> io::Result<(fs::File, OwnedFd, u64)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    let path = format!("/proc/self/fd/{}", write.as_raw_fd());
    let both = fs::OpenOptions::new().read(true).write(true).open(path)?;
    // Does not touch the process' end, which is another open file of the same pipe.
    fcntl_setfl(&read, OFlags::NONBLOCK)?;
    let inode = fstat(&read)?.st_ino;
    Ok((both, read, inode))
}

fn spawn(order: &Order, working_dir: &Path, out: fs::File, err: fs::File) -> io::Result<Child> {
    let mut command = Command::new(&order.program);
    command
        .arg0(&order.arg0)
        .args(&order.args)
        .env_clear()
        .envs(order.env.iter().map(|(name, value)| (name, value)))
        .env(COOKIE_VAR, &order.cookie)
        .current_dir(working_dir)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0);
    let mut tries = 0;
    loop {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES => {
                tries += 1;
                std::thread::sleep(BUSY_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

/// Logs and waits until nothing runs any more; says how it ended.
fn keep(folder: &Folder, running: Running) -> Ended {
    let Running { state, child, logging, oom_before } = running;
    let Outcome { code, signal, at, left_behind } = wait::for_all(&child);
    let timed_out = logging.finish();
    let killed_for_memory =
        signal.is_some() && state.cgroup.as_ref().is_some_and(|placement| placement.oom_kills() > oom_before);
    // What stays is removed with the instance.
    let _ = remove_secrets(folder);
    let exit = Exit { code, signal, out_of_memory: killed_for_memory, at };
    Ended { version: VERSION, exit, failure: None, timed_out, left_behind }
}
