//! `repositories.NAME.*`: repositories that a server has from its first start.

use std::{collections::BTreeMap, time::Duration};

use skipper_core::name::RepositoryName;
use skipper_store::{NewRepository, RepositoryKind};

use super::{
    fault::Fault,
    merge::{Merged, Origin, Value},
    setting,
};
use crate::repository::Repositories;

/// Options of a repository. `repo_order` is what Spring calls the order.
const OPTIONS: [&str; 6] = ["url", "source_url", "local", "description", "order", "repo_order"];

/// Whether a repository can be told that.
pub(super) fn is_option(option: &str) -> bool {
    OPTIONS.contains(&option)
}

/// Repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoriesConfig {
    /// Time between two refreshes of a remote repository.
    pub refresh: Duration,
    /// Whether a new server has the repository that is in the binary.
    pub built_in: bool,
    /// Whether the server reads indexes by itself; otherwise only when somebody asks.
    pub scheduled: bool,
    /// Added when the server starts, unless one of the name is there, and numbered in this order: clients show the numbers.
    pub named: Vec<RepositoryConfig>,
}

/// A repository of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryConfig {
    /// Its name.
    pub name: RepositoryName,
    /// Where it is.
    pub url: Option<String>,
    /// Where its sources are, for people.
    pub source_url: Option<String>,
    /// Whether packages are uploaded to it, rather than listed by an index elsewhere.
    pub local: bool,
    /// One line about it.
    pub description: Option<String>,
    /// Asked the highest first.
    pub order: Option<i64>,
}

impl RepositoryConfig {
    /// What the store is to add.
    pub(crate) fn new_one(&self) -> NewRepository {
        NewRepository {
            name: self.name.clone(),
            kind: if self.local { RepositoryKind::Local } else { RepositoryKind::Remote },
            url: self.url.clone(),
            source_url: self.source_url.clone(),
            description: self.description.clone(),
            order: self.order,
        }
    }
}

/// Reads all of them, in the order in which they were written. Of those from the environment and from arguments nobody knows
/// that; as in Spring's own configuration, those that are read elsewhere come first.
pub(super) fn build(merged: &Merged, faults: &mut Vec<Fault>) -> Vec<RepositoryConfig> {
    let mut all: Vec<_> = merged.package_repositories.iter().collect();
    let line = |options: &BTreeMap<String, Value>| {
        let lines = options.values().filter_map(|value| match value.origin {
            Origin::File(_, line) => Some(line),
            _ => None,
        });
        lines.min().unwrap_or(usize::MAX)
    };
    let local = |options: &BTreeMap<String, Value>| options.get("local").is_some_and(|value| value.text == "true");
    all.sort_by_key(|(_, options)| (line(options), local(options)));
    all.into_iter().filter_map(|(name, options)| one(name, options, faults)).collect()
}

fn one(name: &str, options: &BTreeMap<String, Value>, faults: &mut Vec<Fault>) -> Option<RepositoryConfig> {
    let before = faults.len();
    let place = options.values().next().map_or_else(String::new, |value| value.origin.to_string());
    let mut fault = |place: String, message: String| faults.push(Fault { place, message });
    for (option, value) in options.iter().filter(|(option, _)| !OPTIONS.contains(&option.as_str())) {
        let hint = setting::nearest(option, OPTIONS)
            .map_or_else(String::new, |near| format!("; did you mean `repositories.{name}.{near}`?"));
        fault(value.origin.to_string(), format!("unknown key `repositories.{name}.{option}`{hint}"));
    }
    let text = |option: &str| options.get(option).filter(|value| !value.text.is_empty());
    let local = match text("local").map(|value| (value, value.text.as_str())) {
        None | Some((_, "false")) => false,
        Some((_, "true")) => true,
        Some((value, other)) => {
            fault(value.origin.to_string(), format!("`repositories.{name}.local` = `{other}`: write true or false"));
            false
        }
    };
    let order = text("order").or_else(|| text("repo_order"));
    let order = order.and_then(|value| {
        let parsed = value.text.parse::<i32>().ok();
        if parsed.is_none() {
            let message = format!("`repositories.{name}.order` = `{}`: is not a whole number", value.text);
            fault(value.origin.to_string(), message);
        }
        parsed.map(i64::from)
    });
    match (local, text("url")) {
        (false, None) => fault(place.clone(), format!("`repositories.{name}` has neither `url` nor `local = true`")),
        // One that cannot be read is no reason not to start: it is told beside the repository.
        (false, Some(url)) => {
            if let Some(wrong) = Repositories::check_url(&url.text) {
                tracing::warn!("`repositories.{name}.url`: {wrong}");
            }
        }
        (true, _) => {}
    }
    let name = RepositoryName::new(name).map_err(|wrong| fault(place, wrong.to_string())).ok()?;
    let owned = |option: &str| text(option).map(|value| value.text.clone());
    let repository = RepositoryConfig {
        name,
        url: owned("url"),
        source_url: owned("source_url"),
        local,
        description: owned("description"),
        order,
    };
    (faults.len() == before).then_some(repository)
}
