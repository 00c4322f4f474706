use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::ValueHint;
use serde_json::{Value, json};
use skipper_source::{
    Finding,
    app::{self, Directory, Environment},
};

use super::Context;
use crate::{
    failure::{Done, Exit, Failure},
    render::{tame, to_stderr},
};

/// Far more than any file of a configuration; keeps a wrong path (a log, a device) from being swallowed.
pub(super) const MAX_BYTES: u64 = 1 << 20;
/// Most files of a folder that are looked at.
const MAX_FILES: usize = 20_000;

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
        let server = read(&dir.join("slip.toml")).map_err(|problem| refused(&problem))?;
        let mut unreadable = Vec::new();
        let apps = apps(&dir.join("apps"), &mut unreadable).map_err(|problem| refused(&problem))?;
        let directory = Directory { server: &server, apps: &apps, env: Environment::new(&env) };
        let mut found = app::check(&directory);
        found.apps += unreadable.len();
        found.findings.extend(unreadable);
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
                let lines: Vec<String> = lines.lines().map(tame).collect();
                to_stderr(&format!("{}\n", lines.join("\n")));
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
fn folder(path: PathBuf) -> PathBuf {
    match path.parent() {
        Some(parent) if path.file_name().is_some_and(|name| name == "slip.toml") && path.is_file() => parent.to_owned(),
        _ => path,
    }
}

/// The text of a plain file of bounded size.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let cannot = |cause: &dyn std::fmt::Display| format!("{}: cannot be read: {cause}", path.display());
    let meta = fs::metadata(path).map_err(|cause| cannot(&cause))?;
    if !meta.is_file() {
        return Err(cannot(&"it is no plain file"));
    }
    let mut text = String::new();
    let file = File::open(path).map_err(|cause| cannot(&cause))?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|cause| cannot(&cause))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(cannot(&"it is larger than 1 MiB"));
    }
    Ok(text)
}

/// Texts by file name; a missing folder is an empty one.
fn apps(dir: &Path, unreadable: &mut Vec<Finding>) -> Result<BTreeMap<String, String>, String> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(cause) => return Err(format!("{}: cannot be read: {cause}", dir.display())),
    };
    let mut texts = BTreeMap::new();
    for entry in entries.take(MAX_FILES) {
        let path = entry.map_err(|cause| format!("{}: cannot be read: {cause}", dir.display()))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        match read(&path) {
            Ok(text) => {
                texts.insert(name, text);
            }
            Err(problem) => unreadable.push(Finding::error("file-unreadable", problem)),
        }
    }
    Ok(texts)
}

fn env_file(path: &Path) -> Result<BTreeMap<String, String>, String> {
    app::env_file(&read(path)?).map_err(|lines| {
        let lines: Vec<String> = lines.iter().take(20).map(ToString::to_string).collect();
        format!("{}: not a NAME=value line: {}", path.display(), lines.join(", "))
    })
}
