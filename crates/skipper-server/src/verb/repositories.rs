//! Lists, adds, removes and refreshes repositories, and serves those of this server to others.

use std::time::Duration;

use skipper_core::{
    name::{PackageName, RepositoryName},
    policy::Action,
};
use skipper_source::index;
use skipper_store::{NewRepository, RepositoryKind};

use super::{Caller, Wanted, packages::choose};
pub use crate::repository::{Chosen, Listed, Report};
use crate::{
    app::App,
    error::{Code, Error},
    repository::{Repositories, index_entry},
};

/// What is said of a repository that is added or changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// Its name.
    pub name: String,
    /// Where it is; a local one needs none.
    pub url: Option<String>,
    /// Where its sources are, for people.
    pub source_url: Option<String>,
    /// One line about it.
    pub description: Option<String>,
    /// Whether packages are uploaded to it, rather than listed by an index elsewhere.
    pub local: bool,
    /// Asked the highest first.
    pub order: i64,
}

/// Longest text about a repository, in bytes.
const MAX_TEXT: usize = 2000;
/// Repositories beyond this are more likely a script that went wrong.
const MAX_REPOSITORIES: usize = 1000;
/// Longest that a caller waits for an index; reading it goes on.
const WAIT: Duration = Duration::from_secs(50);
/// Packages that are read at once for an index.
const PAGE: u32 = 500;

/// Every repository, in the order they are asked.
///
/// # Errors
///
/// Only the policy's and the store's.
pub async fn list(app: &App, caller: &Caller) -> Result<Vec<Listed>, Error> {
    caller.may_all(Action::Read)?;
    app.resolver.repositories().list().await
}

/// One repository.
///
/// # Errors
///
/// It is not there; the policy's and the store's.
pub async fn get(app: &App, caller: &Caller, name: &str) -> Result<Listed, Error> {
    caller.may_all(Action::Read)?;
    app.resolver.repositories().repository(name).await
}

/// How many packages each repository has; one without any is not named.
///
/// # Errors
///
/// Only the policy's and the store's.
pub async fn sizes(app: &App, caller: &Caller) -> Result<Vec<(RepositoryName, u64)>, Error> {
    caller.may_all(Action::Read)?;
    Ok(app.store.repository_sizes().await?)
}

/// Adds a repository. The index of a remote one is read soon after, and nobody waits for that here.
///
/// # Errors
///
/// The name is in use; the address is none.
///
/// # Cancel safety
///
/// Safe to drop: one transaction.
pub async fn add(app: &App, caller: &Caller, said: Said) -> Result<Listed, Error> {
    caller.may_all(Action::ManagePackages)?;
    let new = checked(said)?;
    if app.store.repository_list().await?.len() >= MAX_REPOSITORIES {
        return Err(Error::new(Code::Invalid, format!("a server has at most {MAX_REPOSITORIES} repositories")));
    }
    let added = app.store.repository_add(new, &caller.provenance).await?;
    app.resolver.repositories().nudge();
    Ok(added.into())
}

/// Changes what is said of a repository. Its name and its kind stay. A password in an address is shown to nobody: an address
/// that comes back as it was shown is the one that is there.
///
/// # Errors
///
/// It is not there; the address is none; the built-in one cannot be changed.
///
/// # Cancel safety
///
/// Safe to drop: one transaction.
pub async fn update(app: &App, caller: &Caller, said: Said) -> Result<Listed, Error> {
    caller.may_all(Action::ManagePackages)?;
    let there = app.resolver.repositories().repository(&said.name).await?;
    let local = match there.kind {
        RepositoryKind::Local => true,
        RepositoryKind::Remote => false,
        RepositoryKind::BuiltIn => {
            return Err(Error::new(Code::RepositoryReadOnly, format!("repository `{}` comes with Skipper", said.name))
                .hint("remove it, and add another one of that name"));
        }
    };
    let mut new = checked(Said { local, ..said })?;
    if new.url == there.url {
        new.url = app.store.repository_get(&there.name).await?.and_then(|stored| stored.url);
    }
    let changed = app.store.repository_update(new, &caller.provenance).await?;
    app.resolver.repositories().nudge();
    Ok(changed.into())
}

fn checked(said: Said) -> Result<NewRepository, Error> {
    let invalid = |why: String| Error::new(Code::Invalid, why);
    let name = RepositoryName::new(said.name).map_err(|wrong| invalid(wrong.to_string()))?;
    let text = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let [url, source_url, description] = [said.url, said.source_url, said.description].map(text);
    for (key, text) in [("url", &url), ("source_url", &source_url), ("description", &description)] {
        if text.as_ref().is_some_and(|text| text.len() > MAX_TEXT || text.contains('\0')) {
            return Err(invalid(format!("`{key}` must be text of at most {MAX_TEXT} bytes")));
        }
    }
    let kind = if said.local { RepositoryKind::Local } else { RepositoryKind::Remote };
    if kind == RepositoryKind::Remote {
        let url = url.as_deref().ok_or_else(|| {
            invalid(format!("repository `{name}` needs the address where its index.yml is"))
                .hint("a repository for uploads is a local one, and needs none")
        })?;
        if let Some(wrong) = Repositories::check_url(url) {
            return Err(invalid(wrong));
        }
    }
    Ok(NewRepository { name, kind, url, source_url, description, order: said.order })
}

/// Removes a repository with its packages.
///
/// # Errors
///
/// It is not there, is the one that uploads go to, or a release is made of one of its packages.
///
/// # Cancel safety
///
/// Safe to drop: one transaction.
pub async fn remove(app: &App, caller: &Caller, name: &str) -> Result<(), Error> {
    caller.may_all(Action::ManagePackages)?;
    let name = app.resolver.repositories().repository(name).await?.name;
    Ok(app.store.repository_remove(&name, &caller.provenance).await?)
}

/// Reads the index of a remote repository now.
///
/// # Errors
///
/// It is not there or not remote; its index cannot be read, or takes long.
///
/// # Cancel safety
///
/// Safe to drop: reading goes on.
pub async fn refresh(app: &App, caller: &Caller, name: &str) -> Result<Report, Error> {
    caller.may_all(Action::ManagePackages)?;
    let name = app.resolver.repositories().repository(name).await?.name;
    let reading = app.tasks.spawn({
        let (resolver, name) = (app.resolver.clone(), name.clone());
        async move { resolver.repositories().refresh(&name).await }
    });
    let mut report = match tokio::time::timeout(WAIT, reading).await {
        Ok(read) => read.map_err(Error::internal)??,
        Err(_) => {
            return Err(Error::new(Code::Timeout, format!("the index of `{name}` is still being read"))
                .hint("`skipper repo list` shows when it is done"));
        }
    };
    if report.unchanged {
        let sizes = app.store.repository_sizes().await?;
        report.packages = sizes.into_iter().find(|(known, _)| *known == name).map_or(0, |(_, packages)| packages);
    }
    Ok(report)
}

/// The index of a repository of this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Index {
    /// Its text, and a word that changes with it.
    Text(String, String),
    /// It is still the one that the caller knows.
    Same(String),
}

/// The index of a repository of this server, unless `known` is what it is called.
///
/// # Errors
///
/// It is not there, or is a remote one.
pub async fn index(app: &App, caller: &Caller, name: &str, known: impl Fn(&str) -> bool) -> Result<Index, Error> {
    let name = served(app, caller, name).await?;
    let state = app.store.packages_state(&name).await?;
    if known(&state) {
        return Ok(Index::Same(state));
    }
    let mut text = String::new();
    let mut after: Option<(String, String)> = None;
    loop {
        let from = after.as_ref().map(|(name, version)| (name.as_str(), version.as_str()));
        let page = app.store.package_list_of(&name, from, PAGE).await?;
        page.iter().for_each(|package| index::write(&mut text, &index_entry(package)));
        match page.last() {
            Some(last) if page.len() == PAGE as usize => {
                after = Some((last.name.to_string(), last.version.clone()));
            }
            _ => return Ok(Index::Text(text, state)),
        }
    }
}

/// A zip of a repository of this server, by the name of its file.
///
/// # Errors
///
/// It is not there.
pub async fn zip(app: &App, caller: &Caller, name: &str, package: &str, file: &str) -> Result<Chosen, Error> {
    let name = served(app, caller, name).await?;
    let version = file.strip_suffix(".zip").and_then(|stem| stem.strip_prefix(package)?.strip_prefix('-'));
    let version = version.filter(|version| !version.is_empty());
    let (Ok(package), Some(version)) = (PackageName::new(package), version) else {
        return Err(Error::new(Code::NotFound, "a repository has its packages at NAME/NAME-VERSION.zip"));
    };
    choose(app, &Wanted::stored(Some(name.to_string()), package.to_string(), Some(version.to_owned()))).await
}

async fn served(app: &App, caller: &Caller, name: &str) -> Result<RepositoryName, Error> {
    caller.may_all(Action::Read)?;
    let there = app.resolver.repositories().repository(name).await?;
    if there.kind == RepositoryKind::Remote {
        return Err(Error::new(Code::NotFound, format!("repository `{name}` is a remote one and is not served here"))
            .hint("ask its own address"));
    }
    Ok(there.name)
}
