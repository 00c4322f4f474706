//! Looks at everything that usually goes wrong, from the outside in, and says how to mend it.

mod machine;
mod remote;

use std::path::PathBuf;

use clap::ValueHint;
use serde::Serialize;

use super::{Context, is_loopback, server::Settings};
use crate::{
    failure::{Done, Exit, Failure},
    render::{Style, tame},
    targets,
};

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Ends with 1 if something is broken. Nothing is changed.")]
pub(crate) struct Doctor {
    /// Data directory of the server on this machine [default: as the server's]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<PathBuf>,
    /// Configuration file of the server on this machine
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warning,
    Broken,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    state: State,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, state: State::Ok, detail: detail.into(), advice: None }
    }

    fn warning(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, state: State::Warning, detail: detail.into(), advice: Some(advice.into()) }
    }

    fn broken(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, state: State::Broken, detail: detail.into(), advice: Some(advice.into()) }
    }
}

impl Doctor {
    pub(super) async fn run(self, context: &Context) -> Done {
        let mut findings = Vec::new();
        let target = targets::resolve(&context.connection, &context.surroundings)?;
        // A server elsewhere has its files elsewhere.
        if is_loopback(&target.url.value) || self.data_dir.is_some() || self.config.is_some() {
            let settings = Settings::of(self.config, self.data_dir, None);
            match settings.load(&context.surroundings) {
                Ok(loaded) => {
                    findings.push(Finding::ok("configuration", format!("{} settings", loaded.shown.len())));
                    machine::look(&loaded.config, &context.surroundings, &mut findings).await;
                }
                Err(failure) => findings.push(Finding::broken(
                    "configuration",
                    failure.message,
                    "mend the file or the variable that is named",
                )),
            }
        }
        remote::look(context, &mut findings).await;
        show(context, &findings)
    }
}

fn show(context: &Context, findings: &[Finding]) -> Done {
    let broken = findings.iter().filter(|finding| finding.state == State::Broken).count();
    let warnings = findings.iter().filter(|finding| finding.state == State::Warning).count();
    let out = &context.out;
    if out.json {
        out.json(&serde_json::json!({"items": findings, "broken": broken, "warnings": warnings}))?;
    } else {
        let mut text = String::new();
        for finding in findings {
            let mark = match finding.state {
                State::Ok => out.paint.style(Style::Good, "ok     "),
                State::Warning => out.paint.style(Style::Warn, "warning"),
                State::Broken => out.paint.style(Style::Bad, "broken "),
            };
            let detail = tame_lines(&finding.detail);
            text.push_str(&format!("{mark}  {:<14} {detail}\n", finding.check));
            if let Some(advice) = &finding.advice {
                let advice = tame_lines(advice);
                text.push_str(&format!("{:25}{}\n", "", out.paint.style(Style::Busy, &format!("-> {advice}"))));
            }
        }
        out.text(&text)?;
        if broken == 0 && warnings == 0 {
            out.note("everything is as it should be");
        }
    }
    if broken > 0 { Err(Failure::quiet(Exit::Error)) } else { Ok(()) }
}

fn tame_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(tame).collect();
    lines.join(&format!("\n{:25}", ""))
}
