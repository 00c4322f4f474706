//! Commands in a running container: of `skipper exec` and of health checks.

use std::{sync::Arc, time::Duration};

use bollard::{
    container::LogOutput,
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
};
use futures::StreamExt as _;
use skipper_core::port::{Error, ErrorKind, ExecOutput};

use super::{
    account::Account,
    look::{Looked, look},
};

/// Output that is kept; the rest is read and dropped.
const OUTPUT_BYTES: usize = 1 << 20;
/// Between two looks for a status that the engine has not noted yet, and how many there are.
const NOTED: Duration = Duration::from_millis(10);
const LOOKS: u32 = 100;

/// What became of a command.
pub(super) enum Ran {
    Ended { code: Option<i32>, output: String },
    TimedOut { output: String },
}

/// Runs a command to its end, or for `bound`: then it is killed where that can be done.
pub(super) async fn run(account: &Arc<Account>, name: &str, words: &[String], bound: Duration) -> Result<Ran, Error> {
    let Looked::Running(seen) = look(account, name).await? else {
        let message = format!("{name} does not run");
        return Err(Error::new(ErrorKind::NotFound, "not-running", message).hint("`skipper status` tells what does"));
    };
    if words.is_empty() {
        return Err(Error::new(ErrorKind::Permanent, "exec-failed", "the command is empty"));
    }
    let engine = account.engine().await?;
    let program = words.first().map(String::as_str).unwrap_or_default();
    let failed = |said| {
        let error = account.failed(format!("run `{program}`"), said);
        match error.code() {
            "program-not-found" | "program-not-executable" | "engine-failed" | "engine-refused" => {
                Error::new(ErrorKind::Permanent, "exec-failed", error.chain())
                    .hint("see that the image has the program")
            }
            _ => error,
        }
    };
    let options = CreateExecOptions {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(words.to_vec()),
        ..CreateExecOptions::default()
    };
    let made = engine.create_exec(&seen.id, options).await.map_err(failed)?;
    let mut output = Vec::new();
    let reading = async {
        let started = engine.start_exec(&made.id, None::<StartExecOptions>).await.map_err(failed)?;
        let StartExecResults::Attached { output: mut parts, input: _input } = started else { return Ok(()) };
        while let Some(part) = parts.next().await {
            let (LogOutput::StdOut { message } | LogOutput::StdErr { message } | LogOutput::Console { message }) =
                part.map_err(failed)?
            else {
                continue;
            };
            let room = OUTPUT_BYTES.saturating_sub(output.len());
            output.extend_from_slice(&message[..message.len().min(room)]);
        }
        Ok::<_, Error>(())
    };
    let in_time = tokio::time::timeout(bound, reading).await;
    let text = |output: &[u8]| String::from_utf8_lossy(output).into_owned();
    match in_time {
        Err(_) => {
            if let Ok(told) = engine.inspect_exec(&made.id).await {
                kill(account, told.pid, &seen.id).await;
            }
            return Ok(Ran::TimedOut { output: text(&output) });
        }
        Ok(outcome) => outcome?,
    }
    for _ in 0..LOOKS {
        let told = engine.inspect_exec(&made.id).await.map_err(failed)?;
        if told.running != Some(true) {
            let code = told.exit_code.and_then(|code| i32::try_from(code).ok());
            let output = text(&output);
            if let Some(126 | 127) = code
                && (output.contains("OCI runtime exec failed") || output.contains("executable file"))
            {
                // Docker starts it before it knows that it cannot.
                return Err(Error::new(
                    ErrorKind::Permanent,
                    "exec-failed",
                    format!("run `{program}`: {}", output.trim()),
                )
                .hint("see that the image has the program"));
            }
            return Ok(Ran::Ended { code, output });
        }
        tokio::time::sleep(NOTED).await;
    }
    Ok(Ran::Ended { code: None, output: text(&output) })
}

/// Kills a command that goes on, as far as this is the engine's host and the number is certainly the container's: engines
/// have no way to.
async fn kill(account: &Account, pid: Option<i64>, container: &str) {
    let Some(number) = pid.and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 1) else { return };
    if !account.config.is_here() {
        return;
    }
    let id = container.to_owned();
    let end = move || {
        let of_container =
            std::fs::read_to_string(format!("/proc/{number}/cgroup")).is_ok_and(|groups| groups.contains(&id));
        if let Some(pid) = rustix::process::Pid::from_raw(number).filter(|_| of_container) {
            // It may have ended by itself, or belong to somebody we may not signal.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    };
    let _ = crate::local::blocking(end).await;
}

/// For `skipper exec`.
pub(crate) async fn output(
    account: &Arc<Account>,
    name: &str,
    words: &[String],
    deadline: Duration,
) -> Result<ExecOutput, Error> {
    match run(account, name, words, deadline).await? {
        Ran::Ended { code, output } => Ok(ExecOutput { code, output }),
        Ran::TimedOut { output } => {
            let last = output.lines().last().unwrap_or_default().to_owned();
            let message = format!("the command was killed after {} s", deadline.as_secs());
            Err(Error::new(ErrorKind::Permanent, "exec-timeout", message).hint(format!("its last words were: {last}")))
        }
    }
}
