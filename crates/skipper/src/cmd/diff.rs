use skipper_server::api::own::wire::DiffView;

use super::{Context, release_arg::ReleaseArg};
use crate::{
    client::Call,
    complete,
    failure::Done,
    render::{Paint, Style, tame},
};

/// Arguments of `diff`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Without revisions: the one that served before, against the one that serves.")]
pub(crate) struct Diff {
    #[command(flatten)]
    release: ReleaseArg,
    /// From this revision [default: the one that served before]
    #[arg(value_name = "FROM", add = complete::revisions())]
    from: Option<u64>,
    /// To this revision [default: the one that serves]
    #[arg(value_name = "TO", add = complete::revisions())]
    to: Option<u64>,
}

impl Diff {
    pub(super) async fn run(self, context: &Context) -> Done {
        let call =
            Call::get(&["v1", "releases", self.release.name(), "diff"]).maybe("from", self.from).maybe("to", self.to);
        let diff: DiffView = context.client()?.ask(&call).await?;
        if context.out.json {
            return context.out.json(&diff);
        }
        if diff.equal {
            context.out.note(&format!("revisions {} and {} have the same manifest", diff.from, diff.to));
            return Ok(());
        }
        context.out.text(&painted(context.out.paint, &diff.diff))
    }
}

/// A unified diff in colour; it ends with a line end.
pub(super) fn painted(paint: Paint, diff: &str) -> String {
    let mut text = String::with_capacity(diff.len() + 16);
    for line in diff.lines() {
        let style = match line.as_bytes() {
            [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => Some(Style::Strong),
            [b'+', ..] => Some(Style::Good),
            [b'-', ..] => Some(Style::Bad),
            [b'@', ..] => Some(Style::Busy),
            _ => None,
        };
        let line = tame(line);
        text.push_str(&style.map_or_else(|| line.clone(), |style| paint.style(style, &line)));
        text.push('\n');
    }
    text
}
