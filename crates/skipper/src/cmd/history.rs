use std::time::Duration;

use skipper_server::api::own::wire::{HistoryPage, RevisionDetail, RevisionView};

use super::{Context, release_arg::ReleaseArg};
use crate::{
    client::Call,
    failure::Done,
    render::{Table, at, lasted},
};

/// Arguments of `history`.
#[derive(Debug, clap::Args)]
pub(crate) struct History {
    #[command(flatten)]
    release: ReleaseArg,
    /// At most this many, the newest first
    #[arg(long, visible_alias = "max", value_name = "NUMBER", default_value_t = 50)]
    limit: u32,
}

/// Revisions asked for at once.
const PAGE: u32 = 200;

impl History {
    pub(super) async fn run(self, context: &Context) -> Done {
        let (mut items, mut after) = (Vec::<RevisionView>::new(), None::<String>);
        loop {
            let wanted = self.limit.saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX));
            let call = Call::get(&["v1", "releases", self.release.name(), "history"])
                .query("limit", wanted.clamp(1, PAGE))
                .maybe("after", after.as_deref());
            let page: HistoryPage = context.client()?.ask(&call).await?;
            items.extend(page.items);
            after = page.next;
            if after.is_none() || items.len() >= self.limit as usize {
                break;
            }
        }
        items.truncate(self.limit as usize);
        if context.out.json {
            return context.out.json(&HistoryPage { items, next: after });
        }
        context.out.table(&table(&items), "no revision yet")
    }
}

/// One revision, as `status --release-version` shows it.
pub(super) async fn show_one(context: &Context, name: &str, revision: u64) -> Done {
    let call = Call::get(&["v1", "releases", name, "revisions", &revision.to_string()]);
    let detail: RevisionDetail = context.client()?.ask(&call).await?;
    if context.out.json {
        return context.out.json(&detail);
    }
    context.out.table(&table(&[detail.revision]), "")
}

fn table(items: &[RevisionView]) -> Table {
    let header = ["REVISION", "STATE", "VERB", "SOURCE", "WHEN", "TOOK", "WHO", "DESCRIPTION"];
    let mut table = Table::new(header).states(1).right([0]);
    for item in items {
        let cause = item.rollout.as_ref().and_then(|rollout| rollout.cause.as_ref());
        let told = item.description.as_deref().filter(|text| !text.is_empty());
        table.row([
            item.revision.to_string(),
            item.state.clone(),
            if item.verb.is_empty() { "-".to_owned() } else { item.verb.clone() },
            item.source.text(),
            at(&item.created_at),
            item.duration_ms.map_or_else(|| "-".to_owned(), |ms| lasted(Duration::from_millis(ms))),
            format!("{} ({})", item.actor, item.trigger),
            match (told, cause) {
                (Some(told), Some(cause)) => format!("{told}; {}", cause.message),
                (Some(told), None) => told.to_owned(),
                (None, Some(cause)) => cause.message.clone(),
                (None, None) => "-".to_owned(),
            },
        ]);
    }
    table
}
