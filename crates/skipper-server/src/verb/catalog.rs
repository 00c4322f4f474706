//! Packages as lists with numbered pages, and by their numbers: for APIs that have those.

use std::{collections::HashMap, sync::Arc};

use skipper_core::policy::Action;
use skipper_store::{PackageMatch, PackageOrder};

use super::{Caller, packages::Entry};
use crate::{app::App, error::Error, held::Held};

/// Most that a search finds: the store gives no more.
const MOST: u32 = 1000;
/// What a package or a repository takes, in bytes, roughly.
const EACH: usize = 4 << 10;

/// Packages and repositories that were read lately.
#[derive(Debug, Default)]
pub struct HeldPackages {
    found: Held<String, Arc<Vec<Entry>>>,
    repositories: Held<(), Arc<HashMap<String, i64>>>,
}

/// At most `limit` packages without the first `offset`, and how many there are; with or without what is built in.
///
/// # Errors
///
/// Only the policy's and the store's.
pub async fn page(
    app: &App,
    caller: &Caller,
    order: PackageOrder,
    built_in: bool,
    limit: u32,
    offset: u64,
) -> Result<(Vec<Entry>, u64), Error> {
    caller.may_all(Action::Read)?;
    let page = app.timed("package_page", app.store.package_page(order, built_in, limit, offset)).await?;
    Ok((page.packages.into_iter().map(Entry::from).collect(), page.total))
}

/// The package of that number.
///
/// # Errors
///
/// Only the policy's and the store's.
pub async fn by_number(app: &App, caller: &Caller, num: i64) -> Result<Option<Entry>, Error> {
    caller.may_all(Action::Read)?;
    Ok(app.store.package_by_num(num).await?.map(Entry::from))
}

/// The packages that fit, at most 1000.
///
/// # Errors
///
/// Only the policy's and the store's.
pub async fn find(app: &App, caller: &Caller, filter: PackageMatch<'_>) -> Result<Arc<Vec<Entry>>, Error> {
    caller.may_all(Action::Read)?;
    let reading = async {
        let found = app.timed("package_find", app.store.package_find(filter, MOST)).await?;
        Ok::<_, Error>(Arc::new(found.into_iter().map(Entry::from).collect::<Vec<_>>()))
    };
    let asked = format!("{filter:?}");
    let key = asked.len();
    app.packages.found.or_read(&app.store, asked, |found| key + (found.len() + 1) * EACH, reading).await
}

/// The numbers of all repositories, by name.
///
/// # Errors
///
/// Only the policy's and the store's.
pub async fn repositories(app: &App, caller: &Caller) -> Result<Arc<HashMap<String, i64>>, Error> {
    caller.may_all(Action::Read)?;
    let reading = async {
        let stored = app.store.repository_list().await?;
        let numbers = stored.into_iter().map(|one| (one.name.to_string(), one.numeric.num));
        Ok::<_, Error>(Arc::new(numbers.collect::<HashMap<_, _>>()))
    };
    app.packages.repositories.or_read(&app.store, (), |all| (all.len() + 1) * EACH, reading).await
}
