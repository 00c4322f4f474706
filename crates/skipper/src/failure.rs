//! How a command ends when it does not end well: a cause, the next thing to do, and an exit code scripts can rely on.

use std::{error::Error as StdError, fmt, process::ExitCode};

/// What the exit code means. Documented in `docs/cli.md`; scripts depend on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// Something went wrong that has no code of its own.
    Error = 1,
    /// The command line is wrong.
    Usage = 2,
    /// No token, a wrong one, or one that may not do this.
    Auth = 3,
    /// What was named does not exist.
    NotFound = 4,
    /// The rollout failed or was cancelled; the revision before it serves.
    DeployFailed = 5,
    /// `--timeout` passed; the rollout goes on.
    Timeout = 6,
    /// Ctrl-C: 128 + SIGINT, as shells have it.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ended.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What went wrong; empty when everything has been said already.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
    /// The stable word of a server's refusal; `None` where no server refused anything.
    pub(crate) code: Option<String>,
    /// What led to it, the nearest first, as far as it is known: what `stacktrace` in the shell shows.
    pub(crate) causes: Vec<String>,
}

/// What every verb returns.
pub(crate) type Done = Result<(), Failure>;

impl Failure {
    /// With this exit code and sentence.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, code: None, causes: Vec::new() }
    }

    /// Exit code 1.
    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self::new(Exit::Error, message)
    }

    /// Exit code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Ends with that code; nothing more is to be said.
    pub(crate) fn quiet(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    /// Adds what to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what led to it.
    #[must_use]
    pub(crate) fn caused_by(mut self, error: &dyn StdError) -> Self {
        let mut next = Some(error);
        while let Some(cause) = next {
            self.causes.push(cause.to_string());
            next = cause.source();
        }
        self
    }

    /// Says it on standard error, in the form `clap` uses too.
    pub(crate) fn print(&self) {
        if self.message.is_empty() {
            return;
        }
        crate::render::to_stderr(&format!("error: {}\n", indent(&self.message)));
        if let Some(hint) = &self.hint {
            crate::render::to_stderr(&format!("hint:  {}\n", indent(hint)));
        }
    }
}

fn indent(text: &str) -> String {
    text.trim_end().replace('\n', "\n       ")
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Output that nobody reads any more (`skipper list | head -1`) ends the command quietly; anything else is an error.
pub(crate) fn writing(error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return Failure::quiet(Exit::Ok);
    }
    Failure::error(format!("write the output: {error}"))
}

/// An error and all its causes: `read web.zip: permission denied`.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Some libraries print their source as part of themselves.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// Says what was being done when something failed.
pub(crate) trait Doing<T> {
    /// The error as a [`Failure`] that begins with `what`: a verb phrase, `read web.zip`.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: StdError> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::error(format!("{}: {}", what(), chain(&error))).caused_by(&error))
    }
}
