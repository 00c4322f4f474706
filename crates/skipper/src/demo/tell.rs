//! What the demo says: numbered acts, indented facts.

use std::{
    io::Write as _,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// Says things on standard output.
#[derive(Debug)]
pub(super) struct Tell {
    coloured: bool,
    act: AtomicU32,
}

impl Tell {
    pub(super) const fn new(coloured: bool) -> Self {
        Self { coloured, act: AtomicU32::new(0) }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn line(text: &str) {
        // Nobody reads any more (`skipper demo | head`): the demo goes on and cleans up.
        writeln!(std::io::stdout(), "{text}").ok();
    }

    /// A line of its own.
    pub(super) fn plain(&self, text: &str) {
        Self::line(text);
    }

    /// Begins the next act.
    pub(super) fn act(&self, title: &str) {
        let number = self.act.fetch_add(1, Ordering::Relaxed) + 1;
        Self::line(&format!("\n{}", self.paint("1", &format!("{number}. {title}"))));
    }

    /// The command a user would type for what comes.
    pub(super) fn command(&self, command: &str) {
        Self::line(&self.paint("2", &format!("   $ {command}")));
    }

    /// Something that was seen.
    pub(super) fn fact(&self, text: &str) {
        for line in text.trim_end().lines() {
            Self::line(&format!("   {line}"));
        }
    }

    /// A claim that held.
    pub(super) fn held(&self, text: &str) {
        Self::line(&format!("   {} {text}", self.paint("32", "ok")));
    }

    /// What broke, on standard error.
    pub(super) fn error(&self, text: &str) {
        let word = self.paint("31", "error:");
        writeln!(std::io::stderr(), "{word} {text}").ok();
    }
}

/// A duration for people: `840 ms`, `3.2 s`.
pub(super) fn span(took: Duration) -> String {
    let ms = took.as_millis();
    if ms < 1000 { format!("{ms} ms") } else { format!("{}.{} s", ms / 1000, ms % 1000 / 100) }
}

/// A number for people: `12,345`.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations_are_written_for_people() {
        assert_eq!([number(0), number(999), number(1000), number(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(span(Duration::from_millis(840)), "840 ms");
        assert_eq!(span(Duration::from_millis(3250)), "3.2 s");
    }
}
