//! Packages: made and checked on this machine, kept and found on the server.

mod build;
mod create;
mod download;
mod lint;
mod remove;
mod render;
pub(crate) mod search;
mod show;
pub(crate) mod upload;

use std::collections::BTreeMap;

use super::{Context, install, package_arg};
use crate::{
    client::{Call, Client},
    failure::{Done, Exit, Failure},
};
use skipper_server::api::own::wire::{PackagePage, PackageRef, PackageView, RepositoryList};

/// Arguments of `package`.
#[derive(Debug, clap::Args)]
pub(crate) struct Package {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a starter package in a new folder
    #[command(visible_alias = "init")]
    Create(create::Create),
    /// Check a package and tell everything that is wrong or odd
    Lint(lint::Lint),
    /// Print the manifest a package and values give
    #[command(visible_alias = "template")]
    Render(render::Render),
    /// Zip a package
    Build(build::Build),
    /// Upload a package to the local repository
    #[command(visible_alias = "push")]
    Upload(upload::Upload),
    /// Search for packages
    Search(search::Search),
    /// List packages
    #[command(visible_alias = "ls")]
    List(search::List),
    /// Show what a package is and holds
    #[command(visible_alias = "info")]
    Show(show::Show),
    /// Remove a package from the local repository
    #[command(visible_aliases = ["rm", "delete"])]
    Remove(remove::Remove),
    /// Download a package as a zip
    #[command(visible_alias = "pull")]
    Download(download::Download),
    /// See `skipper install`
    #[command(hide = true)]
    Install(Box<install::Install>),
}

impl Package {
    pub(super) async fn run(self, context: &Context) -> Done {
        match self.verb {
            Verb::Create(verb) => verb.run(context),
            Verb::Lint(verb) => verb.run(context),
            Verb::Render(verb) => verb.run(context),
            Verb::Build(verb) => verb.run(context),
            Verb::Upload(verb) => verb.run(context).await,
            Verb::Search(verb) => verb.run(context).await,
            Verb::List(verb) => verb.run(context).await,
            Verb::Show(verb) => verb.run(context).await,
            Verb::Remove(verb) => verb.run(context).await,
            Verb::Download(verb) => verb.run(context).await,
            Verb::Install(verb) => verb.run(context).await,
        }
    }
}

/// Reads `name`, `name@version`, `repository/name`, with a version that may also stand alone behind it.
fn known(word: &str, version: Option<&str>) -> Result<PackageRef, Failure> {
    match package_arg::parse(word, version, None, |_| false)? {
        package_arg::PackageArg::Known(known) => Ok(known),
        package_arg::PackageArg::Path(_) => Err(Failure::usage(format!("`{word}` is a path, not a package's name"))
            .hint("packages on the server are named `name` or `repository/name`")),
    }
}

/// By version, as the server orders them.
fn by_version(a: &PackageView, b: &PackageView) -> std::cmp::Ordering {
    skipper_source::maven_cmp(&a.version, &b.version).then_with(|| a.version.cmp(&b.version))
}

/// The order of each repository, where that decides.
async fn orders(client: &Client, wanted: &PackageRef) -> Result<BTreeMap<String, i64>, Failure> {
    if wanted.repository.is_some() {
        return Ok(BTreeMap::new());
    }
    let all: RepositoryList = client.ask(&Call::get(&["v1", "repositories"])).await?;
    Ok(all.items.into_iter().map(|repository| (repository.name, repository.order)).collect())
}

/// The one package that is meant: repository and version are looked up where they are not given.
async fn find(client: &Client, wanted: &PackageRef) -> Result<PackageView, Failure> {
    let mut after = None::<String>;
    let order = orders(client, wanted).await?;
    // Of one version in several repositories, the one that an install takes.
    let better = |a: &PackageView, b: &PackageView| {
        by_version(a, b).then_with(|| order.get(&a.repository).cmp(&order.get(&b.repository)))
    };
    let mut newest: Option<PackageView> = None;
    loop {
        let call = Call::get(&["v1", "packages"])
            .query("name", &wanted.name)
            .query("limit", 200)
            .maybe("repository", wanted.repository.as_deref())
            .maybe("after", after.as_deref());
        let page: PackagePage = client.ask(&call).await?;
        let fits = |package: &PackageView| {
            package.name == wanted.name
                && wanted.repository.as_ref().is_none_or(|repository| *repository == package.repository)
                && wanted.version.as_ref().is_none_or(|version| *version == package.version)
        };
        newest = page.items.into_iter().filter(fits).chain(newest).max_by(better);
        after = page.next;
        if after.is_none() {
            if let Some(package) = newest {
                return Ok(package);
            }
            let version = wanted.version.as_ref().map_or(String::new(), |version| format!(" {version}"));
            let place = wanted.repository.as_ref().map_or(String::new(), |name| format!(" in {name}"));
            return Err(Failure::new(Exit::NotFound, format!("there is no package {}{version}{place}", wanted.name))
                .hint(format!("`skipper search {}` looks for it", wanted.name)));
        }
    }
}
