//! What was done, or would be, line by line.

use serde::Serialize;

use super::super::Context;
use crate::{failure::Done, render::Table};

/// What happens to one thing.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    /// `repository`, `package` or `release`.
    kind: &'static str,
    /// Its name.
    name: String,
    /// `taken over`, `there already`, `left out`; with `would be` in a dry run.
    result: &'static str,
    /// Why, or how much.
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
}

/// All of it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    dry_run: bool,
    lines: Vec<Line>,
    warnings: Vec<String>,
}

impl Report {
    pub(super) fn new(dry_run: bool, warnings: Vec<String>) -> Self {
        Self { dry_run, warnings, ..Self::default() }
    }

    pub(super) fn taken(&mut self, kind: &'static str, name: String, detail: String) {
        let result = if self.dry_run { "would be taken over" } else { "taken over" };
        self.lines.push(Line { kind, name, result, detail });
    }

    pub(super) fn there(&mut self, kind: &'static str, name: String) {
        self.lines.push(Line { kind, name, result: "there already", detail: String::new() });
    }

    pub(super) fn left_out(&mut self, kind: &'static str, name: String, detail: String) {
        self.lines.push(Line { kind, name, result: "left out", detail });
    }

    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// Whether releases were taken over.
    pub(super) fn has_releases(&self) -> bool {
        !self.dry_run && self.lines.iter().any(|line| line.kind == "release" && line.result == "taken over")
    }

    /// Whether something was to be taken over, and could not be.
    pub(super) fn is_whole(&self) -> bool {
        self.lines.iter().all(|line| line.result != "left out")
    }

    pub(super) fn show(&self, context: &Context) -> Done {
        for warning in &self.warnings {
            context.out.warn(warning);
        }
        if context.out.json {
            return context.out.json(self);
        }
        let mut table = Table::new(["WHAT", "NAME", "RESULT", "DETAIL"]);
        for line in &self.lines {
            table.row([line.kind.to_owned(), line.name.clone(), line.result.to_owned(), line.detail.clone()]);
        }
        context.out.table(&table, "nothing to take over")
    }
}
