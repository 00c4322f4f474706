use std::path::PathBuf;

use clap::ValueHint;
use serde_json::json;
use skipper_source::Severity;

use super::super::{Context, local};
use crate::failure::{Done, Exit, Failure};

/// Arguments of `package lint`.
#[derive(Debug, clap::Args)]
pub(crate) struct Lint {
    /// Folder or zip
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    path: PathBuf,
    /// Warnings count as errors
    #[arg(long)]
    strict: bool,
}

impl Lint {
    pub(super) fn run(self, context: &Context) -> Done {
        let findings = local::read(context, &self.path, None)?.package.lint();
        let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
        let warnings = findings.len() - errors;
        if context.out.json {
            let items: Vec<_> = findings
                .iter()
                .map(|finding| {
                    json!({
                        "severity": finding.severity.as_str(), "code": finding.code, "file": finding.file,
                        "line": finding.at.map(|at| at.line), "column": finding.at.map(|at| at.column),
                        "path": finding.path, "message": finding.message, "hint": finding.hint,
                    })
                })
                .collect();
            context.out.json(&json!({"items": items, "errors": errors, "warnings": warnings}))?;
        } else if findings.is_empty() {
            context.out.line(&format!("{}: nothing to complain about", self.path.display()))?;
        } else {
            findings.iter().try_for_each(|finding| context.out.line(&finding.to_string()))?;
        }
        if errors > 0 || (self.strict && warnings > 0) {
            let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
            let message =
                format!("{}: {}, {}", self.path.display(), count(errors, "error"), count(warnings, "warning"));
            return Err(if context.out.json { Failure::quiet(Exit::Error) } else { Failure::error(message) });
        }
        Ok(())
    }
}
