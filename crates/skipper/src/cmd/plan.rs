use skipper_server::api::own::wire::{PlanRequest, PlanView};

use super::{Context, delete, install, rollback, scale, upgrade};
use crate::{
    client::Call,
    failure::Done,
    render::{Style, lasted, tame},
};

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing is stored or started. The hash can be given to the verb itself as --require-plan, which then refuses to do
anything else than what was shown.")]
pub(crate) struct Plan {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// What `skipper install` would do
    Install(Box<install::Install>),
    /// What `skipper upgrade` would do
    Upgrade(Box<upgrade::Upgrade>),
    /// What `skipper rollback` would do
    Rollback(rollback::Rollback),
    /// What `skipper scale` would do
    Scale(scale::Scale),
    /// What `skipper delete` would do
    Delete(delete::Delete),
}

impl Plan {
    pub(super) async fn run(self, context: &Context) -> Done {
        match self.verb {
            Verb::Install(verb) => verb.plan(context).await,
            Verb::Upgrade(verb) => verb.plan(context).await,
            Verb::Rollback(verb) => verb.plan(context).await,
            Verb::Scale(verb) => verb.plan(context).await,
            Verb::Delete(verb) => verb.plan(context).await,
        }
    }
}

/// Asks for a plan and shows it.
pub(super) async fn show(context: &Context, request: &PlanRequest) -> Done {
    let plan: PlanView = context.client()?.ask(&Call::post(&["v1", "plans"]).json(request)).await?;
    let out = &context.out;
    if out.json {
        return out.json(&plan);
    }
    let revision = |number: Option<u64>| number.map_or("nothing".to_owned(), |n| format!("revision {n}"));
    let paint = out.paint;
    let mut text = String::new();
    let title = format!("{} {}: {} -> {}", plan.verb, plan.release, revision(plan.from), revision(plan.to));
    text.push_str(&paint.style(Style::Strong, &tame(&title)));
    text.push('\n');
    if plan.steps.is_empty() {
        text.push_str("  nothing is to be done\n");
    }
    let several = plan.steps.iter().any(|step| plan.steps.first().is_some_and(|first| first.app != step.app));
    for step in &plan.steps {
        if step.index == plan.commit && plan.commit > 0 {
            text.push_str(&paint.style(Style::Dim, "      -- from here on nothing is undone --"));
            text.push('\n');
        }
        let app = if several { format!("{}: ", step.app) } else { String::new() };
        let bound = lasted(std::time::Duration::from_millis(step.bound_ms));
        let line = format!("  {:>2}  {app}{}", step.index + 1, step.text);
        text.push_str(&format!("{}  {}\n", tame(&line), paint.style(Style::Dim, &format!("(at most {bound})"))));
    }
    for notice in &plan.notices {
        text.push_str(&format!("{} {}\n", paint.style(Style::Warn, "note:"), tame(notice)));
    }
    if let Some(diff) = plan.diff.as_deref().filter(|diff| !diff.is_empty()) {
        text.push('\n');
        text.push_str(&super::diff::painted(paint, diff));
    }
    text.push_str(&format!("\nplan {}\n", plan.hash));
    out.text(&text)?;
    out.next(&format!(
        "to do exactly this: the same command without `plan` or --dry-run, with --require-plan {}",
        plan.hash
    ));
    Ok(())
}
