use skipper_server::api::own::wire::{PackageDetail, PackagePage, PackageView};

use super::super::Context;
use crate::{
    client::Call,
    complete,
    failure::{Done, Exit, Failure},
    guide,
    render::{Table, at},
};

/// Arguments of `search`.
#[derive(Debug, clap::Args)]
pub(crate) struct Search {
    /// Text that name, description, maintainer or tags hold; a word tag:NAME is a tag
    #[arg(value_name = "QUERY")]
    query: Option<String>,
    /// Text that the name holds
    #[arg(long, value_name = "TEXT", add = complete::packages())]
    name: Option<String>,
    #[command(flatten)]
    which: Which,
}

/// Arguments of `package list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only packages of this name
    #[arg(value_name = "NAME", add = complete::packages())]
    name: Option<String>,
    /// The same by name: text that the names hold
    #[arg(long = "name", value_name = "QUERY", hide = true, conflicts_with = "name", add = complete::packages())]
    spring_name: Option<String>,
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Only of this repository
    #[arg(long, value_name = "REPOSITORY", add = complete::repositories())]
    repository: Option<String>,
    /// Only with this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Every version, not the newest alone
    #[arg(long, short = 'l', visible_alias = "versions")]
    all_versions: bool,
    /// Everything that is known of each
    #[arg(long)]
    details: bool,
    /// At most this many
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    limit: u32,
}

/// Packages asked for at once.
const PAGE: u32 = 200;

impl Search {
    pub(crate) async fn run(self, context: &Context) -> Done {
        show(context, self.query.as_deref(), self.name.as_deref(), None, &self.which).await
    }
}

impl List {
    pub(crate) async fn run(self, context: &Context) -> Done {
        // Spring's `package list --name` is a search.
        let name = self.name.as_deref().or(self.spring_name.as_deref());
        show(context, None, name, self.name.as_deref(), &self.which).await
    }
}

async fn show(
    context: &Context,
    query: Option<&str>,
    name: Option<&str>,
    exactly: Option<&str>,
    which: &Which,
) -> Done {
    // What only our own options ask for is shown in our own form.
    let own = query.is_some() || which.repository.is_some() || which.tag.is_some() || which.all_versions;
    if context.out.guide && !context.out.json && !own {
        return guide::search(context, name, which.details).await;
    }
    let (mut items, mut after) = (Vec::<PackageView>::new(), None::<String>);
    loop {
        let call = Call::get(&["v1", "packages"])
            .query("limit", PAGE)
            .maybe("q", query)
            .maybe("name", name)
            .maybe("tag", which.tag.as_deref())
            .maybe("repository", which.repository.as_deref())
            .maybe("after", after.as_deref());
        let page: PackagePage = context.client()?.ask(&call).await?;
        after = page.next;
        items.extend(page.items.into_iter().filter(|package| exactly.is_none_or(|name| name == package.name)));
        if after.is_none() || items.len() >= which.limit as usize {
            break;
        }
    }
    items.sort_by(|a, b| (&a.name, &a.repository).cmp(&(&b.name, &b.repository)).then(super::by_version(b, a)));
    if !which.all_versions {
        items.dedup_by(|a, b| (&a.name, &a.repository) == (&b.name, &b.repository));
    }
    items.truncate(which.limit as usize);
    let out = &context.out;
    if out.json {
        return out.json(&PackagePage { items, next: after });
    }
    if which.details {
        for (number, package) in items.iter().enumerate() {
            if number > 0 {
                out.text("\n")?;
            }
            out.text(&details(context, package).await?)?;
        }
        return Ok(());
    }
    let mut table = Table::new(["NAME", "VERSION", "REPOSITORY", "UPLOADED", "DESCRIPTION"]);
    for package in &items {
        table.row([
            package.name.clone(),
            package.version.clone(),
            package.repository.clone(),
            package.created_at.as_deref().map_or_else(|| "built in".to_owned(), at),
            package.description.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    let empty = match query.or(name).or(which.tag.as_deref()) {
        Some(query) => format!("no package matches `{query}`"),
        None => "no package yet; `skipper upload PATH` adds one".to_owned(),
    };
    out.table(&table, &empty)
}

/// Everything that is known of a package. One whose zip cannot be had is told by what the list knows, with the reason.
async fn details(context: &Context, package: &PackageView) -> Result<String, Failure> {
    let out = &context.out;
    match super::show::ask(context, package).await {
        Ok(detail) => Ok(super::show::text(out, &detail, None)),
        // It is about this package alone if the server says so.
        Err(failure) if failure.code.is_some() && failure.exit != Exit::Auth => {
            let detail = PackageDetail {
                metadata: serde_json::json!({"description": package.description, "tags": package.tags}),
                package: package.clone(),
                values: String::new(),
                values_schema: None,
                templates: Vec::new(),
                readme: None,
                used_by: Vec::new(),
                row_version: 0,
            };
            Ok(super::show::text(out, &detail, Some(&failure.message)))
        }
        Err(failure) => Err(failure),
    }
}
