use skipper_core::port::Clock as _;
use skipper_server::api::own::wire::{ReleasePage, ReleaseSummary};

use super::Context;
use crate::{
    client::Call,
    complete,
    failure::{Done, Failure},
    guide,
    render::{Table, age, at},
    world::SystemClock,
};

/// Arguments of `list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only releases whose name holds this text
    #[arg(value_name = "QUERY")]
    query: Option<String>,
    /// The same by name: text that the names hold
    #[arg(long, value_name = "NAME", hide = true, conflicts_with = "query", add = complete::releases())]
    release_name: Option<String>,
    /// Only releases of which a document has this in its `metadata`; `name` is the name of an application
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Option<String>,
    /// At most this many
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    limit: u32,
    /// Deleted ones as well
    #[arg(long, short)]
    all: bool,
    /// Names alone, a line each
    #[arg(long, short = 'n')]
    names: bool,
}

/// Releases asked for at once.
const PAGE: u32 = 200;

impl List {
    pub(super) async fn run(self, context: &Context) -> Done {
        let query = self.query.as_deref().or(self.release_name.as_deref());
        if context.out.guide && !context.out.json && !self.names && self.metadata.is_none() {
            return guide::list(context, query).await;
        }
        let (mut items, mut after) = (Vec::<ReleaseSummary>::new(), None::<String>);
        loop {
            let wanted = self.limit.saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX));
            let call = Call::get(&["v1", "releases"])
                .query("limit", wanted.clamp(1, PAGE))
                .maybe("q", query)
                .maybe("metadata", self.metadata.as_deref())
                .maybe("deleted", self.all.then_some(true))
                .maybe("after", after.as_deref());
            let page: ReleasePage = context.client()?.ask(&call).await?;
            items.extend(page.items);
            after = page.next;
            if after.is_none() || items.len() >= self.limit as usize {
                break;
            }
        }
        items.truncate(self.limit as usize);
        let out = &context.out;
        if out.json {
            return out.json(&ReleasePage { items, next: after });
        }
        if self.names {
            return out.text(&items.iter().map(|release| format!("{}\n", release.name)).collect::<String>());
        }
        let now = SystemClock.now();
        let mut table = Table::new(["NAME", "REVISION", "STATE", "PACKAGE", "CHANGED", "ROLLOUT"]).states(2).right([1]);
        for release in &items {
            table.row([
                release.name.clone(),
                release.revision.map_or_else(|| "-".to_owned(), |revision| revision.to_string()),
                release.state.as_str().to_owned(),
                release.package.clone().unwrap_or_else(|| "-".to_owned()),
                if out.interactive { age(now, &release.updated_at) } else { at(&release.updated_at) },
                match release.rollout.as_ref().filter(|rollout| !rollout.finished) {
                    Some(rollout) => format!("{} {}", rollout.verb, rollout.phase),
                    None => "-".to_owned(),
                },
            ]);
        }
        let empty = match (query, &self.metadata) {
            (_, Some(metadata)) => format!("no release has `{metadata}` in the metadata of its documents"),
            (Some(query), None) => format!("no release has `{query}` in its name"),
            (None, None) if !self.all && has_past(context).await? => {
                "nothing runs; `skipper list --all` shows the releases of before".to_owned()
            }
            (None, None) => "no release yet; try `skipper install hello helloworld`".to_owned(),
        };
        out.table(&table, &empty)?;
        if after.is_some() {
            out.note(&format!("there are more; --limit {} shows them", self.limit.saturating_mul(10)));
        }
        Ok(())
    }
}

/// Whether there are releases that are deleted, or were taken over and not started.
async fn has_past(context: &Context) -> Result<bool, Failure> {
    let call = Call::get(&["v1", "releases"]).query("limit", 1).query("deleted", true);
    let page: ReleasePage = context.client()?.ask(&call).await?;
    Ok(!page.items.is_empty())
}
