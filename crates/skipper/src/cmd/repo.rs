use clap::ValueHint;
use skipper_server::api::own::wire::{AddRepository, RefreshReport, RepositoryList, RepositoryView};

use super::{Context, confirm};
use crate::{
    client::{Call, Client},
    complete,
    failure::{Done, Failure},
    guide,
    render::{Table, at},
};

/// Arguments of `repo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Repo {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// In the order they are asked
    #[command(visible_alias = "ls")]
    List,
    /// Add a repository that is somewhere else, or a local one for uploads
    Add(Add),
    /// Remove a repository with its packages
    #[command(visible_aliases = ["rm", "remove"])]
    Delete(Delete),
    /// Read the index of a remote repository now
    Refresh(Refresh),
}

/// Arguments of `repo add`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A repository has its index at URL/index.yml and its packages at URL/NAME/NAME-VERSION.zip. Another Skipper's is at
http://HOST:7577/v1/repositories/NAME; credentials go into the address, as https://USER:PASSWORD@HOST/…")]
struct Add {
    /// What to call it
    #[arg(value_name = "NAME", required_unless_present = "spring_name")]
    name: Option<String>,
    /// Where it is: https://…, http://… or file:/path on the machine of the server
    #[arg(value_name = "URL", value_hint = ValueHint::Url)]
    repository_url: Option<String>,
    /// The same by name: the repository
    #[arg(long = "name", value_name = "NAME", hide = true, conflicts_with = "name")]
    spring_name: Option<String>,
    /// The same by name: where the repository is
    #[arg(long = "url", value_name = "URL", value_hint = ValueHint::Url, hide = true, conflicts_with = "repository_url")]
    spring_url: Option<String>,
    /// Where its sources are, for people
    #[arg(long, value_name = "URL")]
    source_url: Option<String>,
    /// One line about it
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Of equal versions that of the repository with the highest order is taken
    #[arg(long, value_name = "NUMBER", default_value_t = 0, allow_hyphen_values = true)]
    order: i64,
    /// For uploads, rather than somewhere else
    #[arg(long)]
    local: bool,
    /// Do not wait until its index was read
    #[arg(long)]
    no_refresh: bool,
}

/// Arguments of `repo delete`.
#[derive(Debug, clap::Args)]
struct Delete {
    /// Which one
    #[arg(value_name = "NAME", required_unless_present = "spring_name", add = complete::repositories())]
    name: Option<String>,
    /// The same by name: the repository
    #[arg(long = "name", value_name = "NAME", hide = true, conflicts_with = "name", add = complete::repositories())]
    spring_name: Option<String>,
    /// Do not ask; without a terminal nobody is asked
    #[arg(long, short)]
    yes: bool,
}

/// Arguments of `repo refresh`.
#[derive(Debug, clap::Args)]
struct Refresh {
    /// Which one [default: every remote one]
    #[arg(value_name = "NAME", add = complete::repositories())]
    name: Option<String>,
    /// The same by name: the repository
    #[arg(long = "name", value_name = "NAME", hide = true, conflicts_with = "name", add = complete::repositories())]
    spring_name: Option<String>,
}

impl Repo {
    pub(super) async fn run(self, context: &Context) -> Done {
        match self.verb {
            Verb::List => list(context).await,
            Verb::Add(verb) => verb.run(context).await,
            Verb::Delete(verb) => verb.run(context).await,
            Verb::Refresh(verb) => verb.run(context).await,
        }
    }
}

async fn all(client: &Client) -> Result<RepositoryList, Failure> {
    client.ask(&Call::get(&["v1", "repositories"])).await
}

async fn list(context: &Context) -> Done {
    if context.out.guide && !context.out.json {
        return guide::repositories(context).await;
    }
    let list = all(context.client()?).await?;
    if context.out.json {
        return context.out.json(&list);
    }
    let mut table = Table::new(["NAME", "URL", "LOCAL", "ORDER", "PACKAGES", "READ", "DESCRIPTION"]).right([3, 4]);
    for repository in &list.items {
        table.row([
            repository.name.clone(),
            repository.url.clone().unwrap_or_else(|| "-".to_owned()),
            if repository.writable { "yes" } else { "no" }.to_owned(),
            repository.order.to_string(),
            repository.packages.to_string(),
            read(repository),
            repository.description.clone(),
        ]);
    }
    context.out.table(&table, "no repository")?;
    for repository in list.items {
        if let Some(problem) = repository.problem {
            context.out.warn(&format!("{}: {problem}", repository.name));
        }
    }
    Ok(())
}

/// When the index was read.
fn read(repository: &RepositoryView) -> String {
    match (&repository.refreshed_at, repository.kind.as_str()) {
        (_, "local" | "built-in") => "-".to_owned(),
        (Some(time), _) if repository.failures > 0 => format!("{}, failing since then", at(time)),
        (Some(time), _) => at(time),
        (None, _) if repository.failures > 0 => "failing".to_owned(),
        (None, _) => "not yet".to_owned(),
    }
}

impl Add {
    async fn run(self, context: &Context) -> Done {
        let name = self.name.or(self.spring_name).unwrap_or_default();
        let url = self.repository_url.or(self.spring_url);
        if url.is_none() && !self.local {
            return Err(Failure::usage(format!("repository {name} needs the address where its index.yml is"))
                .hint("skipper repo add NAME URL, or --local for one that packages are uploaded to"));
        }
        let new = AddRepository {
            name: name.clone(),
            url,
            source_url: self.source_url,
            description: self.description,
            local: self.local,
            order: self.order,
        };
        let client = context.client()?;
        let added: RepositoryView = client.ask(&Call::post(&["v1", "repositories"]).json(&new)).await?;
        let report = if self.local || self.no_refresh { None } else { Some(refresh(client, &name).await) };
        if context.out.json {
            return context.out.json(&added);
        }
        context.out.line(&format!("Repository '{name}' added."))?;
        match report {
            // The server may have read it by itself just before.
            Some(Ok(report)) if report.unchanged => context.out.note(&format!("{name}: {}", packages(&report))),
            Some(Ok(report)) => context.out.note(&told(&name, &report)),
            Some(Err(failure)) => {
                let why = failure.message.lines().next().unwrap_or_default();
                context.out.warn(&format!("its index is not read yet: {why}; the server tries again"));
            }
            None => {}
        }
        Ok(())
    }
}

impl Delete {
    async fn run(self, context: &Context) -> Done {
        let name = self.name.or(self.spring_name).unwrap_or_default();
        if context.surroundings.stdin_is_terminal && context.surroundings.stderr_is_terminal {
            confirm::ask(context, &format!("Remove repository {name} with its packages?"), self.yes)?;
        }
        context.client()?.tell(&Call::delete(&["v1", "repositories", &name])).await?;
        if context.out.json {
            return context.out.json(&serde_json::json!({"name": name}));
        }
        context.out.line(&format!("Repository '{name}' deleted."))
    }
}

impl Refresh {
    async fn run(self, context: &Context) -> Done {
        let client = context.client()?;
        let names = match self.name.or(self.spring_name) {
            Some(name) => vec![name],
            None => {
                let remote = all(client).await?.items.into_iter().filter(|repository| repository.kind == "remote");
                remote.map(|repository| repository.name).collect()
            }
        };
        let (mut reports, mut failed) = (serde_json::Map::new(), None);
        for name in names {
            match refresh(client, &name).await {
                Ok(report) => {
                    if !context.out.json {
                        context.out.line(&told(&name, &report))?;
                        report.faults.iter().for_each(|fault| context.out.warn(fault));
                    }
                    reports.insert(name, serde_json::json!(report));
                }
                // The others are read all the same.
                Err(failure) => {
                    if let Some(before) = failed.replace(failure) {
                        context.out.warn(&before.message);
                    }
                }
            }
        }
        match failed {
            Some(failure) => Err(failure),
            None if context.out.json => context.out.json(&reports),
            None if reports.is_empty() => context.out.line("no repository is a remote one"),
            None => Ok(()),
        }
    }
}

async fn refresh(client: &Client, name: &str) -> Result<RefreshReport, Failure> {
    client.ask(&Call::post(&["v1", "repositories", name, "refresh"])).await
}

fn packages(report: &RefreshReport) -> String {
    if report.packages == 1 { "1 package".to_owned() } else { format!("{} packages", report.packages) }
}

fn told(name: &str, report: &RefreshReport) -> String {
    let RefreshReport { added, updated, removed, broken, .. } = report;
    let packages = packages(report);
    if report.unchanged {
        return format!("{name}: {packages}, nothing new");
    }
    let broken = if *broken > 0 { format!(", {broken} that cannot be used") } else { String::new() };
    format!("{name}: {packages}, {added} new, {updated} changed, {removed} gone{broken}")
}
