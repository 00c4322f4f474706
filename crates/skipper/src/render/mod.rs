//! What people read: results on standard output, everything else on standard error, colour only as decoration.

mod paint;
mod span;
mod table;
mod tree;

pub(crate) use paint::{Paint, Style};
pub(crate) use span::{age, at, lasted, parse_span, time_of_day};
pub(crate) use table::Table;
pub(crate) use tree::Tree;

use std::{
    cell::Cell,
    io::{self, Write as _},
};

use serde::Serialize;

use crate::{
    failure::{Done, Failure, writing},
    surroundings::Surroundings,
};

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Colour {
    // On a terminal, unless NO_COLOR is set or TERM is `dumb`. (Doc comments would make every help text a long one.)
    #[default]
    Auto,
    Always,
    Never,
}

/// Where a command writes.
#[derive(Debug)]
pub(crate) struct Output {
    /// Results are JSON.
    pub(crate) json: bool,
    /// Standard output is a terminal.
    pub(crate) interactive: bool,
    /// Standard error is a terminal.
    pub(crate) live: bool,
    /// Paint of standard output.
    pub(crate) paint: Paint,
    /// Paint of standard error.
    pub(crate) paint_err: Paint,
    /// Results look as in Spring's guide: the shell's way.
    pub(crate) guide: bool,
    /// What was asked about colour.
    pub(crate) colour: Colour,
    /// Nothing on standard error but errors.
    pub(crate) quiet: bool,
    said_something: Cell<bool>,
}

impl Output {
    /// Decides about colour once.
    pub(crate) fn new(surroundings: &Surroundings, json: bool, colour: Colour, quiet: bool) -> Self {
        let allowed = |terminal: bool| match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => {
                terminal && surroundings.var("NO_COLOR").is_none() && surroundings.var("TERM") != Some("dumb")
            }
        };
        Self {
            json,
            interactive: surroundings.stdout_is_terminal,
            live: surroundings.stderr_is_terminal && surroundings.var("TERM") != Some("dumb"),
            paint: Paint::new(allowed(surroundings.stdout_is_terminal)),
            paint_err: Paint::new(allowed(surroundings.stderr_is_terminal)),
            guide: false,
            colour,
            quiet,
            said_something: Cell::new(false),
        }
    }

    /// A line of the result.
    pub(crate) fn line(&self, text: &str) -> Done {
        self.text(&format!("{text}\n"))
    }

    /// The result, or a part of it, as it is.
    pub(crate) fn text(&self, text: &str) -> Done {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| writing(&e))
    }

    /// The result as JSON, indented.
    pub(crate) fn json(&self, value: &impl Serialize) -> Done {
        let mut text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::error(format!("write the answer as JSON: {error}")))?;
        text.push('\n');
        self.text(&text)
    }

    /// One element of a stream of results, as a line of JSON.
    pub(crate) fn json_line(&self, value: &impl Serialize) -> Done {
        let mut text = serde_json::to_string(value)
            .map_err(|error| Failure::error(format!("write the answer as JSON: {error}")))?;
        text.push('\n');
        self.text(&text)
    }

    /// A table: aligned on a terminal, separated by tabs elsewhere. `empty` is said on standard error when it has no
    /// rows, so that a script sees only the header.
    pub(crate) fn table(&self, table: &Table, empty: &str) -> Done {
        if table.is_empty() {
            self.note(empty);
            if self.interactive {
                return Ok(());
            }
        }
        let width = self.interactive.then(terminal_width);
        self.text(&table.render(self.paint, width))
    }

    /// Something for people beside the result, on standard error. Never fails.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet && !text.is_empty() {
            self.said_something.set(true);
            to_stderr(&format!("{text}\n"));
        }
    }

    /// What to do next, on standard error and only for people.
    pub(crate) fn next(&self, text: &str) {
        if self.live && !self.json {
            self.note(&self.paint_err.style(Style::Dim, text));
        }
    }

    /// A warning, on standard error.
    pub(crate) fn warn(&self, text: &str) {
        self.note(&format!("{} {text}", self.paint_err.style(Style::Warn, "warning:")));
    }
}

/// Writes to standard error; nobody can be told when that fails.
pub(crate) fn to_stderr(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// Columns of the terminal, or 100.
pub(crate) fn terminal_width() -> usize {
    let ask = |fd| rustix::termios::tcgetwinsize(fd).ok().map(|size| usize::from(size.ws_col)).filter(|cols| *cols > 0);
    ask(rustix::stdio::stdout()).or_else(|| ask(rustix::stdio::stderr())).unwrap_or(100)
}

/// Columns that a text takes on a terminal.
pub(crate) fn display_width(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

/// [`tame`] for a text of several lines.
pub(crate) fn tame_lines(text: &str) -> String {
    text.lines().map(tame).collect::<Vec<_>>().join("\n")
}

/// Whether a terminal obeys it rather than shows it: control characters, and those that turn the direction of writing.
fn is_order(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text from elsewhere, safe for a terminal: control characters are shown, not obeyed.
pub(crate) fn tame(text: &str) -> String {
    if !text.chars().any(|c| is_order(c) && c != '\t') {
        return text.to_owned();
    }
    text.chars()
        .map(|c| match c {
            '\t' => "\t".to_owned(),
            c if is_order(c) => c.escape_default().to_string(),
            c => c.to_string(),
        })
        .collect()
}
