use std::time::Duration;

use skipper_server::api::own::wire::{HistoryPage, RevisionDetail, RevisionView};

use super::{Context, release_arg::ReleaseArg};
use crate::{
    client::Call,
    failure::Done,
    guide,
    render::{Table, at, lasted},
};

/// Arguments of `history`.
#[derive(Debug, clap::Args)]
pub(crate) struct History {
    #[command(flatten)]
    release: ReleaseArg,
    /// At most this many, the newest first [default: 50]
    #[arg(long, value_name = "NUMBER", value_parser = most)]
    limit: Option<u32>,
    /// The same by Spring's name
    #[arg(long, value_name = "NUMBER", value_parser = most, allow_negative_numbers = true, conflicts_with = "limit")]
    max: Option<u32>,
    /// Whether it is `release history`, whose descriptions are those of 2.x.
    #[arg(skip)]
    is_second: bool,
}

/// Revisions shown unless told otherwise.
const LIMIT: u32 = 50;
/// The same in the shell, where Spring's people expect all of them.
const GUIDE: u32 = 10_000;

/// In the words of Spring's shell.
fn most(text: &str) -> Result<u32, String> {
    match text.parse::<i64>() {
        Ok(number) if number <= 0 => Err("The maximum number of revisions should be greater than zero.".to_owned()),
        Ok(number) => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
        Err(_) => Err(format!("The maximum number of revisions is not an integer. Input string = {text}")),
    }
}

/// Revisions asked for at once.
const PAGE: u32 = 200;

impl History {
    /// As `release history`.
    pub(super) const fn of_second(mut self) -> Self {
        self.is_second = true;
        self
    }

    pub(super) async fn run(self, context: &Context) -> Done {
        let most = self.limit.or(self.max);
        if context.out.guide && !context.out.json {
            let (name, most) = (self.release.name(), most.unwrap_or(GUIDE));
            return if self.is_second {
                guide::history_of_second(context, name, most).await
            } else {
                guide::history(context, name, most).await
            };
        }
        let limit = most.unwrap_or(LIMIT);
        let (mut items, mut after) = (Vec::<RevisionView>::new(), None::<String>);
        loop {
            let wanted = limit.saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX));
            let call = Call::get(&["v1", "releases", self.release.name(), "history"])
                .query("limit", wanted.clamp(1, PAGE))
                .maybe("after", after.as_deref());
            let page: HistoryPage = context.client()?.ask(&call).await?;
            items.extend(page.items);
            after = page.next;
            if after.is_none() || items.len() >= limit as usize {
                break;
            }
        }
        items.truncate(limit as usize);
        if context.out.json {
            return context.out.json(&HistoryPage { items, next: after });
        }
        context.out.table(&table(&items), "no revision yet")
    }
}

/// One revision, as `status --release-version` shows it.
pub(super) async fn show_one(context: &Context, name: &str, revision: &str) -> Done {
    let call = Call::get(&["v1", "releases", name, "revisions", revision]);
    let detail: RevisionDetail = context.client()?.ask(&call).await?;
    if context.out.json {
        return context.out.json(&detail);
    }
    context.out.table(&table(&[detail.revision]), "")
}

fn table(items: &[RevisionView]) -> Table {
    // Versions are told where scalings have made them others than the revisions.
    let differ = items.iter().any(|item| item.version.is_some_and(|version| version != item.revision));
    let mut table = if differ {
        let header = ["REVISION", "VERSION", "STATE", "VERB", "SOURCE", "WHEN", "TOOK", "WHO", "DESCRIPTION"];
        Table::new(header).states(2).right([0, 1])
    } else {
        let header = ["REVISION", "STATE", "VERB", "SOURCE", "WHEN", "TOOK", "WHO", "DESCRIPTION"];
        Table::new(header).states(1).right([0])
    };
    for item in items {
        let cause = item.rollout.as_ref().and_then(|rollout| rollout.cause.as_ref());
        let told = item.description.as_deref().filter(|text| !text.is_empty());
        let version = differ.then(|| item.version.map_or_else(|| "-".to_owned(), |version| format!("v{version}")));
        let cells = [
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
        ];
        table.row(std::iter::once(item.revision.to_string()).chain(version).chain(cells));
    }
    table
}
