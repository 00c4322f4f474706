use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::ValueHint;
use serde_json::{Value, json};
use skipper_server::config::{read_directory, read_text};
use skipper_source::{
    Finding,
    app::{self, Directory, Environment},
};

use super::Context;
use crate::{
    failure::{Done, Exit, Failure},
    render::{tame, tame_lines, to_stderr},
};

/// Arguments of `config check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The folder holds slip.toml and apps/NAME.toml, as slip has them. Everything that is wrong is told at once. Variables that
are not set here are warned of only: the server may be given more of them.")]
pub(crate) struct Check {
    /// Folder with `slip.toml` and `apps/`
    #[arg(value_name = "DIR", default_value = "/etc/slip", value_hint = ValueHint::DirPath)]
    dir: PathBuf,
    /// File of `NAME=value` lines that count as variables, as systemd's EnvironmentFile
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    env_file: Option<PathBuf>,
    /// Warnings count as errors
    #[arg(long)]
    strict: bool,
}

impl Check {
    pub(super) fn run(self, context: &Context) -> Done {
        let mut env = context.surroundings.vars().clone();
        if let Some(path) = &self.env_file {
            env.extend(env_file(&context.surroundings.resolve(path)).map_err(|problem| refused(&problem))?);
        }
        let dir = folder(context.surroundings.resolve(&self.dir));
        let texts = read_directory(&dir).map_err(|problem| refused(&problem))?;
        let directory = Directory { server: &texts.server, apps: &texts.apps, env: Environment::new(&env) };
        let mut found = app::check(&directory);
        found.apps += texts.unreadable.len();
        found.findings.extend(texts.unreadable);
        let strict = self.strict;
        if context.out.json {
            let findings: Vec<Value> = found.findings.iter().map(finding_json).collect();
            context.out.json(&json!({"valid": found.line(strict).is_ok(), "apps": found.apps, "items": findings}))?;
            return if found.is_valid(strict) { Ok(()) } else { Err(Failure::quiet(Exit::Error)) };
        }
        for finding in found.findings.iter().filter(|f| !strict && f.severity == skipper_source::Severity::Warning) {
            context.out.warn(&tame(&finding.to_string()));
        }
        match found.line(strict) {
            Ok(line) => context.out.line(&line),
            Err(lines) => {
                to_stderr(&format!("{}\n", tame_lines(&lines)));
                Err(Failure::quiet(Exit::Error))
            }
        }
    }
}

/// In the shape of the line that slip prints.
fn refused(problem: &str) -> Failure {
    to_stderr(&format!("✗ Configuration validation failed: {}\n", tame(problem)));
    Failure::quiet(Exit::Error)
}

/// A finding as every command shows one that answers in JSON.
pub(super) fn finding_json(finding: &Finding) -> Value {
    json!({
        "severity": finding.severity.as_str(), "code": finding.code, "file": finding.file,
        "line": finding.at.map(|at| at.line), "column": finding.at.map(|at| at.column),
        "path": finding.path, "message": finding.message, "hint": finding.hint,
    })
}

/// Whoever names the file means its folder.
pub(super) fn folder(path: PathBuf) -> PathBuf {
    match path.parent() {
        Some(parent) if path.file_name().is_some_and(|name| name == "slip.toml") && path.is_file() => parent.to_owned(),
        _ => path,
    }
}

fn env_file(path: &Path) -> Result<BTreeMap<String, String>, String> {
    app::env_file(&read_text(path)?).map_err(|lines| {
        let lines: Vec<String> = lines.iter().take(20).map(ToString::to_string).collect();
        format!("{}: not a NAME=value line: {}", path.display(), lines.join(", "))
    })
}
