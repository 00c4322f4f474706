use std::path::{Component, Path, PathBuf};

use clap::ValueHint;
use serde_json::{Value, json};
use skipper_server::config::read_text;
use skipper_source::{
    Finding, Severity,
    app::{self, Kind, Validated},
};

use super::{Context, check};
use crate::{
    failure::{Done, Exit, Failure},
    render::{tame, to_stderr},
};

/// Arguments of `validate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Looks at the slip.toml that an image brings along as /slip/slip.toml, and at the manifest of its pod beside it.")]
pub(crate) struct Validate {
    /// The file, or its folder
    #[arg(value_name = "PATH", default_value = "slip.toml", value_hint = ValueHint::AnyPath)]
    path: PathBuf,
    /// Unknown keys are errors, and images of a pod are looked at
    #[arg(long)]
    strict: bool,
}

impl Validate {
    pub(super) fn run(self, context: &Context) -> Done {
        let mut path = context.surroundings.resolve(&self.path);
        if path.is_dir() {
            path.push("slip.toml");
        }
        let mut found = match read_text(&path) {
            Ok(text) => app::validate(&self.path.display().to_string(), &text, self.strict),
            Err(problem) => Validated { repo: None, findings: vec![Finding::error("file-unreadable", problem)] },
        };
        self.manifest(&path, &mut found);
        if context.out.json {
            let items: Vec<Value> = found.findings.iter().map(check::finding_json).collect();
            context.out.json(&json!({"valid": found.is_valid(), "items": items}))?;
            return if found.is_valid() { Ok(()) } else { Err(Failure::quiet(Exit::Error)) };
        }
        for finding in &found.findings {
            let line = tame(&finding.to_string());
            match finding.severity {
                Severity::Warning => context.out.line(&format!("⚠ {line}"))?,
                Severity::Error => to_stderr(&format!("✗ {line}\n")),
            }
        }
        match &found.repo {
            Some(repo) if found.is_valid() => {
                context.out.line("✓ Valid repo config")?;
                context.out.line(&format!("  app: {}", repo.name))?;
                context.out.line(&format!("  kind: {}", repo.kind.unwrap_or_default().as_str()))?;
                if let Some(manifest) = repo.manifest.as_deref().filter(|_| repo.kind == Some(Kind::Pod)) {
                    context
                        .out
                        .line(&format!("  manifest: {}", manifest.strip_prefix("/slip/").unwrap_or(manifest)))?;
                }
                let preview = if repo.preview.is_some() { "enabled" } else { "disabled" };
                context.out.line(&format!("  preview: {preview}"))
            }
            _ => Err(Failure::quiet(Exit::Error)),
        }
    }

    /// Adds what there is to say about the manifest beside the file.
    fn manifest(&self, file: &Path, found: &mut Validated) {
        let Some(name) = found.manifest().map(PathBuf::from) else { return };
        // It was checked when it was read; whatever else it were, it would not be looked for above the file.
        if name.components().any(|part| !matches!(part, Component::Normal(_))) {
            return;
        }
        let path = file.parent().unwrap_or(file).join(&name);
        let shown = name.display().to_string();
        let more = match (read_text(&path), &found.repo) {
            (Ok(text), Some(repo)) => app::validate_manifest(repo, &shown, &text, self.strict),
            (Ok(_), None) => Vec::new(),
            (Err(problem), _) if path.exists() => vec![Finding::error("file-unreadable", problem)],
            (Err(_), _) => vec![Finding::error("manifest-missing", format!("pod manifest not found: {shown}"))],
        };
        found.findings.extend(more);
    }
}
