//! What became of an apply, in the shape of a work order's result.

use std::collections::BTreeMap;

use serde::Serialize;
use skipper_core::{fleet::Outcome, secret::Blackener, time::Timestamp};

/// Longest end of what was said.
const TAIL_BYTES: usize = 64 << 10;

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// In one word.
    pub status: Outcome,
    /// When it began.
    #[serde(serialize_with = "as_text")]
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(serialize_with = "as_text")]
    pub finished_at: Timestamp,
    /// Exit status of the run of compose that decided it.
    pub exit_code: Option<i32>,
    /// For people, in a sentence.
    pub summary: String,
    /// What is there now, by service.
    pub services: BTreeMap<String, ServiceReport>,
    /// The end of what compose said, and, where services failed, of what they printed. At most 64 KiB, without secrets.
    pub logs_tail: String,
    /// A stable word for what went wrong; empty when nothing did.
    #[serde(skip)]
    pub code: &'static str,
    /// Services whose containers are other ones now, or gone.
    #[serde(skip)]
    pub changed: Vec<String>,
    /// Whether the files before these serve again.
    #[serde(skip)]
    pub went_back: bool,
}

/// What is there of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ServiceReport {
    /// The engine's word, or `unhealthy`; `absent` when there is no container.
    pub state: String,
    /// The first 12 digits of the first container's id.
    pub container: Option<String>,
}

fn as_text<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    let at = jiff::Timestamp::from_microsecond(at.as_micros()).map_err(serde::ser::Error::custom)?;
    serializer.collect_str(&at)
}

/// What was said so far.
#[derive(Debug)]
pub(super) struct Said {
    blackener: Blackener,
    text: String,
}

impl Said {
    pub(super) const fn new(blackener: Blackener) -> Self {
        Self { blackener, text: String::new() }
    }

    /// Without the secrets.
    pub(super) fn blackened(&self, line: &str) -> String {
        self.blackener.line(line.to_owned())
    }

    pub(super) fn line(&mut self, line: &str) {
        let line = self.blackened(line);
        self.text.push_str(&line);
        self.text.push('\n');
        let over = self.text.len().saturating_sub(2 * TAIL_BYTES);
        if over > 0 {
            self.text.drain(..self.text.ceil_char_boundary(over));
        }
    }

    pub(super) fn lines(&mut self, text: &str) {
        // Progress bars overwrite themselves.
        for line in text
            .split('\n')
            .map(|line| line.trim_end_matches('\r'))
            .map(|line| line.rsplit('\r').next().unwrap_or(line))
        {
            if !line.trim().is_empty() {
                self.line(line);
            }
        }
    }

    /// The end of it.
    pub(super) fn tail(&self) -> String {
        let from = self.text.ceil_char_boundary(self.text.len().saturating_sub(TAIL_BYTES));
        self.text[from..].to_owned()
    }
}
