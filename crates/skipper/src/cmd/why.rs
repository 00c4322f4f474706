use skipper_server::api::own::wire::WhyView;

use super::{Context, events, follow, release_arg::ReleaseArg};
use crate::{
    client::Call,
    failure::Done,
    render::{Style, tame},
};

/// Arguments of `why`.
#[derive(Debug, clap::Args)]
pub(crate) struct Why {
    #[command(flatten)]
    release: ReleaseArg,
}

impl Why {
    pub(super) async fn run(self, context: &Context) -> Done {
        let why: WhyView = context.client()?.ask(&Call::get(&["v1", "releases", self.release.name(), "why"])).await?;
        let out = &context.out;
        if out.json {
            return out.json(&why);
        }
        let paint = out.paint;
        let mut text = format!("{}\n", paint.style(Style::Strong, &tame(&why.answer)));
        if let Some(hint) = &why.hint {
            text.push_str(&format!("{} {}\n", paint.style(Style::Busy, "hint:"), tame(hint)));
        }
        if let Some(cause) = why.cause.as_ref().filter(|cause| !why.answer.contains(&cause.message)) {
            text.push_str(&format!("{} {}\n", paint.style(Style::Bad, "cause:"), follow::cause_line(cause)));
        }
        for drift in &why.drift {
            text.push_str(&format!(
                "{} {}\n",
                paint.style(Style::Warn, "drift:"),
                tame(&format!("{}: {}", drift.app, drift.message))
            ));
        }
        if let Some(bundle) = &why.bundle {
            text.push('\n');
            text.push_str(&follow::bundle(paint, bundle));
        }
        if !why.events.is_empty() {
            text.push_str(&format!("\n{}\n", paint.style(Style::Strong, "last events")));
            for event in why.events.iter().rev() {
                text.push_str(&format!("  {}\n", events::line(paint, event)));
            }
        }
        out.text(&text)
    }
}
